"""Space to depth: a strided convolution over few channels becomes one of stride 1 over many."""

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

NAME = "depth_window"
WHY = "after space to depth the taps of a kernel row are neighbours in memory: wide loads, no masks"
OVERLAP_LOSS = 0.35  # of what products hide of memory's time, or the reverse, as seen
MOST_CHANNELS = 16  # beyond, NHWC has runs long enough without it


def reason_not(task: Conv2dTask, gpu: GpuSheet) -> str | None:  # noqa: ARG001
    """It is for the first layers of networks: strided, few channels, not grouped or dilated."""
    layer = task.layer
    if layer.channels_last:
        return "the input is channels_last; this schedule reads NCHW"
    if layer.groups != 1 or layer.dilation != (1, 1):
        return "it is grouped or dilated"
    if layer.in_channels > MOST_CHANNELS:
        return f"more than {MOST_CHANNELS} input channels"
    if layer.stride[1] not in (2, 4, 8) or layer.stride[0] > 8:
        return "its horizontal stride is none of 2, 4 and 8"
    if min(layer.kernel) < 2 or layer.kernel[0] < layer.stride[0]:
        return "its windows do not overlap"
    if layer.dtype == "float32" and task.precision is not Precision.TF32:
        return "its products are of TF32, and the task asks for more"
    return refusal(task)


def points(task: Conv2dTask, gpu: GpuSheet) -> tuple[Point, ...]:
    """Tiles of pixels by all output channels; steps that fit whole into a kernel row first."""
    layer = task.layer
    block_a, block_b = split_channels(layer.out_channels)
    if gpu.compute_capability >= (9, 0):
        tiles = [
            (128, 32, 8, 4, 0),
            (128, 32, 4, 4, 0),
            (128, 16, 4, 4, 1),
            (128, 32, 4, 2, 1),
            (128, 16, 4, 4, 0),
            (128, 32, 4, 3, 1),
            (128, 32, 4, 2, 0),
            (128, 16, 8, 4, 1),
            (256, 32, 8, 4, 0),
            (256, 32, 8, 3, 1),
        ]
    else:
        tiles = [
            (128, 32, 8, 2, 0),
            (128, 16, 4, 3, 0),
            (64, 32, 4, 3, 0),
            (64, 32, 4, 2, 1),
            (128, 16, 8, 4, 0),
        ]
    if layer.dtype != "float32":
        tiles = [(m, 2 * k, warps, stages, 0) for m, k, warps, stages, l1 in tiles if not l1]
        tiles.sort(key=lambda tile: (tile[0], tile[1]))  # short steps were fastest
    return tuple(
        Point.of(
            warps, stages, BLOCK_M=m, BLOCK_K=k, BLOCK_A=block_a, BLOCK_B=block_b, THROUGH_L1=l1
        )
        for m, k, warps, stages, l1 in tiles
    )


def program(task: Conv2dTask, points: tuple[Point, ...], gpu: GpuSheet) -> str:
    """The program: weight packing, space to depth with rounding, the convolution."""
    layer = task.layer
    comment = (
        f"{describe(task)}, for {gpu.name}.\n"
        f"Space to depth: cells of {layer.stride[0]}x{layer.stride[1]} pixels become "
        f"{_depth(layer)} channels, with the padding written out (and operands rounded to nearest "
        "for TF32) on the way. What is left is a convolution of stride 1 whose kernel rows are "
        "runs of neighbouring values: loads of 16 bytes without masks."
    )
    plan = EmissionPlan(
        comment,
        "conv2d_depth_window",
        "conv_depth_window",
        points,
        ("batch", "ROWS", "COLUMNS"),
        arguments_of(layer),
    )
    return write_program(task, plan, library())


def predicted_us(task: Conv2dTask, point: Point, gpu: GpuSheet) -> float:
    """The pre-pass at the rate of memory; the convolution bound by what L2 gives."""
    layer = task.layer
    cells = -(-layer.kernel[0] // layer.stride[0]) * -(-layer.kernel[1] // layer.stride[1])
    k = cells * _depth(layer)
    tile = point["BLOCK_A"] + point["BLOCK_B"]
    over_channels = -(-layer.out_channels // tile)
    pixels = layer.batch * layer.out_height * layer.out_width
    blocks = -(-pixels // point["BLOCK_M"]) * over_channels
    multiply = rates.multiply_us(
        gpu, layer, task.precision, 2.0 * pixels * over_channels * tile * k
    )
    # Larger tiles load less, but leave a multiprocessor one block, whose ends nothing hides.
    moved = blocks * (point["BLOCK_M"] + tile) * k * layer.element_bytes
    alone = 1.6 if point["BLOCK_M"] > 128 else 1.0
    busy = alone * max(multiply, rates.l2_us(gpu, moved)) * rates.waves(blocks, gpu, 2)
    image = layer.batch * layer.in_channels * layer.height * layer.width * layer.element_bytes
    out = pixels * layer.out_channels * layer.element_bytes
    before = rates.memory_us(gpu, 2.05 * image)
    moving = rates.memory_us(gpu, image + out)
    together = max(busy, moving) + OVERLAP_LOSS * min(busy, moving)
    return before + together + 3 * rates.LAUNCH_US


def _depth(layer: Conv2dLayer) -> int:
    """Channels after space to depth, rounded up to 16 bytes."""
    align = 16 // layer.element_bytes
    return -(-layer.in_channels * layer.stride[0] * layer.stride[1] // align) * align
