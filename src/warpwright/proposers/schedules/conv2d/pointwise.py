"""1×1 convolutions as a matrix product on NCHW: weight by pixels, nothing rewritten before."""

from __future__ import annotations

from warpwright.proposers.schedules import cost
from warpwright.proposers.schedules.conv2d.direct import multiply_as
from warpwright.proposers.schedules.conv2d.layer import describe, library, refusal
from warpwright.proposers.schedules.emission import Plan, write_program
from warpwright.proposers.schedules.point import Point
from warpwright.types.conv2d import Conv2dLayer, Conv2dTask, Precision
from warpwright.types.gpu import GpuSheet

NAME = "pointwise"
WHY = "a 1x1 kernel is a matrix product on the input as it lies, each tile of which is read once"
_REGISTERS_OF_LOADS = 16  # values a thread may load one by one without spilling


def reason_not(task: Conv2dTask, gpu: GpuSheet) -> str | None:  # noqa: ARG001
    """It fits kernels of one tap without padding, in one group."""
    layer = task.layer
    if layer.kernel != (1, 1):
        return f"the kernel is {layer.kernel[0]}x{layer.kernel[1]}; this schedule is for 1x1"
    if layer.groups != 1:
        return f"{layer.groups} groups; this schedule multiplies one matrix"
    if any(layer.padding_before) or any(layer.padding_after):
        return "a padded 1x1 convolution has outputs without input"
    if layer.channels_last:
        return "the input is channels_last; this schedule reads NCHW"
    return refusal(task)


def points(task: Conv2dTask, gpu: GpuSheet) -> tuple[Point, ...]:
    """Tiles that cover as many output channels as there are, up to 256, best predicted first."""
    layer = task.layer
    whole = max(16, 1 << (layer.out_channels - 1).bit_length())
    step = min(_step(task), max(16, 1 << (layer.in_channels - 1).bit_length()))
    shapes = [(128, 128, 8, 3), (128, 64, 4, 3), (64, 128, 4, 3), (64, 64, 4, 4)]
    if gpu.compute_capability >= (9, 0):
        shapes += [(256, 64, 4, 3), (256, 128, 8, 3), (128, 128, 8, 4), (64, 256, 8, 3)]
    found = dict.fromkeys(
        Point.of(warps, stages, TURN=0, BLOCK_OC=min(oc, whole), BLOCK_P=px, BLOCK_K=step)
        for oc, px, warps, stages in shapes
    )
    fitting = [point for point in found if not _spills(layer, point)]
    return tuple(sorted(fitting, key=lambda point: predicted_us(task, point, gpu)))


def _step(task: Conv2dTask) -> int:
    """Input channels a step: 128 bytes of each, less where values come one by one."""
    if task.layer.dtype == "float32":
        return 32 if task.precision is Precision.TF32 else 16
    return 32 if _scattered(task.layer) else 64


def _scattered(layer: Conv2dLayer) -> bool:
    """Neighbouring pixels do not lie in fours: a stride, or images of an odd size."""
    return layer.stride != (1, 1) or layer.out_height * layer.out_width % 4 != 0


def _spills(layer: Conv2dLayer, point: Point) -> bool:
    held = max(point["BLOCK_OC"] // 4, point["BLOCK_K"]) * point["BLOCK_P"]
    return _scattered(layer) and held > _REGISTERS_OF_LOADS * 32 * point.num_warps


def program(task: Conv2dTask, points: tuple[Point, ...], gpu: GpuSheet) -> str:
    comment = (
        f"{describe(task)}, for {gpu.name}.\n"
        "A matrix product on NCHW as it lies: output channels by pixels of the whole batch. The "
        "blocks of one pixel tile are neighbours in the grid, so memory gives each tile once."
    )
    arguments = (("stride", task.layer.stride), ("precision", multiply_as(task)))
    key = ("batch", "C", "H", "W", "OC")
    plan = Plan(comment, "conv2d_pointwise", "conv_pointwise", points, key, arguments)
    return write_program(task, plan, library())


def predicted_us(task: Conv2dTask, point: Point, gpu: GpuSheet) -> float:
    """The longest of memory, L2 and products, over the grid's waves."""
    layer = task.layer
    pixels = layer.batch * layer.out_height * layer.out_width
    px_blocks = -(-pixels // point["BLOCK_P"])
    oc_blocks = -(-layer.out_channels // point["BLOCK_OC"])
    padded = px_blocks * point["BLOCK_P"] * oc_blocks * point["BLOCK_OC"]
    multiply = cost.multiply_us(gpu, layer, task.precision, 2.0 * padded * layer.in_channels)
    rows = px_blocks * oc_blocks * (point["BLOCK_P"] + point["BLOCK_OC"])
    l2 = cost.l2_us(gpu, float(rows * layer.in_channels * layer.element_bytes))
    per_sm = max(1, 2**16 // (2 * point["BLOCK_OC"] * point["BLOCK_P"]))  # by registers
    busy = max(multiply, l2) + 0.35 * min(multiply, l2)
    busy *= cost.waves(px_blocks * oc_blocks, gpu, per_sm)
    return max(busy, cost.memory_us(gpu, layer.least_bytes)) + cost.LAUNCH_US
