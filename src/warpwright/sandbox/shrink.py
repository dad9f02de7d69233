"""Small inputs for the interpreter, on which every kernel of the full-size trace still runs.

Sizes are made smaller by value (dimensions of one size are usually tied) and, where that does not
work, axis by axis. Odd sizes come first, so that last tiles are partial and masks matter; sizes
that only work as powers of two are tried next. The search runs in one child on meta tensors; the
parent picks among what it found.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from warpwright.sandbox.cache import ResultCache, run_cached
from warpwright.sandbox.run import Job
from warpwright.sandbox.trace import device_facts, problem_payload
from warpwright.types.gpu import GpuSheet
from warpwright.types.sandbox import JobLimits
from warpwright.types.shapes import Problem, TensorSpec
from warpwright.types.trace import TensorArgument, Trace

# Sizes that a plan aims at; each is odd, and no power of two. Small ones first: they are cheap,
# and later plans serve kernels whose tiles would otherwise cover everything at once.
LEVELS = (13, 23, 37, 71, 139, 263, 521, 1031, 2053, 4099, 16411)
POWERS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 16384)
BATCH = (2, 3, 4)
SMALL = 4  # sizes up to this stay
DEADLINE_S = 20.0
LIMITS = JobLimits(deadline_s=60.0, memory_bytes=4 * 1024**3)
MAX_BLOCKS = 64  # a launch's blocks that the interpreter runs in a few seconds
MAX_ELEMENTS = 2**21  # of all inputs together


@dataclass(frozen=True, slots=True)
class ShrunkenInputs:
    """Shapes of the tensor inputs in order; `init` is (args, kwargs) where they changed too.

    `blocks` is the largest number of blocks that one config launches over a whole forward pass.
    """

    inputs: tuple[TensorSpec, ...]
    init: tuple[list[Any], dict[str, Any]] | None
    blocks: int
    kernels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotShrunken:
    """Why no small inputs were found."""

    reason: str


def plan_shrunken_inputs(
    source: str,
    problem: Problem,
    trace: Trace,
    *,
    gpu: GpuSheet | None = None,
    cache: ResultCache | None = None,
) -> ShrunkenInputs | NotShrunken:
    """The cheapest small inputs that launch every kernel of `trace` with several tiles each."""
    payload = {
        "source": source,
        "problem": problem_payload(problem),
        "facts": device_facts(gpu),
        "kernels": list(trace.kernels),
        "plans": make_plans([tensor.shape for tensor in trace.inputs]),
        "deadline_s": DEADLINE_S,
    }
    result = run_cached(Job("shrink", payload, LIMITS), cache)
    if not result.ok or result.value is None:
        return NotShrunken(result.reason or "the search ended without a result")
    found = [_decode(entry, trace.inputs) for entry in result.value["found"]]
    if not found:
        return NotShrunken("the program runs on no inputs smaller than its own")
    return min(found, key=_cost)[1]


def make_plans(shapes: Sequence[tuple[int, ...]]) -> list[list[dict[str, Any]]]:
    """One plan a level: every size by value, then every axis on its own, then twins apart."""
    sizes = sorted({extent for shape in shapes for extent in shape if extent > SMALL})
    leading = {shape[0] for shape in shapes if len(shape) > 2}
    return [
        [*_by_value(sizes, leading, level), *_by_axis(shapes, level)]
        for level in range(len(LEVELS))
    ]


def _by_value(sizes: Sequence[int], leading: set[int], level: int) -> list[dict[str, Any]]:
    steps = []
    for rank, size in enumerate(reversed(sizes)):
        # a little apart from each other, so that swapped dimensions show
        odd = LEVELS[level] + 2 * rank
        targets = [odd, odd + 1, POWERS[level]]
        if size in leading:
            targets = [*BATCH, *targets]
        targets = [target for target in targets if target < size]
        if targets:
            steps.append({"value": size, "to": targets})
    return steps


def _by_axis(shapes: Sequence[tuple[int, ...]], level: int) -> list[dict[str, Any]]:
    steps = []
    for index, shape in enumerate(shapes):
        for axis, size in enumerate(shape):
            batch = BATCH if axis == 0 and len(shape) > 1 else ()
            targets = [t for t in (*batch, LEVELS[level], POWERS[level]) if t < size]
            if size > SMALL and targets:
                steps.append({"value": size, "axis": [index, axis], "to": targets})
    return steps


def _decode(
    entry: Mapping[str, Any], full: Sequence[TensorArgument]
) -> tuple[list[list[list[int]]], ShrunkenInputs]:
    specs = tuple(
        TensorSpec(tuple(map(int, shape)), tensor.dtype)
        for shape, tensor in zip(entry["shapes"], full, strict=True)
    )
    init = None if entry["init"] is None else ast.literal_eval(entry["init"])
    grids = [launch["grids"] for launch in entry["launches"]]
    kernels = tuple(dict.fromkeys(launch["kernel"] for launch in entry["launches"]))
    return grids, ShrunkenInputs(specs, init, sum(map(_most_blocks, grids)), kernels)


def _most_blocks(grids: Sequence[Sequence[int]]) -> int:
    return max((_product(grid) for grid in grids), default=0)


def _product(extents: Sequence[int]) -> int:
    total = 1
    for extent in extents:
        total *= extent
    return total


def _cost(found: tuple[list[list[list[int]]], ShrunkenInputs]) -> tuple[float, ...]:
    """Lower is better: within the budget, then grids of several tiles, then little work."""
    grids, plan = found
    elements = sum(_product(spec.shape) for spec in plan.inputs)
    over = max(plan.blocks / (MAX_BLOCKS * len(grids)), elements / MAX_ELEMENTS, 1.0)
    # dimensions of grids that one config or another covers with a single tile
    single = sum(min(grid[axis] for grid in launch) == 1 for launch in grids for axis in (0, 1, 2)
                 if all(len(grid) > axis for grid in launch))  # fmt: skip
    return (over, single, plan.blocks, elements)
