"""Direct gather: implicit GEMM from NCHW as it is. Slow for many channels, but fits anything."""

from __future__ import annotations

from warpwright.operators import rates
from warpwright.operators.conv2d.layer import (
    arguments_of,
    describe,
    library,
    refusal,
    split_channels,
)
from warpwright.operators.emission import EmissionPlan, write_program
from warpwright.operators.point import Point
from warpwright.types.conv2d import Conv2dLayer, Conv2dTask, Precision
from warpwright.types.gpu import GpuSheet

NAME = "direct"
WHY = "windows are gathered from the input as it is, so nothing is rewritten before"
LONG_STEP = 1.25  # steps of 32 fp32 values hold too many registers


def reason_not(task: Conv2dTask, gpu: GpuSheet) -> str | None:  # noqa: ARG001
    """It fits every layer that is contiguous, but what others read without gathering."""
    layer = task.layer
    padding = (*layer.padding_before, *layer.padding_after)
    if layer.kernel == (1, 1) and layer.groups == 1 and not any(padding):
        return "windows of one value need no gathering; pointwise reads them in wide loads"
    if layer.channels_last:
        return "the input is channels_last; this schedule reads NCHW"
    return refusal(task)


def points(task: Conv2dTask, gpu: GpuSheet) -> tuple[Point, ...]:
    """Tiles of pixels by channels of one group, as many channels as there are up to 128."""
    layer = task.layer
    block_a, block_b = split_channels(layer.out_channels // layer.groups)
    strict = task.precision is Precision.STRICT and layer.dtype == "float32"
    if strict or task.precision is Precision.TF32X3:
        block_a, block_b = min(block_a, 64), 0
        tiles = [(64, 16, 4, 3), (128, 16, 8, 3), (64, 32, 4, 2)]
    elif gpu.compute_capability >= (9, 0):
        tiles = [(128, 16, 4, 4), (128, 32, 4, 3), (64, 32, 4, 4), (128, 16, 8, 4), (64, 16, 4, 4)]
    else:
        tiles = [(64, 32, 4, 3), (128, 16, 4, 4), (128, 16, 8, 3), (64, 16, 4, 4)]
    return tuple(
        Point.of(warps, stages, BLOCK_M=m, BLOCK_K=k, BLOCK_A=block_a, BLOCK_B=block_b)
        for m, k, warps, stages in tiles
    )


def program(task: Conv2dTask, points: tuple[Point, ...], gpu: GpuSheet) -> str:
    """The program. Taps of a kernel row are padded to an even number where that pairs loads."""
    layer = task.layer
    comment = (
        f"{describe(task)}, for {gpu.name}.\n"
        "Implicit GEMM: pixels of the whole batch by output channels; each step gathers BLOCK_K "
        "values of every pixel's window straight from the input. The weight is packed (and "
        "rounded) on every call, so that it may change between calls."
    )
    arguments = (
        *arguments_of(layer),
        ("groups", layer.groups),
        ("precision", multiply_as(task)),
        ("pad_kw", _padded_row(task)),
    )
    plan = EmissionPlan(
        comment, "conv2d_direct", "conv_direct", points, ("batch", "H", "W"), arguments
    )
    return write_program(task, plan, library())


def multiply_as(task: Conv2dTask) -> str:
    """`input_precision` of tl.dot; half-precision operands have only one way."""
    if task.layer.dtype != "float32":
        return "tf32"
    return {Precision.STRICT: "ieee", Precision.TF32X3: "tf32x3"}.get(task.precision, "tf32")


def _padded_row(task: Conv2dTask) -> int:
    """Taps of a kernel row in memory: one more if pairs of them can then be loaded at once."""
    layer, kw = task.layer, task.layer.kernel[1]
    rounds = layer.dtype == "float32" and task.precision is Precision.TF32
    even = layer.stride[1] % 2 == 0 and layer.padding_before[1] % 2 == 0 and layer.width % 2 == 0
    return kw + 1 if rounds and even and kw % 2 and kw > 4 and layer.dilation[1] == 1 else kw


def predicted_us(task: Conv2dTask, point: Point, gpu: GpuSheet) -> float:
    """Bound by gathering: loads of 4 bytes through L1, and products at their own rate."""
    layer = task.layer
    channels = layer.out_channels // layer.groups
    tile = point["BLOCK_A"] + point["BLOCK_B"]
    padded = -(-channels // tile) * tile / channels * _padded_row(task) / layer.kernel[1]
    multiply = rates.multiply_us(gpu, layer, task.precision, layer.flops * padded)
    blocks = _blocks(layer, point, tile)
    gather_bytes = blocks * point["BLOCK_M"] * _taps(layer) * 4.0
    gather = 3.2 * rates.l2_us(gpu, gather_bytes)  # 2.8 values a cycle, as seen on an H100
    busy = max(multiply, gather) + 0.35 * min(multiply, gather)
    busy *= rates.waves(blocks, gpu, 2)
    if layer.element_bytes == 4 and point["BLOCK_K"] > 16:
        busy *= LONG_STEP
    return max(busy, rates.memory_us(gpu, layer.least_bytes)) + 2 * rates.LAUNCH_US


def _taps(layer: Conv2dLayer) -> int:
    return layer.in_channels // layer.groups * layer.kernel[0] * layer.kernel[1]


def _blocks(layer: Conv2dLayer, point: Point, tile: int) -> int:
    pixels = layer.batch * layer.out_height * layer.out_width
    over_channels = -(-(layer.out_channels // layer.groups) // tile) * layer.groups
    return -(-pixels // point["BLOCK_M"]) * over_channels
