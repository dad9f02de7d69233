"""The emitted program against its parent: accuracy in full, fresh timings, the decision."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pydantic import TypeAdapter

from warpwright.bench.device.worker import Program, Worker
from warpwright.bench.full_size import Checked, NotWantedError
from warpwright.bench.statistics.family import decide_finalists
from warpwright.bench.statistics.minimum import Minimum
from warpwright.bench.statistics.schedule import PARENT, PlannedBurst, Seat, pair_up, plan_finalists
from warpwright.search.kept_trials import BURSTS, CHECK
from warpwright.search.open_trial import GIVEN_UP, TUNING_S, Table, digest, why
from warpwright.search.pinned_programs import Entrant
from warpwright.search.screening import SCREENED_CASES, ParentFailedError
from warpwright.types.config import Config
from warpwright.types.measurement import Burst, Comparison
from warpwright.types.verdict import AccuracyCase, CheckResult, Status
from warpwright.types.worker_reply import Answer, Done

ANSWER = "answer"
CASES = TypeAdapter(tuple[AccuracyCase, ...])


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Accuracy at full size of one program or config. `failure`: what ended it early."""

    result: CheckResult
    cases: tuple[AccuracyCase, ...]
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Final:
    """A decision with its raw samples; `failure` where there is none."""

    comparison: Comparison | None
    bursts: tuple[Burst, ...] = ()
    failure: str | None = None


def check_in_full(
    table: Table, entrants: Sequence[Entrant], is_unwanted: Callable[[], bool] = lambda: False
) -> dict[str, Accuracy]:
    """Each config that is handed out, by the entrant's name: on every kind of data, or on two where
    the budget says so. Raises NotWantedError as soon as they are."""
    found: dict[str, Accuracy] = {}
    cases = None if table.budget.every_kind else SCREENED_CASES
    for number, entrant in enumerate(entrants, 1):
        if is_unwanted():
            raise NotWantedError
        table.tell("accuracy", f"full size, {number} of {len(entrants)}: {entrant.label}")
        program = table.bench.program(entrant.source, entrant.pins)
        item = f"check {entrant.name} in {digest(entrant.source)}"
        label = str(entrant.config)
        found[entrant.name] = _check(table, item, program, label, cases, is_unwanted)
    return found


def check_program(
    table: Table,
    source: str,
    pins: Sequence[Mapping[str, Config]] = ({},),
    is_unwanted: Callable[[], bool] = lambda: False,
) -> Accuracy:
    """Every kind of data for a whole program, with its own tuner.

    `pins`: its configs one by one, so that they are compiled side by side before it tunes. Raises
    NotWantedError as soon as it `is_unwanted`.
    """
    if is_unwanted():
        raise NotWantedError
    table.compile_ahead([table.bench.program(source, pin) for pin in pins])
    table.tell("accuracy", "full size: the program as it is handed out")
    item, program = f"check {digest(source)}", table.bench.program(source)
    return _check(table, item, program, "as handed out", None, is_unwanted)


def _check(
    table: Table,
    item: str,
    program: Program,
    label: str,
    cases: Sequence[str] | None,
    is_unwanted: Callable[[], bool],
) -> Accuracy:
    def work() -> Mapping[str, Any]:
        worker = table.bench.pool.take()
        try:
            return _encoded(
                table.bench.full_size.check(worker, program, label, cases, None, is_unwanted)
            )
        finally:
            table.bench.pool.give_back(worker)

    given_up = Checked(CheckResult("accuracy", Status.NOT_VERIFIED, notes=(GIVEN_UP,)))
    result = table.once(item, work, {**_encoded(given_up), "failure": GIVEN_UP})
    return Accuracy(
        CHECK.validate_python(result["result"]),
        CASES.validate_python(result["cases"]),
        result["failure"],
    )


def _encoded(checked: Checked) -> dict[str, Any]:
    return {
        "result": CHECK.dump_python(checked.result, mode="json"),
        "cases": CASES.dump_python(checked.cases, mode="json"),
        "failure": None if checked.failure is None else why(checked.failure),
    }


