"""How many random semantic mutations of recorded programs does the verifier refuse?

    WARPWRIGHT_CASES=DIR python benchmarks/mutations.py run --out FILE [--programs N] [--minutes M]
        [--mutants N] [--programs-of recorded|hooked] [--changing yes] [--most-parent-s S]
    python benchmarks/mutations.py report FILE...

`run` takes recorded programs with known shapes in random order, all stages and levels, a few
random mutants of each, and asks what `check` asks of a reply: reading, trace, accuracy. Only a
mutant that nothing of this refuses is compiled as well, by `check` itself. Whether a mutant changes
the output is decided apart from the verifier, see `mutation/truth.py`. `--programs-of hooked`
takes ours with hooks and heuristics, which recorded ones lack. `--changing yes` judges no mutant
that changes nothing. One row a mutant goes to FILE as it comes; a second run with the same file
goes on where the first ended.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from mutation.engine import Mutant, sample
from mutation.hooked_programs import HOOKED
from mutation.truth import Change, Subject, changes, other_sizes
from recorded import cases, problem_of

from warpwright import api
from warpwright.compiler.kernel_calls import find_calls
from warpwright.errors import InputError
from warpwright.formats.reply import parse_reply
from warpwright.formats.request_text import parse_request
from warpwright.interpreter.sizes.shrink import ShrunkenInputs, plan_shrunken_inputs
from warpwright.pipeline.check_reply import check_reply
from warpwright.program.view import read_program
from warpwright.sandbox.deadline import Deadline
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.tracing.trace import TraceFailed, device_facts, problem_payload, trace_program
from warpwright.types.launch_trace import Trace
from warpwright.types.request import Request
from warpwright.types.shapes import Problem
from warpwright.types.study import ConfigStudy, KernelStudy, Study
from warpwright.types.verdict import AccuracyRun, Status
from warpwright.verifier.accuracy import verify_accuracy
from warpwright.verifier.checks.candidate_checks import judge_candidate
from warpwright.verifier.verify import bare_study

SEED = 3
MUTANTS_EACH = 4
MOST_STEPS = 1500  # of the small inputs: about a second and a half a run
MOST_PARENT_S = 45.0  # by the clock, until the parent has been judged as itself
SEARCH_S = 8.0
NOT_JUDGED = {"reading": "not judged", "trace": "not judged"}
# Changes below these are rounding: of float32, or of operands cut to TF32 (2⁻¹⁰ each).
ROUNDING = 1e-5
ROUNDING_WITH_DOT = 2e-3


def studied(request: Request, problem: Problem, cache: ResultCache) -> Study | str:
    """The parent traced, with its configs as written, nothing compiled; or why not."""
    bare = bare_study(request)
    trace = trace_program(request.program, problem, gpu=bare.gpu.sheet, cache=cache)
    if isinstance(trace, TraceFailed):
        return f"no trace: {trace.reason}"
    calls, _ = find_calls(bare.view, trace, {})
    kernels = tuple(
        KernelStudy(call.name, call.autotuned, tuple(ConfigStudy(c, ()) for c in call.configs))
        for call in calls
    )
    return replace(bare, kernels=kernels, problem=problem, trace=trace, calls=calls)


def subject_of(study: Study, plan: ShrunkenInputs) -> Subject:
    """What the truth is asked about.

    Constructor arguments are the recorded ones; those of a problem file are not read here, so a
    program with such a problem needs defaults.
    """
    assert study.problem is not None and study.trace is not None
    first = {k.kernel: k.configs[0].config for k in study.kernels if k.configs}
    last = {k.kernel: k.configs[-1].config for k in study.kernels if k.configs}
    pins = [
        {name: {"meta": c.meta_dict, "num_warps": c.num_warps, "num_stages": c.num_stages}
         for name, c in choice.items()}
        for choice in (first, last)
    ]  # fmt: skip
    full = (study.problem.init_args, study.problem.init_kwargs)
    init = plan.init or full
    major, minor = study.gpu.sheet.compute_capability
    return Subject(
        source=study.view.source,
        problem=problem_payload(study.problem),
        init=repr((list(full[0]), dict(full[1]))),
        small={
            "inputs": [{"shape": list(s.shape), "dtype": s.dtype} for s in plan.inputs],
            "init": repr((list(init[0]), dict(init[1]))),
        },
        facts=device_facts(study.gpu.sheet),
        compute_capability=10 * major + minor,
        evaluation_mode=study.trace.evaluation_mode,
        pins=pins,
    )


def kernels_of(source: str, trace: Trace) -> dict[str, KernelStudy]:
    calls, _ = find_calls(read_program(source), trace, {})
    return {
        call.name: KernelStudy(
            call.name, call.autotuned, tuple(ConfigStudy(c, ()) for c in call.configs)
        )
        for call in calls
    }


def judged(
    mutant: Mutant, request: Request, study: Study, problem: Problem, cache: ResultCache
) -> dict[str, Any]:
    """What each part of the verifier says. The verifier refuses what any part of it refuses."""
    row: dict[str, Any] = {}
    child = read_program(mutant.source)
    gate = judge_candidate(request, replace(study, kernels=()), child, {})
    row["reading"] = str(gate.status)
    row["rules"] = sorted({v.rule for v in gate.violations})
    trace = trace_program(mutant.source, problem, gpu=study.gpu.sheet, cache=cache)
    row["trace"] = "fail" if isinstance(trace, TraceFailed) else "pass"
    accuracy = AccuracyRun(replace(gate.results[0], status=Status.NOT_VERIFIED))
    if not isinstance(trace, TraceFailed):
        kernels = kernels_of(mutant.source, trace)
        accuracy = verify_accuracy(study, child, kernels, RunContext(cache, deadline=Deadline()))
        row["accuracy"] = str(accuracy.result.status)
        row["why"] = sorted({_kind(case.reason) for case in accuracy.cases if case.gating})[:3]
        row["furthest"] = max(
            (c.error.relative_l2 for c in accuracy.cases if c.error is not None and c.gating),
            default=None,
        )
        if row["furthest"] is not None and not math.isfinite(row["furthest"]):
            row["furthest"] = "inf"
    if "fail" not in (row["reading"], row["trace"], row.get("accuracy")):
        report = check_reply(
            request, parse_reply(mutant.source), RunContext(cache, deadline=Deadline()), problem
        )
        row["check"] = str(report.status)
        row["check_rules"] = sorted({v.rule for v in report.violations})
    return row


def _kind(reason: str | None) -> str:
    """A reason without names and numbers, which may be text of the program."""
    if reason is None:
        return "pass"
    kinds = (
        "differs from the parent: relative error", "differs from the parent", "out of bounds",
        "equal to the parent", "away from the parent", "changes its input", "not launched",
        "does not end", "still running", "interpreter cannot run", "the parent fails here too",
        "Error",
    )  # fmt: skip
    return next((kind for kind in kinds if kind in reason), "other")


@dataclass(frozen=True, slots=True)
class Amount:
    """How much is asked of each program. `changing`: judge only mutants that change the output;
    `most_parent_s`: for the parent beside itself, by the clock; what takes longer is left out.
    """

    mutants: int = MUTANTS_EACH
    changing: bool = False
    most_parent_s: float = MOST_PARENT_S


@dataclass(frozen=True, slots=True)
class Subjects:
    """One program to mutate: its request, the problem with its shapes, and where it is from."""

    number: int
    level: str
    stage: str
    request: Request
    problem: Problem

    @property
    def head(self) -> dict[str, Any]:
        return {"case": self.number, "level": self.level, "stage": self.stage}


def rows_of(one: Subjects, cache: ResultCache, amount: Amount) -> Iterator[dict[str, Any]]:
    """The parent's own row, then one a mutant."""
    head, number, request, problem = one.head, one.number, one.request, one.problem
    started = time.monotonic()
    study = studied(request, problem, cache)
    if isinstance(study, str):
        yield {**head, "program": study[:80]}
        return
    assert study.trace is not None
    plan = plan_shrunken_inputs(
        request.program, problem, study.trace, gpu=study.gpu.sheet, cache=cache
    )
    if not isinstance(plan, ShrunkenInputs) or plan.steps > MOST_STEPS:
        yield {**head, "program": "no small inputs" if not isinstance(plan, ShrunkenInputs)
               else f"too long in the interpreter: {plan.steps} steps"}  # fmt: skip
        return
    kernels = {kernel.kernel: kernel for kernel in study.kernels}
    limited = RunContext(cache=cache, deadline=Deadline(amount.most_parent_s))
    own = verify_accuracy(study, study.view, kernels, limited)
    head["steps"] = plan.steps
    if not own.result.in_time or (limited.deadline is not None and limited.deadline.over):
        yield {**head, "program": "too long in the interpreter: the parent itself"}
        return
    parent_s = round(time.monotonic() - started, 1)
    found = sample(request.program, amount.mutants, SEED * 1000 + number)
    subject = subject_of(study, plan)
    truths = changes(subject, other_sizes(subject, SEARCH_S), [m.source for m in found])
    if found and not any(truth.runs for truth in truths):
        yield {"case": number, "program": "too long in the interpreter: at other sizes"}
        return
    yield {**head, "program": "taken", "parent": str(own.result.status), "parent_s": parent_s}
    dot = "tl.dot" in request.program
    for mutant, truth in zip(found, truths, strict=True):
        began = time.monotonic()
        change = changes_output(truth, dot)
        told = change or not amount.changing
        verdict = judged(mutant, request, study, problem, cache) if told else NOT_JUDGED
        yield {
            **head, "operator": mutant.operator, "line": mutant.line, "dot": dot,
            "truth": truth.outcome, "truth_max": _plain(truth.relative_max),
            "truth_runs": truth.runs, "changes": change, **verdict,
            "wall_s": round(time.monotonic() - began, 1),
        }  # fmt: skip


