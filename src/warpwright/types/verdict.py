"""Verdicts of the verifier. A check that could not be made is said so; it is never a pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from warpwright.types.config import Config
from warpwright.types.edit import Edit

NOT_IN_TIME = "not verified in time"
OTHER_ORDER = "blocks in another order"  # a case: the problem's inputs, run in that way
RACE = "race"  # a kind of access to memory: two blocks store different values to one place
NO_SHAPES = "not verified: no input shapes"
ACCURACY = "accuracy"  # the name of that check
"""How each note begins that tells of a check which the time limit ended."""


class Status(StrEnum):
    """Of one check, or of the verifier as a whole."""

    PASS = "pass"
    FAIL = "fail"
    NOT_VERIFIED = "not verified"


@dataclass(frozen=True, slots=True)
class EditLimits:
    """What is asked of edits that the rules neither ask for nor forbid, besides being accurate.

    `strict`: that there are none. `bit_equal`: that they change no bit of the outputs.
    """

    strict: bool = False
    bit_equal: bool = False


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule: where, what the rule expects, what was found."""

    rule: str
    line: int | None
    expected: str
    found: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        return f"{where}{self.rule}: expected {self.expected}; found {self.found}"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One part of the verifier (format, names, rules, integrity, accuracy)."""

    check: str
    status: Status
    violations: tuple[Violation, ...] = ()
    notes: tuple[str, ...] = ()  # conflicts told, what could not be verified and why
    unchecked: tuple[str, ...] = ()  # rule texts that no machine check covers

    @property
    def in_time(self) -> bool:
        """False where the time limit left open what the check asks."""
        cut = any(NOT_IN_TIME in note for note in self.notes)
        return not (cut and self.status is Status.NOT_VERIFIED)


@dataclass(frozen=True, slots=True)
class ErrorMeasure:
    """Error of an output against the fp64 reference, both relative to the reference's scale.

    `relative_l2` = ‖y − r‖₂ / ‖r‖₂; `relative_max` = max|y − r| / max|r|.
    """

    relative_l2: float
    relative_max: float


@dataclass(frozen=True, slots=True)
class AccuracyCase:
    """One config of a candidate on one set of shrunken inputs."""

    config: str
    inputs: tuple[str, ...]
    distribution: str
    status: Status
    error: ErrorMeasure | None = None
    bound: ErrorMeasure | None = None
    parent_error: ErrorMeasure | None = None
    policy_error: ErrorMeasure | None = None
    bit_equal_to_parent: bool | None = None
    launched: tuple[str, ...] = ()
    reason: str | None = None
    notes: tuple[str, ...] = ()  # e.g. that the parent breaks the precision policy
    gating: bool = True  # False: reported, but it decides nothing (an undefined operator)
    less_exact: str | None = None  # how the outputs are less exact than the parent's, in numbers


@dataclass(frozen=True, slots=True)
class AccuracyRun:
    """The verdict on a program's outputs, each case, and the configs that failed, by kernel.

    `differing`: which of the parent's own configs give another output. `relies_on_sizes`: on the
    sizes that were run, the parent (or the program alone) leaves its tensors, and that matters.
    `ways`: which ways the candidate's branches took: line, kind and text of the branch, and
    whether its test held.
    """

    result: CheckResult
    cases: tuple[AccuracyCase, ...] = ()
    failing: Mapping[str, set[Config]] = field(default_factory=dict)
    differing: tuple[str, ...] = ()
    relies_on_sizes: bool = False
    ways: frozenset[tuple[int, str, str, bool]] = frozenset()

    @classmethod
    def unknown(cls, reason: str) -> AccuracyRun:
        """Accuracy that could not be judged, and why. Never a pass."""
        return cls(CheckResult(ACCURACY, Status.NOT_VERIFIED, notes=(reason,)))


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks of one candidate against its parent, in order.

    `beyond_stage`: edits that the rules neither ask for nor forbid. `limits`: what was asked of
    these besides being accurate.
    """

    results: tuple[CheckResult, ...]
    edits: tuple[Edit, ...] = ()
    beyond_stage: tuple[Edit, ...] = ()
    accuracy_cases: tuple[AccuracyCase, ...] = ()
    limits: EditLimits = field(default_factory=EditLimits)

    @property
    def violations(self) -> tuple[Violation, ...]:
        return tuple(v for result in self.results for v in result.violations)

    @property
    def status(self) -> Status:
        statuses = {result.status for result in self.results}
        if Status.FAIL in statuses:
            return Status.FAIL
        return Status.NOT_VERIFIED if Status.NOT_VERIFIED in statuses else Status.PASS
