"""What holds for every schedule that works straight from NCHW, each on small layers of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from warpwright.operators.conv2d.schedules import (
    grouped,
    grouped_scalar,
    pointwise,
    pointwise_resident,
    pointwise_strided,
)
from warpwright.program.view import read_program
from warpwright.types.conv2d import Conv2dLayer, Pointwise, Precision
from warpwright.types.verdict import Status
from warpwright.verifier.checks.format import check_format
from warpwright.verifier.checks.integrity import check_integrity

Changes = Mapping[str, Any]
PAD: Changes = {"padding_before": (1, 1), "padding_after": (1, 1)}
TF32, HALF, BRAIN, EXACT = 3.2e-4, 3e-4, 4e-3, 1e-6
"""The most that a relative error may be, by how products are rounded."""


@dataclass(frozen=True)
class Case:
    """A schedule, a layer for it, changes of the layer with the error they may have, and changes
    after which it is no longer for that schedule."""

    schedule: ModuleType
    small: Conv2dLayer
    most: float
    changed: tuple[tuple[Changes, float], ...]
    refused: tuple[Changes, ...]


CASES = (
    Case(
        grouped,
        Conv2dLayer(3, 36, 9, 7, 60, (3, 3), groups=3, **PAD),
        TF32,
        (
            ({"stride": (2, 2), "bias": False, "dtype": "float16"}, HALF),
            ({"kernel": (3, 2), "dilation": (1, 2), "stride": (2, 1), "out_channels": 6}, TF32),
        ),
        (
            {"groups": 1},
            {"groups": 36, "out_channels": 36},
            {"out_channels": 600},
            {"channels_last": True},
        ),
    ),
    Case(
        grouped_scalar,
        Conv2dLayer(3, 12, 9, 7, 9, (3, 3), groups=3, **PAD),
        EXACT,
        (
            ({"stride": (2, 2), "bias": False, "dtype": "float16"}, HALF),
            ({"groups": 1, "in_channels": 30, "out_channels": 2}, EXACT),
            ({"groups": 1, "in_channels": 3, "out_channels": 48, "stride": (2, 2)}, EXACT),
            ({"groups": 1, "in_channels": 1, "out_channels": 8, "kernel": (7, 5)}, EXACT),
            (
                {"kernel": (5, 2), "dilation": (1, 2), "stride": (2, 1), "dtype": "bfloat16"},
                BRAIN,
            ),
        ),
        (
            {"groups": 1, "in_channels": 24},
            {"groups": 12, "out_channels": 12},
            {"out_channels": 60},
            {"kernel": (7, 7)},
            {"groups": 1, "in_channels": 3, "out_channels": 37},
            {"groups": 1, "in_channels": 3, "out_channels": 32, "kernel": (3, 33)},
            {"channels_last": True},
        ),
    ),
    Case(
        pointwise_resident,
        Conv2dLayer(3, 24, 12, 8, 40, (1, 1)),
        TF32,
        (
            ({"bias": False, "dtype": "float16", "out_channels": 300}, HALF),
            ({"in_channels": 64, "batch": 1, "height": 20}, TF32),
        ),
        (
            {"in_channels": 256},
            {"height": 7, "width": 7},
            {"stride": (2, 2)},
            {"kernel": (3, 3)},
            {"channels_last": True},
        ),
    ),
    Case(
        pointwise_strided,
        Conv2dLayer(3, 24, 9, 7, 40, (1, 1), (2, 2)),
        TF32,
        (
            ({"stride": (1, 3), "bias": False, "dtype": "float16"}, HALF),
            ({"in_channels": 80, "stride": (3, 2), "out_channels": 130}, TF32),
        ),
        (
            {"stride": (1, 1)},
            {"in_channels": 3},
            {"groups": 2},
            {"kernel": (3, 3)},
            {"channels_last": True},
        ),
    ),
)


def _name(value: object) -> str | None:
    return value.schedule.__name__.rsplit(".", 1)[-1] if isinstance(value, Case) else None


each = pytest.mark.parametrize("case", CASES, ids=_name)


@pytest.mark.triton
@pytest.mark.parametrize(
    ("case", "changes", "most"),
    [
        pytest.param(case, changes, most, marks=pytest.mark.slow if changes else ())
        for case in CASES
        for changes, most in (({}, case.most), *case.changed)
    ],
    ids=_name,
)
def test_the_program_computes_the_layer_on_two_sizes_of_input(
    layers: ModuleType, tmp_path: Path, case: Case, changes: Changes, most: float
) -> None:
    layer = replace(case.small, **changes)
    errors = layers.relative_errors(layers.task(layer), case.schedule, tmp_path)
    assert len(errors) == 2
    assert max(errors) < most


@pytest.mark.triton
@each
def test_operations_after_the_convolution_are_in_the_program(
    layers: ModuleType, tmp_path: Path, case: Case
) -> None:
    after = (Pointwise("add", 0.5), Pointwise("relu"))
    found = layers.task(case.small, "torch.relu(self.conv(x) + 0.5)", after)
    assert max(layers.relative_errors(found, case.schedule, tmp_path)) < case.most


@each
def test_the_program_passes_the_gate(layers: ModuleType, case: Case) -> None:
    found = layers.task(case.small)
    points = case.schedule.points(found, layers.GPU)
    view = read_program(case.schedule.program(found, points, layers.GPU))
    for verdict in (check_format(view, view), check_integrity(view, view)):
        assert verdict.status is Status.PASS
        assert not verdict.notes


@pytest.mark.parametrize(
    ("case", "changes"),
    [(case, changes) for case in CASES for changes in case.refused],
    ids=_name,
)
def test_other_layers_are_refused_with_a_reason(
    layers: ModuleType, case: Case, changes: Changes
) -> None:
    layer = replace(case.small, **changes)
    assert case.schedule.reason_not(layers.task(layer), layers.GPU)


@each
def test_fp32_without_tf32_is_refused_where_products_are_of_tensor_cores(
    layers: ModuleType, case: Case
) -> None:
    found = layers.task(case.small, precision=Precision.STRICT)
    reason = case.schedule.reason_not(found, layers.GPU)
    assert (reason is None) == (case.schedule is grouped_scalar)
    assert reason is None or "TF32" in reason


@pytest.mark.slow
@pytest.mark.triton
@pytest.mark.parametrize(
    "changes",
    [
        {"in_channels": 64, "out_channels": 2, "kernel": (1, 1)},
        {"in_channels": 1, "out_channels": 16, "kernel": (9, 11)},
    ],
)
def test_sums_of_short_sums_err_less_than_one_long_sum(
    layers: ModuleType, tmp_path: Path, changes: Changes
) -> None:
    layer = replace(Conv2dLayer(2, 64, 20, 24, 2, (1, 1), bias=False), **changes)
    products = layer.in_channels * layer.kernel[0] * layer.kernel[1]
    long_sum = 0.3 * 2**-24 * products**0.5  # of products with random signs
    assert max(layers.relative_errors(layers.task(layer), grouped_scalar, tmp_path)) < long_sum


def test_what_a_resident_block_keeps_fits_into_shared_memory(layers: ModuleType) -> None:
    found = layers.task(Conv2dLayer(8, 128, 56, 56, 512, (1, 1)))
    points = pointwise_resident.points(found, layers.GPU)
    assert points
    for point in points:
        held = (point["BLOCK_OC"] + point.num_stages * point["BLOCK_P"]) * point["BLOCK_K"] * 4
        assert held < layers.GPU.limits.max_shared_bytes_per_block


def test_collecting_pixels_is_predicted_below_gathering_every_second_one(
    layers: ModuleType,
) -> None:
    found = layers.task(Conv2dLayer(32, 256, 56, 56, 512, (1, 1), (2, 2)))
    point = pointwise_strided.points(found, layers.GPU)[0]
    gather = pointwise.points(found, layers.GPU)[0]
    collected_us = pointwise_strided.predicted_us(found, point, layers.GPU)
    assert collected_us < pointwise.predicted_us(found, gather, layers.GPU)
