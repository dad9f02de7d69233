"""How often the criterion by counts is right: pairs of a program and the same with moves, timed.

    PYTHONPATH=src python benchmarks/criterion_pairs.py OUT.jsonl [--cases CASES.jsonl[.gz]]
        [--gpu here] [--processes 16] [--count-s 110] [--time-s 150] [--count-only]
    PYTHONPATH=src python benchmarks/criterion_pairs.py OUT.jsonl [--cases …] --gpu H200 \
        --count-s 1800 --recount TIMED.jsonl

Programs: the examples, and those of the requests in `CASES` (one JSON object a line: request,
inputs, init). Each is left one config a kernel. Processes count what each program would execute and
touch before and after its moves, as answers without a GPU do, compiled by this machine's Triton for
`--gpu`. Then some processes compile ahead, and at last each pair is timed alone: bursts of both
in turns, each call with a cold L2. A row a pair goes to `OUT`; the table comes last on stdout.
`--recount` counts pairs again that were timed before, after a change of the counting or of the
criterion: their times are kept, and a pair that is not found again (by program and moves, with the
parent's instructions as they were) keeps its row, marked `recounted: false`. It needs no GPU, but
the Triton that was timed.

Of what the criterion accepts at least 95 % should keep 0.98 of the speed; of what gains 10 % or
more it should accept at least 60 %.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from criterion.cases import cases_of
from criterion.counting import counted_pairs
from criterion.table import recounted, row_of, summary
from criterion.timing import timed_pairs


def main() -> None:
    options = _options()
    began = time.monotonic()
    names = None
    if options.recount is not None:
        timed_before = [json.loads(line) for line in options.recount.read_text().splitlines()]
        timed_before = [row for row in timed_before if row["speed"] is not None]
        names = {row["case"] for row in timed_before}
        options.each = 10**6
    cases = cases_of(options, names)
    print(f"{len(cases)} programs, {options.processes} processes", flush=True)
    pairs = counted_pairs(cases, options, began + options.count_s)
    print(f"{time.monotonic() - began:.0f} s: {len(pairs)} pairs are counted", flush=True)
    if options.recount is not None:
        rows = recounted(timed_before, pairs)
        options.out.write_text("".join(json.dumps(row) + "\n" for row in rows))
        print(summary(rows))
        return
    problems = {case.name: case.problem for case in cases}
    timed = {} if options.count_only else timed_pairs(pairs, problems, options.time_s)
    rows = [row_of(pair, timed.get(number)) for number, pair in enumerate(pairs)]
    options.out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(summary(rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--cases", type=Path, help="JSON lines of requests with inputs")
    parser.add_argument("--recount", type=Path, help="rows of pairs that were timed before")
    parser.add_argument("--only", help="numbers of cases, divided by commas")
    parser.add_argument("--gpu", default="here")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--programs", type=int, default=80, help="at most so many")
    parser.add_argument("--each", type=int, default=3, help="pairs of a program at most")
    parser.add_argument("--each-s", type=float, default=80.0, help="counting of a program")
    parser.add_argument("--count-s", type=float, default=110.0)
    parser.add_argument("--time-s", type=float, default=150.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count-only", action="store_true", help="no GPU: time nothing")
    return parser.parse_args()


if __name__ == "__main__":
    main()
