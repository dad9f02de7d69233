"""Configs one after the other beside the parent: a look at the time, a few bursts, accuracy last.

What is measured here chooses who is looked at again. It decides nothing (docs/deciding.md).
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from warpwright.bench.device.worker import Program, Worker, chosen_configs
from warpwright.bench.statistics.family import choose_again, screened_gain_pct
from warpwright.bench.statistics.schedule import PARENT, pair_up, plan_screening
from warpwright.sandbox.deadline import Deadline
from warpwright.search.kept_trials import (
    BURSTS,
    CANDIDATE,
    CHECK,
    decoded,
    kept_as,
    pairs_of,
    told,
    with_more,
    with_verdict,
)
from warpwright.search.open_trial import GIVEN_UP, TUNING_S, Table, why
from warpwright.search.pinned_programs import Entrant
from warpwright.types.config import Config
from warpwright.types.measurement import Burst
from warpwright.types.trial import ConfigTrial
from warpwright.types.verdict import CheckResult, Status
from warpwright.types.worker_reply import Done, WorkerDied

SCREENED_CASES = ("problem", "outliers")
"""Kinds of data at full size for each config; the program that is handed out sees every kind."""
FIRST_CALLS = 3
LOOKED_AT = 3  # calls; the first of them compiles
FAR_BEHIND = 1.15  # times the best: bursts of equal programs differ by less


class ParentFailedError(Exception):
    """The parent, which ran before, does not run any more. The text says how."""


class ParentLostError(ParentFailedError):
    """The parent's worker was killed by something else: another may take its place."""