def _plain(number: float | None) -> float | str | None:
    return number if number is None or math.isfinite(number) else "inf"


def changes_output(truth: Change, dot: bool) -> bool | None:
    """Whether the mutant computes something else; None where the parent does not run."""
    if truth.outcome == "unknown":
        return None
    if truth.outcome != "differs":
        return truth.outcome != "same bits"
    assert truth.relative_max is not None
    return truth.relative_max > (ROUNDING_WITH_DOT if dot else ROUNDING)


def recorded(seed: int) -> list[tuple[int, dict[str, Any]]]:
    """Recorded programs with shapes in random order, each task once before any comes again."""
    chance = random.Random(seed)
    known = [(n, c) for n, c in cases() if problem_of(c) is not None]
    chance.shuffle(known)
    seen: Counter[tuple[str, str]] = Counter()
    turns = []
    for number, case in known:
        task = (case["level"], case["task"])
        turns.append((seen[task], len(turns), number, case))
        seen[task] += 1
    turns.sort(key=lambda turn: turn[:2])
    return [(number, case) for _, _, number, case in turns]


def subjects(what: str) -> Iterator[Callable[[], Subjects]]:
    """Each program of the kind, read when it is called. Ours are numbered below zero."""
    if what == "recorded":
        for number, case in recorded(SEED):
            yield partial(_recorded, number, case)
        return
    for index, (program, problem) in enumerate(HOOKED.values(), 1):
        text = api.request(program, gpu="RTX 4090", stage="grid", problem=problem)
        given = Problem(source=problem)
        yield partial(Subjects, -index, "own", "grid", parse_request(text), given)