def decide_on(table: Table, source: str, *, call_us: float, minimum: Minimum, tried: int) -> Final:
    """Time a program against its parent in groups of new workers, and decide.

    After the groups of each look that the budget has; later ones follow only where an earlier one
    leaves it open. `call_us`: the parent's time a call. Raises ParentFailedError.
    """
    name, looks = digest(source), table.budget.looks
    seed = int(table.once(f"plan {name}", _draw_seed, _draw_seed())["seed"])
    plan = plan_finalists(table.budget, [ANSWER], call_us, seed=seed)
    bursts: list[Burst] = []
    for done, groups in pairwise((0, *looks)):
        for group in range(done, groups):
            if table.deadline.over:
                return Final(None, tuple(bursts), table.deadline.reason)
            table.tell("decide", f"fresh timings: group {group + 1} of {groups}")
            planned = [step for step in plan if step.seat.group == group]
            result = table.once(
                f"group {group} of {name}",
                lambda planned=planned: _Group(table, source).run(planned),  # type: ignore[misc]
                {"failure": GIVEN_UP},
            )
            if result.get("failure"):
                return Final(None, tuple(bursts), f"while it was timed: {result['failure']}")
            bursts += BURSTS.validate_python(result["bursts"])
        pairs = pair_up(plan, bursts)
        verdicts = decide_finalists(
            pairs.candidates, pairs.same, minimum=minimum, tried=tried, looks=len(looks)
        )
        if not verdicts.undecided:
            break
    return Final(verdicts.comparisons[ANSWER], tuple(bursts))


def _draw_seed() -> Mapping[str, Any]:
    return {"seed": secrets.randbelow(2**31)}


class _Group:
    """One group: new workers for two copies of the parent and for the answer."""

    def __init__(self, table: Table, source: str) -> None:
        self._table = table
        self._source = source

    def run(self, planned: Sequence[PlannedBurst]) -> Mapping[str, Any]:
        bench = self._table.bench
        for pool in (bench.pool, bench.compilers):
            pool.let_go()  # three new workers may need all the memory that the card has
        kept = secrets.choice([step.order for step in planned if step.seat.program == ANSWER])
        bursts: list[Burst] = []
        with ExitStack() as opened:
            seats = list(dict.fromkeys(step.seat for step in planned))
            workers: dict[Seat, Worker] = {}
            for seat in seats:
                workers[seat] = worker = bench.pool.take(fresh=True)
                opened.callback(bench.pool.give_back, worker)
            with ThreadPoolExecutor(max_workers=len(seats)) as side_by_side:
                loaded = list(side_by_side.map(lambda seat: self._load(workers[seat], seat), seats))
            for seat, answer in zip(seats, loaded, strict=True):
                failed = self._ready(workers[seat], seat, answer)
                if failed is not None:
                    return {"failure": failed}
            for step in planned:
                number = step.seat.group * len(seats) + seats.index(step.seat)
                worker, keep = workers[step.seat], step.order == kept
                burst = bench.burst(
                    worker, step.seat.program, number, step.calls, order=step.order, keep=keep
                )
                if not isinstance(burst, Burst):
                    return {"failure": self._failed(step.seat, why(burst))}
                bursts.append(burst)
                parent = workers[Seat(step.seat.group, PARENT)]
                if keep and (wrong := self._wrong(worker, parent)) is not None:
                    return {"failure": wrong}
        return {"bursts": BURSTS.dump_python(tuple(bursts), mode="json")}

    def _load(self, worker: Worker, seat: Seat) -> Answer:
        """Load the seat's program, which disturbs no one: nothing is timed meanwhile."""
        bench = self._table.bench
        return worker.load(bench.program(bench.parent if seat.program == PARENT else self._source))

    def _ready(self, worker: Worker, seat: Seat, answer: Answer) -> str | None:
        """Tune and warm up what was loaded; why not, for the answer. Raises ParentFailedError."""
        if isinstance(answer, Done):
            warm_up_s = self._table.budget.warm_up_us / 1e6
            answer = worker.time(
                0,
                seed=secrets.randbelow(2**31),
                warm_up_s=warm_up_s,
                deadline_s=self._table.within(TUNING_S),
            )
        return None if isinstance(answer, Done) else self._failed(seat, why(answer))

    def _failed(self, seat: Seat, reason: str) -> str:
        if seat.program == PARENT:
            raise ParentFailedError(reason)
        return reason

    def _wrong(self, worker: Worker, parent: Worker) -> str | None:
        """Judge the output that the burst kept, from a call chosen at random."""
        case = self._table.bench.check_kept(worker, "timed", parent)
        if isinstance(case, AccuracyCase):
            failed = case.gating and case.status is Status.FAIL
            return f"the output of a timed call is wrong: {case.reason}" if failed else None
        return None if case is None else self._failed(Seat(0, ANSWER), why(case))
