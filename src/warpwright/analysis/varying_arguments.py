"""Which integers of a kernel differ between the cases that a program is called with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from warpwright.store.run_context import RunContext
from warpwright.tracing.trace import trace_program
from warpwright.types.calls import KernelCalls
from warpwright.types.gpu import GpuSheet
from warpwright.types.launch_trace import Launch, ScalarArgument, Trace
from warpwright.types.shapes import Problem

TRACED = 4  # other cases; each is a trace of its own

Values = dict[str, set[int]]


def with_varying(
    calls: Sequence[KernelCalls],
    source: str,
    problem: Problem,
    sheet: GpuSheet,
    run_context: RunContext,
) -> tuple[KernelCalls, ...]:
    """The calls, each with the integers that have other values in the problem's other cases: as
    compile-time constants they would compile the kernel anew for each of them."""
    found = [_values(call.launches) for call in calls]
    varying: list[set[str]] = [set() for _ in calls]
    for other in problem.others[:TRACED]:
        trace = trace_program(
            source, other, gpu=sheet, cache=run_context.cache, deadline=run_context.deadline
        )
        if not isinstance(trace, Trace):
            continue  # told where the case itself is judged
        for own, call, names in zip(found, calls, varying, strict=True):
            launches = [launch for launch in trace.launches if launch.kernel == call.name]
            names |= _differing(own, _values(launches))
    return tuple(
        replace(call, varying=frozenset(names)) for call, names in zip(calls, varying, strict=True)
    )


def _values(launches: Sequence[Launch]) -> Values:
    """Each integer parameter's values in all launches."""
    found: Values = {}
    for launch in launches:
        for name, argument in launch.arguments.items():
            if isinstance(argument, ScalarArgument) and type(argument.value) is int:
                found.setdefault(name, set()).add(argument.value)
    return found


def _differing(own: Mapping[str, set[int]], other: Mapping[str, set[int]]) -> set[str]:
    return {name for name in own.keys() & other.keys() if own[name] != other[name]}
