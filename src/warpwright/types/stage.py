"""Optimisation stages and their rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

ParameterValue = int | float | str | bool | tuple[int, ...] | tuple[str, ...] | None


class StageId(StrEnum):
    """The four stages of the family. The order is the order in which they run."""

    GRID = "grid"
    TILING = "tiling"
    MEMORY = "memory"
    TUNING = "tuning"


class ProgramKind(StrEnum):
    """What the program is: one operator, several fused, or a network."""

    SINGLE = "single"
    FUSION = "fusion"
    NETWORK = "network"


@dataclass(frozen=True, slots=True)
class Rule:
    """One bullet of a stage, as a named rule with parameters.

    `id` is a key of the rule registry (`data/rules.toml`), or `unchecked` for a bullet that
    no rule covers; its wording is then in `parameters["text"]` and it is listed, never
    dropped. `text` and `line` say where it stood; they do not take part in equality, so a
    document rendered in our own wording parses to equal rules.
    """

    id: str
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    text: str = field(default="", compare=False)
    line: int | None = field(default=None, compare=False)

    @property
    def is_checkable(self) -> bool:
        return self.id != "unchecked"


@dataclass(frozen=True, slots=True)
class MetricTarget:
    """A profiler metric that a stage names, with the target it states (`<20%`, `>60%`)."""

    metric: str
    comparison: str | None = None  # "<", ">" or None
    target: float | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage as a request states it, or as our own table fills it in.

    `id` is None when the focus names no stage we know; the rules still hold.
    """

    id: StageId | None
    kind: ProgramKind
    focus: str = field(compare=False)
    rules: tuple[Rule, ...] = ()
    metrics: tuple[MetricTarget, ...] = ()
    notes: tuple[str, ...] = ()  # prose that states no rule (examples, warnings)

    def rule(self, rule_id: str) -> Rule | None:
        """The first rule with this id, or None."""
        return next((rule for rule in self.rules if rule.id == rule_id), None)
