"""How far the evidence without a GPU goes over recorded requests.

    WARPWRIGHT_CASES=DIR python benchmarks/recorded.py WHAT [--out FILE] [--cases 3,7] [--seed N]
        [--seconds N] [--fresh yes]

`DIR` holds `cases/recorded.jsonl.gz`, one JSON object a line (request, init, inputs, reply,
reply_runnable, stage, level). WHAT:

    parsing   every request parses, and how long all of them take
    grids     the traced grid of some config equals the profile's launch__grid_size
    narrowing how far config inference narrows autotuned programs
    answers   every tuning request is answered, and `check` finds nothing wrong with the answer;
              `--shapes no` without shapes
    replies   which recorded replies `check` refuses, against what became of them

Rows go to the output file case by case, and a case that the file has is not run again: a run that
was cut off goes on where it stopped. `--seed` shuffles the cases, so that the first ones stand for
all; `--seconds` starts no case after so long. `--fresh yes` gives each case an empty result cache.
The summary of the whole file comes last on stdout.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warpwright.errors import InputError, InternalError
from warpwright.formats.reply import parse_reply
from warpwright.formats.request_text import parse_request
from warpwright.gpus.target_sheet import resolve_gpu
from warpwright.pipeline.answer_request import answer_request
from warpwright.pipeline.check_reply import check_reply
from warpwright.pipeline.request_study import study_request
from warpwright.program.view import read_program
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.tracing.trace import TraceFailed, trace_program
from warpwright.types.answer import Answer
from warpwright.types.shapes import Problem, TensorSpec
from warpwright.types.verdict import AccuracyCase, Status
from warpwright.verifier.outputs.compare_outputs import NO_REFERENCE

Case = Mapping[str, Any]
Row = dict[str, Any]
TUNING = "advanced_memory"
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


def parsing(case: Case) -> list[Row]:
    """Does the request parse, and how long does it take?"""
    started = time.process_time()
    try:
        request = parse_request(case["request"])
    except InputError as error:
        return [{"result": "refused", "why": error.what}]
    unchecked = sum(rule.id == "unchecked" for rule in request.stage.rules)
    cpu_s = time.process_time() - started
    return [{"result": "parsed", "rules": len(request.stage.rules), "unchecked": unchecked,
             "cpu_s": cpu_s}]  # fmt: skip


def grids(case: Case) -> list[Row]:
    """Does a traced config launch as many blocks as the profile says?"""
    problem = problem_of(case)
    if problem is None:
        return []
    request = parse_request(case["request"])
    sheet = resolve_gpu(request.gpu).sheet
    trace = trace_program(request.program, problem, gpu=sheet, cache=ResultCache())
    if isinstance(trace, TraceFailed):
        return [{"result": "no trace", "why": trace.reason}]
    rows = []
    for kernel in request.profile.kernels:
        sizes = kernel.values(GRID_SIZE)
        launches = [x for x in trace.launches if x.kernel == kernel.kernel]
        if len(sizes) != 1 or not launches:
            continue  # the goal is about one profiled launch a kernel
        offered = {c.blocks for launch in launches for c in launch.configs}
        rows.append(
            {
                "kernel": kernel.kernel,
                "result": "equal" if sizes[0] in offered else "differs",
                "profile": sizes[0],
                "traced": sorted(offered),
            }
        )
    return rows


def narrowing(case: Case, cache: ResultCache) -> list[Row]:
    """How far the profile narrows the configs of an autotuned program."""
    problem = problem_of(case)
    if problem is None or not case.get("metrics") or "@triton.autotune" not in case["request"]:
        return []
    meter = Meter()
    request = parse_request(case["request"])
    try:
        study, _ = study_request(request, RunContext(cache, meter.listener), problem)
    except InputError as error:
        return [{"result": "refused", "why": error.what, **meter.read()}]
    rows = []
    for kernel in study.kernels:
        if not kernel.autotuned or len(kernel.configs) < 2:
            continue
        classes = {c.cubin_class if c.identity else c.config for c in kernel.active}
        profile = request.profile.kernel(kernel.kernel)
        rows.append(
            {
                "kernel": kernel.kernel,
                "result": "not profiled"
                if profile is None
                else "one class"
                if len(classes) == 1
                else "several",
                "classes": len(classes),
                "of": len({c.cubin_class for c in kernel.configs}),
                "candidates": [str(c.config) for c in kernel.active],
                "reason": kernel.active_reason,
                "metrics": [] if profile is None else [dict(x) for x in profile.launches],
                "configs": [
                    [str(c.config), c.cubin_class, c.blocks, c.occupancy_pct, c.launchable]
                    for c in kernel.configs
                ],
                **meter.read(),
            }
        )
    return rows


@dataclass
class Meter:
    """Seconds by the clock since it was made, and by step.

    A shared machine tells of its other users too. Processor time would not, but children are
    forked from a process that outlives the case, so theirs is not known when the case ends.
    """

    wall: float = field(default_factory=time.monotonic)
    steps: dict[str, float] = field(default_factory=dict)
    step: str = "start"
    last: float = field(default_factory=time.monotonic)

    def listener(self, name: str, text: str, **_: Any) -> None:
        """What a step took is told when the next begins."""
        now = time.monotonic()
        self.steps[self.step] = self.steps.get(self.step, 0.0) + now - self.last
        self.step, self.last = name if name != "accuracy" else text.split(",")[0][:24], now

    def read(self) -> Row:
        self.listener("end", "")
        steps = {name: round(wall_s, 1) for name, wall_s in self.steps.items() if wall_s >= 0.05}
        return {
            "wall_s": round(time.monotonic() - self.wall, 1),
            "steps_wall_s": steps,
        }


def processor_s() -> float:
    """Processor seconds of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


