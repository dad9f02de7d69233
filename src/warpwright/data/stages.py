"""The stages: `stages.toml` as types, and stages by name or by focus.

The table ships with the package; a broken table is a bug of ours (`InternalError`).
"""

from __future__ import annotations

import difflib
import re
import tomllib
from functools import cache
from importlib import resources

from pydantic import BaseModel, ConfigDict, ValidationError

from warpwright.data.metrics import validate_metric_name
from warpwright.data.rules import validate_rule
from warpwright.errors import InputError, InternalError, Place
from warpwright.types.stage import MetricTarget, ParameterValue, ProgramKind, Rule, Stage, StageId


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Metric(_Table):
    metric: str
    comparison: str | None = None
    target: float | None = None

    def as_target(self) -> MetricTarget:
        return MetricTarget(validate_metric_name(self.metric), self.comparison, self.target)


class _Rule(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    id: str

    def as_rule(self) -> Rule:
        given = self.__pydantic_extra__ or {}
        values: dict[str, ParameterValue] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in given.items()
        }
        return validate_rule(Rule(self.id, values))


class _StageNames(_Table):
    id: StageId
    names: list[str]
    focus_patterns: list[str]
    skip_when: list[_Metric]


class _Definition(_Table):
    stage: StageId
    kinds: list[ProgramKind]
    focus: str
    metrics: list[_Metric] = []
    rules: list[_Rule]


class _StagesFile(_Table):
    stage: list[_StageNames]
    definition: list[_Definition]


@cache
def _file() -> _StagesFile:
    text = resources.files("warpwright.data").joinpath("stages.toml").read_text(encoding="utf-8")
    try:
        return _StagesFile.model_validate(tomllib.loads(text))
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise InternalError(f"stages.toml: {error}") from error


@cache
def all_stages() -> tuple[Stage, ...]:
    """Every stage of every kind, in the order of the table."""
    try:
        return tuple(
            Stage(
                id=row.stage,
                kind=kind,
                focus=row.focus,
                rules=tuple(rule.as_rule() for rule in row.rules),
                metrics=tuple(metric.as_target() for metric in row.metrics),
            )
            for row in _file().definition
            for kind in row.kinds
        )
    except InputError as error:
        raise InternalError(f"stages.toml: {error}") from error


def known_stage_names() -> tuple[str, ...]:
    """The names of the four stages, in the order in which they run."""
    return tuple(StageId)


def stage_id_of_name(name: str) -> StageId | None:
    """The stage with this name or with this name in recorded requests, else None."""
    wanted = name.strip().lower()
    found = (row.id for row in _file().stage if wanted in (row.id, *row.names))
    return next(found, None)


def stage_id_of_focus(focus: str) -> StageId | None:
    """The stage that a focus text speaks of; None where it speaks of none we know.

    A focus may touch several stages ("fine-tuning ... memory"): tuning counts before tiling,
    tiling before grid, grid before memory.
    """
    rows = {row.id: row for row in _file().stage}
    for stage_id in (StageId.TUNING, StageId.TILING, StageId.GRID, StageId.MEMORY):
        if any(re.search(p, focus, re.IGNORECASE) for p in rows[stage_id].focus_patterns):
            return stage_id
    return None


def find_stage(
    name: str, kind: ProgramKind = ProgramKind.SINGLE, *, place: Place | None = None
) -> Stage:
    """Our own table's stage of this name and kind. Raises `InputError` for an unknown name."""
    stage_id = stage_id_of_name(name)
    if stage_id is None:
        others = [other for row in _file().stage for other in (row.id.value, *row.names)]
        near = difflib.get_close_matches(name.strip().lower()[:100], others, n=2, cutoff=0.5)
        raise InputError(
            "unknown stage",
            place=place,
            expected="one of " + ", ".join(known_stage_names()),
            got=repr(name[:80]),
            hint=f"did you mean {' or '.join(near)}?" if near else "`stages` lists them",
        )
    return next(stage for stage in all_stages() if (stage.id, stage.kind) == (stage_id, kind))


def left_open(stage: Stage) -> tuple[Rule, ...]:
    """Rules of our own table that a request's stage says nothing of; none for an unknown stage.

    A rule of ours counts as said when the request has any rule of the same id.
    """
    if stage.id is None:
        return ()
    stated = {rule.id for rule in stage.rules}
    return tuple(r for r in find_stage(stage.id, stage.kind).rules if r.id not in stated)


def skip_conditions(stage_id: StageId) -> tuple[MetricTarget, ...]:
    """When all of these hold, the stage has nothing left to gain; each is a bound to reach."""
    row = next(row for row in _file().stage if row.id is stage_id)
    return tuple(metric.as_target() for metric in row.skip_when)
