"""Grouped convolutions on tensor cores: implicit GEMM of each group, straight from NCHW."""

from __future__ import annotations

import math

from warpwright.operators import rates
from warpwright.operators.conv2d.layer import arguments_of, describe, library, refusal
from warpwright.operators.emission import EmissionPlan, write_program
from warpwright.operators.point import Point
from warpwright.types.conv2d import Conv2dLayer, Conv2dTask, Precision
from warpwright.types.gpu import GpuSheet

NAME = "grouped"
WHY = "a block makes all outputs of one group for its pixels, so nothing is gathered twice"
MOST_OUTPUTS = 128  # of a group: one tile


def reason_not(task: Conv2dTask, gpu: GpuSheet) -> str | None:  # noqa: ARG001
    """It fits layers in groups of two channels or more, whose outputs fit into one tile."""
    layer = task.layer
    if layer.groups == 1 or layer.groups == layer.in_channels:
        return f"{layer.in_channels} input channels in {layer.groups} groups"
    if layer.out_channels // layer.groups > MOST_OUTPUTS:
        return f"more than {MOST_OUTPUTS} output channels in a group"
    if layer.channels_last:
        return "the input is channels_last; this schedule reads NCHW"
    if layer.dtype == "float32" and task.precision is not Precision.TF32:
        return "its products are of TF32, and the task asks for more"
    return refusal(task)


def points(task: Conv2dTask, gpu: GpuSheet) -> tuple[Point, ...]:
    """Pixels by all channels of a group, 64 bytes of taps a step.

    Twice the taps a step took up to five times as long: each value is loaded with its own
    address and mask, which then fill the registers.
    """
    layer = task.layer
    block = max(8, 1 << (layer.out_channels // layer.groups - 1).bit_length())
    step = 64 // layer.element_bytes
    tiles = [(128, step, 4, 4), (64, step, 4, 4), (128, step, 4, 3)]
    if gpu.compute_capability >= (9, 0):
        tiles.append((256, step, 8, 4))
    found = [
        Point.of(warps, stages, BLOCK_P=px, BLOCK_OC=block, BLOCK_K=k)
        for px, k, warps, stages in tiles
        if px * block <= 64 * 32 * warps  # accumulators: 64 registers a thread
    ]
    return tuple(found)


def program(task: Conv2dTask, points: tuple[Point, ...], gpu: GpuSheet) -> str:
    comment = (
        f"{describe(task)}, for {gpu.name}.\n"
        "Implicit GEMM of each group: pixels of the whole batch by all output channels of the "
        "group, with its taps as the reduced dimension. Groups of one pixel tile are neighbours "
        "in the grid."
    )
    arguments = (*arguments_of(task.layer), ("groups", task.layer.groups))
    key = ("batch", "H", "W")
    plan = EmissionPlan(comment, "conv2d_grouped", "conv_grouped", points, key, arguments)
    return write_program(task, plan, library())


def predicted_us(task: Conv2dTask, point: Point, gpu: GpuSheet) -> float:
    """Bound by gathering: values of every window, one by one."""
    layer = task.layer
    pixels = layer.batch * layer.out_height * layer.out_width
    blocks = -(-pixels // point["BLOCK_P"]) * layer.groups
    steps = -(-_taps(layer) // point["BLOCK_K"])
    values = float(blocks * point["BLOCK_P"] * steps * point["BLOCK_K"])
    gather = rates.issue_us(gpu, values / _values_per_cycle(layer, point))
    memory = rates.memory_us(gpu, float(layer.least_bytes))
    return max(gather, memory) + 0.35 * min(gather, memory) + rates.LAUNCH_US


def _values_per_cycle(layer: Conv2dLayer, point: Point) -> float:
    """As seen on an H100: 4.5 in fp32; 9 in half precision, less with larger accumulators."""
    fewer = 1.0 if point["BLOCK_P"] == 128 and point.num_stages == 4 else 0.95
    fewer /= 1.5 if layer.stride[1] > 1 else 1.0  # sectors half used
    if layer.element_bytes == 4:
        return 4.5 * fewer
    return 9.0 * math.sqrt(8 / point["BLOCK_OC"]) * fewer


def _taps(layer: Conv2dLayer) -> int:
    return layer.in_channels // layer.groups * layer.kernel[0] * layer.kernel[1]