class FreshCache(ResultCache):
    """A cache that begins empty; what comes in is kept in the user's own as well."""

    def store(self, key: str, value: Mapping[str, Any], output: Path | None = None) -> None:
        super().store(key, value, output)
        ResultCache().store(key, value, output)


def answers(case: Case, cache: ResultCache, with_shapes: bool) -> list[Row]:
    """A tuning request answered, timed; then the answer's program before `check`, as a reply."""
    problem = problem_of(case) if with_shapes else None
    row: Row = {"shapes": problem is not None, "autotuned": "@triton.autotune" in case["request"]}
    meter = Meter()
    try:
        request = parse_request(case["request"])
        answer = answer_request(request, RunContext(cache, meter.listener), problem)
    except InputError as error:
        return [{**row, "result": "refused", "why": error.render(), **meter.read()}]
    row |= {"decision": answer.decision, "reason": answer.reason, **meter.read()}
    row |= {
        "parents": sum(len(kernel.configs) for kernel in answer.study.kernels),
        "left_alone": [plan.left_alone for plan in answer.plans if plan.left_alone],
        "conflicts": list(answer.conflicts),
    }
    gate = check_reply(request, parse_reply(answer.program), RunContext(cache), problem)
    faults = [str(violation) for violation in gate.violations] + unrunnable_in(answer)
    judged = Counter(accuracy_of(case) for case in gate.accuracy_cases if case.gating)
    unverified = [r for r in gate.results if r.check == "accuracy" and problem and not judged]
    row |= {
        "result": "faulty" if faults else "sound",
        "faults": faults,
        "accuracy": dict(judged),
        "accuracy_notes": [note for result in unverified for note in result.notes],
        "launched": sorted({name for case in gate.accuracy_cases for name in case.launched}),
        "kernels": [kernel.kernel for kernel in answer.study.kernels],
    }
    return [row]


def unrunnable_in(answer: Answer) -> list[str]:
    """Configs in the answer's lists that were not compiled, or that can never be launched.

    A parent that is handed back keeps the configs that it came with.
    """
    if answer.program == answer.request.program:
        return []
    view = read_program(answer.program)
    studied = {
        (plan.kernel, choice.config): choice.study
        for plan in answer.plans
        for choice in plan.choices
    }
    faults = []
    for plan in answer.plans:
        kernel = view.kernel(plan.kernel)
        if plan.left_alone or kernel is None or kernel.autotune is None:
            continue
        for config in kernel.autotune.configs or ():
            study = studied.get((plan.kernel, config))
            if study is None or not study.launchable:
                faults.append(f"{plan.kernel}: {config} was not shown to run on the target")
    return faults


