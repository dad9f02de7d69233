"""Families of clones on a real GPU: how often is one taken for faster than the original?

    PYTHONPATH=src python benchmarks/aa_families.py --out FILE [--families 100] [--minutes 5]
                                                    [--budget quick] [--clones 32]
                                                    [--call-us 500] [--idle-steps 0]

Each family goes the way of an answer: every clone is screened beside the parent, the better ones
again as the budget says, the best is timed afresh in new workers, and `decide` decides. No minimum
gain is asked for, so whatever is accepted is an error. `--call-us` is the time of a call for which
bursts are planned: the more, the fewer calls a burst, and the noisier and the quicker a family.
Prints the rate with its 95 % interval, and how much workers and bursts of one program differ.
Appends a line of JSON a family; a later run goes on after the last one.

With `--idle-steps` the original makes so many steps of its loop more than it must (it has 64), and
one candidate does not: then only accepting that one is right.
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from aa_simulation import exact_interval
from product import KERNEL, PROBLEM, PROGRAM

from warpwright.bench.processes import open_bench
from warpwright.bench.statistics.budget import BUDGETS
from warpwright.bench.statistics.family import choose_again, choose_finalists, screened_gain_pct
from warpwright.bench.statistics.minimum import Minimum
from warpwright.bench.statistics.schedule import PARENT, pair_up, plan_screening
from warpwright.sandbox.deadline import Deadline
from warpwright.search.final_decision import decide_on
from warpwright.search.open_trial import Table
from warpwright.store.ledger import Ledger
from warpwright.store.measured_points import MeasuredPoints
from warpwright.types.measurement import Burst, BurstPair, Outcome
from warpwright.types.progress import silent
from warpwright.types.shapes import Problem

CLONE = "clone"
FASTER = "faster"
CALL_US = 500.0  # with clearing the L2 and making inputs, so that a burst is not far longer
NO_MINIMUM = Minimum(0.0, 0.0)
SOURCE = PROGRAM.replace("STAGES", "3")
LOOP, STEP = "range(0, k, DEPTH)", 32


def screen(table: Table, names: Sequence[str], call_us: float) -> dict[str, list[BurstPair]]:
    """Bursts of every candidate beside the parent. Clones are one program and share a worker."""
    bench, budget = table.bench, table.budget
    workers = {who: bench.pool.take() for who in (PARENT, *{program_of(name) for name in names})}
    for who, worker in workers.items():
        worker.load(bench.program(SOURCE if who == FASTER else bench.parent))
        bench.warm_up(worker, budget.warm_up_us / 1e6)
    seats = {who: number for number, who in enumerate(workers)}
    screened = {}
    for name in names:
        ours = program_of(name)
        plan = plan_screening(budget, ours, call_us, seed=secrets.randbelow(2**31))
        bursts = []
        for step in plan:
            who = step.seat.program
            burst = bench.burst(workers[who], who, seats[who], step.calls, order=step.order)
            assert isinstance(burst, Burst), burst
            bursts.append(burst)
        screened[name] = list(pair_up(plan, bursts).candidates[ours])
    for worker in workers.values():
        bench.pool.give_back(worker)
    return screened


def program_of(name: str) -> str:
    return FASTER if name == FASTER else CLONE


def family(table: Table, names: Sequence[str], call_us: float) -> dict[str, Any]:
    """What became of one family."""
    started = time.monotonic()
    screened = screen(table, names, call_us)
    screenings = 1
    while screenings < table.budget.screenings and (again := choose_again(screened, table.budget)):
        for name, pairs in screen(table, again, call_us).items():
            screened[name] += _in_new_workers(pairs, screenings)
        screenings += 1
    row: dict[str, Any] = {
        "screened_pct": {name: screened_gain_pct(pairs) for name, pairs in screened.items()},
        "screenings": screenings,
        "screening_s": round(time.monotonic() - started, 2),
        "outcome": str(Outcome.KEEP),
    }
    best = choose_finalists(screened, replace(table.budget, finalists=1))
    if best:
        source = SOURCE if best[0] == FASTER else table.bench.parent
        final = decide_on(table, source, call_us=call_us, minimum=NO_MINIMUM, tried=len(names))
        row |= {"best": best[0], "failure": final.failure}
        if final.comparison is not None:
            row |= asdict(final.comparison) | {"outcome": str(final.comparison.outcome)}
        row["burst_medians_us"] = [
            [burst.program, burst.worker, statistics.median(burst.times_us)]
            for burst in final.bursts
        ]
    row["wall_s"] = round(time.monotonic() - started, 2)
    return row


def _in_new_workers(pairs: Sequence[BurstPair], screening: int) -> list[BurstPair]:
    """The pairs of a later screening, told apart from those of the ones before."""

    def moved(burst: Burst) -> Burst:
        return replace(burst, worker=burst.worker + 3 * screening)

    return [BurstPair(moved(pair.parent), moved(pair.candidate)) for pair in pairs]


def noises_pct(rows: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Standard deviations of one program's times, in percent: of workers, and of a worker's bursts.

    Medians over families; what bursts add to a worker's median is taken off.
    """
    of_workers, of_bursts = [], []
    for row in rows:
        by_worker = defaultdict(list)
        for _, worker, time_us in row.get("burst_medians_us", ()):
            by_worker[worker].append(time_us)
        if len(by_worker) < 2:
            continue
        rounds = statistics.fmean(map(len, by_worker.values()))
        own = [statistics.fmean(times_us) for times_us in by_worker.values()]
        within = statistics.fmean(map(statistics.variance, by_worker.values()))
        between = max(0.0, statistics.variance(own) - within / rounds)
        of_workers.append(100 * between**0.5 / statistics.fmean(own))
        of_bursts.append(100 * within**0.5 / statistics.fmean(own))
    return statistics.median(of_workers), statistics.median(of_bursts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", type=int, default=100)
    parser.add_argument("--clones", type=int, default=32)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--budget", choices=sorted(BUDGETS), default="quick")
    parser.add_argument("--call-us", type=float, default=CALL_US)
    parser.add_argument("--idle-steps", type=int, default=0)
    parser.add_argument("--device", default="cuda", help="cpu: Triton's interpreter, for a try")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows = []
    if options.out.exists():
        rows = [json.loads(line) for line in options.out.read_text().splitlines()]
    if len(rows) < options.families:
        measure(options, rows)
    accepted = [row for row in rows if row["outcome"] == Outcome.ACCEPT]
    low, high = exact_interval(len(accepted), len(rows))
    print(f"accepted {len(accepted)} of {len(rows)} families: 95 % {low:.2%} to {high:.2%}")
    right = [row["gain_pct"] for row in accepted if row["best"] == FASTER]
    if right:
        gains = f"{min(right):.2f} to {max(right):.2f} %, median {statistics.median(right):.2f} %"
        print(f"{len(right)} of them are the faster one, by {gains}")
    worker_pct, burst_pct = noises_pct(rows)
    print(f"workers of one program differ by {worker_pct:.2f} %, bursts by {burst_pct:.2f} %")


def measure(options: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Families until there are enough or time is up; rows go to the file and to `rows`."""
    until = time.monotonic() + 60 * options.minutes
    budget = BUDGETS[options.budget]
    original = SOURCE.replace(LOOP, f"range(0, k + {STEP * options.idle_steps}, DEPTH)")
    names = [f"{CLONE} {number}" for number in range(options.clones)]
    if options.idle_steps:
        names[len(names) // 2] = FASTER
    with (
        tempfile.TemporaryDirectory(prefix="warpwright-families-") as name,
        open_bench(
            Problem(source=PROBLEM), original, [KERNEL], device=options.device, spares=8
        ) as bench,
    ):
        failed = bench.open()
        assert failed is None, failed
        while len(rows) < options.families and time.monotonic() < until:
            session = Ledger(Path(name)).session(f"family {len(rows)}")
            deadline = Deadline(budget.wall_s, "--effort")
            table = Table(bench, session, budget, silent, deadline, MeasuredPoints(Path(name)))
            row = {"family": len(rows), "budget": budget.name, "planned_call_us": options.call_us}
            row["idle_steps"] = options.idle_steps
            row |= family(table, names, options.call_us)
            row["gpu"] = None if bench.gpu is None else asdict(bench.gpu)
            rows.append(row)
            with options.out.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
            shown = {key: row.get(key) for key in ("family", "outcome", "gain_pct", "wall_s")}
            print(json.dumps(shown), flush=True)


if __name__ == "__main__":
    main()
