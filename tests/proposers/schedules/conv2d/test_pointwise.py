from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType

import pytest

from warpwright.gate.format import check_format
from warpwright.gate.integrity import check_integrity
from warpwright.proposers.schedules.conv2d import pointwise
from warpwright.source.view import read_program
from warpwright.types.conv2d import Conv2dLayer, Pointwise, Precision
from warpwright.types.verdict import Status

SMALL = Conv2dLayer(3, 24, 9, 7, 40, (1, 1))
RESNET = Conv2dLayer(32, 256, 56, 56, 64, (1, 1))


@pytest.mark.triton
@pytest.mark.parametrize(
    ("changes", "precision", "most"),
    [
        ({}, Precision.TF32, 3.2e-4),
        pytest.param(
            {"stride": (2, 2), "bias": False, "dtype": "float16"},
            Precision.TF32,
            3e-4,
            marks=pytest.mark.slow,
        ),
        ({"height": 8, "width": 8, "in_channels": 20}, Precision.STRICT, 1e-6),
    ],
)
def test_the_program_computes_the_layer_on_two_sizes_of_input(
    layers: ModuleType,
    tmp_path: Path,
    changes: dict[str, object],
    precision: Precision,
    most: float,
) -> None:
    layer = dataclasses.replace(SMALL, **changes)  # type: ignore[arg-type]
    errors = layers.relative_errors(layers.task(layer, precision=precision), pointwise, tmp_path)
    assert len(errors) == 2
    assert max(errors) < most


@pytest.mark.triton
def test_operations_after_the_convolution_are_in_the_program(
    layers: ModuleType, tmp_path: Path
) -> None:
    after = (Pointwise("add", 0.5), Pointwise("relu"))
    found = layers.task(SMALL, "torch.relu(self.conv(x) + 0.5)", after)
    assert max(layers.relative_errors(found, pointwise, tmp_path)) < 3.2e-4


def test_the_program_passes_the_gate(layers: ModuleType) -> None:
    found = layers.task(RESNET)
    view = read_program(pointwise.program(found, pointwise.points(found, layers.GPU), layers.GPU))
    assert check_format(view, view).status is Status.PASS
    assert not check_format(view, view).notes
    assert check_integrity(view, view).status is Status.PASS
    assert not check_integrity(view, view).notes


@pytest.mark.parametrize(
    "changes",
    [
        {"kernel": (3, 3)},
        {"groups": 2},
        {"padding_before": (1, 1), "padding_after": (1, 1)},
        {"channels_last": True},
    ],
)
def test_other_layers_are_refused_with_a_reason(
    layers: ModuleType, changes: dict[str, object]
) -> None:
    layer = dataclasses.replace(SMALL, **changes)  # type: ignore[arg-type]
    assert pointwise.reason_not(layers.task(layer), layers.GPU)


def test_points_do_not_repeat_and_are_ordered_by_prediction(layers: ModuleType) -> None:
    found = layers.task(RESNET)
    points = pointwise.points(found, layers.GPU)
    predicted = [pointwise.predicted_us(found, point, layers.GPU) for point in points]
    assert len(set(points)) == len(points) > 2
    assert predicted == sorted(predicted)


def test_no_prediction_is_below_the_time_that_memory_takes(layers: ModuleType) -> None:
    found = layers.task(RESNET)
    least = RESNET.least_bytes / (layers.GPU.memory_bandwidth_gb_per_s or 0) / 1e3
    for point in pointwise.points(found, layers.GPU):
        assert pointwise.predicted_us(found, point, layers.GPU) > least
