"""Few channels in a group: fp32 multiply-adds, where tensor cores would idle."""

from __future__ import annotations

from warpwright.operators import rates
from warpwright.operators.conv2d.layer import arguments_of, describe, library, refusal
from warpwright.operators.emission import EmissionPlan, write_program
from warpwright.operators.point import Point
from warpwright.types.conv2d import Conv2dLayer, Conv2dTask
from warpwright.types.gpu import GpuSheet

NAME = "grouped_scalar"
WHY = "each value is loaded once for the few outputs that it reaches; weights are scalars"
MOST_PAIRS = 128  # input by output channels of a group
MOST_OUTPUTS = 16  # accumulators of a thread and pixel
FEW_CHANNELS = 4  # then outputs may be split over blocks, each of which loads the input again
_MOST_TAPS, _WIDEST = 32, 16  # unrolled: of a kernel, of a row of a larger one
# Instructions of one load with its address and mask. A multiprocessor issues four instructions a
# cycle, of which one may be a load; the two limits overlap by this share (seen on an H100).
_LOAD_INSTRUCTIONS = 6
_BOTH_LIMITS = 0.65
_SPAN_US = 21e-3  # of a load of a warp that has a scheduler for itself: nothing hides its latency


def reason_not(task: Conv2dTask, gpu: GpuSheet) -> str | None:  # noqa: ARG001
    """It is for few pairs of channels (in a group) and few taps, or for few input channels."""
    layer = task.layer
    channels, outputs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    high, wide = layer.kernel
    if channels == 1 and layer.groups > 1:
        return "each plane has its own kernel: depthwise shares more loads"
    few = channels <= FEW_CHANNELS and layer.groups == 1 and any(_chunks(outputs))
    pairs = channels * outputs <= MOST_PAIRS and outputs <= MOST_OUTPUTS
    if not (few or pairs):
        return f"{channels} by {outputs} channels are for tensor cores"
    if high * wide > _MOST_TAPS and not (few and wide <= _WIDEST):
        return f"a kernel of {high}x{wide} has too many taps to unroll"
    if layer.channels_last:
        return "the input is channels_last; this schedule reads NCHW"
    return refusal(task)


def _chunks(outputs: int) -> tuple[int, ...]:
    """Outputs of a block: all of them where they are few, else divisors; most first."""
    if outputs <= MOST_OUTPUTS:
        return (outputs,)
    return tuple(size for size in (16, 8) if outputs % size == 0)


def points(task: Conv2dTask, gpu: GpuSheet) -> tuple[Point, ...]:
    """One to four pixels a thread; fewer outputs a block where there are few pixels."""
    layer = task.layer
    chunks = _chunks(layer.out_channels // layer.groups)
    shapes = [(pixels, chunk) for pixels in (256, 512, 128) for chunk in chunks]
    found = [Point.of(4, 3, BLOCK_P=pixels, BLOCK_OC=chunk) for pixels, chunk in shapes]
    return tuple(sorted(found, key=lambda point: predicted_us(task, point, gpu)))


def program(task: Conv2dTask, points: tuple[Point, ...], gpu: GpuSheet) -> str:
    comment = (
        f"{describe(task)}, for {gpu.name}.\n"
        "Too few channels for tensor cores: a thread makes several outputs (of a group) for its "
        "pixels by fp32 multiply-adds, and loads each input value once for all of them."
    )
    arguments = (*arguments_of(task.layer), ("groups", task.layer.groups))
    key = ("batch", "H", "W")
    plan = EmissionPlan(
        comment, "conv2d_grouped_scalar", "conv_grouped_scalar", points, key, arguments
    )
    return write_program(task, plan, library())


def predicted_us(task: Conv2dTask, point: Point, gpu: GpuSheet) -> float:
    """Bound by instructions, by loads (of weights too), or by memory; by one thread's loads."""
    layer = task.layer
    memory = rates.memory_us(gpu, float(layer.least_bytes))
    pixels = layer.batch * layer.out_height * layer.out_width
    blocks = -(-pixels // point["BLOCK_P"]) * (layer.out_channels // point["BLOCK_OC"])
    loads, instructions = _of_a_thread(layer, point)
    warps = float(blocks * point.num_warps)
    both = rates.issue_us(gpu, warps * loads) + rates.issue_us(gpu, warps * instructions / 4)
    busy = max(_BOTH_LIMITS * both, loads * _SPAN_US)
    return max(busy, memory) + 0.4 * min(busy, memory) + rates.LAUNCH_US


def _of_a_thread(layer: Conv2dLayer, point: Point) -> tuple[int, int]:
    """Loads, and all instructions, of one thread."""
    taps = layer.in_channels // layer.groups * layer.kernel[0] * layer.kernel[1]
    own, outputs = point["BLOCK_P"] // (32 * point.num_warps), point["BLOCK_OC"]
    loads = taps * (own + outputs)
    return loads, taps * (_LOAD_INSTRUCTIONS * own + outputs * (own + 1))
