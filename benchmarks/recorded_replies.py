"""What `check` says of recorded model replies, against what became of them on a GPU.

    WARPWRIGHT_CASES=DIR python benchmarks/recorded_replies.py --out FILE [selection]

One row a case goes to FILE as it comes; cases that FILE has already are not done again, so a run
that is cut off goes on where it stopped. Two numbers come last, over all rows of FILE:

- of the replies that did not run on the GPU, how many are refused without one;
- of those that ran, which are refused for another reason than a stage rule, a name or accuracy.

The rows hold rule ids and kinds of errors, nothing of the recorded texts; `--why` prints what was
found to stderr, for a person to judge. Without `--accuracy` nothing is interpreted, which is most
of the time that a check takes: a later run with `--accuracy` does over what was accepted.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from recorded import cases, problem_of

from warpwright.errors import InputError
from warpwright.formats.reply import parse_reply
from warpwright.formats.request_text import parse_request
from warpwright.pipeline.check_reply import check_reply
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.verdict import Status, Verdict

RULE_CHECKS = frozenset({"rules", "names", "accuracy"})


def judged(case: Mapping[str, Any], *, accuracy: bool, why: bool) -> dict[str, Any]:
    """One reply's row, without what case it is."""
    started = time.monotonic()
    try:
        request, reply = parse_request(case["request"]), parse_reply(case["reply"])
        run_context = RunContext(cache=ResultCache())
        gate = check_reply(request, reply, run_context, problem_of(dict(case)), accuracy=accuracy)
    except InputError as error:
        if why:
            print(f"    {error.render()}", file=sys.stderr)
        return {"result": "not checked", "by": ["input"], "wall_s": time.monotonic() - started}
    if why:
        for told in (*gate.violations, *(n for r in gate.results for n in r.notes)):
            print(f"    {str(told)[:400]}", file=sys.stderr)
    failed = [result.check for result in gate.results if result.status is Status.FAIL]
    statuses = {result.check: str(result.status) for result in gate.results}
    return {
        "result": "refused" if failed else "accepted",
        "by": failed,
        "rules": sorted({violation.rule for violation in gate.violations}),
        "accuracy": statuses.get("accuracy"),
        **distance(gate),
        "dot": "tl.dot" in request.program + reply.program,
        "wall_s": round(time.monotonic() - started, 1),
    }


def distance(gate: Verdict) -> dict[str, Any]:
    """How far the outputs are from the parent's at the worst, and how many runs were compared."""
    compared = [case for case in gate.accuracy_cases if case.gating and case.launched]
    away = [case.error.relative_l2 for case in compared if case.error is not None]
    furthest = max(away, default=0.0 if any(c.bit_equal_to_parent for c in compared) else None)
    finite = furthest is None or math.isfinite(furthest)
    return {"compared": len(compared), "furthest": furthest if finite else "inf"}


def chosen(options: argparse.Namespace) -> Iterator[tuple[int, dict[str, Any]]]:
    """The recorded cases with a reply that was run, as the options select them."""
    for number, case in cases():
        ran = case.get("reply_runnable")
        if (
            case.get("reply")
            and ran is not None
            and options.first <= number <= options.last
            and options.level in (None, case["level"])
            and options.ran in (None, "yes" if ran else "no")
        ):
            yield number, case


def kept_rows(path: Path) -> dict[int, dict[str, Any]]:
    """Case → its latest row in the file."""
    if not path.exists():
        return {}
    rows = (json.loads(line) for line in path.read_text().splitlines())
    return {row["case"]: row for row in rows}


def is_done(row: Mapping[str, Any] | None, *, accuracy: bool) -> bool:
    """Whether a row says all that this run would find."""
    if row is None:
        return False
    return not accuracy or row["result"] == "refused" or bool(row.get("interpreted"))


def summary(rows: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """The two numbers, and what they are made of."""
    failed = [row for row in rows.values() if not row["ran"]]
    ran = [row for row in rows.values() if row["ran"]]
    refused = [row for row in failed if row["result"] == "refused"]
    others = [r["case"] for r in ran if r["result"] != "accepted" and not by_rule(r)]
    return {
        "did not run": len(failed),
        "of these refused": len(refused),
        "refused_pct": round(100 * len(refused) / len(failed), 1) if failed else None,
        "ran": len(ran),
        "of these refused by rules, names or accuracy alone": sum(map(by_rule, ran)),
        "of these refused by something else": others,
    }


def by_rule(row: Mapping[str, Any]) -> bool:
    """Whether nothing but stage rules, names and accuracy refuse it."""
    return row["result"] == "refused" and set(row["by"]) <= RULE_CHECKS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--level", choices=("level1", "level2", "level3"))
    parser.add_argument("--ran", choices=("yes", "no"), help="what became of them on the GPU")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--last", type=int, default=10**9)
    parser.add_argument("--accuracy", action="store_true", help="interpret what is accepted")
    parser.add_argument("--why", action="store_true", help="tell on stderr what was found")
    parser.add_argument("--budget-s", type=float, default=10**9, help="begin no case after this")
    options = parser.parse_args()
    rows = kept_rows(options.out)
    started = time.monotonic()
    with options.out.open("a") as out:
        for number, case in chosen(options):
            if is_done(rows.get(number), accuracy=options.accuracy):
                continue
            if time.monotonic() - started > options.budget_s:
                break
            if options.why:
                print(f"case {number}", file=sys.stderr, flush=True)
            row = {"case": number, "level": case["level"], "stage": case["stage"],
                   "ran": case["reply_runnable"], "interpreted": options.accuracy,
                   **judged(case, accuracy=options.accuracy, why=options.why)}  # fmt: skip
            rows[number] = row
            print(json.dumps(row), file=out, flush=True)
    print(json.dumps(summary(rows), indent=2))


if __name__ == "__main__":
    main()
