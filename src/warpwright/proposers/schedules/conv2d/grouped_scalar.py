"""Groups of few channels, or few outputs: fp32 multiply-adds, where tensor cores would idle."""

from __future__ import annotations

from warpwright.proposers.schedules import cost
from warpwright.proposers.schedules.conv2d.layer import arguments_of, describe, library, refusal
from warpwright.proposers.schedules.emission import Plan, write_program
from warpwright.proposers.schedules.point import Point
from warpwright.types.conv2d import Conv2dTask
from warpwright.types.gpu import GpuSheet

NAME = "grouped_scalar"
WHY = "each value is loaded once for the few outputs that it reaches; weights are scalars"
MOST_PAIRS = 128  # input by output channels of a group
MOST_OUTPUTS = 16  # accumulators of a thread and pixel
_MOST_TAPS = 32  # unrolled
# Thread instructions of one load with its address and mask, and of a weight with its product.
_LOAD_INSTRUCTIONS, _PRODUCT_INSTRUCTIONS = 6, 2


def reason_not(task: Conv2dTask, gpu: GpuSheet) -> str | None:  # noqa: ARG001
    """It is for few pairs of channels (in a group), and few taps."""
    layer = task.layer
    channels, outputs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    if channels == 1:
        return "each plane has its own kernel: depthwise shares more loads"
    if channels * outputs > MOST_PAIRS or outputs > MOST_OUTPUTS:
        return f"{channels} by {outputs} channels are for tensor cores"
    if layer.kernel[0] * layer.kernel[1] > _MOST_TAPS:
        return f"a kernel of {layer.kernel[0]}x{layer.kernel[1]} has too many taps to unroll"
    if layer.channels_last:
        return "the input is channels_last; this schedule reads NCHW"
    return refusal(task)


def points(task: Conv2dTask, gpu: GpuSheet) -> tuple[Point, ...]:  # noqa: ARG001
    """Two pixels a thread, or more where half precision loads less."""
    pixels = (256, 128, 512) if task.layer.element_bytes == 4 else (512, 256, 128)
    return tuple(Point.of(4, 3, BLOCK_P=px) for px in pixels)


def program(task: Conv2dTask, points: tuple[Point, ...], gpu: GpuSheet) -> str:
    comment = (
        f"{describe(task)}, for {gpu.name}.\n"
        "Too few channels for tensor cores: a thread makes all outputs (of a group) for its pixels "
        "by fp32 multiply-adds, and loads each input value once for all of them."
    )
    arguments = (*arguments_of(task.layer), ("groups", task.layer.groups))
    key = ("batch", "H", "W")
    plan = Plan(comment, "conv2d_grouped_scalar", "conv_grouped_scalar", points, key, arguments)
    return write_program(task, plan, library())


def predicted_us(task: Conv2dTask, point: Point, gpu: GpuSheet) -> float:
    """Bound by instructions, or by memory."""
    layer = task.layer
    channels, outputs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    pixels = layer.batch * layer.out_height * layer.out_width
    threads = -(-pixels // point["BLOCK_P"]) * point["BLOCK_P"] * layer.groups
    taps = channels * layer.kernel[0] * layer.kernel[1]
    instructions = taps * (_LOAD_INSTRUCTIONS + _PRODUCT_INSTRUCTIONS * outputs)
    best = 256 if layer.element_bytes == 4 else 512
    slower = 1.0 if point["BLOCK_P"] == best else 1.15
    issue = cost.issue_us(gpu, threads * instructions / cost.LANES) * slower
    memory = cost.memory_us(gpu, float(layer.least_bytes))
    return max(issue, memory) + 0.4 * min(issue, memory) + cost.LAUNCH_US
