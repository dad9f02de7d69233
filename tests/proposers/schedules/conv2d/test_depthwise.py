from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType

import pytest

from warpwright.gate.format import check_format
from warpwright.gate.integrity import check_integrity
from warpwright.proposers.schedules.conv2d import depthwise
from warpwright.source.view import read_program
from warpwright.types.conv2d import Conv2dLayer, Pointwise
from warpwright.types.verdict import Status

PAD = {"padding_before": (1, 1), "padding_after": (1, 1)}
SMALL = Conv2dLayer(3, 6, 9, 7, 6, (3, 3), groups=6, **PAD)  # type: ignore[arg-type]


@pytest.mark.triton
@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ({}, 1e-6),
        pytest.param(
            {"out_channels": 12, "stride": (2, 2), "bias": False, "dtype": "float16"},
            3e-4,
            marks=pytest.mark.slow,
        ),
        ({"kernel": (5, 3), "dilation": (1, 2), "stride": (2, 1), "dtype": "bfloat16"}, 4e-3),
    ],
)
def test_the_program_computes_the_layer_on_two_sizes_of_input(
    layers: ModuleType, tmp_path: Path, changes: dict[str, object], most: float
) -> None:
    layer = dataclasses.replace(SMALL, **changes)  # type: ignore[arg-type]
    errors = layers.relative_errors(layers.task(layer), depthwise, tmp_path)
    assert len(errors) == 2
    assert max(errors) < most


@pytest.mark.triton
def test_operations_after_the_convolution_are_in_the_program(
    layers: ModuleType, tmp_path: Path
) -> None:
    found = layers.task(SMALL, "torch.relu(self.conv(x))", (Pointwise("relu"),))
    assert max(layers.relative_errors(found, depthwise, tmp_path)) < 1e-6


def test_the_program_passes_the_gate(layers: ModuleType) -> None:
    found = layers.task(SMALL)
    view = read_program(depthwise.program(found, depthwise.points(found, layers.GPU), layers.GPU))
    assert check_format(view, view).status is Status.PASS
    assert not check_format(view, view).notes
    assert check_integrity(view, view).status is Status.PASS
    assert not check_integrity(view, view).notes


@pytest.mark.parametrize("changes", [{"groups": 3}, {"kernel": (9, 9)}, {"channels_last": True}])
def test_other_layers_are_refused_with_a_reason(
    layers: ModuleType, changes: dict[str, object]
) -> None:
    layer = dataclasses.replace(SMALL, **changes)  # type: ignore[arg-type]
    assert depthwise.reason_not(layers.task(layer), layers.GPU)


def test_blocks_of_small_images_hold_several_planes(layers: ModuleType) -> None:
    found = layers.task(dataclasses.replace(SMALL, height=7, width=7))
    assert all(point["BLOCK_N"] > 1 for point in depthwise.points(found, layers.GPU))


def test_seven_rows_share_their_loads_where_the_kernel_is_small(layers: ModuleType) -> None:
    found = layers.task(dataclasses.replace(SMALL, height=28, width=28))
    assert depthwise.points(found, layers.GPU)[0]["ROWS"] == 7
    large = dataclasses.replace(SMALL, kernel=(7, 7), padding_before=(3, 3), padding_after=(3, 3))
    rows = [point["ROWS"] for point in depthwise.points(layers.task(large), layers.GPU)]
    assert max(rows) == 4
