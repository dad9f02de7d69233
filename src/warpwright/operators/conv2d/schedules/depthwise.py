"""Depthwise convolutions: every output plane from one input plane, by fp32 multiply-adds."""

from __future__ import annotations

from warpwright.operators import rates
from warpwright.operators.conv2d.layer import arguments_of, describe, library, refusal
from warpwright.operators.emission import EmissionPlan, write_program
from warpwright.operators.point import Point
from warpwright.types.conv2d import Conv2dTask
from warpwright.types.gpu import GpuSheet

NAME = "depthwise"
WHY = "each input row is loaded once for all the output rows of a block that touch it"
_MOST_TAPS = 64  # unrolled: more compile for too long
_MOST_UNROLLED = 245  # multiply-adds of a thread: seven rows of 5x7 still compile in seconds
_FEWEST_COLUMNS = 16  # of a plane in a block; with 8 the loads of a warp touch too many planes
# Thread instructions of one load with its address and mask, and of one weight.
_LOAD_INSTRUCTIONS, _WEIGHT_INSTRUCTIONS = 6.0, 1.8


def reason_not(task: Conv2dTask, gpu: GpuSheet) -> str | None:  # noqa: ARG001
    """It fits layers with one input channel a group and few enough taps to unroll."""
    layer = task.layer
    if layer.groups != layer.in_channels or layer.groups == 1:
        return f"{layer.in_channels} input channels in {layer.groups} groups is not depthwise"
    if layer.kernel[0] * layer.kernel[1] > _MOST_TAPS:
        return f"a kernel of {layer.kernel[0]}x{layer.kernel[1]} has too many taps to unroll"
    if layer.channels_last:
        return "the input is channels_last; this schedule reads NCHW"
    return refusal(task)


def points(task: Conv2dTask, gpu: GpuSheet) -> tuple[Point, ...]:
    """Blocks of 128 to 512 columns of 1 to 7 output rows; several planes where one has fewer."""
    layer = task.layer
    found = []
    for rows in (7, 4, 2, 1):
        unrolled = rows * layer.kernel[0] * layer.kernel[1]
        if rows > layer.out_height or (unrolled > _MOST_UNROLLED and rows > 1):
            continue
        columns = -(-layer.out_height // rows) * layer.out_width
        for lanes in (256, 128, 512):
            block_p = min(lanes, max(_FEWEST_COLUMNS, 1 << (columns - 1).bit_length()))
            meta = {"ROWS": rows, "BLOCK_N": lanes // block_p, "BLOCK_P": block_p}
            found.append(Point.of(4, 1, **meta))
    return tuple(sorted(found, key=lambda point: predicted_us(task, point, gpu)))


def program(task: Conv2dTask, points: tuple[Point, ...], gpu: GpuSheet) -> str:
    comment = (
        f"{describe(task)}, for {gpu.name}.\n"
        "Bound by memory or by instructions: a block makes BLOCK_P columns of ROWS output rows of "
        "BLOCK_N planes, and loads each input value of a kernel column once for all those rows."
    )
    key = ("planes", "OC", "H", "W")
    arguments = arguments_of(task.layer)
    plan = EmissionPlan(comment, "conv2d_depthwise", "conv_depthwise", points, key, arguments)
    return write_program(task, plan, library())


def predicted_us(task: Conv2dTask, point: Point, gpu: GpuSheet) -> float:
    """The longer of memory and of the instructions, and part of the shorter."""
    layer = task.layer
    rows = point["ROWS"]
    columns = -(-layer.out_height // rows) * layer.out_width
    blocks_p = -(-columns // point["BLOCK_P"])
    planes = -(-layer.batch * layer.out_channels // point["BLOCK_N"]) * point["BLOCK_N"]
    threads = planes * blocks_p * point["BLOCK_P"]
    input_rows = (rows - 1) * layer.stride[0] + (layer.kernel[0] - 1) * layer.dilation[0] + 1
    input_rows = min(input_rows, rows * layer.kernel[0])
    taps = layer.kernel[0] * layer.kernel[1]
    loads = _LOAD_INSTRUCTIONS * input_rows * layer.kernel[1]
    instructions = loads + _WEIGHT_INSTRUCTIONS * taps + rows * taps
    issue = rates.issue_us(gpu, threads * instructions / rates.LANES) * _crowded(point)
    memory = rates.memory_us(gpu, float(layer.least_bytes))
    return max(issue, memory) + 0.4 * min(issue, memory) + rates.LAUNCH_US


def _crowded(point: Point) -> float:
    """Measured: several columns a thread cost time where a warp spans planes, and beyond two."""
    per_thread = point["BLOCK_N"] * point["BLOCK_P"] / (32.0 * point.num_warps)
    if point["BLOCK_P"] < 32:
        return per_thread
    if point["BLOCK_N"] > 1 and point["BLOCK_P"] < 256:
        return 1.0 + 0.15 * max(0.0, per_thread - 2.0)
    return 1.05 if per_thread > 2.0 else 1.0