def _recorded(number: int, case: dict[str, Any]) -> Subjects:
    problem = problem_of(case)
    assert problem is not None
    request = parse_request(case["request"])
    return Subjects(number, case["level"], case["stage"], request, problem)


def run(
    out: Path, what: str, programs: int, minutes: float, part: tuple[int, int], amount: Amount
) -> None:
    """Append rows to `out` until the programs or the time are used up."""
    ends = time.monotonic() + 60 * minutes
    done = {row["turn"] for row in read(out) if row.get("done")}
    cache = ResultCache()
    for index, read_one in enumerate(islice(subjects(what), programs)):
        if index in done or index % part[1] != part[0]:
            continue
        if time.monotonic() > ends:
            break
        try:
            rows = list(rows_of(read_one(), cache, amount))
        except InputError as error:
            rows = [{"program": f"refused as input: {error.what[:60]}"}]
        rows[0] |= {"done": True, "turn": index}
        with out.open("a") as stream:  # all rows of a program at once: none is half done
            stream.write("".join(json.dumps(row) + "\n" for row in rows))


def read(path: Path) -> list[dict[str, Any]]:
    """The rows so far."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def refused(row: Mapping[str, Any]) -> bool:
    """Whether the verifier as a whole refuses the mutant; one that was not judged is not."""
    return "fail" in (row["reading"], row["trace"], row.get("accuracy"), row.get("check"))


def why_refused(row: Mapping[str, Any]) -> str:
    """What refuses a mutant, the first that does."""
    if row["reading"] == "fail":
        return "by reading: " + ", ".join(row["rules"])
    if row["trace"] == "fail":
        return "its host code fails"
    if row.get("accuracy") == "fail":
        return "by running: " + ", ".join(kind for kind in row["why"] if not is_open(kind))
    return "by compiling: " + ", ".join(row["check_rules"])


def is_open(kind: str) -> bool:
    """Whether a kind of reason leaves a mutant unrefused."""
    return kind in ("pass", "equal to the parent", "away from the parent")


def report(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The numbers of the page."""
    programs = [row for row in rows if "program" in row]
    mutants = [row for row in rows if "operator" in row]
    changing = [row for row in mutants if row["changes"]]
    caught = [row for row in changing if refused(row)]
    executed = [r for r in changing if "fail" in (r["trace"], r.get("accuracy"), r.get("check"))]
    by_reading = [row for row in caught if row["reading"] == "fail"]
    numbers: dict[str, Any] = {
        "programs": sum(row["program"] == "taken" for row in programs),
        "programs left out": dict(
            Counter(r["program"].split(":")[0] for r in programs if r["program"] != "taken")
        ),
        "parents refused as themselves": sum(row.get("parent") == "fail" for row in programs),
        "mutants": len(mutants),
        "truth unknown": sum(row["changes"] is None for row in mutants),
        "equivalent": sum(row["changes"] is False for row in mutants),
        "equivalent, refused all the same": dict(
            Counter(why_refused(row) for row in mutants if row["changes"] is False and refused(row))
        ),
        "change the output": len(changing),
        "refused": len(caught),
        "refused_pct": round(100 * len(caught) / max(len(changing), 1), 1),
        "refused by reading": len(by_reading),
        "refused by running alone": len(caught) - len(by_reading),
        "would be refused by running, whatever reading says": len(executed),
        "not verified": len(changing) - len(caught),
    }
    numbers["by operator"] = {
        name: f"{sum(refused(r) for r in of)}/{len(of)}"
        for name in sorted({r["operator"] for r in changing})
        if (of := [r for r in changing if r["operator"] == name])
    }
    numbers["escaped"] = [
        [r["case"], r["operator"], r["line"], r["truth"], r["truth_max"]]
        for r in changing if not refused(r)
    ]  # fmt: skip
    numbers["not refused by running"] = [
        [r["case"], r["operator"], r["line"], r["truth"], r["truth_max"], r.get("why")]
        for r in changing if r not in executed
    ]  # fmt: skip
    return numbers


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parts = parser.add_subparsers(dest="what", required=True)
    running = parts.add_parser("run")
    running.add_argument("--out", type=Path, required=True)
    running.add_argument("--programs", type=int, default=90)
    running.add_argument("--minutes", type=float, default=1e6)
    running.add_argument("--mutants", type=int, default=MUTANTS_EACH)
    running.add_argument("--programs-of", choices=("recorded", "hooked"), default="recorded")
    running.add_argument("--changing", choices=("yes", "no"), default="no")
    running.add_argument("--most-parent-s", type=float, default=MOST_PARENT_S)
    running.add_argument("--part", default="0/1", help="i/n: every n-th program from the i-th")
    reporting = parts.add_parser("report")
    reporting.add_argument("files", type=Path, nargs="+")
    options = parser.parse_args()
    if options.what == "run":
        index, count = map(int, options.part.split("/"))
        amount = Amount(options.mutants, options.changing == "yes", options.most_parent_s)
        run(
            options.out,
            options.programs_of,
            options.programs,
            options.minutes,
            (index, count),
            amount,
        )
    else:
        print(json.dumps(report([row for file in options.files for row in read(file)]), indent=1))


if __name__ == "__main__":
    main()
