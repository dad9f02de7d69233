"""Integrity by watching: what the host code did while its launches were traced.

Reading follows names; this follows what ran, whatever it was called: operators of torch, patches
of libraries, files, threads and texts run as code, memory kept from one call to the next. What the
parent does as well is told, not blamed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from warpwright.types.config import Config
from warpwright.types.host_behaviour import HostBehaviour, SeenOperator
from warpwright.types.launch_trace import Trace
from warpwright.types.verdict import Violation

COMPUTES = "computes"
CONFIG = "integrity.other_config"
Listed = Mapping[str, Sequence[Config]]
LEAST_NAMES = 3  # of what was replaced, in one message


def check_observed(
    parent: Trace | None, child: Trace | None, listed: Listed | None = None
) -> tuple[list[Violation], list[str]]:
    """Violations and notes; none of either where the candidate has no trace.

    `listed`: kernel → the configs that the candidate lists for it, where they can be read.
    Without a trace of the parent nothing is said of operators: what it leaves to torch is unknown.
    """
    if child is None:
        return [], []
    own = child.behaviour
    theirs = HostBehaviour() if parent is None else parent.behaviour
    violations = [*_patches(own, theirs), *_actions(own, theirs), *_calls(own, theirs)]
    known = set() if parent is None else {kind for kind, _ in _other_configs(parent, listed or {})}
    violations += [v for kind, v in _other_configs(child, listed or {}) if kind not in known]
    notes: list[str] = []
    if parent is not None:
        violations += _operators(own, theirs)
        notes = [
            f"{operator.name} on the host in line {operator.line}, as in the parent"
            for operator in _computing(own)
            if _kind(operator) in {_kind(other) for other in _computing(theirs)}
        ]
    return violations, notes


def _operators(own: HostBehaviour, theirs: HostBehaviour) -> Iterator[Violation]:
    """Operators that compute on tensors, beyond those that the parent's calls run too."""
    left = Counter({_kind(op): 0 for op in _computing(theirs)})
    for operator in _computing(theirs):
        left[_kind(operator)] += operator.count
    for operator in _computing(own):
        left[_kind(operator)] -= operator.count
        if left[_kind(operator)] < 0:
            yield Violation(
                "integrity.torch_work",
                operator.line,
                "the work done by the program's own kernels",
                f"{operator.name} ran on the host's tensors",
            )


def _computing(behaviour: HostBehaviour) -> list[SeenOperator]:
    return [operator for operator in behaviour.operators if operator.kind == COMPUTES]


def _kind(operator: SeenOperator) -> str:
    """`aten.add_` and `aten.add` are one operator."""
    return operator.name.rstrip("_")


def _patches(own: HostBehaviour, theirs: HostBehaviour) -> Iterator[Violation]:
    replaced = [name for name in own.replaced if name not in theirs.replaced]
    if replaced:
        more = f" and {len(replaced) - LEAST_NAMES} more" if len(replaced) > LEAST_NAMES else ""
        found = f"{', '.join(replaced[:LEAST_NAMES])}{more} replaced while the program ran"
        expected = "libraries left as they are"
        yield Violation("integrity.patched", None, expected, found)


def _actions(own: HostBehaviour, theirs: HostBehaviour) -> Iterator[Violation]:
    known = {action.what for action in theirs.actions}
    for action in own.actions:
        if action.what not in known:
            expected = "launches and tensors alone"
            found = f"the program was seen to {action.what}"
            yield Violation("integrity.action", action.line, expected, found)
    ways = {name for name, _ in theirs.ways_out}
    for name, line in own.ways_out:
        if name not in ways:
            expected = "a library used for what it is"
            yield Violation("integrity.ways_out", line, expected, f"{name} leads out of it")


def _other_configs(trace: Trace, listed: Listed) -> Iterator[tuple[str, Violation]]:
    """Launches under other configs than the program lists, with the way that it does it."""
    for launch in trace.launches:
        for traced in launch.configs if launch.autotuned else ():
            meta = traced.config.meta_dict
            for name, value in traced.heuristic_values.items():
                if name in meta and meta[name] != value:
                    found = f"{launch.kernel} runs with {name}={value!r} by a heuristic"
                    expected = f"{name}={meta[name]!r}, as the config says"
                    yield "heuristic", Violation(CONFIG, launch.line, expected, found)
            configs = listed.get(launch.kernel)
            made = traced.place is None  # not taken from the tuner's list
            if configs and made and _what_runs(traced.config) not in map(_what_runs, configs):
                found = f"{launch.kernel} is tuned over {traced.config}, which it does not list"
                expected = "the configs that are listed"
                yield "pruning", Violation(CONFIG, launch.line, expected, found)


def _what_runs(config: Config) -> tuple[object, ...]:
    options = (config.num_warps, config.num_stages, config.num_ctas, config.maxnreg)
    return tuple(sorted(config.meta_dict.items())), options


def _calls(own: HostBehaviour, theirs: HostBehaviour) -> Iterator[Violation]:
    if own.same_output and not theirs.same_output:
        expected = "memory of its own for the output of each call"
        found = "a second call on other data returned memory of the first one's output"
        yield Violation("integrity.same_output", None, expected, found)
    if own.second_call is not None and theirs.second_call is None:
        expected = "the same launches in each call"
        found = f"in a second call, on other data and other memory in use: {own.second_call}"
        yield Violation("integrity.second_call", None, expected, found)
