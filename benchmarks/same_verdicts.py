"""Are answers and verdicts the same before and after a redesign?

    python benchmarks/same_verdicts.py make OUT.jsonl [--recorded DIR] [--adversarial DIR]
        [--what answers,replies,adversarial] [--at-once N] [--time-limit S] [--stop-after S]
    python benchmarks/same_verdicts.py compare BEFORE.jsonl AFTER.jsonl

`make` goes through the recorded requests (`DIR/cases/recorded.jsonl.gz`, as `recorded.py` tells;
default: the environment's WARPWRIGHT_CASES): every tuning request is answered and its answer put
before `check`; every recorded reply is checked. `--adversarial` names a folder with
`manifest.json`, `requests/`, `replies/` and `base/`; each of its replies is checked too. A row each
goes to OUT as it comes, and one that OUT has is not made again. Several run at once, each on two
cores of its own where there are so many, in a process of its own, without a GPU.

What takes longer than the time limit shows as `in_time: false`: such rows depend on the machine,
and `compare` lists them apart. A row holds digests of programs, rule ids, lines and statuses;
nothing of the texts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import queue
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]
CORES_EACH = 2
KILLED_AFTER = 4.0  # times the limit: the answer, its check, and what starting takes


def jobs(options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Kind and name of everything to do; answers first, which take longest."""
    from recorded import TUNING, cases

    wanted = options.what.split(",")
    if "answers" in wanted:
        yield from (("answers", str(number)) for number, _ in cases(TUNING))
    if "adversarial" in wanted and options.adversarial:
        manifest = json.loads((options.adversarial / "manifest.json").read_text())
        yield from (("adversarial", name) for name in sorted(manifest))
    if "replies" in wanted:
        for number, case in cases():
            if case.get("reply") and case.get("reply_runnable") is not None:
                yield "replies", str(number)


def answer_row(number: str, time_limit_s: float) -> Row:
    """A tuning request answered, and the verdict on its answer's program."""
    from recorded import cases, problem_of

    from warpwright.formats.reply import parse_reply
    from warpwright.formats.request_text import parse_request
    from warpwright.pipeline.answer_request import answer_request
    from warpwright.pipeline.check_reply import check_reply

    case = dict(cases())[int(number)]
    request, problem = parse_request(case["request"]), problem_of(case)
    answer = answer_request(request, run_context(time_limit_s), problem)
    row: Row = {
        "decision": str(answer.decision),
        "program": digest(answer.program),
        "moves": [move.name for move in answer.moves],
        "own": verdict(answer.gate),
    }
    gate = check_reply(request, parse_reply(answer.program), run_context(time_limit_s), problem)
    return row | {"check": verdict(gate)}


def reply_row(number: str, time_limit_s: float) -> Row:
    """The verdict on a recorded reply."""
    from recorded import cases, problem_of

    case = dict(cases())[int(number)]
    gate = checked(case["request"], case["reply"], problem_of(case), time_limit_s)
    return {"ran": case["reply_runnable"], "stage": case["stage"], "check": gate}


def adversarial_row(folder: Path, name: str, time_limit_s: float) -> Row:
    """The verdict on a reply of the adversarial folder."""
    from warpwright.formats.kernelbench import read_problem

    told = json.loads((folder / "manifest.json").read_text())[name]
    request = (folder / "requests" / f"{told['program']}-{told['stage']}.txt").read_text()
    reply = next((folder / "replies").glob(f"{name}*.py")).read_text()
    problem = read_problem((folder / "base" / f"{told['program']}_problem.py").read_text())
    return {"honest": told["honest"], "check": checked(request, reply, problem, time_limit_s)}


def checked(request: str, reply: str, problem: Any, time_limit_s: float) -> Row:
    from warpwright.formats.reply import parse_reply
    from warpwright.formats.request_text import parse_request
    from warpwright.pipeline.check_reply import check_reply

    parsed = parse_request(request), parse_reply(reply)
    return verdict(check_reply(*parsed, run_context(time_limit_s), problem))


def run_context(time_limit_s: float) -> Any:
    from warpwright.sandbox.deadline import Deadline
    from warpwright.store.cache import ResultCache
    from warpwright.store.run_context import RunContext

    return RunContext(ResultCache(), deadline=Deadline(time_limit_s))


def verdict(gate: Any) -> Row:
    """Rule by rule: each check's status, and the rule and line of each violation."""
    from warpwright.types.verdict import NOT_IN_TIME

    notes = [note for result in gate.results for note in result.notes]
    reasons = [case.reason or "" for case in gate.accuracy_cases]
    return {
        "checks": {result.check: str(result.status) for result in gate.results},
        "violations": sorted([v.rule, v.line or 0] for v in gate.violations),
        "in_time": not any(NOT_IN_TIME in told for told in (*notes, *reasons)),
    }


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def made(kind: str, name: str, options: argparse.Namespace) -> Row:
    """A row; what cannot be made says why."""
    from warpwright.errors import InputError

    begun = time.monotonic()
    try:
        if kind == "answers":
            row = answer_row(name, options.time_limit)
        elif kind == "replies":
            row = reply_row(name, options.time_limit)
        else:
            row = adversarial_row(options.adversarial, name, options.time_limit)
    except InputError as error:
        row = {"refused": type(error).__name__}
    except Exception as error:  # a bug of ours is a result too, and the others go on
        traceback.print_exc()
        row = {"internal": type(error).__name__}
    return {"kind": kind, "name": name, **row, "wall_s": round(time.monotonic() - begun, 1)}


