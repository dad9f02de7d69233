from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType

import pytest

from warpwright.gate.format import check_format
from warpwright.gate.integrity import check_integrity
from warpwright.proposers.schedules.conv2d import pointwise, pointwise_strided
from warpwright.source.view import read_program
from warpwright.types.conv2d import Conv2dLayer, Pointwise, Precision
from warpwright.types.verdict import Status

SMALL = Conv2dLayer(3, 24, 9, 7, 40, (1, 1), (2, 2))


@pytest.mark.triton
@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ({}, 3.2e-4),
        ({"stride": (1, 3), "bias": False, "dtype": "float16"}, 3e-4),
        ({"in_channels": 80, "stride": (3, 2), "out_channels": 130}, 3.2e-4),
    ],
)
def test_the_program_computes_the_layer_on_two_sizes_of_input(
    layers: ModuleType, tmp_path: Path, changes: dict[str, object], most: float
) -> None:
    layer = dataclasses.replace(SMALL, **changes)  # type: ignore[arg-type]
    errors = layers.relative_errors(layers.task(layer), pointwise_strided, tmp_path)
    assert len(errors) == 2
    assert max(errors) < most


@pytest.mark.triton
def test_operations_after_the_convolution_are_in_the_program(
    layers: ModuleType, tmp_path: Path
) -> None:
    after = (Pointwise("add", 0.5), Pointwise("relu"))
    found = layers.task(SMALL, "torch.relu(self.conv(x) + 0.5)", after)
    assert max(layers.relative_errors(found, pointwise_strided, tmp_path)) < 3.2e-4


def test_the_program_passes_the_gate(layers: ModuleType) -> None:
    found = layers.task(SMALL)
    points = pointwise_strided.points(found, layers.GPU)
    view = read_program(pointwise_strided.program(found, points, layers.GPU))
    for verdict in (check_format(view, view), check_integrity(view, view)):
        assert verdict.status is Status.PASS
        assert not verdict.notes


@pytest.mark.parametrize(
    "changes",
    [
        {"stride": (1, 1)},
        {"in_channels": 3},
        {"groups": 2},
        {"kernel": (3, 3)},
        {"channels_last": True},
    ],
)
def test_other_layers_are_refused_with_a_reason(
    layers: ModuleType, changes: dict[str, object]
) -> None:
    layer = dataclasses.replace(SMALL, **changes)  # type: ignore[arg-type]
    assert pointwise_strided.reason_not(layers.task(layer), layers.GPU)


def test_fp32_without_tf32_is_refused(layers: ModuleType) -> None:
    found = layers.task(SMALL, precision=Precision.STRICT)
    assert "TF32" in (pointwise_strided.reason_not(found, layers.GPU) or "")


def test_it_is_predicted_below_the_gather_of_every_second_pixel(layers: ModuleType) -> None:
    found = layers.task(Conv2dLayer(32, 256, 56, 56, 512, (1, 1), (2, 2)))
    point = pointwise_strided.points(found, layers.GPU)[0]
    gather = pointwise.points(found, layers.GPU)[0]
    assert pointwise_strided.predicted_us(found, point, layers.GPU) < pointwise.predicted_us(
        found, gather, layers.GPU
    )
