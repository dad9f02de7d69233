"""pin: one other config that the launches pass; before → after, refusals, outputs, binaries."""

from __future__ import annotations

import numpy as np
import pytest
import rewriting
import tiled
from tiled import PRODUCT, STREAM, SUMMED

from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.pin import apply_pin, pin_move
from warpwright.types.candidate import Claim
from warpwright.types.config import Config

OTHER = Config.of({"ROWS": 64, "COLUMNS": 16, "DEPTH": 32}, 4, 2)
GOLDEN = """\
        ROWS, COLUMNS = 16, 32
        grid = (triton.cdiv(M, 64), triton.cdiv(N, 16))
        product[grid](a, b, c, M, N, K, ROWS=64, COLUMNS=16, DEPTH=32, num_warps=4, num_stages=2)
"""


def test_the_launch_passes_the_config_and_its_grid_follows() -> None:
    edited = apply_pin(PRODUCT, pin_move("product", OTHER))
    assert GOLDEN in edited
    head, _, tail = edited.partition(GOLDEN)
    assert PRODUCT.startswith(head) and PRODUCT.endswith(tail)


def test_only_other_tiles_change_the_order_of_a_sum() -> None:
    assert pin_move("product", OTHER).claim is Claim.SAME_SUM
    assert pin_move("product", Config.of({}, 8, 2)).claim is Claim.BIT_EQUAL


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("num_warps=2)", "**given(n))", "written out"),
        ("DEPTH=16, num_warps=2)", "num_warps=2)", "DEPTH passed by the launch"),
        ("triton.cdiv(M, ROWS)", "M // ROWS", "rounding up"),
        ("return c\n", "return c[:ROWS]\n", "tile sizes only"),
        ("@triton.jit\ndef product", "@triton.autotune([triton.Config({})], [])\n@triton.jit\n"
         "def product", "has an autotune"),
        ("def product", "def renamed", "no kernel named"),
    ],
)  # fmt: skip
def test_what_cannot_be_pinned_is_refused(old: str, new: str, why: str) -> None:
    assert old in PRODUCT
    with pytest.raises(DoesNotApply) as refused:
        apply_pin(PRODUCT.replace(old, new, 1), pin_move("product", OTHER))
    assert why in refused.value.reason


def test_one_number_for_two_sizes_changes_along_its_own_axis_alone() -> None:
    numbers = PRODUCT.replace("ROWS), triton", "32), triton").replace("(N, COLUMNS)", "(N, 32)")
    numbers = numbers.replace("ROWS=ROWS, COLUMNS=COLUMNS", "ROWS=32, COLUMNS=32")
    config = Config.of({"ROWS": 64, "COLUMNS": 32, "DEPTH": 16}, 4, 2)
    edited = apply_pin(numbers, pin_move("product", config))
    assert "grid = (triton.cdiv(M, 64), triton.cdiv(N, 32))" in edited
    # A size that the config does not name counts too.
    config = Config.of({"ROWS": 64}, 4, 2)
    assert "triton.cdiv(N, 32))" in apply_pin(numbers, pin_move("product", config))


def test_a_grid_of_another_kernel_is_refused() -> None:
    other = STREAM[STREAM.index("@triton.jit") : STREAM.index("\n\nclass")]
    text = STREAM.replace("class", f"{other.replace('doubled', 'again')}\n\nclass").replace(
        "        doubled[(triton.cdiv(x.numel(), 64),)](",
        "        BLOCK = 64\n        grid = (triton.cdiv(x.numel(), BLOCK),)\n"
        "        again[grid](x, y, x.numel(), BLOCK=BLOCK)\n        doubled[grid](",
    )
    text = text.replace("BLOCK=64)", "BLOCK=BLOCK)")
    with pytest.raises(DoesNotApply, match="a grid of its own"):
        apply_pin(text, pin_move("doubled", Config.of({"BLOCK": 256}, 4, 3)))


@pytest.mark.parametrize("blocks", ["8", "blocks"])
def test_a_grid_that_does_not_take_the_size_is_refused(blocks: str) -> None:
    text = STREAM.replace("triton.cdiv(x.numel(), 64)", blocks).replace(
        "        doubled[", "        blocks = x.numel() // 64\n        doubled["
    )
    with pytest.raises(DoesNotApply, match="divides by BLOCK"):
        apply_pin(text, pin_move("doubled", Config.of({"BLOCK": 32}, 4, 3)))


@pytest.mark.triton
def test_it_computes_the_same_and_compiles() -> None:
    edited = apply_pin(PRODUCT, pin_move("product", OTHER))
    (wanted,), (got,) = tiled.outputs(PRODUCT, PRODUCT), tiled.outputs(edited, PRODUCT)
    np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-5)
    summed = apply_pin(SUMMED, pin_move("summed", Config.of({"BLOCK": 256}, 2, 3)))
    for source, of in ((edited, PRODUCT), (summed, SUMMED)):
        problem = rewriting.problem(tiled.shapes_of(of))
        for capability in ((8, 9), (9, 0)):
            assert rewriting.compile_faults(source, problem, capability) == []