class Screening:
    """Screens entrants beside one worker that holds the parent.

    `looking`: a few calls come first, and those that are far behind are not timed any further;
    outputs are judged by `settle` alone, of those that are fast, for that takes most of the time.
    """

    def __init__(self, table: Table, *, looking: bool = False) -> None:
        self._table, self._looking = table, looking
        self._parent: Worker | None = None
        self.call_us = 0.0
        self._best_us = math.inf  # of what was screened and is not known to be wrong
        self._numbers: dict[str, int] = {}  # of each entrant's first worker; 0 is the parent's
        self.chosen: dict[str, Config] = {}

    def __enter__(self) -> Screening:
        return self

    def __exit__(self, *_: object) -> None:
        self.rest()

    def rest(self) -> None:
        """Give the parent's worker back; where more is measured it starts again."""
        if self._parent is not None:
            self._table.bench.pool.give_back(self._parent)
            self._parent = None

    def start(self) -> None:
        """Load the parent, let it tune and warm up. Raises ParentFailedError."""
        bench, budget = self._table.bench, self._table.budget
        self.rest()
        self._parent = worker = bench.pool.take()
        answer = worker.load(bench.program(bench.parent))
        if isinstance(answer, Done):
            answer = worker.time(
                FIRST_CALLS,
                seed=secrets.randbelow(2**31),
                warm_up_s=budget.warm_up_us / 1e6,
                deadline_s=self._table.within(TUNING_S),
            )
        if not isinstance(answer, Done):
            raise ParentFailedError(why(answer))
        self.call_us = median(map(float, answer.value["times_us"]))
        self.chosen = chosen_configs(answer.value)

    def run(
        self, entrants: Sequence[Entrant], deadline: Deadline | None = None
    ) -> tuple[ConfigTrial, ...]:
        """Measure each entrant, or take what an earlier run measured.

        None is begun once the deadline is over: those are failures that say so, and are measured
        by a run that goes on with this one. What is compiled already comes first: the time may be
        over when the others are. Raises ParentFailedError.
        """
        known = self._table.session.finished()
        programs = {
            place: self._table.bench.program(entrant.source, entrant.pins)
            for place, entrant in enumerate(entrants)
            if kept_as(entrant) not in known
        }
        late = [place for place in programs if not self._table.is_compiled(programs[place])]
        for entrant in entrants:
            self._numbers.setdefault(entrant.name, len(self._numbers) + 1)
        trials: dict[int, ConfigTrial] = {}
        for place in sorted(range(len(entrants)), key=lambda place: place in late):
            if late and place == late[0]:
                self._table.compile_ahead([programs[other] for other in late], deadline)
            over = deadline is not None and deadline.over and place in programs
            trials[place] = self._trial(entrants[place], deadline if over else None)
            shown = f"{entrants[place].label}: {told(trials[place])}"
            self._table.tell("screen", f"{place + 1} of {len(entrants)}: {shown}")
        return tuple(trials[place] for place in range(len(entrants)))

    def _trial(self, entrant: Entrant, over: Deadline | None) -> ConfigTrial:
        """The trial of an entrant, from now or from an earlier run. `over`: why it gets none."""
        number = self._numbers[entrant.name]
        if over is not None:
            return decoded(entrant, {"failure": _no_time(over)})
        result = self._table.once(
            kept_as(entrant), lambda: self._measure(entrant, number), {"failure": GIVEN_UP}
        )
        trial = decoded(entrant, result)
        if trial.failure is None and trial.time_us is not None:
            self._best_us = min(self._best_us, trial.time_us)
        return trial

    @property
    def table(self) -> Table:
        return self._table

    def forget_the_best(self) -> None:
        """From now on others are raced: none is far behind for what ran before."""
        self._best_us = math.inf

    def settle(
        self,
        entrants: Sequence[Entrant],
        trials: Sequence[ConfigTrial],
        *,
        wanted: int = 1,
        least_pct: float = -100.0,
        deadline: Deadline | None = None,
    ) -> tuple[ConfigTrial, ...]:
        """Judge the outputs of the fastest, one by one, until so many are found right.

        `least_pct`: those that gain less are left as they are; so are all that are left once the
        deadline is over. Returns the trials of `run` with what was found; one whose output is wrong
        is a failure, and those that were far behind it alone are timed now.
        """
        settled = list(trials)
        unasked = set(range(len(settled)))
        while wanted > 0 and unasked and not (deadline is not None and deadline.over):
            place = max(unasked, key=lambda place: settled[place].gain_pct or -100.0)
            unasked.remove(place)
            trial = settled[place]
            if trial.failure is not None or (trial.gain_pct or -100.0) < least_pct:
                continue
            if trial.accuracy is None:
                trial = settled[place] = self._judged(entrants[place], trial)
            if trial.failure is None:
                wanted -= 1
            else:
                self._time_those_behind_it_alone(entrants, settled)
        return tuple(settled)

    def _time_those_behind_it_alone(
        self, entrants: Sequence[Entrant], settled: list[ConfigTrial]
    ) -> None:
        """Time those that had a look and no more, where the best that is left does not say why."""
        left = [trial for trial in settled if trial.failure is None and trial.time_us is not None]
        self._best_us = min((trial.time_us or math.inf for trial in left), default=math.inf)
        bound_us = FAR_BEHIND * min(self._best_us, self.call_us)
        for place, trial in enumerate(settled):
            looked = trial in left and not trial.bursts
            if not looked or (trial.time_us or math.inf) > bound_us:
                continue
            entrant = entrants[place]
            result = self._table.once(
                f"time {kept_as(entrant)}",
                lambda entrant=entrant: self._time(entrant, self._numbers[entrant.name]),  # type: ignore[misc]
                {"failure": GIVEN_UP},
            )
            settled[place] = with_more(trial, result)

    def _judged(self, entrant: Entrant, trial: ConfigTrial) -> ConfigTrial:
        """The trial with the verdict on its outputs, on two kinds of data at full size."""

        def work() -> dict[str, Any]:
            worker = self._table.bench.pool.take()
            try:
                return self._checked(worker, entrant)
            finally:
                self._table.bench.pool.give_back(worker)

        found = self._table.once(f"judge {kept_as(entrant)}", work, {"failure": GIVEN_UP})
        trial = with_verdict(trial, found)
        if trial.failure is not None:
            self._table.tell("screen", f"{entrant.label}: {trial.failure}")
        return trial

    def _checked(self, worker: Worker, entrant: Entrant) -> dict[str, Any]:
        """The verdict on a program's outputs at full size. It stays loaded."""
        bench = self._table.bench
        program = bench.program(entrant.source, entrant.pins)
        checked = bench.full_size.check(
            worker, program, str(entrant.config), SCREENED_CASES, entrant.launches
        )
        found = {"accuracy": CHECK.dump_python(checked.result, mode="json")}
        if checked.failure is not None:
            return {**found, "failure": why(checked.failure)}
        if checked.result.status is Status.FAIL:
            return {**found, "failure": _wrong(checked.result), "wrong": True}
        return found

    def run_again(
        self,
        entrants: Sequence[Entrant],
        trials: Sequence[ConfigTrial],
        deadline: Deadline | None = None,
    ) -> tuple[ConfigTrial, ...]:
        """Time those near the best of what `run` found in other workers, until the order is clear.

        `entrants`: some of those that `run` had. Returns their trials, with what was added to some.
        None is begun once the deadline is over. Raises ParentFailedError.
        """
        found = dict(zip((entrant.name for entrant in entrants), trials, strict=True))
        by_name = {entrant.name: entrant for entrant in entrants}
        for screening in range(2, self._table.budget.screenings + 1):
            timed = {name: trial for name, trial in found.items() if trial.bursts}
            pairs = {name: pairs_of(trial) for name, trial in timed.items() if not trial.failure}
            again = choose_again(pairs, self._table.budget)
            for place, name in enumerate(again, 1):
                if deadline is not None and deadline.over:
                    return tuple(found.values())
                number = self._numbers[name] + (screening - 1) * len(self._numbers)
                result = self._table.once(
                    f"{kept_as(by_name[name])} ({screening})",
                    lambda name=name, number=number: self._time(by_name[name], number),  # type: ignore[misc]
                    {"failure": GIVEN_UP},
                )
                found[name] = with_more(found[name], result)
                self._table.tell(
                    "screen",
                    f"near the best, {place} of {len(again)} once more: "
                    f"{by_name[name].label}: {told(found[name])}",
                )
            if not again:
                break
        return tuple(found.values())

    def _measure(self, entrant: Entrant, number: int) -> dict[str, Any]:
        """A look at its time, then times, where others are not far ahead; or accuracy first."""
        bench = self._table.bench

        def looked_at(worker: Worker) -> dict[str, Any]:
            program = bench.program(entrant.source, entrant.pins)
            # One that is far behind stays worth taking, should the better ones be refused.
            return self._far_behind(worker, program) or {}

        def found_right(worker: Worker) -> dict[str, Any]:
            return self._checked(worker, entrant)

        return self._timed(looked_at if self._looking else found_right, number)

    def _far_behind(self, worker: Worker, program: Program) -> dict[str, Any] | None:
        """What a few calls took, where they show that it is no match for the best so far; that
        saves most of the time that slow programs take. None where it may be one."""
        answer = worker.load(program)
        if isinstance(answer, Done):
            seed = secrets.randbelow(2**31)
            deadline_s = self._table.within(TUNING_S)
            answer = worker.time(LOOKED_AT, seed=seed, deadline_s=deadline_s)
        if not isinstance(answer, Done):
            return {"failure": why(answer)}
        look_us = min(map(float, answer.value["times_us"]))
        best_us = min(self._best_us, self.call_us)
        if look_us <= best_us * FAR_BEHIND:
            return None
        return {"look_us": look_us, "parent_us": self.call_us, "best_us": best_us}

    def _time(self, entrant: Entrant, number: int) -> dict[str, Any]:
        """Times alone: its outputs were judged, or will be."""
        bench = self._table.bench

        def loaded(worker: Worker) -> dict[str, Any]:
            answer = worker.load(bench.program(entrant.source, entrant.pins))
            return {} if isinstance(answer, Done) else {"failure": why(answer)}

        return self._timed(loaded, number)

    def _timed(self, prepare: Callable[[Worker], dict[str, Any]], number: int) -> dict[str, Any]:
        bench, budget = self._table.bench, self._table.budget
        if self._parent is None or not self._parent.healthy:
            self.start()
        worker = bench.pool.take()
        try:
            found = prepare(worker)
            if "failure" in found or "look_us" in found:
                return found
            warm = bench.warm_up(worker, budget.warm_up_us / 1e6)
            if not isinstance(warm, Done):
                return {**found, "failure": why(warm)}
            return {**found, **self._beside_parent(worker, number)}
        finally:
            bench.pool.give_back(worker)

    def _beside_parent(self, worker: Worker, number: int) -> dict[str, Any]:
        try:
            return self._bursts(worker, number)
        except ParentLostError:
            self.start()
            return self._bursts(worker, number)

    def _bursts(self, worker: Worker, number: int) -> dict[str, Any]:
        assert self._parent is not None
        bench = self._table.bench
        plan = plan_screening(
            self._table.budget, CANDIDATE, self.call_us, seed=secrets.randbelow(2**31)
        )
        bursts: list[Burst] = []
        for step in plan:
            ours = step.seat.program != PARENT
            who, seat = (worker, number) if ours else (self._parent, 0)
            burst = bench.burst(who, step.seat.program, seat, step.calls, order=step.order)
            if not isinstance(burst, Burst):
                if not ours:
                    lost = isinstance(burst, WorkerDied) and not burst.blames_program
                    raise (ParentLostError if lost else ParentFailedError)(why(burst))
                return {"failure": f"while it was timed: {why(burst)}"}
            bursts.append(burst)
        usable = screened_gain_pct(pair_up(plan, bursts).candidates[CANDIDATE]) is not None
        return {
            "bursts": BURSTS.dump_python(tuple(bursts), mode="json"),
            **({} if usable else {"failure": "its timings are of no use"}),
        }


def _no_time(deadline: Deadline) -> str:
    return f"not timed: its part of the {deadline.limit_s:g} s was over (see {deadline.stated_by})"


def _wrong(result: CheckResult) -> str:
    """In what way an output is wrong: the first violation, as the check tells it."""
    found = f": {result.violations[0].found}" if result.violations else ""
    return f"its output is wrong at full size{found}"
