"""Depthwise convolutions: every output plane from one input plane, by fp32 multiply-adds."""

from __future__ import annotations

from warpwright.proposers.schedules import cost
from warpwright.proposers.schedules.conv2d.layer import arguments_of, describe, library, refusal
from warpwright.proposers.schedules.emission import Plan, write_program
from warpwright.proposers.schedules.point import Point
from warpwright.types.conv2d import Conv2dTask
from warpwright.types.gpu import GpuSheet

NAME = "depthwise"
WHY = "each input row is loaded once for all the output rows of a block that touch it"
_MOST_TAPS = 64  # unrolled: more compile for too long
_CYCLES_PER_US = 1.6e3


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
    """Blocks of 128 to 512 columns of 1 to 4 output rows; several planes where one has fewer."""
    layer = task.layer
    found = []
    for rows in (4, 2, 1):
        if rows > layer.out_height:
            continue
        columns = -(-layer.out_height // rows) * layer.out_width
        for lanes in (256, 512, 128):
            block_p = min(lanes, 1 << (columns - 1).bit_length())
            meta = {"ROWS": rows, "VECTOR": 1, "BLOCK_N": lanes // block_p, "BLOCK_P": block_p}
            found.append(Point.of(4, 1, **meta))
    return tuple(sorted(found, key=lambda point: predicted_us(task, point, gpu)))


def program(task: Conv2dTask, points: tuple[Point, ...], gpu: GpuSheet) -> str:
    comment = (
        f"{describe(task)}, for {gpu.name}.\n"
        "Bound by memory: a block makes BLOCK_P columns of ROWS output rows of BLOCK_N planes, and "
        "loads each input value of a kernel column once for all of those rows."
    )
    key = ("planes", "OC", "H", "W")
    arguments = arguments_of(task.layer)
    plan = Plan(comment, "conv2d_depthwise", "conv_depthwise", points, key, arguments)
    return write_program(task, plan, library())


def predicted_us(task: Conv2dTask, point: Point, gpu: GpuSheet) -> float:
    """The longer of memory and of loads through L1, of 32 values a cycle and multiprocessor."""
    layer = task.layer
    rows = point["ROWS"]
    groups = -(-layer.out_height // rows)
    blocks_p = -(-groups * layer.out_width // point["BLOCK_P"])
    planes = -(-layer.batch * layer.out_channels // point["BLOCK_N"]) * point["BLOCK_N"]
    columns = planes * blocks_p * point["BLOCK_P"]
    input_rows = (rows - 1) * layer.stride[0] + (layer.kernel[0] - 1) * layer.dilation[0] + 1
    input_rows = min(input_rows, rows * layer.kernel[0])
    loads = columns * input_rows * layer.kernel[1]
    # A load with its address and mask takes about four cycles of the four schedulers.
    issue_us = loads / 32.0 * 1.6 / (gpu.sm_count * _CYCLES_PER_US)
    return max(issue_us, cost.memory_us(gpu, layer.least_bytes)) + cost.LAUNCH_US
