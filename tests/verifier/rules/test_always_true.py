"""Masks that hold in every lane: bounds of a kernel's integers in one launch."""

from __future__ import annotations

import ast

import pytest

from warpwright.verifier.rules.always_true import Bounds

KERNEL = ast.parse(
    """
def kernel(p, M, K, W, PAD, TILE):
    rows = tl.program_id(0) * TILE + tl.arange(0, TILE)
    image = rows // (W * W)
    column = rows % W - PAD
    other = 0
    other += 1
    for start in range(0, K, TILE):
        k = start + tl.arange(0, TILE)
        tap = k % 9
"""
).body[0]
VALUES = {"M": 128, "K": 96, "W": 8, "PAD": 0, "TILE": 32}


def holds(mask: str, **changed: int) -> bool:
    assert isinstance(KERNEL, ast.FunctionDef)
    values = {**VALUES, **changed}
    grid = (-(-values["M"] // values["TILE"]),)
    return Bounds(KERNEL, values, grid).holds(ast.parse(mask, mode="eval").body)


@pytest.mark.parametrize(
    "mask",
    [
        "rows < M",
        "M > rows",
        "(rows[:, None] < M) & (k[None, :] < K)",
        "rows < M and k < K",
        "(column >= 0) & (column < W)",
        "image <= 1",
        "tl.broadcast_to(rows[:, None] < M, [TILE, TILE])",
        "(rows < 3) | (rows < M)",
        "tap < 9",
        "rows.to(tl.int64) * 2 + 1 < 2 * M",
        "tl.cdiv(K, TILE) == 3 or tl.cdiv(K, TILE) >= 3",
    ],
)
def test_a_mask_that_no_lane_breaks_holds(mask: str) -> None:
    assert holds(mask)


@pytest.mark.parametrize(
    ("mask", "changed"),
    [
        ("rows < M", {"M": 127}),
        ("k < K", {"K": 97}),
        ("column >= 0", {"PAD": 1}),
        ("rows < M - 1", {}),
        ("rows < unknown", {}),
        ("other < 5", {}),  # assigned twice: no bounds
        ("tl.load(p) < 5", {}),
        ("rows != 5", {}),
        ("(rows < M) & (k < other)", {}),
        ("(rows < 3) | (k < 3)", {}),
    ],
)
def test_a_mask_that_a_lane_may_break_does_not(mask: str, changed: dict[str, int]) -> None:
    assert not holds(mask, **changed)
