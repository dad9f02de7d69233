"""Strided 1×1 convolutions: the pixels that count are collected, then multiplied as a matrix."""

from __future__ import annotations

from warpwright.operators import rates
from warpwright.operators.conv2d.layer import describe, library, packed_channels
from warpwright.operators.conv2d.schedules import nhwc, pointwise
from warpwright.operators.emission import EmissionPlan, write_program
from warpwright.operators.point import Point
from warpwright.types.conv2d import Conv2dTask, Precision
from warpwright.types.gpu import GpuSheet

NAME = "pointwise_strided"
WHY = "only the pixels that a stride keeps are rewritten, and the product then has wide loads"


def reason_not(task: Conv2dTask, gpu: GpuSheet) -> str | None:
    """It is for strides and enough channels; without a stride it would be what nhwc does."""
    layer = task.layer
    if layer.stride == (1, 1):
        return "it has no stride"
    if layer.in_channels < nhwc.FEWEST_CHANNELS:
        return f"fewer than {nhwc.FEWEST_CHANNELS} input channels"
    if layer.dtype == "float32" and task.precision is not Precision.TF32:
        return "its products are of TF32, and the task asks for more"
    return pointwise.reason_not(task, gpu)


def points(task: Conv2dTask, gpu: GpuSheet) -> tuple[Point, ...]:
    """The tiles of the product over NHWC."""
    found = nhwc.points(task, gpu)
    return tuple(sorted(found, key=lambda point: predicted_us(task, point, gpu)))


def program(task: Conv2dTask, points: tuple[Point, ...], gpu: GpuSheet) -> str:
    comment = (
        f"{describe(task)}, for {gpu.name}.\n"
        "A stride leaves half of every loaded sector unused, and loads of single values. So the "
        "pixels that count are first written as rows of channels (rounded to nearest for TF32); "
        "the product then reads both operands as tensor cores want them."
    )
    arguments = (("stride", task.layer.stride), ("packed_c", packed_channels(task.layer)))
    key = ("batch", "H", "W")
    plan = EmissionPlan(comment, "conv2d_pointwise_strided", "conv_nhwc", points, key, arguments)
    return write_program(task, plan, library())


def predicted_us(task: Conv2dTask, point: Point, gpu: GpuSheet) -> float:
    """Rows read and kept pixels written; then the product, bound by memory, L2 or tensor cores."""
    layer = task.layer
    pixels = layer.batch * layer.out_height * layer.out_width
    channels = packed_channels(layer)
    kept_bytes = pixels * channels * layer.element_bytes
    out_bytes = pixels * layer.out_channels * layer.element_bytes
    rows_bytes = layer.batch * layer.in_channels * layer.out_height * layer.width
    before = rates.memory_us(gpu, float(rows_bytes * layer.element_bytes + kept_bytes))
    oc, px = point["BLOCK_OC"], point["BLOCK_P"]
    blocks = -(-pixels // px) * -(-layer.out_channels // oc)
    products = 2.0 * blocks * oc * px * channels
    multiply = rates.multiply_us(gpu, layer, task.precision, products)
    l2 = rates.l2_us(gpu, float(blocks * (oc + px) * channels * layer.element_bytes))
    per_sm = 2 if oc * px <= 128 * 128 else 1
    busy = max(multiply, l2) * rates.waves(blocks, gpu, per_sm)
    memory = rates.memory_us(gpu, float(kept_bytes + out_bytes))
    return before + max(busy, memory) + 0.35 * min(busy, memory) + 3 * rates.LAUNCH_US
