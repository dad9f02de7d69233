"""How far the evidence without a GPU goes over recorded requests.

    WARPWRIGHT_CASES=DIR python benchmarks/recorded.py WHAT [--out FILE] [--limit N]

`DIR` holds `cases/recorded.jsonl.gz`, one JSON object a line (request, init, inputs, reply,
reply_runnable, stage, level). WHAT:

    grids     the traced grid of some config equals the profile's launch__grid_size, and how far
              config inference narrows autotuned programs
    answers   every tuning request is answered; `--shapes no` without shapes
    replies   which recorded replies `check` refuses, against what became of them

One line a case goes to the output file as it comes, so that a run that is cut off keeps its
results; the summary comes last on stdout.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from warpwright import api
from warpwright.checking import check_reply
from warpwright.errors import InputError
from warpwright.formats.reply import parse_reply
from warpwright.formats.request import parse_request
from warpwright.resources.gpus import resolve_gpu
from warpwright.sandbox.cache import ResultCache
from warpwright.sandbox.trace import TraceFailed, trace_program
from warpwright.source.view import read_program
from warpwright.specialist import answer_request
from warpwright.study import Workbench
from warpwright.types.shapes import Problem, TensorSpec
from warpwright.types.verdict import Status

GRID_SIZE = "launch__grid_size"


def cases(stage: str | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """The recorded requests, numbered as they lie in the file."""
    path = Path(os.environ["WARPWRIGHT_CASES"]) / "cases" / "recorded.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        for number, line in enumerate(stream):
            case = json.loads(line)
            if stage is None or case["stage"] == stage:
                yield number, case


def problem_of(case: dict[str, Any]) -> Problem | None:
    """Shapes and constructor arguments as recorded; None where they are not known."""
    if not case.get("inputs"):
        return None
    inputs = tuple(as_input(entry) for entry in case["inputs"])
    args, kwargs = as_init(case.get("init"))
    return Problem(inputs=inputs, init_args=args, init_kwargs=kwargs, origin="recorded")


def as_input(entry: Any) -> Any:
    if isinstance(entry, dict) and "shape" in entry:
        dtype = str(entry.get("dtype", "float32")).removeprefix("torch.")
        return TensorSpec(tuple(entry["shape"]), dtype)
    if isinstance(entry, list):
        return TensorSpec(tuple(entry))
    return entry


def as_init(init: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(init, str):
        init = ast.literal_eval(init)
    if isinstance(init, dict):
        return (), init
    return tuple(init or ()), {}


def grids() -> Iterator[dict[str, Any]]:
    """Does a traced config launch as many blocks as the profile says?"""
    cache = ResultCache()
    for number, case in cases():
        problem = problem_of(case)
        if problem is None:
            continue
        request = parse_request(case["request"])
        sheet = resolve_gpu(request.gpu).sheet
        trace = trace_program(request.program, problem, gpu=sheet, cache=cache)
        if isinstance(trace, TraceFailed):
            yield {"case": number, "result": "no trace", "why": trace.reason}
            continue
        for kernel in request.profile.kernels:
            sizes = kernel.values(GRID_SIZE)
            launches = [x for x in trace.launches if x.kernel == kernel.kernel]
            if len(sizes) != 1 or not launches:
                continue  # the goal is about one profiled launch a kernel
            offered = {c.blocks for launch in launches for c in launch.configs}
            yield {
                "case": number,
                "kernel": kernel.kernel,
                "result": "equal" if sizes[0] in offered else "differs",
                "profile": sizes[0],
                "traced": sorted(offered),
            }


def narrowing() -> Iterator[dict[str, Any]]:
    """How far the profile narrows the configs of autotuned programs."""
    for number, case in cases():
        problem = problem_of(case)
        if problem is None or "@triton.autotune" not in case["request"]:
            continue
        started = time.monotonic()
        try:
            study = api.inspect(case["request"], problem=problem)
        except InputError as error:
            yield {"case": number, "result": "refused", "why": error.what}
            continue
        for kernel in study.kernels:
            if kernel.autotuned and len(kernel.configs) > 1:
                classes = {c.cubin_class for c in kernel.active}
                yield {
                    "case": number,
                    "kernel": kernel.kernel,
                    "result": "one class" if len(classes) == 1 else "several",
                    "classes": len(classes),
                    "of": len({c.cubin_class for c in kernel.configs}),
                    "reason": kernel.active_reason,
                    "wall_s": time.monotonic() - started,
                }


def answers(with_shapes: bool) -> Iterator[dict[str, Any]]:
    """Every tuning request answered; the answer obeys the gate and compiles."""
    for number, case in cases("advanced_memory"):
        problem = problem_of(case) if with_shapes else None
        started = time.monotonic()
        try:
            request = parse_request(case["request"])
            answer = answer_request(request, Workbench(cache=ResultCache()), problem)
        except InputError as error:
            wall_s = time.monotonic() - started
            yield {"case": number, "result": "refused", "why": error.render(), "wall_s": wall_s}
            continue
        read_program(answer.program)
        accuracy = [r for r in answer.gate.results if r.check == "accuracy"]
        yield {
            "case": number,
            "result": f"{answer.decision}, gate {answer.gate.status}",
            "reason": answer.reason,
            "accuracy": accuracy[0].status if accuracy else None,
            "notes": list(accuracy[0].notes) if accuracy else [],
            "violations": [str(v) for v in answer.gate.violations],
            "wall_s": time.monotonic() - started,
        }


def replies() -> Iterator[dict[str, Any]]:
    """What `check` says of recorded replies, beside whether they ran."""
    for number, case in cases():
        if not case.get("reply") or case.get("reply_runnable") is None:
            continue
        started = time.monotonic()
        row = {"case": number, "level": case["level"], "stage": case["stage"],
               "ran": case["reply_runnable"]}  # fmt: skip
        try:
            request, reply = parse_request(case["request"]), parse_reply(case["reply"])
            gate = check_reply(request, reply, Workbench(cache=ResultCache()), problem_of(case))
        except InputError as error:
            yield {**row, "result": "no program", "why": error.what}
            continue
        failed = [r.check for r in gate.results if r.status is Status.FAIL]
        yield {
            **row,
            "result": "refused" if failed else "accepted",
            "by": failed,
            "rules": sorted({v.rule for v in gate.violations}),
            "why": [str(v)[:300] for v in gate.violations[:4]],
            "wall_s": time.monotonic() - started,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=("grids", "narrowing", "answers", "replies"))
    parser.add_argument("--shapes", choices=("yes", "no"), default="yes")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--limit", type=int, default=10**9)
    options = parser.parse_args()
    runs = {
        "grids": grids,
        "narrowing": narrowing,
        "answers": lambda: answers(options.shapes == "yes"),
        "replies": replies,
    }
    out = options.out.open("w") if options.out else sys.stderr
    counts: Counter[str] = Counter()
    walls = []
    for index, row in enumerate(runs[options.what]()):
        if index >= options.limit:
            break
        key = row["result"] if "ran" not in row else f"ran {row['ran']}: {row['result']}"
        counts[key] += 1
        walls += [row["wall_s"]] if "wall_s" in row else []
        print(json.dumps(row), file=out, flush=True)
    print(json.dumps(dict(counts)))
    if walls:
        print(f"median {sorted(walls)[len(walls) // 2]:.1f} s, longest {max(walls):.1f} s")


if __name__ == "__main__":
    main()
