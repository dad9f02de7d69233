from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType

import pytest

from warpwright.gate.format import check_format
from warpwright.gate.integrity import check_integrity
from warpwright.proposers.schedules.conv2d import pointwise_resident
from warpwright.source.view import read_program
from warpwright.types.conv2d import Conv2dLayer, Pointwise, Precision
from warpwright.types.verdict import Status

SMALL = Conv2dLayer(3, 24, 12, 8, 40, (1, 1))


@pytest.mark.triton
@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ({}, 3.2e-4),
        ({"bias": False, "dtype": "float16", "out_channels": 300}, 3e-4),
        ({"in_channels": 64, "batch": 1, "height": 20}, 3.2e-4),
    ],
)
def test_the_program_computes_the_layer_on_two_sizes_of_input(
    layers: ModuleType, tmp_path: Path, changes: dict[str, object], most: float
) -> None:
    layer = dataclasses.replace(SMALL, **changes)  # type: ignore[arg-type]
    errors = layers.relative_errors(layers.task(layer), pointwise_resident, tmp_path)
    assert len(errors) == 2
    assert max(errors) < most


@pytest.mark.triton
def test_operations_after_the_convolution_are_in_the_program(
    layers: ModuleType, tmp_path: Path
) -> None:
    after = (Pointwise("add", 0.5), Pointwise("relu"))
    found = layers.task(SMALL, "torch.relu(self.conv(x) + 0.5)", after)
    assert max(layers.relative_errors(found, pointwise_resident, tmp_path)) < 3.2e-4


def test_the_program_passes_the_gate(layers: ModuleType) -> None:
    found = layers.task(SMALL)
    points = pointwise_resident.points(found, layers.GPU)
    view = read_program(pointwise_resident.program(found, points, layers.GPU))
    for verdict in (check_format(view, view), check_integrity(view, view)):
        assert verdict.status is Status.PASS
        assert not verdict.notes


@pytest.mark.parametrize(
    "changes",
    [
        {"in_channels": 256},
        {"height": 7, "width": 7},
        {"stride": (2, 2)},
        {"kernel": (3, 3)},
        {"channels_last": True},
    ],
)
def test_other_layers_are_refused_with_a_reason(
    layers: ModuleType, changes: dict[str, object]
) -> None:
    layer = dataclasses.replace(SMALL, **changes)  # type: ignore[arg-type]
    assert pointwise_resident.reason_not(layers.task(layer), layers.GPU)


def test_fp32_without_tf32_is_refused(layers: ModuleType) -> None:
    found = layers.task(SMALL, precision=Precision.STRICT)
    assert "TF32" in (pointwise_resident.reason_not(found, layers.GPU) or "")


def test_what_a_block_keeps_fits_into_shared_memory(layers: ModuleType) -> None:
    found = layers.task(Conv2dLayer(8, 128, 56, 56, 512, (1, 1)))
    points = pointwise_resident.points(found, layers.GPU)
    assert points
    for point in points:
        held = (point["BLOCK_OC"] + point.num_stages * point["BLOCK_P"]) * point["BLOCK_K"] * 4
        assert held < layers.GPU.limits.max_shared_bytes_per_block
