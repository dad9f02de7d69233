"""Which metrics a profile collects, and whether the installed Nsight Compute has them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from warpwright.data.metrics import (
    default_metrics,
    listed_by_ncu,
    metric_groups,
    retired_metric,
    validate_metric_name,
)
from warpwright.errors import InputError, Place
from warpwright.profiler.failures import raise_for_machine
from warpwright.profiler.ncu import query_metrics
from warpwright.types.request import Request
from warpwright.types.stage import Stage

NEAR_NAMES = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """Metrics to collect: `names` must be known to ncu, `optional` ones are left out if not."""

    names: tuple[str, ...]
    optional: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckedMetrics:
    """Names that ncu knows; retired names with what stands for them; what was left out."""

    names: tuple[str, ...]
    replaced: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def wanted_metrics(
    explicit: Sequence[str] = (),
    groups: Sequence[str] = (),
    *,
    request: Request | None = None,
    stage: Stage | None = None,
) -> Wanted:
    """What is named: explicitly, by a request (its profile, its stage) and by a stage of ours.

    Where none of them names any, the default of `metrics.toml`. Raises InputError for a name
    that no ncu could have, and for an unknown group.
    """
    named = list(explicit)
    if request is not None:
        for kernel in request.profile.kernels:
            named += [name for launch in kernel.launches for name in launch]
        named += [target.metric for target in request.stage.metrics]
    if stage is not None:
        named += [target.metric for target in stage.metrics]
    place = Place("metrics")
    names = tuple(dict.fromkeys(validate_metric_name(name, place=place) for name in named))
    known = metric_groups()
    for group in groups:
        if group not in known:
            raise InputError(
                "unknown group of metrics",
                place=Place("--with"),
                expected="one of " + ", ".join(known),
                got=repr(group[:80]),
            )
    names = names or default_metrics()
    grouped = dict.fromkeys(name for group in groups for name in known[group])
    return Wanted(names, tuple(name for name in grouped if name not in names))


def check_metrics(ncu: Path, wanted: Wanted) -> CheckedMetrics:
    """Ask the installed ncu for the wanted names. Raises InputError for one that it lacks."""
    successors = [r.successor for name in wanted.names if (r := retired_metric(name)) is not None]
    asked = [*wanted.names, *wanted.optional, *successors]
    bases = tuple(dict.fromkeys(name.split(".", 1)[0] for name in asked if listed_by_ncu(name)))
    if not bases:
        return CheckedMetrics((*wanted.names, *wanted.optional))
    available, problem = query_metrics(ncu, bases)
    if not available:
        raise_for_machine(problem or "")
        # It may know none of these, or not answer at all: its whole list tells which.
        listed, problem = query_metrics(ncu)
        if not listed:
            note = f"metric names could not be checked: {problem or 'ncu lists no metrics'}"
            return CheckedMetrics((*wanted.names, *wanted.optional), notes=(note,))
    return choose_metrics(wanted, available, lambda: query_metrics(ncu)[0])


def choose_metrics(
    wanted: Wanted,
    available: frozenset[str],
    all_bases: Callable[[], frozenset[str]] = frozenset,
) -> CheckedMetrics:
    """The names to collect, given the full names that ncu has. `all_bases()` lists every base
    name, for the message on an unknown one."""
    names: list[str] = []
    replaced: dict[str, str] = {}
    for name in wanted.names:
        if not listed_by_ncu(name) or name in available:
            names.append(name)
            continue
        successor = _successor(name, available)
        if successor is None:
            raise _unknown_metric(name, available, all_bases())
        replaced[name] = successor
        names.append(successor)
    kept = [n for n in wanted.optional if not listed_by_ncu(n) or n in available]
    left_out = tuple(n for n in wanted.optional if n not in kept)
    return CheckedMetrics(tuple(dict.fromkeys([*names, *kept])), replaced, left_out)


def _successor(name: str, available: frozenset[str]) -> str | None:
    """The name under which a retired metric lives on, with the suffix that was asked for."""
    retired = retired_metric(name)
    if retired is None:
        return None
    suffix = name.partition(".")[2] or "pct"
    found = f"{retired.successor}.{suffix}"
    return found if found in available else None


def _unknown_metric(name: str, available: frozenset[str], bases: frozenset[str]) -> InputError:
    base = name.split(".", 1)[0]
    suffixed = sorted(other for other in available if other.split(".", 1)[0] == base)
    near = difflib.get_close_matches(name, suffixed, NEAR_NAMES, 0.0) if suffixed else []
    near = near or difflib.get_close_matches(base, sorted(bases), NEAR_NAMES)
    return InputError(
        "the installed Nsight Compute has no such metric for this GPU",
        place=Place("metrics"),
        expected="one of its names, with the suffix" if suffixed else "one of its names",
        got=repr(name),
        hint=f"did you mean {' or '.join(near)}?" if near else "`ncu --query-metrics` lists them",
    )
