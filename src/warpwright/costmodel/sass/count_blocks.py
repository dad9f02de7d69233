"""Counts of one launch: its machine code carried out for some of its blocks, taken for all."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from warpwright.costmodel.sass.sass_decode import Surroundings
from warpwright.costmodel.sass.sass_operations import GLOBAL
from warpwright.costmodel.sass.sass_run import Followed, Machine, Stop, UnknownCourseError, never
from warpwright.costmodel.sass.sass_values import WARP, Word
from warpwright.types.counts import LaunchCounts
from warpwright.types.machine_code import KernelBinary

SAMPLED_LANES = 2048
LEAST_BLOCKS = 4
MOST_BLOCKS = 16
MEMORY_STEPS = 50_000  # beyond it addresses are not worked out in every turn of every loop
MOST_MEMORY_STEPS = 300_000
STACK_POINTER = 0xFFFD00
NEWER_BASE = 0x380  # from compute capability 10.0 on bank 0 is laid out anew
UNFOLLOWED = ("UTMALDG", "UTMASTG", "UTMAREDG", "UBLKCP", "UBLKRED", "UTMACMDFLUSH")
DESCRIPTORS = "what copies by tensor descriptor touch"
KINDS = {
    "tensor core": (
        "HMMA IMMA DMMA QMMA OMMA BMMA HGMMA QGMMA IGMMA BGMMA UTCHMMA UTCQMMA UTCIMMA UTCOMMA"
    ),
    "float": (
        "FADD FMUL FFMA FSETP FSEL FMNMX FMNMX3 MUFU FCHK FSET FSWZADD HADD2 HMUL2 HFMA2 HSETP2 "
        "HMNMX2 DADD DMUL DFMA DSETP FADD2 FMUL2 FFMA2 F2F F2FP I2F I2FP F2I FRND"
    ),
    "load/store": (
        "LDG STG LD ST LDS STS LDL STL LDSM STSM LDGSTS RED REDG ATOM ATOMG ATOMS LDC ULDC LDCU "
        "LDTM STTM UTMALDG UTMASTG UTMAREDG UBLKCP SHFL"
    ),
    "control": (
        "BRA EXIT CALL RET BRX BAR BSSY BSYNC WARPSYNC NOP DEPBAR LDGDEPBAR WARPGROUP SYNCS MEMBAR "
        "FENCE YIELD NANOSLEEP ERRBAR CCTL BPT KILL ELECT VOTE VOTEU BREAK UVIRTCOUNT"
    ),
}
KIND_OF = {name: kind for kind, names in KINDS.items() for name in names.split()}


@dataclass(frozen=True, slots=True)
class CountedLaunch:
    """A launch as machine code sees it: parameters as words by offset, grid, threads a block."""

    words: Mapping[int, int | None]
    grid: tuple[int, ...]
    threads: int


def count_launch(binary: KernelBinary, form: CountedLaunch, stop: Stop = never) -> LaunchCounts:
    """Count one launch. What the code does with data leaves counts unknown, and is told; so does
    `stop`, asked again and again, once it says that no time is left."""
    blocks, weights = sample_blocks(form.grid, form.threads)
    machine = Machine(
        binary.function,
        _surroundings(binary, form, blocks),
        np.repeat(np.asarray(weights), form.threads // WARP),
    )
    sampled = len(blocks) < math.prod(form.grid)
    try:
        course = machine.follow(machine.needed(memory=False), memory=False, stop=stop)
    except UnknownCourseError as unknown:
        return LaunchCounts(None, None, None, {}, (str(unknown),), sampled)
    kinds: dict[str, float] = {}
    for block, visits in zip(machine.blocks, course.visits, strict=True):
        for instruction in machine.function.instructions[block.first : block.last + 1]:
            kind = KIND_OF.get(instruction.name, "integer")
            kinds[kind] = kinds.get(kind, 0.0) + visits
    kinds = {kind: amount for kind, amount in kinds.items() if amount}
    traffic = _traffic(machine, course, stop)
    if isinstance(traffic, str):
        lacks, sectors, moved = (*course.lacks, traffic), None, None
    else:
        lacks = (*course.lacks, *(traffic.lacks - course.lacks))
        sectors = traffic.moved.sectors if not lacks else None
        moved = traffic.moved.bytes if not lacks else None
    instructions = None if course.lacks else sum(kinds.values())
    return LaunchCounts(instructions, sectors, moved, kinds, tuple(sorted(lacks)), sampled)


def _traffic(machine: Machine, course: Followed, stop: Stop) -> Followed | str:
    """Accesses to global memory, or why they are not known."""
    names = {
        instruction.name
        for block, visits in zip(machine.blocks, course.visits, strict=True)
        if visits
        for instruction in machine.function.instructions[block.first : block.last + 1]
    }
    if not names.isdisjoint(UNFOLLOWED):
        return DESCRIPTORS
    if names.isdisjoint(GLOBAL):
        return Followed([])
    needed = machine.needed(memory=True)
    work = sum(runs * len(steps) for runs, steps in zip(course.runs, needed, strict=True))
    lengths = course.lengths if work > MEMORY_STEPS else None
    try:
        return machine.follow(
            needed, memory=True, limit=MOST_MEMORY_STEPS, lengths=lengths, stop=stop
        )
    except UnknownCourseError as unknown:
        return str(unknown)


def sample_blocks(grid: Sequence[int], threads: int) -> tuple[list[int], list[float]]:
    """Blocks that stand for all, by number, and how many each stands for.

    All of them where they are few; else one of each of as many equal parts of the grid, always the
    same ones for the same grid.
    """
    count = math.prod(grid)
    wanted = min(MOST_BLOCKS, max(LEAST_BLOCKS, SAMPLED_LANES // threads))
    if count <= wanted:
        return list(range(count)), [1.0] * count
    chance = random.Random(count)
    ends = [count * i // wanted for i in range(wanted + 1)]
    parts = list(itertools.pairwise(ends))
    return [chance.randrange(*part) for part in parts], [float(b - a) for a, b in parts]


def _surroundings(binary: KernelBinary, form: CountedLaunch, blocks: Sequence[int]) -> Surroundings:
    threads = form.threads
    lanes = len(blocks) * threads
    number = np.repeat(np.asarray(blocks, np.uint64), threads)
    x, y, _ = extents = (*form.grid, 1, 1)[:3]
    special: dict[str, Word] = {
        "SR_TID.X": np.tile(np.arange(threads, dtype=np.uint64), len(blocks)),
        "SR_TID.Y": 0,
        "SR_TID.Z": 0,
        "SR_CTAID.X": number % np.uint64(x),
        "SR_CTAID.Y": number // np.uint64(x) % np.uint64(y),
        "SR_CTAID.Z": number // np.uint64(x * y),
        "SR_LANEID": np.tile(np.arange(WARP, dtype=np.uint64), lanes // WARP),
        "SR_CgaCtaId": 0,
    }
    newer = binary.parameter_base >= NEWER_BASE
    at = 0x360 if newer else 0
    fixed = {at: threads, at + 4: 1, at + 8: 1, (0x37C if newer else 0x28): STACK_POINTER}
    counts_at = 0x370 if newer else 0xC
    fixed |= {counts_at + 4 * axis: extent for axis, extent in enumerate(extents)}

    def constant(bank: int, offset: int) -> int | None:
        if bank != 0:
            return None
        if offset >= binary.parameter_base:
            return form.words.get(offset - binary.parameter_base)
        return fixed.get(offset)

    return Surroundings(special, constant, lanes, threads)
