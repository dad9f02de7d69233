"""A draft at full size: checked on the card while the main thread has it interpreted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from warpwright.bench.full_size import FULL_SIZE, NotWantedError
from warpwright.search.configs_measured import MeasuredConfigs
from warpwright.search.draft import Failing
from warpwright.search.final_decision import Accuracy, check_in_full, check_program
from warpwright.search.pinned_programs import Entrant, entrants_of
from warpwright.types.answer import ConfigPlan
from warpwright.types.verdict import CheckResult, Status, Verdict, Violation


@dataclass(frozen=True, slots=True)
class _Found:
    """What the card showed of each config by itself; and of the program, where none failed."""

    failing: Failing
    configs: dict[str, Accuracy]
    whole: Accuracy | None


class FullSizeChecks:
    """The checks of one draft after the other, in a thread of their own.

    As a context it ends with the check that is under way.
    """

    def __init__(self, found: MeasuredConfigs) -> None:
        self._found = found
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._unwanted = threading.Event()

    def __enter__(self) -> FullSizeChecks:
        return self

    def __exit__(self, *_: object) -> None:
        self._unwanted.set()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def begin(
        self, plans: tuple[ConfigPlan, ...], program: str
    ) -> Callable[[Verdict], tuple[Verdict, Failing]]:
        """Begin to check every config that a plan keeps, then the whole program.

        What is returned waits for them, and gives the verdict with theirs in it and the configs
        that failed. Where it is not called, the checks end when others begin.
        """
        self._unwanted.set()
        self._unwanted = threading.Event()
        running = self._thread.submit(self._check, plans, program, self._unwanted)
        return partial(self._concluded, running)

    def _check(
        self, plans: Sequence[ConfigPlan], program: str, unwanted: threading.Event
    ) -> _Found:
        table = self._found.table
        handed_out = entrants_of(self._found.study, plans, self._found.chosen)
        own = [entrant for entrant in handed_out if entrant.pins or entrant.source != program]
        pins = [entrant.pins for entrant in handed_out if entrant.pins] or [{}]

        def is_unwanted() -> bool:
            return unwanted.is_set() or table.deadline.over

        try:
            found = check_in_full(table, own, is_unwanted)
            failing = _failing(own, found)
            whole = None if failing else check_program(table, program, pins, is_unwanted)
        except NotWantedError:  # others have begun, or no decision can follow any more
            return _Found({}, {}, None)
        return _Found(failing, found, whole)

    def _concluded(self, running: Future[_Found], gate: Verdict) -> tuple[Verdict, Failing]:
        found = running.result()
        cases = tuple(case for checked in found.configs.values() for case in checked.cases)
        ours = self._found
        if found.whole is None:
            ours.trial = replace(ours.trial, cases=cases)
            return gate, found.failing
        told = [note for checked in found.configs.values() for note in checked.result.notes]
        notes = tuple(dict.fromkeys([*found.whole.result.notes, *told]))
        result = replace(_with_failure(found.whole), check=FULL_SIZE, notes=notes)
        ours.trial = replace(ours.trial, accuracy=result, cases=(*cases, *found.whole.cases))
        return replace(gate, results=(*gate.results, result)), {}


def _with_failure(whole: Accuracy) -> CheckResult:
    """The result of a program; one that ended early has failed."""
    if whole.failure is None or whole.result.status is Status.FAIL:
        return whole.result
    ended = Violation("accuracy", None, "a program that runs at full size", whole.failure)
    return replace(whole.result, status=Status.FAIL, violations=(ended,))


def _failing(entrants: Sequence[Entrant], found: dict[str, Accuracy]) -> Failing:
    failing: Failing = {}
    for entrant in entrants:
        checked = found[entrant.name]
        if checked.result.status is Status.FAIL or checked.failure is not None:
            failing.setdefault(entrant.kernel, set()).add(entrant.config)
    return failing
