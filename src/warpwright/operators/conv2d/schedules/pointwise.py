"""1×1 convolutions as a matrix product on NCHW: weight by pixels, nothing rewritten before."""

from __future__ import annotations

from warpwright.operators import rates
from warpwright.operators.conv2d.layer import describe, library, refusal
from warpwright.operators.conv2d.schedules.direct import multiply_as
from warpwright.operators.emission import EmissionPlan, write_program
from warpwright.operators.point import Point
from warpwright.types.conv2d import Conv2dLayer, Conv2dTask, Precision
from warpwright.types.gpu import GpuSheet

NAME = "pointwise"
WHY = "a 1x1 kernel is a matrix product on the input as it lies, each tile of which is read once"
_REGISTERS_OF_LOADS = 16  # values a thread may load one by one without spilling
_STEP_US = 0.4  # a step of the reduction waits for memory; few blocks hide little of it
_OVERLAP = 0.35  # how much of the shorter of two limits adds to the longer
_ONE_BLOCK = 1.15  # of memory's time, where hardly another block loads while one stores


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
    """Tiles that cover as many output channels as there are, up to 256, best predicted first.

    TF32 products want the reduced dimension innermost: with TURN=0 64 pixels a block are turned
    fastest, with TURN=1 128 (measured). Three stages: a fourth takes a block from the
    multiprocessor.
    """
    layer = task.layer
    whole = max(16, 1 << (layer.out_channels - 1).bit_length())
    step = min(_step(task), max(16, 1 << (layer.in_channels - 1).bit_length()))
    tf32 = layer.dtype == "float32" and task.precision is Precision.TF32
    if layer.dtype == "float32" and not tf32:  # products take registers besides accumulators
        shapes = [(0, 64, 64, 4, 3), (0, 128, 64, 4, 2), (0, 128, 128, 8, 3)]
    elif gpu.compute_capability < (9, 0):
        shapes = [(0, 64, 64, 4, 3), (0, 128, 64, 4, 3), (0, 128, 64, 4, 2), (0, 64, 128, 4, 2)]
    elif tf32:
        shapes = [(0, oc, 64, 4, 3) for oc in (64, 128, 256)]
        shapes += [(1, oc, px, px // 16, 3) for oc in (128, 256) for px in (64, 128)]
        shapes = [shape for shape in shapes if shape[:3] != (1, 256, 64)]
    else:
        shapes = [(0, oc, px, 4, 3) for oc in (64, 128) for px in (64, 128)]
        shapes += [(0, 256, 64, 4, 3), (0, 128, 128, 8, 3), (0, 256, 128, 8, 3)]
    found = dict.fromkeys(
        Point.of(warps, stages, TURN=turn, BLOCK_OC=min(oc, whole), BLOCK_P=px, BLOCK_K=step)
        for turn, oc, px, warps, stages in shapes
    )
    fitting = [point for point in found if not _spills(layer, point) and _held(layer, point, gpu)]
    return tuple(sorted(fitting, key=lambda point: predicted_us(task, point, gpu)))


def _step(task: Conv2dTask) -> int:
    """Input channels a step: 128 bytes of each, less where values come one by one."""
    if task.layer.dtype == "float32":
        return 32 if task.precision is Precision.TF32 else 16
    return 32 if scattered(task.layer) else 64


def scattered(layer: Conv2dLayer) -> bool:
    """Neighbouring pixels do not lie in fours: a stride, or images of an odd size."""
    return layer.stride != (1, 1) or layer.out_height * layer.out_width % 4 != 0


def _spills(layer: Conv2dLayer, point: Point) -> bool:
    held = max(point["BLOCK_OC"] // 4, point["BLOCK_K"]) * point["BLOCK_P"]
    return scattered(layer) and held > _REGISTERS_OF_LOADS * 32 * point.num_warps


def _held(layer: Conv2dLayer, point: Point, gpu: GpuSheet) -> bool:
    rows = point.num_stages * (point["BLOCK_OC"] + point["BLOCK_P"])
    held_bytes = rows * point["BLOCK_K"] * layer.element_bytes
    stored_bytes = 4 * point["BLOCK_OC"] * point["BLOCK_P"]  # accumulators change their layout
    return max(held_bytes, stored_bytes) <= gpu.limits.max_shared_bytes_per_block


def program(task: Conv2dTask, points: tuple[Point, ...], gpu: GpuSheet) -> str:
    comment = (
        f"{describe(task)}, for {gpu.name}.\n"
        "A matrix product on NCHW as it lies: output channels by pixels of the whole batch. The "
        "blocks of one pixel tile are neighbours in the grid, so memory gives each tile once."
    )
    arguments = (("stride", task.layer.stride), ("precision", multiply_as(task)))
    key = ("batch", "C", "H", "W", "OC")
    plan = EmissionPlan(comment, "conv2d_pointwise", "conv_pointwise", points, key, arguments)
    return write_program(task, plan, library())


def predicted_us(task: Conv2dTask, point: Point, gpu: GpuSheet) -> float:
    """The longest of memory, turning operands and products, and the latency of the steps."""
    layer = task.layer
    memory = rates.memory_us(gpu, moved_bytes(layer))
    steps = -(-layer.in_channels // point["BLOCK_K"])
    if steps < 4 and blocks_per_sm(point) <= (2 if steps == 1 else 1):
        memory *= _ONE_BLOCK
    busy = busy_us(task, point, gpu)
    both = max(memory, busy) + _OVERLAP * min(memory, busy)
    return both + _STEP_US * steps + rates.LAUNCH_US


def moved_bytes(layer: Conv2dLayer) -> float:
    """Rows that a vertical stride skips are not read; columns share sectors with read ones."""
    unread = layer.batch * layer.in_channels * layer.width * layer.element_bytes
    return layer.least_bytes - unread * (layer.height - layer.out_height)


def busy_us(task: Conv2dTask, point: Point, gpu: GpuSheet) -> float:
    """Time of the multiprocessors: values brought in for products, or the products."""
    layer = task.layer
    px_blocks = -(-layer.batch * layer.out_height * layer.out_width // point["BLOCK_P"])
    oc_blocks = -(-layer.out_channels // point["BLOCK_OC"])
    blocks = px_blocks * oc_blocks
    values = float(blocks * point["BLOCK_P"] * layer.in_channels)
    bring = rates.issue_us(gpu, values / _values_per_cycle(task, point))
    products = 2.0 * values * point["BLOCK_OC"]
    multiply = rates.multiply_us(gpu, layer, task.precision, products)
    # Blocks of a multiprocessor share it, so what counts is how evenly they are spread.
    return max(bring, multiply) * rates.waves(blocks, gpu, 1)


def _values_per_cycle(task: Conv2dTask, point: Point) -> float:
    """Input values that a multiprocessor takes a cycle, as seen on an H100."""
    if task.layer.dtype != "float32":
        return 0.9 if scattered(task.layer) else 10.0
    if scattered(task.layer):
        return 0.85 if point["TURN"] else 0.4
    if point["TURN"]:
        return 2.2
    return 2.5 if point["BLOCK_P"] <= 64 else 1.6


def blocks_per_sm(point: Point) -> int:
    """By registers: half of them hold accumulators."""
    return max(1, 2**16 // (2 * point["BLOCK_OC"] * point["BLOCK_P"]))
