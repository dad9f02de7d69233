"""Other shapes than the problem's own: what an answer is worth there, and what a new shape costs.

An answer is chosen for the shapes of its problem; a program is called with others too. Up to three
are timed beside the parent, one of them another batch, and losses are told.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from pydantic import TypeAdapter

from warpwright.bench.device.worker import Program, Worker
from warpwright.search.open_trial import TUNING_S, Table, digest, why
from warpwright.store.run_context import RunContext
from warpwright.tracing.trace import TraceFailed, trace_program
from warpwright.types.launch_trace import Trace
from warpwright.types.shapes import Problem, TensorSpec
from warpwright.types.study import Study
from warpwright.types.trial import OtherShape
from warpwright.types.worker_reply import Answer, Done

SHAPES = 3
ROUNDS = 4
CALLS = 5
FOUND = TypeAdapter(OtherShape)

Shapes = tuple[tuple[int, ...], ...]

RESIZED = '''

_whole_inputs = get_inputs


def get_inputs():
    """The inputs above, each cut to another shape."""
    shapes = iter({shapes!r})
    return [
        x[tuple(slice(size) for size in next(shapes))].contiguous() if hasattr(x, "shape") else x
        for x in _whole_inputs()
    ]
'''


def other_shapes(inputs: Sequence[tuple[int, ...]]) -> Iterator[Shapes]:
    """Smaller shapes of all inputs, the most telling first: half a batch, then other sizes, one
    less than they were (no multiple of a tile any more) or half of it.

    A size is changed wherever it stands in the same place of an input, counted from the front for
    the batch and from the back for the others.
    """
    if not inputs:
        return
    batch = inputs[0][0] if inputs[0] else 1
    if batch > 1:
        yield tuple(_with(shape, 0, batch, batch // 2) for shape in inputs)
    for axis in range(-1, -max(map(len, inputs)), -1):
        sizes = [shape[axis] for shape in inputs if len(shape) >= -axis]
        for smaller in (sizes[0] - 1, sizes[0] // 2):
            if 0 < smaller < sizes[0]:
                yield tuple(_with(shape, axis, sizes[0], smaller) for shape in inputs)
    if batch > 2:
        yield tuple(_with(shape, 0, batch, batch - 1) for shape in inputs)


def _with(shape: tuple[int, ...], axis: int, size: int, new: int) -> tuple[int, ...]:
    if len(shape) < (axis + 1 if axis >= 0 else -axis) or shape[axis] != size:
        return shape
    sizes = list(shape)
    sizes[axis] = new
    return tuple(sizes)


def resized(problem: Problem, trace: Trace, shapes: Shapes) -> Problem:
    """The problem with inputs of other shapes, none larger than its own."""
    if problem.source is not None:
        return replace(problem, source=problem.source + RESIZED.format(shapes=shapes))
    specs = zip(trace.inputs, shapes, strict=True)
    return replace(problem, inputs=tuple(TensorSpec(shape, own.dtype) for own, shape in specs))


def time_other_shapes(
    table: Table, study: Study, program: str, run_context: RunContext
) -> tuple[OtherShape, ...]:
    """Both programs timed on up to three other shapes; those that the parent cannot run are left
    out, and those for which there is no time. A piece of work a shape, kept in the ledger."""
    assert study.problem is not None and study.trace is not None
    own = [tensor.shape for tensor in study.trace.inputs]
    found: list[OtherShape] = []
    for shapes in other_shapes(own):
        if len(found) == SHAPES or table.deadline.over:
            break
        problem = resized(study.problem, study.trace, shapes)
        if not _runs(table.bench.parent, problem, study, run_context):
            continue
        label = ", ".join("x".join(map(str, shape)) for shape in shapes)
        table.tell("apart", f"other shapes: {label}")
        result = table.once(
            f"shapes {label} of {digest(program)}",
            lambda problem=problem, label=label: _timed(  # type: ignore[misc]
                table, problem, label, program
            ),
            FOUND.dump_python(OtherShape(label, failure="given up"), mode="json"),
        )
        found.append(FOUND.validate_python(result))
    return tuple(found)


def _runs(program: str, problem: Problem, study: Study, run_context: RunContext) -> bool:
    """Whether a trace of the program gets through with these inputs."""
    trace = trace_program(
        program,
        problem,
        gpu=study.gpu.sheet,
        cache=run_context.cache,
        deadline=run_context.deadline,
    )
    return not isinstance(trace, TraceFailed) and bool(trace.launches)


def _timed(table: Table, problem: Problem, label: str, program: str) -> Mapping[str, Any]:
    """Two new workers, the parent and the program, in turns."""
    pool = table.bench.pool
    workers = [pool.take(fresh=True), pool.take(fresh=True)]
    try:
        found = _compared(table, workers, problem, label, program)
    finally:
        for worker in workers:
            pool.give_back(worker)
    return dict(FOUND.dump_python(found, mode="json"))


def _compared(
    table: Table, workers: Sequence[Worker], problem: Problem, label: str, program: str
) -> OtherShape:
    firsts: list[float] = []
    for worker, source in zip(workers, (table.bench.parent, program), strict=True):
        bench = table.bench
        loaded = Program(source, problem, bench.seed, states=bench.reference_process.states)
        answer = worker.load(loaded)
        if isinstance(answer, Done):
            answer = _burst(table, worker, 1, table.budget.warm_up_us / 1e6)
        if not isinstance(answer, Done):
            whose = "the parent" if worker is workers[0] else "the answer"
            return OtherShape(label, failure=f"{whose}: {why(answer)}")
        firsts.append(answer.wall_s)
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS):
        for place in (0, 1) if number % 2 else (1, 0):
            answer = _burst(table, workers[place], CALLS)
            if not isinstance(answer, Done):
                return OtherShape(label, failure=why(answer))
            times[place].extend(map(float, answer.value["times_us"]))
    parent_us, answer_us = median(times[0]), median(times[1])
    gain_pct = 100 * (parent_us / answer_us - 1)
    return OtherShape(label, parent_us, answer_us, gain_pct, firsts[0], firsts[1])


def _burst(table: Table, worker: Worker, calls: int, warm_up_s: float = 0.0) -> Answer:
    seed, limit_s = secrets.randbelow(2**31), table.within(TUNING_S)
    return worker.time(calls, seed=seed, warm_up_s=warm_up_s, deadline_s=limit_s)
