"""On which boards a float32 product may be computed by several on the tensor cores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from warpwright.costmodel.product_rates import against_parts, parts_ratio
from warpwright.costmodel.roofline import RateClass
from warpwright.gpus.target_sheet import resolve_gpu
from warpwright.types.gpu import GpuSheet, StatedGpu


def sheet(name: str) -> GpuSheet:
    return resolve_gpu(StatedGpu(name)).sheet


@pytest.mark.parametrize(
    ("board", "gains"),
    [("H200", True), ("A100 SXM 40GB", True), ("RTX 4090", False), ("L4", False), ("A10", False)],
)
@pytest.mark.parametrize("parts", [(RateClass.BF16, 6), (RateClass.TF32, 3)])
def test_the_rates_decide(board: str, gains: bool, parts: tuple[RateClass, int]) -> None:
    assert (against_parts(*parts, sheet(board)) is None) is gains


def test_it_says_both_rates() -> None:
    reason = against_parts(RateClass.BF16, 6, sheet("RTX 4090"))
    assert reason == "RTX 4090 does 82.6 TFLOPS in fp32, and 27.53 in 6 products of bf16 for each"


def test_what_is_not_known_promises_nothing() -> None:
    unknown = replace(sheet("H200"), bf16_tflops=None)
    reason = against_parts(RateClass.BF16, 6, unknown)
    assert reason is not None
    assert "not both known" in reason


def test_the_ratio_is_that_of_the_rates() -> None:
    board = replace(sheet("H200"), fp32_tflops=60.0, bf16_tflops=900.0)
    assert parts_ratio(RateClass.BF16, 6, board) == 2.5
    assert parts_ratio(RateClass.BF16, 6, replace(board, fp32_tflops=None)) is None
