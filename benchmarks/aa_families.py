"""Families of identical clones on a real GPU: how often is one taken for faster than the original?

    PYTHONPATH=src python benchmarks/aa_families.py --out FILE [--families 100] [--minutes 5]
                                                    [--budget quick] [--clones 32]

Each family goes the way of an answer: every clone is checked at full size and screened beside the
parent, the best is timed afresh in new workers, and `decide` decides. No minimum gain is asked
for, so whatever is accepted is an error. Prints the rate with its 95 % interval. Appends a line
of JSON a family; a later run goes on after the last one.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from aa_simulation import exact_interval
from product import KERNEL, PROBLEM, PROGRAM

from warpwright.ledger import Ledger
from warpwright.measure.budget import BUDGETS
from warpwright.measure.family import choose_finalists
from warpwright.measure.minimum import Minimum
from warpwright.measuring import open_bench
from warpwright.trials.entrants import Entrant
from warpwright.trials.finals import decide_on
from warpwright.trials.measured import pairs_of
from warpwright.trials.screening import Screening
from warpwright.trials.setup import Table
from warpwright.types.config import Config
from warpwright.types.measurement import Outcome
from warpwright.types.progress import silent
from warpwright.types.shapes import Problem

NO_MINIMUM = Minimum(0.0, 0.0)
SOURCE = PROGRAM.replace("STAGES", "3")
CONFIG = Config.of({"ROWS": 128, "COLUMNS": 128, "DEPTH": 32}, 8, 3)


def clones(count: int) -> list[Entrant]:
    """The program itself, under other names."""
    return [
        Entrant(f"clone {number}", CONFIG, True, f"{SOURCE}\n# clone {number}\n", {})
        for number in range(count)
    ]


def family(table: Table, screening: Screening, entrants: list[Entrant]) -> dict[str, Any]:
    """What became of one family."""
    started = time.monotonic()
    trials = {trial.kernel: trial for trial in screening.run(entrants)}
    screened_s = time.monotonic() - started
    failed = [trial.failure for trial in trials.values() if trial.failure is not None]
    usable = {name: pairs_of(t) for name, t in trials.items() if t.failure is None}
    best = choose_finalists(usable, replace(table.budget, finalists=1))
    row: dict[str, Any] = {
        "screened": {name: trial.gain_pct for name, trial in trials.items()},
        "screening_s": round(screened_s, 2),
        "failed": failed,
        "outcome": str(Outcome.KEEP),
    }
    if best:
        chosen = trials[best[0]]
        source = next(entrant.source for entrant in entrants if entrant.kernel == best[0])
        assert chosen.parent_us is not None
        final = decide_on(
            table, source, call_us=chosen.parent_us, minimum=NO_MINIMUM, tried=len(entrants)
        )
        row |= {"best": best[0], "failure": final.failure}
        if final.comparison is not None:
            row |= asdict(final.comparison) | {"outcome": str(final.comparison.outcome)}
        row["burst_medians_us"] = [
            [burst.program, burst.worker, sorted(burst.times_us)[len(burst.times_us) // 2]]
            for burst in final.bursts
        ]
    row["wall_s"] = round(time.monotonic() - started, 2)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", type=int, default=100)
    parser.add_argument("--clones", type=int, default=32)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--budget", choices=sorted(BUDGETS), default="quick")
    parser.add_argument("--device", default="cuda", help="cpu: Triton's interpreter, for a try")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows = []
    if options.out.exists():
        rows = [json.loads(line) for line in options.out.read_text().splitlines()]
    until = time.monotonic() + 60 * options.minutes
    budget, entrants = BUDGETS[options.budget], clones(options.clones)
    with (
        tempfile.TemporaryDirectory(prefix="warpwright-families-") as name,
        open_bench(
            Problem(source=PROBLEM), SOURCE, [KERNEL], device=options.device, spares=6
        ) as bench,
    ):
        failed = bench.open()
        assert failed is None, failed
        while len(rows) < options.families and time.monotonic() < until:
            session = Ledger(Path(name)).session(f"family {len(rows)}")
            table = Table(bench, session, budget, silent)
            with Screening(table) as screening:
                screening.start()
                row = family(table, screening, entrants)
            row = {"family": len(rows), "budget": budget.name, **row}
            row["gpu"] = None if bench.gpu is None else asdict(bench.gpu)
            rows.append(row)
            with options.out.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
            shown = {key: row.get(key) for key in ("family", "outcome", "gain_pct", "wall_s")}
            print(json.dumps(shown), flush=True)
    accepted = sum(row["outcome"] == Outcome.ACCEPT for row in rows)
    low, high = exact_interval(accepted, len(rows))
    print(f"accepted {accepted} of {len(rows)} families: 95 % {low:.2%} to {high:.2%}")


if __name__ == "__main__":
    main()