def child(cores: list[int], kind: str, name: str, options: argparse.Namespace, out: Any) -> None:
    os.sched_setaffinity(0, cores)
    with tempfile.TemporaryDirectory(prefix="verdicts-") as folder:
        os.environ["WARPWRIGHT_CACHE_DIR"] = folder
        out.put(made(kind, name, options))


def work(
    cores: list[int], todo: queue.Queue[tuple[str, str]], options: argparse.Namespace,
    keep: Callable[[Row], None],
) -> None:  # fmt: skip
    """Take one after the other until nothing is left or the time is over."""
    context = multiprocessing.get_context("spawn")
    while time.monotonic() < options.stop_at:
        try:
            kind, name = todo.get_nowait()
        except queue.Empty:
            return
        results = context.Queue()
        process = context.Process(target=child, args=(cores, kind, name, options, results))
        process.start()
        try:
            keep(results.get(timeout=KILLED_AFTER * options.time_limit))
        except queue.Empty:
            keep({"kind": kind, "name": name, "refused": "killed", "wall_s": -1})
        process.join(5)
        process.kill()


def make(options: argparse.Namespace) -> None:
    before = read(options.out) if options.out.exists() else {}
    todo: queue.Queue[tuple[str, str]] = queue.Queue()
    for job in jobs(options):
        if job not in before:
            todo.put(job)
    cores = sorted(os.sched_getaffinity(0))
    lock, total = threading.Lock(), todo.qsize()
    with options.out.open("a") as out:

        def keep(row: Row) -> None:
            with lock:
                print(json.dumps(row), file=out, flush=True)
                print(f"{row['kind']} {row['name']}: {row['wall_s']} s", file=sys.stderr)

        threads = []
        for number in range(min(options.at_once, max(total, 1))):
            first = number * CORES_EACH % len(cores)
            own = (cores * 2)[first : first + CORES_EACH]
            threads.append(threading.Thread(target=work, args=(own, todo, options, keep)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print(summary(read(options.out)))


def read(path: Path) -> dict[tuple[str, str], Row]:
    rows = map(json.loads, path.read_text().splitlines())
    return {(row["kind"], row["name"]): row for row in rows}


def in_time(row: Mapping[str, Any]) -> bool:
    return row.get("refused") != "killed" and all(
        row[part]["in_time"] for part in ("own", "check") if part in row
    )


def fails(row: Mapping[str, Any]) -> bool:
    return "check" in row and "fail" in row["check"]["checks"].values()


def summary(rows: Mapping[tuple[str, str], Row]) -> str:
    """How many of each kind, and what is known of them."""
    lines = []
    for kind in ("answers", "replies", "adversarial"):
        own = [row for row in rows.values() if row["kind"] == kind]
        if not own:
            continue
        failing = [
            r["name"] for r in own if "fail" in r.get("check", {}).get("checks", {}).values()
        ]
        late = [row["name"] for row in own if not in_time(row)]
        odd = [row["name"] for row in own if "internal" in row or "refused" in row]
        seconds = sorted(row["wall_s"] for row in own)
        lines.append(
            f"{kind}: {len(own)}; refused by check {len(failing)}; not in time {late}; "
            f"no verdict {odd}; median {seconds[len(seconds) // 2]} s, longest {seconds[-1]} s"
        )
        if kind == "answers":
            changed = sum(row.get("decision") == "changed" for row in own)
            lines.append(f"  changed {changed}, refused by their own check: {failing}")
    return "\n".join(lines)


def compare(before: Path, after: Path) -> int:
    """Print every difference; the number of those that time does not explain."""
    old, new = read(before), read(after)
    differing = late = 0
    for key in sorted(old.keys() & new.keys()):
        one, other = ({k: v for k, v in r[key].items() if k != "wall_s"} for r in (old, new))
        if one == other:
            continue
        timely = in_time(one) and in_time(other)
        differing, late = differing + timely, late + (not timely)
        print(f"{' '.join(key)}{'' if timely else ' (not in time)'}:")
        for part in sorted(one.keys() | other.keys()):
            if one.get(part) != other.get(part):
                print(f"  {part}: {one.get(part)} -> {other.get(part)}")
    missing = sorted(old.keys() ^ new.keys())
    print(f"{len(old.keys() & new.keys())} compared: {differing} differ, {late} more that ran out "
          f"of time; {len(missing)} in one file only")  # fmt: skip
    return differing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    maker = commands.add_parser("make")
    maker.add_argument("out", type=Path)
    maker.add_argument("--recorded", type=Path, help="instead of WARPWRIGHT_CASES")
    maker.add_argument("--adversarial", type=Path)
    maker.add_argument("--what", default="answers,adversarial,replies")
    maker.add_argument("--at-once", type=int, default=1)
    maker.add_argument("--time-limit", type=float, default=120.0)
    maker.add_argument("--stop-after", type=float, default=1e9, help="start nothing after this")
    comparer = commands.add_parser("compare")
    comparer.add_argument("before", type=Path)
    comparer.add_argument("after", type=Path)
    options = parser.parse_args()
    if options.command == "compare":
        sys.exit(1 if compare(options.before, options.after) else 0)
    options.stop_at = time.monotonic() + options.stop_after
    if options.recorded is not None:
        os.environ["WARPWRIGHT_CASES"] = str(options.recorded)
    make(options)


if __name__ == "__main__":
    main()
