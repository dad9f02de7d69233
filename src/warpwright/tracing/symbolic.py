"""What can be told of a program's launches when the shapes of its inputs are unknown.

The model is built with its constructor's defaults and called, on stand-ins, with many made-up
shapes. An argument that has one value in all calls that run is *determined*. One that is so only
where an input's width matches a parameter is *assumed*: the program does not check it. Grids
come out as formulas of the arguments, which a profile's grid size then solves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from warpwright.sandbox.deadline import Deadline
from warpwright.store.cache import ResultCache, run_cached
from warpwright.tracing.symbolic_grid import Constraint, Formula, Sample, find_formula, solve
from warpwright.tracing.trace import device_facts
from warpwright.tracing.trace_decode import decode_launch
from warpwright.types.config import Config, MetaValue
from warpwright.types.gpu import GpuSheet
from warpwright.types.job import Job, JobLimits
from warpwright.types.launch_trace import ConstantArgument, Launch, ScalarArgument, TensorArgument

DEADLINE_S = 14.0
SEARCH_S = 6.0


@dataclass(frozen=True, slots=True)
class SymbolicLaunch:
    """One kernel: what is certain of its arguments, and its grid as formulas.

    `known` and `assumed` hold values of parameters (constexprs included; None for an argument
    that is None); `unknown` names those that depend on the inputs. `grid` is one formula an
    axis, None where no simple one fits.
    """

    kernel: str
    known: Mapping[str, MetaValue]
    assumed: Mapping[str, MetaValue]
    unknown: tuple[str, ...]
    configs: tuple[Config, ...]
    grid: tuple[Formula | None, ...]
    dtypes: Mapping[str, str] = field(default_factory=dict)

    def constraint(self, config: Config, grid_size: int) -> Constraint:
        """What a profiled grid size says, if this config was the active one."""
        integers = {
            name: value
            for name, value in {**self.assumed, **self.known}.items()
            if isinstance(value, int) and not isinstance(value, bool)
        }
        meta = {n: v for n, v in config.meta if isinstance(v, int)} | integers
        return solve(self.grid, grid_size, meta, integers)

    def grid_text(self) -> str:
        """The grid as a person writes it."""
        return f"({', '.join('?' if axis is None else str(axis) for axis in self.grid)})"


@dataclass(frozen=True, slots=True)
class SymbolicTrace:
    """What is determined without shapes. Empty `launches`: nothing, for the `reason`."""

    launches: tuple[SymbolicLaunch, ...] = ()
    inputs: tuple[str, ...] = ()  # shapes that run, free sizes by letter
    unknown_arguments: tuple[str, ...] = ()  # of the constructor
    reason: str | None = None

    @property
    def known(self) -> dict[str, dict[str, MetaValue]]:
        """Kernel → certain arguments, the assumed ones included."""
        return {launch.kernel: {**launch.assumed, **launch.known} for launch in self.launches}

    def launch(self, kernel: str) -> SymbolicLaunch | None:
        return next((launch for launch in self.launches if launch.kernel == kernel), None)


def trace_symbolic(
    source: str,
    *,
    gpu: GpuSheet | None = None,
    cache: ResultCache | None = None,
    deadline: Deadline | None = None,
) -> SymbolicTrace:
    """Trace `source` without shapes. Takes 15 s at most; a failure is a reason, never raised."""
    payload = {"source": source, "facts": device_facts(gpu), "search_s": SEARCH_S}
    job = Job("symbolic", payload, JobLimits(deadline_s=DEADLINE_S))
    result = run_cached(job, cache, deadline=deadline)
    if result.value is None:
        return SymbolicTrace(reason=result.reason or str(result.outcome))
    if "unknown_arguments" in result.value:
        names = tuple(map(str, result.value["unknown_arguments"]))
        return SymbolicTrace(
            unknown_arguments=names,
            reason=f"ModelNew cannot be built: {', '.join(names)} unknown",
        )
    if "failed" in result.value:
        return SymbolicTrace(reason=str(result.value["failed"]))
    try:
        return read_calls(result.value["calls"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return SymbolicTrace(reason=f"the trace is malformed ({error})")


def read_calls(calls: Sequence[Mapping[str, Any]]) -> SymbolicTrace:
    """What calls with different shapes have in common."""
    every = [_Call.of(call) for call in calls]
    kernels = dict.fromkeys(launch.kernel for call in every for launch in call.launches)
    found = []
    for kernel in kernels:
        if all(any(launch.kernel == kernel for launch in call.launches) for call in every):
            found.append(_common(kernel, every))
    families = dict.fromkeys(call.family for call in every)
    reason = None if found else "which kernels are launched depends on the sizes"
    return SymbolicTrace(tuple(found), tuple(families), reason=reason)


@dataclass(frozen=True, slots=True)
class _Call:
    family: str
    fits: bool
    launches: tuple[Launch, ...]

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> _Call:
        return cls(
            str(value["family"]),
            bool(value["fits"]),
            tuple(decode_launch(launch) for launch in value["launches"]),
        )

    def of_kernel(self, kernel: str) -> list[Launch]:
        return [launch for launch in self.launches if launch.kernel == kernel]


def _common(kernel: str, calls: Sequence[_Call]) -> SymbolicLaunch:
    every = [launch for call in calls for launch in call.of_kernel(kernel)]
    fitting = [launch for call in calls if call.fits for launch in call.of_kernel(kernel)]
    known = _same_values(every)
    assumed = {n: v for n, v in _same_values(fitting).items() if n not in known}
    configs = tuple(dict.fromkeys(c.config for launch in every for c in launch.configs))
    names = dict.fromkeys(name for launch in every for name in launch.arguments)
    unknown = tuple(
        name
        for name in names
        if name not in known
        and name not in assumed
        and any(isinstance(launch.arguments.get(name), (ScalarArgument, ConstantArgument))
                for launch in every)
    )  # fmt: skip
    return SymbolicLaunch(kernel, known, assumed, unknown, configs, _grid(every), _dtypes(every))


def _same_values(launches: Iterable[Launch]) -> dict[str, MetaValue]:
    """Arguments that have one value in all launches."""
    seen: dict[str, set[tuple[type, MetaValue]]] = {}
    for launch in launches:
        for name, argument in launch.arguments.items():
            if isinstance(argument, (ScalarArgument, ConstantArgument)):
                seen.setdefault(name, set()).add((type(argument.value), argument.value))
            else:
                seen.setdefault(name, set()).update({(object, None), (object, 0)})
    return {name: next(iter(values))[1] for name, values in seen.items() if len(values) == 1}


def _dtypes(launches: Iterable[Launch]) -> dict[str, str]:
    return {
        name: argument.dtype
        for launch in launches
        for name, argument in launch.arguments.items()
        if isinstance(argument, TensorArgument)
    }


def _grid(launches: Sequence[Launch]) -> tuple[Formula | None, ...]:
    ranks = {len(config.grid) for launch in launches for config in launch.configs}
    if len(ranks) != 1:
        return (None,)
    return tuple(find_formula(list(_samples(launches, axis))) for axis in range(ranks.pop()))


def _samples(launches: Sequence[Launch], axis: int) -> Iterable[Sample]:
    for launch in launches:
        arguments = _integers({n: _value(a) for n, a in launch.arguments.items()})
        for config in launch.configs:
            meta = _integers({**config.config.meta_dict, **config.heuristic_values})
            constants = {
                name: value
                for name, value in arguments.items()
                if isinstance(launch.arguments[name], ConstantArgument)
            }
            yield Sample(config.grid[axis], arguments, {**constants, **meta})


def _value(argument: object) -> object:
    return argument.value if isinstance(argument, (ScalarArgument, ConstantArgument)) else None


def _integers(values: Mapping[str, object]) -> dict[str, int]:
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, int) and not isinstance(value, bool) and value > 0
    }