def accuracy_of(case: AccuracyCase) -> str:
    """Recorded problems have no reference: an output is right if it is the parent's."""
    if case.status is not Status.NOT_VERIFIED:
        return str(case.status)
    reason = case.reason or ""
    return reason.split("; ")[0] if reason.endswith(NO_REFERENCE) else f"open: {reason}"


def replies(case: Case) -> list[Row]:
    """What `check` says of a recorded reply, beside whether it ran."""
    if not case.get("reply") or case.get("reply_runnable") is None:
        return []
    started = time.monotonic()
    row = {"level": case["level"], "stage": case["stage"], "ran": case["reply_runnable"]}
    try:
        request, reply = parse_request(case["request"]), parse_reply(case["reply"])
        gate = check_reply(request, reply, RunContext(cache=ResultCache()), problem_of(case))
    except InputError as error:
        return [{**row, "result": "no program", "why": error.what}]
    failed = [r.check for r in gate.results if r.status is Status.FAIL]
    return [
        {
            **row,
            "result": "refused" if failed else "accepted",
            "by": failed,
            "rules": sorted({v.rule for v in gate.violations}),
            "why": [str(v)[:300] for v in gate.violations[:4]],
            "wall_s": time.monotonic() - started,
        }
    ]


def selected(what: str, options: argparse.Namespace, done: Iterable[int]) -> Iterator[int]:
    """Case numbers to run: of the right stage, chosen, not done, in order or shuffled."""
    numbers = [number for number, _ in cases(TUNING if what == "answers" else None)]
    if options.cases:
        chosen = {int(number) for number in options.cases.split(",")}
        numbers = [number for number in numbers if number in chosen]
    if options.seed is not None:
        random.Random(options.seed).shuffle(numbers)
    already = set(done)
    yield from (number for number in numbers if number not in already)


def summary(rows: Iterable[Row]) -> str:
    rows = [row for row in rows if row["result"] != "nothing to tell"]
    counts = Counter(
        row["result"] if "ran" not in row else f"ran {row['ran']}: {row['result']}" for row in rows
    )
    lines = [json.dumps(dict(counts))]
    for unit in ("wall_s", "cpu_s"):
        values = sorted(row[unit] for row in rows if unit in row)
        if values:
            middle = values[len(values) // 2]
            lines.append(
                f"{unit}: median {middle:.2f}, longest {values[-1]:.1f}, sum {sum(values):.1f}"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    names = ("parsing", "grids", "narrowing", "answers", "replies")
    parser.add_argument("what", choices=names)
    parser.add_argument("--shapes", choices=("yes", "no"), default="yes")
    parser.add_argument("--fresh", choices=("yes", "no"), default="no")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--cases", default="", help="numbers, divided by commas; all if left out")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--limit", type=int, default=10**9)
    options = parser.parse_args()
    before = [] if options.out is None or not options.out.exists() else read_rows(options.out)
    rows = list(before)
    out = options.out.open("a") if options.out else sys.stderr
    recorded = dict(cases())
    stop = time.monotonic() + options.seconds
    todo = selected(options.what, options, (row["case"] for row in before))
    for index, number in enumerate(todo):
        if index >= options.limit or time.monotonic() > stop:
            break
        with tempfile.TemporaryDirectory(prefix="warpwright-") as name:
            cache = FreshCache(Path(name)) if options.fresh == "yes" else ResultCache()
            try:
                found = run_of(options, cache)(recorded[number]) or [{"result": "nothing to tell"}]
            except InternalError as error:  # a bug of ours is a result too; the others go on
                found = [{"result": "internal error", "why": str(error)}]
        found = [{"case": number, **row} for row in found]
        rows += found
        print("\n".join(map(json.dumps, found)), file=out, flush=True)
    print(summary(rows))


def run_of(options: argparse.Namespace, cache: ResultCache) -> Callable[[Case], list[Row]]:
    runs: dict[str, Callable[[Case], list[Row]]] = {
        "parsing": parsing,
        "grids": grids,
        "narrowing": lambda case: narrowing(case, cache),
        "answers": lambda case: answers(case, cache, options.shapes == "yes"),
        "replies": replies,
    }
    return runs[options.what]


def read_rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()]


if __name__ == "__main__":
    main()
