from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType

import pytest

from warpwright.gate.format import check_format
from warpwright.gate.integrity import check_integrity
from warpwright.proposers.schedules.conv2d import grouped_scalar
from warpwright.source.view import read_program
from warpwright.types.conv2d import Conv2dLayer, Pointwise
from warpwright.types.verdict import Status

PAD = {"padding_before": (1, 1), "padding_after": (1, 1)}
SMALL = Conv2dLayer(3, 12, 9, 7, 9, (3, 3), groups=3, **PAD)  # type: ignore[arg-type]


@pytest.mark.triton
@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ({}, 1e-6),
        ({"stride": (2, 2), "bias": False, "dtype": "float16"}, 3e-4),
        ({"groups": 1, "in_channels": 30, "out_channels": 2}, 1e-6),
        ({"kernel": (5, 2), "dilation": (1, 2), "stride": (2, 1), "dtype": "bfloat16"}, 4e-3),
    ],
)
def test_the_program_computes_the_layer_on_two_sizes_of_input(
    layers: ModuleType, tmp_path: Path, changes: dict[str, object], most: float
) -> None:
    layer = dataclasses.replace(SMALL, **changes)  # type: ignore[arg-type]
    errors = layers.relative_errors(layers.task(layer), grouped_scalar, tmp_path)
    assert len(errors) == 2
    assert max(errors) < most


@pytest.mark.triton
def test_operations_after_the_convolution_are_in_the_program(
    layers: ModuleType, tmp_path: Path
) -> None:
    after = (Pointwise("add", 0.5), Pointwise("relu"))
    found = layers.task(SMALL, "torch.relu(self.conv(x) + 0.5)", after)
    assert max(layers.relative_errors(found, grouped_scalar, tmp_path)) < 1e-6


def test_the_program_passes_the_gate(layers: ModuleType) -> None:
    found = layers.task(SMALL)
    points = grouped_scalar.points(found, layers.GPU)
    view = read_program(grouped_scalar.program(found, points, layers.GPU))
    for verdict in (check_format(view, view), check_integrity(view, view)):
        assert verdict.status is Status.PASS
        assert not verdict.notes


@pytest.mark.parametrize(
    "changes",
    [
        {"groups": 1, "in_channels": 24},
        {"groups": 12, "out_channels": 12},
        {"out_channels": 60},
        {"kernel": (7, 7)},
        {"channels_last": True},
    ],
)
def test_other_layers_are_refused_with_a_reason(
    layers: ModuleType, changes: dict[str, object]
) -> None:
    layer = dataclasses.replace(SMALL, **changes)  # type: ignore[arg-type]
    assert grouped_scalar.reason_not(layers.task(layer), layers.GPU)
