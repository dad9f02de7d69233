"""Implicit GEMM over NHWC: for layers of many channels, whatever their kernel and stride."""

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

NAME = "nhwc"
WHY = "with channels last every tap is a matrix product of wide loads"
FEWEST_CHANNELS = 12  # of a group; fewer would be mostly zeros
_MOST_PARTS = 16  # of a split sum, each of _FEWEST_STEPS or more
_FEWEST_STEPS = 6
_WORTH_SPLITTING = 0.8  # of the time without: the prediction errs by as much


def reason_not(task: Conv2dTask, gpu: GpuSheet) -> str | None:  # noqa: ARG001
    """It is for layers with enough input channels in a group."""
    layer = task.layer
    channels = layer.in_channels // layer.groups
    if channels < FEWEST_CHANNELS:
        return f"fewer than {FEWEST_CHANNELS} input channels in a group"
    if layer.groups > 1 and packed_channels(layer) != channels:
        return "groups whose channels would need zeros added"
    if layer.dtype == "float32" and task.precision is not Precision.TF32:
        return "its products are of TF32, and the task asks for more"
    return refusal(task)


def points(task: Conv2dTask, gpu: GpuSheet) -> tuple[Point, ...]:
    """Tiles of channels by pixels; smaller ones where the whole grid would not fill the card."""
    layer = task.layer
    step = _step(layer)
    half = layer.element_bytes == 2
    if gpu.compute_capability >= (9, 0):
        tiles = [
            (128, 256, 8, 3),
            (128, 128, 8, 4 if half else 3),
            (128, 128, 4, 3),
            (64, 256, 8, 4),
            (64, 256, 4, 3),
            (64, 128, 4, 4),
            (128, 64, 4, 4),
            (64, 64, 4, 4),
            (64, 64, 4, 6),
        ]
    else:
        tiles = [
            (128, 128, 8, 2 if not half else 3),
            (64, 128, 4, 3),
            (128, 64, 4, 3),
            (64, 64, 4, 3),
            (64, 64, 4, 2),
            (64, 32, 4, 4),
        ]
    fitting = [
        Point.of(warps, stages, BLOCK_OC=oc, BLOCK_P=pixels, BLOCK_C=step)
        for oc, pixels, warps, stages in tiles
        if oc <= max(64, 1 << (layer.out_channels // layer.groups - 1).bit_length())
    ]
    return tuple(fitting)


def _step(layer: Conv2dLayer) -> int:
    """Input channels of a step: 128 bytes of them, if there are as many."""
    return min(packed_channels(layer), 128 // layer.element_bytes)


def _split(task: Conv2dTask, gpu: GpuSheet) -> int:
    """Over how many blocks the sum of an output goes: what fills the card best, its price counted.

    138 tiles on 132 multiprocessors take as long as 264; in four parts each, as long as 165.
    """
    layer = task.layer
    steps = layer.kernel[0] * layer.kernel[1] * -(-packed_channels(layer) // _step(layer))
    most = min(_MOST_PARTS, steps // _FEWEST_STEPS)
    choices = [1, *(parts for parts in range(2, most + 1) if steps % parts == 0)]
    found = points(task, gpu)
    times = {n: min(_time_us(task, point, gpu, n) for point in found) for n in choices}
    best = min(choices, key=times.__getitem__)
    return best if times[best] < _WORTH_SPLITTING * times[1] else 1


def program(task: Conv2dTask, points: tuple[Point, ...], gpu: GpuSheet) -> str:
    """The program: weight packing, NHWC with padding where needed, the convolution."""
    layer = task.layer
    comment = (
        f"{describe(task)}, for {gpu.name}.\n"
        "Implicit GEMM over NHWC: each step multiplies one tap's matrix of weights by one tile of "
        "pixels. Input that is not channels_last in half precision is first rewritten to NHWC with "
        "its padding (and rounded to nearest for TF32), so that loads are wide and have no masks."
    )
    arguments = (
        *arguments_of(layer),
        ("groups", layer.groups),
        ("packed_c", packed_channels(layer)),
        ("split", _split(task, gpu)),
    )
    key = ("batch", "H", "W")
    plan = EmissionPlan(comment, "conv2d_nhwc", "conv_nhwc", points, key, arguments)
    return write_program(task, plan, library())


def predicted_us(task: Conv2dTask, point: Point, gpu: GpuSheet) -> float:
    """Bound by products, or by the loads of every tap's tile from L2."""
    return _time_us(task, point, gpu, _split(task, gpu))


def _time_us(task: Conv2dTask, point: Point, gpu: GpuSheet, split: int) -> float:
    """The predicted time with sums in `split` parts."""
    layer = task.layer
    oc, pixels = point["BLOCK_OC"], point["BLOCK_P"]
    blocks = -(-layer.batch * layer.out_height * layer.out_width // pixels)
    blocks *= -(-(layer.out_channels // layer.groups) // oc) * layer.groups * split
    k = layer.kernel[0] * layer.kernel[1] * packed_channels(layer) // split
    multiply = rates.multiply_us(gpu, layer, task.precision, 2.0 * blocks * oc * pixels * k)
    moved = 1.0 * blocks * (oc + pixels) * k * layer.element_bytes
    inside = _rows_inside(layer)
    # Blocks of a multiprocessor share it, so what counts is how evenly they are spread.
    busy = inside * max(multiply, rates.l2_us(gpu, moved)) * rates.waves(blocks, gpu, 1)
    busy *= _unhidden(layer, point)
    fewest_us = 0.012 * k / point["BLOCK_C"] * 4  # steps of one block follow each other
    read_as_it_is = layer.channels_last and layer.dtype != "float32"
    before = 0.0 if read_as_it_is else rates.memory_us(gpu, 2.0 * _input_bytes(layer))
    busy = max(busy, fewest_us, rates.memory_us(gpu, layer.least_bytes))
    after = 0.0
    if split > 1:  # parts are written and read in fp32
        outputs = layer.batch * layer.out_channels * layer.out_height * layer.out_width
        after = rates.memory_us(gpu, 8.0 * split * outputs) + rates.LAUNCH_US
    return before + busy + after + (2 if read_as_it_is else 3) * rates.LAUNCH_US


def _rows_inside(layer: Conv2dLayer) -> float:
    """Share of the kernel's rows that lie in the image: of dilated ones the others are left out."""
    high, step = layer.kernel[0], layer.dilation[0]
    if step == 1:
        return 1.0
    tops = range(-layer.padding_before[0], layer.height, layer.stride[0])[: layer.out_height]
    inside = sum(0 <= top + row * step < layer.height for top in tops for row in range(high))
    return inside / (high * layer.out_height)


def _unhidden(layer: Conv2dLayer, point: Point) -> float:
    """What the largest tiles lose: one block a multiprocessor, more in half precision."""
    lost = 1.1 if point["BLOCK_OC"] * point["BLOCK_P"] > 128 * 128 else 1.0
    if layer.element_bytes == 2 and point["BLOCK_OC"] == 128:
        lost *= 1.5 if point["BLOCK_P"] == 256 else 1.0
    return lost


def _input_bytes(layer: Conv2dLayer) -> float:
    return layer.batch * layer.in_channels * layer.height * layer.width * layer.element_bytes
