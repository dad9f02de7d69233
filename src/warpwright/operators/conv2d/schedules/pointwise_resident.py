"""1×1 convolutions of few input channels: a block keeps its weights and runs over pixel tiles."""

from __future__ import annotations

from warpwright.operators import rates
from warpwright.operators.conv2d.layer import describe, library
from warpwright.operators.conv2d.schedules import pointwise
from warpwright.operators.conv2d.schedules.direct import multiply_as
from warpwright.operators.emission import EmissionPlan, write_program
from warpwright.operators.point import Point
from warpwright.types.conv2d import Conv2dTask, Precision
from warpwright.types.gpu import GpuSheet

NAME = "pointwise_resident"
WHY = "weights stay in shared memory, and the next tiles are loaded while one is stored"
MOST_CHANNELS = 128  # beyond, two tiles of pixels leave no room for a third
_STAGES = 3  # two were slower by up to half


def reason_not(task: Conv2dTask, gpu: GpuSheet) -> str | None:
    """It is for pointwise layers whose input channels fit into one product."""
    layer = task.layer
    if layer.in_channels > MOST_CHANNELS:
        return f"more than {MOST_CHANNELS} input channels"
    if pointwise.scattered(layer):
        return "neighbouring pixels do not lie in fours"
    if layer.dtype == "float32" and task.precision is not Precision.TF32:
        return "its products are of TF32, and the task asks for more"
    found = pointwise.reason_not(task, gpu)
    if found is None and not points(task, gpu):
        return f"the weights and three tiles do not fit into shared memory of {gpu.name}"
    return found


def points(task: Conv2dTask, gpu: GpuSheet) -> tuple[Point, ...]:
    """All output channels up to 256, or half of that where shared memory holds no more."""
    layer = task.layer
    whole = max(16, 1 << (layer.out_channels - 1).bit_length())
    k = max(16, 1 << (layer.in_channels - 1).bit_length())
    found = []
    for px in (64, 128):
        for oc in dict.fromkeys(min(most, whole) for most in (256, 128)):
            # One more tile: TF32 operands are turned on their way. The store's change of layout
            # may take a whole tile of accumulators.
            held_bytes = (oc + (_STAGES + 1) * px) * k * layer.element_bytes
            if max(held_bytes, 4 * oc * px) <= gpu.limits.max_shared_bytes_per_block:
                found.append(Point.of(8, _STAGES, TURN=0, BLOCK_OC=oc, BLOCK_P=px, BLOCK_K=k))
                break
    return tuple(sorted(found, key=lambda point: predicted_us(task, point, gpu)))


def program(task: Conv2dTask, points: tuple[Point, ...], gpu: GpuSheet) -> str:
    comment = (
        f"{describe(task)}, for {gpu.name}.\n"
        "Bound by memory: a block loads its weights once and runs over tiles of pixels, so that "
        "the loads of the next tiles are on their way while it stores one."
    )
    arguments = (
        ("stride", task.layer.stride),
        ("precision", multiply_as(task)),
        ("multiprocessors", gpu.sm_count),
        ("shared_bytes", gpu.limits.max_shared_bytes_per_block),
    )
    key = ("batch", "C", "H", "W", "OC")
    plan = EmissionPlan(
        comment, "conv2d_pointwise_resident", "conv_pointwise_resident", points, key, arguments
    )
    return write_program(task, plan, library())


def predicted_us(task: Conv2dTask, point: Point, gpu: GpuSheet) -> float:
    """Memory, or turning operands. A tile of few channels leaves little on its way."""
    layer = task.layer
    in_flight = 1.0 + 4.0 / layer.in_channels
    memory = rates.memory_us(gpu, float(layer.least_bytes)) * in_flight
    busy = pointwise.busy_us(task, point, gpu)
    over_channels = -(-layer.out_channels // point["BLOCK_OC"])
    both = max(memory, busy) + 0.25 * min(memory, busy)
    return both + rates.LAUNCH_US * over_channels
