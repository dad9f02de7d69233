"""Row reuse: each input tile is loaded once and multiplied for two or three output rows."""

from __future__ import annotations

from warpwright.operators import rates
from warpwright.operators.conv2d.layer import (
    arguments_of,
    describe,
    library,
    packed_channels,
    refusal,
)
from warpwright.operators.emission import EmissionPlan, write_program
from warpwright.operators.point import Point
from warpwright.types.conv2d import Conv2dLayer, Conv2dTask, Precision
from warpwright.types.gpu import GpuSheet

NAME = "row_reuse"
WHY = "an input tile loaded once serves two or three output rows, which halves the traffic from L2"
FEWEST_CHANNELS = 12  # fewer would be mostly zeros: channels are packed to a multiple of 16


def reason_not(task: Conv2dTask, gpu: GpuSheet) -> str | None:  # noqa: ARG001
    """It is for wide feature maps, at least two vertical taps and a few channels."""
    layer = task.layer
    if layer.groups != 1:
        return "it is grouped"
    if layer.in_channels < FEWEST_CHANNELS:
        return f"fewer than {FEWEST_CHANNELS} input channels"
    if layer.kernel[0] < 2:
        return "its kernel has one row"
    if layer.dilation[0] % layer.stride[0] != 0:
        return "its vertical stride does not divide the dilation: output rows share no input rows"
    if layer.out_width < 24:
        return "its output rows are shorter than a quarter of a tile"
    if layer.dtype == "float32" and task.precision is not Precision.TF32:
        return "its products are of TF32, and the task asks for more"
    return refusal(task)


def points(task: Conv2dTask, gpu: GpuSheet) -> tuple[Point, ...]:
    """Rows by pixels by channels. Three rows need three vertical taps."""
    layer = task.layer
    block_c = min(32, packed_channels(layer)) * 4 // layer.element_bytes
    block_c = min(block_c, packed_channels(layer))
    half_c = max(16, block_c // 2)
    if gpu.compute_capability >= (9, 0):
        tiles = [
            (3, 64, 256, half_c, 8, 6, 4),
            (3, 64, 256, block_c, 8, 4, 2),
            (3, 64, 128, block_c, 4, 2, 2),
            (2, 64, 256, block_c, 8, 4, 4),
            (3, 64, 128, half_c, 4, 4, 3),
            (2, 64, 128, block_c, 4, 3, 3),
            (2, 128, 128, block_c, 8, 3, 3),
            (3, 128, 128, block_c, 8, 3, 2),
            (3, 64, 64, block_c, 4, 3, 2),
            (2, 64, 64, block_c, 4, 4, 4),
            (2, 128, 64, block_c, 4, 3, 3),
        ]
    else:
        tiles = [
            (2, 64, 128, block_c, 8, 2, 2),
            (2, 64, 64, block_c, 4, 3, 3),
            (2, 64, 64, half_c, 4, 4, 4),
            (3, 64, 64, half_c, 4, 3, 2),
            (3, 64, 64, block_c, 8, 2, 2),
        ]
    narrow = 1 << (layer.out_width - 1).bit_length()
    found = [
        Point.of(warps, stages, ROWS=rows, BLOCK_OC=oc, BLOCK_P=p, BLOCK_C=c, EDGE_STAGES=edge)
        for rows, oc, p, c, warps, stages, edge in tiles
        if rows <= layer.kernel[0]
        and p <= max(64, narrow)
        and (oc <= 64 or layer.out_channels > 64)
        and packed_channels(layer) % c == 0
    ]
    return tuple(dict.fromkeys(found))


def program(task: Conv2dTask, points: tuple[Point, ...], gpu: GpuSheet) -> str:
    """The program: weight packing, NHWC with padding and rounding, the convolution."""
    layer = task.layer
    comment = (
        f"{describe(task)}, for {gpu.name}.\n"
        "Row reuse: a block makes several output rows whose windows share input rows; each tile of "
        "one input row and one horizontal tap is loaded once for all of them. Before that the "
        "input is rewritten to NHWC with its padding (and rounded to nearest for TF32), so that "
        "loads are wide and have no masks."
    )
    arguments = (*arguments_of(layer), ("packed_c", packed_channels(layer)))
    key = ("PADDED_H", "PADDED_W")
    plan = EmissionPlan(comment, "conv2d_rows", "conv_rows", points, key, arguments)
    return write_program(task, plan, library())


def predicted_us(task: Conv2dTask, point: Point, gpu: GpuSheet) -> float:
    """The pre-pass, the convolution, and the launches of these and of the packing."""
    return prepass_us(task, gpu) + convolution_us(task, point, gpu) + 3 * rates.LAUNCH_US


def prepass_us(task: Conv2dTask, gpu: GpuSheet) -> float:
    """The copy to NHWC, alone, at the rate of memory."""
    return rates.memory_us(gpu, 2.0 * _input_bytes(task.layer))


def convolution_us(task: Conv2dTask, point: Point, gpu: GpuSheet) -> float:
    """The convolution alone: bound by products, by L2 or by memory."""
    layer = task.layer
    channels = packed_channels(layer)
    rows, block_oc, block_p = point["ROWS"], point["BLOCK_OC"], point["BLOCK_P"]
    step = layer.dilation[0] // layer.stride[0]
    groups = step * -(-layer.out_height // (step * rows))
    tiles = -(-layer.out_channels // block_oc) * -(-layer.out_width // block_p)
    blocks = layer.batch * groups * tiles
    kernel_h, kernel_w = layer.kernel
    flops = 2.0 * blocks * rows * block_oc * block_p * kernel_h * kernel_w * channels
    multiply = rates.multiply_us(gpu, layer, task.precision, flops) * _bubbles(point)
    loaded = (kernel_h + rows - 1) * block_p + rows * kernel_h * block_oc
    moved = blocks * kernel_w * channels * layer.element_bytes * loaded
    busy = max(multiply, rates.l2_us(gpu, moved)) * rates.waves(blocks, gpu, 8 // point.num_warps)
    return max(busy, rates.memory_us(gpu, _input_bytes(layer) + output_bytes(layer)))


def output_bytes(layer: Conv2dLayer) -> float:
    """Of one call."""
    outputs = layer.batch * layer.out_channels * layer.out_height * layer.out_width
    return float(layer.element_bytes * outputs)


def _bubbles(point: Point) -> float:
    """Time lost to filling pipelines, more where no second block of the multiprocessor works."""
    return 1.15 if point.num_warps <= 4 or point.num_stages >= 6 else 1.2


def _input_bytes(layer: Conv2dLayer) -> float:
    return (
        layer.batch
        * (layer.height + layer.padding_before[0] + layer.padding_after[0])
        * (layer.width + layer.padding_before[1] + layer.padding_after[1])
        * packed_channels(layer)
        * layer.element_bytes
    )
