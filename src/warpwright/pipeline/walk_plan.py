"""Which stages a walk goes through, by what its user said; and when metrics skip one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from warpwright.data.metrics import default_metrics
from warpwright.data.stages import find_stage, skip_conditions, stage_id_of_name
from warpwright.errors import InputError, Place
from warpwright.types.request import Profile
from warpwright.types.stage import MetricTarget, ProgramKind, StageId
from warpwright.types.walk import ALGORITHM, ConditionReading, SkipReading, WalkPlan

NAMES = (ALGORITHM, *StageId)


def walk_plan(
    first: str | None = None, named: Sequence[str] = (), kind: ProgramKind = ProgramKind.SINGLE
) -> WalkPlan:
    """The plan: all stages from `first` on, or those that are `named`, in their own order.

    Without either the program goes through all four, and another algorithm is tried where a GPU
    can show that it is faster. A stage that was named is not skipped. Raises InputError for an
    unknown name, and where both are given.
    """
    if first is not None and named:
        raise InputError(
            "--from and --stages were both given",
            place=Place("command line"),
            expected="one of them: where the walk begins, or all its stages by name",
        )
    if first is not None:
        begin = NAMES.index(_name(first, "--from"))
        return WalkPlan(_ids(NAMES[begin:]), kind, algorithm=begin == 0)
    if not named:
        return WalkPlan(tuple(StageId), kind)
    chosen = {_name(name, "--stages") for name in named}
    in_order = [name for name in NAMES if name in chosen]
    return WalkPlan(_ids(in_order), kind, algorithm=ALGORITHM in chosen, skipping=False)


def _name(given: str, option: str) -> str:
    """A stage's own name by any that it has. Raises InputError."""
    if given.strip().lower() == ALGORITHM:
        return ALGORITHM
    stage = stage_id_of_name(given)
    if stage is None:
        raise InputError(
            "unknown stage",
            place=Place(option),
            expected="one of " + ", ".join(NAMES),
            got=repr(given[:80]),
            hint="`warpwright stages` lists their rules",
        )
    return stage


def _ids(names: Sequence[str]) -> tuple[StageId, ...]:
    return tuple(StageId(name) for name in names if name != ALGORITHM)


def metrics_of(plan: WalkPlan) -> tuple[str, ...]:
    """What a profile should hold for all stages of a plan: the default, the metrics that their
    requests name, and those that may skip them."""
    named = [
        (*find_stage(stage, plan.kind).metrics, *skip_conditions(stage)) for stage in plan.stages
    ]
    asked = [target.metric for target in chain.from_iterable(named)]
    return tuple(dict.fromkeys((*default_metrics(), *asked)))


def skip_reading(stage: StageId, profile: Profile) -> SkipReading:
    """Whether a profile says that a stage has nothing left to gain.

    A condition holds where it holds in every launch of every kernel; with one value missing, or
    without a profile, it is not known, and an unknown metric never skips.
    """
    return SkipReading(tuple(_read(target, profile) for target in skip_conditions(stage)))


def _read(target: MetricTarget, profile: Profile) -> ConditionReading:
    assert target.target is not None
    launches = [launch for kernel in profile.kernels for launch in kernel.launches]
    values = [launch.get(target.metric) for launch in launches]
    known = [value for value in values if value is not None]
    if not known:
        return ConditionReading(target, None, None)
    above = target.comparison == ">"
    worst = min(known) if above else max(known)
    holds = worst > target.target if above else worst < target.target
    return ConditionReading(target, worst, False if not holds else _all_known(values))


def _all_known(values: Sequence[float | None]) -> bool | None:
    """True, or None where one is missing: that one might not hold."""
    return None if None in values else True
