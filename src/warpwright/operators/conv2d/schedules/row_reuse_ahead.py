"""Row reuse in one launch with its pre-pass: bands of the input are rewritten ahead of readers."""

from __future__ import annotations

from warpwright.operators import rates
from warpwright.operators.conv2d.layer import arguments_of, describe, library, packed_channels
from warpwright.operators.conv2d.schedules import row_reuse
from warpwright.operators.emission import EmissionPlan, write_program
from warpwright.operators.point import Point
from warpwright.types.conv2d import Conv2dLayer, Conv2dTask
from warpwright.types.gpu import GpuSheet

NAME = "row_reuse_ahead"
WHY = "row reuse whose input is rewritten in the same launch, beside products of earlier rows"
LEAST_WORK = 1.5  # of the copy's own time: the convolution must be this much longer to hide it
MOST_REACH = 32  # bands of one window; the kernel polls that many flags at once
_LEAD_SHARE = 5 / 6  # of a wave of blocks, see `_lead`
_SEEN = 0.43  # of the copy's own time is added to the convolution's (B: 91 - 7 of 195 µs)
_TILES = {
    # ROWS, BLOCK_OC, BLOCK_P, channels a step (0: half as many), warps, stages, EDGE_STAGES
    True: (
        (3, 64, 256, 0, 8, 6, 4),
        (3, 64, 256, 1, 8, 4, 2),
        (2, 64, 256, 1, 8, 4, 4),
        (3, 64, 128, 1, 4, 2, 2),
    ),
    False: ((2, 64, 128, 1, 8, 2, 2), (2, 64, 64, 1, 4, 3, 3), (2, 64, 64, 0, 4, 4, 4)),
}


def reason_not(task: Conv2dTask, gpu: GpuSheet) -> str | None:
    """It is where row reuse is, for grids that are long and work that hides the copy."""
    reason = row_reuse.reason_not(task, gpu)
    if reason is not None:
        return reason
    if task.layer.width % 4 != 0:
        return "its input rows are not multiples of four pixels, so they are copied slowly"
    found = points(task, gpu)
    if not found:
        return "the grid is too short, or its rows too narrow, to copy bands far enough ahead"
    copy_us = row_reuse.prepass_us(task, gpu)
    if row_reuse.convolution_us(task, found[0], gpu) < LEAST_WORK * copy_us:
        return "the convolution is too little work to hide the copy"
    return None


def points(task: Conv2dTask, gpu: GpuSheet) -> tuple[Point, ...]:
    """The tiles that are best for row reuse, each with the lead that its blocks need."""
    layer = task.layer
    channels = packed_channels(layer)
    step = min(channels, 128 // layer.element_bytes)
    found = []
    for rows, oc, pixels, whole, warps, stages, edge in _TILES[gpu.compute_capability >= (9, 0)]:
        if rows > layer.kernel[0] or pixels > max(64, 1 << (layer.out_width - 1).bit_length()):
            continue
        parts = _parts(layer, oc, pixels)
        reach = _reach(layer, rows)
        lead = _lead(gpu.sm_count * (8 // warps), parts, reach)
        if reach > MOST_REACH or 3 * lead > layer.batch * _bands(layer, rows):
            continue
        point = Point.of(
            warps,
            stages,
            ROWS=rows,
            BLOCK_OC=oc,
            BLOCK_P=pixels,
            BLOCK_C=step if whole else max(16, step // 2),
            EDGE_STAGES=edge,
            COPY_P=64 * warps,  # by 32 channels: 64 values a thread, and as many on their way
            LEAD=lead,
        )
        found.append(point)
    return tuple(dict.fromkeys(found))


def program(task: Conv2dTask, points: tuple[Point, ...], gpu: GpuSheet) -> str:
    """The program: weight packing, then all the rest in one launch."""
    layer = task.layer
    comment = (
        f"{describe(task)}, for {gpu.name}.\n"
        "Row reuse with its pre-pass inside: a block makes several output rows whose windows share "
        "input rows, and other blocks of the same launch rewrite the input to NHWC (with padding, "
        "and rounded to nearest for TF32), LEAD bands of rows ahead of those that read them. Work "
        "is drawn by tickets: a block waits only for bands of lower tickets, which are held by "
        "blocks that run already and wait for nobody. The copying block adds to the band's flag "
        "with release semantics, after a barrier behind its stores; readers poll it with acquire "
        "semantics and have a barrier before their loads."
    )
    arguments = (*arguments_of(layer), ("packed_c", packed_channels(layer)))
    key = ("PADDED_H", "PADDED_W")
    reset = ("counters_ptr",)
    plan = EmissionPlan(
        comment, "conv2d_rows_ahead", "conv_rows_ahead", points, key, arguments, reset
    )
    return write_program(task, plan, library())


def predicted_us(task: Conv2dTask, point: Point, gpu: GpuSheet) -> float:
    """The convolution, what of the copy it does not hide, and the copy of the first bands.

    Not less than moving it all: the copied input is read from L2, but everything else is memory's.
    """
    copy_us = row_reuse.prepass_us(task, gpu)
    bands = task.layer.batch * _bands(task.layer, point["ROWS"])
    first_us = copy_us * point["LEAD"] / bands
    beside_us = row_reuse.convolution_us(task, point, gpu) + _SEEN * copy_us
    least_us = copy_us + rates.memory_us(gpu, row_reuse.output_bytes(task.layer))
    return max(beside_us, least_us) + first_us + 2 * rates.LAUNCH_US


def _lead(slots: int, parts: int, reach: int) -> int:
    """Bands to copy ahead: a band's ticket comes five sixths of a wave before its first reader's.

    A wave has `slots` blocks. Measured on an H100 with 5 tickets a band (docs/log/conv2d.md): 24
    bands are enough, 48 are no better, and 12, which is less than half of a wave, cost 150 µs.
    """
    return reach - 1 + -(-round(slots * _LEAD_SHARE) // (parts + 1))


def _parts(layer: Conv2dLayer, block_oc: int, block_p: int) -> int:
    """Blocks of a slab: of the output rows whose windows begin in one band."""
    tiles = -(-layer.out_channels // block_oc) * -(-layer.out_width // block_p)
    return tiles * (layer.dilation[0] // layer.stride[0])


def _reach(layer: Conv2dLayer, rows: int) -> int:
    """Bands that the windows of one slab reach."""
    band = layer.dilation[0] * rows
    last = band - layer.stride[0] + (layer.kernel[0] - 1) * layer.dilation[0]
    return 1 + last // band


def _bands(layer: Conv2dLayer, rows: int) -> int:
    """Bands of one image."""
    padded = layer.height + layer.padding_before[0] + layer.padding_after[0]
    return -(-padded // (layer.dilation[0] * rows))
