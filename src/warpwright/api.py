"""The public Python API: one function a command, of the same name.

    from warpwright import api

    answer = api.answer(Path("request.txt").read_text(), problem=problem)
    print(answer.program)

All raise `InputError` for bad input and `MissingToolError` where this machine lacks a tool.

Each function imports what it alone needs: `warpwright gpus` should not wait for the libraries of
`answer` (tests/cli/test_startup.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warpwright.errors import InputError, Place
from warpwright.sandbox.deadline import DEFAULT_S, OPTIMIZE_S, Deadline
from warpwright.store.journal import Journal, RecordedRun, RunEntry, Step, default_state_dir
from warpwright.types.conv2d import CONFIGS, TRIES
from warpwright.types.progress import Listener, silent
from warpwright.types.trial import Measuring as Measuring
from warpwright.types.verdict import EditLimits as EditLimits

if TYPE_CHECKING:
    from warpwright.doctor.machine import MachineReport
    from warpwright.store.run_context import RunContext
    from warpwright.types.answer import Answer
    from warpwright.types.bench import BenchResult
    from warpwright.types.gpu import GpuSheet, ResolvedGpu
    from warpwright.types.input_cases import CaseJudged, InputCase
    from warpwright.types.move_score import MoveScore
    from warpwright.types.optimization import Optimization
    from warpwright.types.profiling import ProfileRun
    from warpwright.types.request import Request
    from warpwright.types.shapes import Problem
    from warpwright.types.stage import ProgramKind, Stage
    from warpwright.types.study import Study
    from warpwright.types.verdict import Verdict, Violation
    from warpwright.types.walk import StageWalk


@dataclass(frozen=True, slots=True)
class AnswerRun:
    """An answer, with its run in the journal and the folder where its files may go.

    `cases`: what it came to on the cases that it was not made for.
    """

    answer: Answer
    run: str
    folder: Path
    cases: tuple[CaseJudged, ...] = ()


@dataclass(frozen=True, slots=True)
class OptimizeRun:
    """The same for `optimize`."""

    result: Optimization
    run: str
    folder: Path


@dataclass(frozen=True, slots=True)
class WalkRun:
    """The same for `optimize` with a program."""

    walk: StageWalk
    run: str
    folder: Path
    cases: tuple[CaseJudged, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckRun:
    """A verdict, and what the reply came to on the cases that it was not judged on first."""

    gate: Verdict
    run: str
    cases: tuple[CaseJudged, ...] = ()


def answer(
    request: str,
    *,
    problem: Problem | None = None,
    gpu: str | None = None,
    measuring: Measuring | None = None,
    limits: EditLimits | None = None,
    time_limit_s: float = DEFAULT_S,
    use_cache: bool = True,
) -> Answer:
    """Answer a request document: the best program that obeys its stage's rules.

    `problem` (see `formats.kernelbench.read_problem`) gives shapes and the reference for
    accuracy; without it, and without a [PROBLEM] section, accuracy is "not verified". `gpu`
    answers for another card than the request's, `here` for this machine's own. `limits`: on edits
    that the rules neither ask for nor forbid, which moves make: `EditLimits(strict=True)` for
    none of them, `EditLimits(bit_equal=True)` for those that change no bit of the outputs.
    `time_limit_s`: what all checks without a GPU may take; what they left open by then is "not
    verified in time".
    """
    return answer_run(
        request,
        problem=problem,
        gpu=gpu,
        measuring=measuring,
        limits=limits,
        time_limit_s=time_limit_s,
        use_cache=use_cache,
    ).answer


def answer_run(
    request: str,
    *,
    problem: Problem | None = None,
    gpu: str | None = None,
    measuring: Measuring | None = None,
    limits: EditLimits | None = None,
    cases: Sequence[InputCase] = (),
    document: str | None = None,
    time_limit_s: float = DEFAULT_S,
    use_cache: bool = True,
    listener: Listener = silent,
) -> AnswerRun:
    """`answer`, kept in the journal step by step; what is measured can be resumed.

    `cases`: the first is the problem that it is made for; on the others it must be right, and over
    all, by their weights, faster (see `entrypoints.cases_file`).
    """
    from warpwright.formats.request_text import parse_request

    parsed = parse_request(request, document=document)
    _load_ahead(measuring)
    from warpwright.pipeline.answer_request import answer_request
    from warpwright.pipeline.measurable import trial_setup
    from warpwright.pipeline.other_cases import answer_for_all
    from warpwright.report.record import answer_record

    target = None
    if gpu is not None:
        target = target_gpu(gpu)
        parsed = _retargeted(parsed, target)
    with RecordedRun("answer", document, listener) as run:
        run_context = _run_context(use_cache, run, time_limit_s)
        setup = trial_setup(parsed, problem, target, measuring or Measuring(), run)
        result = answer_request(
            parsed, run_context, problem, gpu=target, setup=setup, limits=limits
        )
        result, judged = answer_for_all(result, cases, run_context, setup)
        record = answer_record(result, run.id, judged).model_dump(mode="json")
        run.finish(f"{result.decision}: {result.reason}", record)
        if setup is not None:
            setup.conclude()
    return AnswerRun(result, run.id, default_state_dir() / "runs" / run.id, judged)


def _load_ahead(measuring: Measuring | None) -> None:
    """Let the children's libraries load beside our own."""
    from warpwright.gpus.driver import visible_gpu
    from warpwright.sandbox.loaded_ahead import load_for_an_answer

    measured = measuring is None or (measuring.wanted is not False and measuring.device != "cpu")
    load_for_an_answer(visible_gpu() if measured else None)


def verify(answer: Answer, *, title: str = "") -> str | None:
    """A script that checks an answer and times it against its parent on its reader's card.

    It needs torch and Triton only. None where the parent stays, or no model is known to check by.
    """
    from warpwright.bench.statistics.minimum import minimum_of
    from warpwright.report.verify_script import verify_script
    from warpwright.types.answer import Decision

    problem = answer.study.problem
    if answer.decision is Decision.KEPT or problem is None or not problem.has_reference:
        return None
    return verify_script(
        parent=answer.request.program,
        answer=answer.program,
        problem=problem.source or "",
        title=title,
        minimum_pct=minimum_of(answer.request.stage).low_pct,
        evaluation_mode=answer.study.trace is not None and answer.study.trace.evaluation_mode,
    )


def verify_walk(walk: StageWalk, problem: Problem, *, title: str = "") -> str | None:
    """The same for a walk: its program against the one that it began with."""
    from warpwright.report.verify_script import verify_script

    if not walk.changed or not problem.has_reference:
        return None
    return verify_script(
        parent=walk.first,
        answer=walk.program,
        problem=problem.source or "",
        title=title,
        minimum_pct=0.0,
        evaluation_mode=any(
            step.answer.study.trace.evaluation_mode
            for step in walk.steps
            if step.answer is not None and step.answer.study.trace is not None
        ),
    )


def check(
    request: str,
    reply: str,
    *,
    problem: Problem | None = None,
    limits: EditLimits | None = None,
    time_limit_s: float = DEFAULT_S,
    use_cache: bool = True,
) -> Verdict:
    """Check a reply (a program, or a model's text around one) against a request document.

    `limits`: on edits that the rules neither ask for nor forbid, as for `answer`.
    """
    return check_run(
        request,
        reply,
        problem=problem,
        limits=limits,
        time_limit_s=time_limit_s,
        use_cache=use_cache,
    ).gate


def check_run(
    request: str,
    reply: str,
    *,
    problem: Problem | None = None,
    cases: Sequence[InputCase] = (),
    document: str | None = None,
    reply_document: str | None = None,
    limits: EditLimits | None = None,
    time_limit_s: float = DEFAULT_S,
    use_cache: bool = True,
    listener: Listener = silent,
) -> CheckRun:
    """`check`, kept in the journal. `document` and `reply_document` name both in errors.

    `cases`: the first is the problem; outputs are judged on the others too.
    """
    from warpwright.formats.reply import parse_reply
    from warpwright.formats.request_text import parse_request
    from warpwright.pipeline.check_reply import check_reply
    from warpwright.report.check_record import check_record
    from warpwright.types.verdict import Status

    parsed = parse_request(request, document=document)
    found = parse_reply(reply, document=reply_document)
    with RecordedRun("check", document, listener) as run:
        run_context = _run_context(use_cache, run, time_limit_s)
        gate = check_reply(parsed, found, run_context, problem, limits=limits)
        judged: tuple[CaseJudged, ...] = ()
        if len(cases) > 1 and gate.status is not Status.FAIL:
            from warpwright.gpus.target_sheet import resolve_gpu
            from warpwright.pipeline.other_cases import judge_cases

            gpu = resolve_gpu(parsed.gpu, place=Place(document))
            judged = judge_cases(parsed.program, found.program, cases[1:], gpu, run_context, None)
        record = check_record(gate, run.id, judged)
        run.finish(record.status, record.model_dump(mode="json"))
    return CheckRun(gate, run.id, judged)


def optimize(problem: Problem, *, gpu: str, program: str | None = None) -> Optimization:
    """A program for a problem with an algorithm of our choice, compiled for a GPU by name.

    `program` is one that it replaces. Raises InputError where the problem is not recognised.
    """
    return optimize_run(problem, gpu=gpu, program=program).result


def optimize_run(
    problem: Problem,
    *,
    gpu: str,
    program: str | None = None,
    document: str | None = None,
    tries: int = TRIES,
    configs: int = CONFIGS,
    measuring: Measuring | None = None,
    time_limit_s: float = OPTIMIZE_S,
    use_cache: bool = True,
    listener: Listener = silent,
) -> OptimizeRun:
    """`optimize`, kept in the journal step by step; what is measured can be resumed."""
    from warpwright.pipeline.measurable import not_here, setup_unless
    from warpwright.pipeline.optimize_problem import optimize_problem
    from warpwright.program.view import read_program
    from warpwright.report.optimization_record import optimization_record
    from warpwright.search.ranking import beside_eager, measured_ranker

    target = target_gpu(gpu)
    if program is not None:
        read_program(program, document=document)
    with RecordedRun("optimize", document, listener) as run:
        run_context = _run_context(use_cache, run, time_limit_s)
        wanted = measuring or Measuring()
        missing = not_here(target.sheet, wanted)
        setup = setup_unless(missing, wanted, run)
        result = optimize_problem(
            problem,
            target,
            run_context,
            parent=program,
            rank=None if setup is None else measured_ranker(setup, target.sheet.name, run),
            compare=None
            if setup is None
            else partial(beside_eager, device=wanted.device, tell=run),
            tries=tries,
            configs=configs,
        )
        run.finish(result.reason, optimization_record(result, run.id).model_dump(mode="json"))
        if setup is not None:
            setup.conclude()
    return OptimizeRun(result, run.id, default_state_dir() / "runs" / run.id)


def walk_run(
    program: str,
    problem: Problem,
    *,
    gpu: str,
    first: str | None = None,
    stages: Sequence[str] = (),
    kind: str = "single",
    profile: str | None = None,
    profile_document: str | None = None,
    exchange: Callable[[int, str, str], str | None] | None = None,
    cases: Sequence[InputCase] = (),
    tries: int = TRIES,
    configs: int = CONFIGS,
    document: str | None = None,
    measuring: Measuring | None = None,
    limits: EditLimits | None = None,
    time_limit_s: float = OPTIMIZE_S,
    use_cache: bool = True,
    listener: Listener = silent,
) -> WalkRun:
    """A program through all stages, or those from `first` on, or those named in `stages`.

    `profile`: Nsight Compute metrics of the program as JSON text. `exchange`: is given each stage's
    number, name and request document, and gives a reply to it or None. `time_limit_s`: what all
    stages together may take without a GPU. Kept in the journal step by step; a walk that was
    killed goes on where it stopped when it is started again, as far as results are kept.
    """
    from warpwright.analysis.study_program import Subject, read_view
    from warpwright.formats.nsight import check_profile_kernels, parse_metrics
    from warpwright.pipeline.measurable import not_here, setup_unless
    from warpwright.pipeline.other_cases import walk_for_all
    from warpwright.pipeline.walk_plan import metrics_of, walk_plan
    from warpwright.pipeline.walk_profile import profiles_of
    from warpwright.pipeline.walk_stages import walk_stages
    from warpwright.pipeline.walk_tools import WalkTools, walk_setup
    from warpwright.report.walk_record import walk_record

    target = target_gpu(gpu)
    plan = replace(walk_plan(first, stages, _kind(kind)), tries=tries, configs=configs)
    view = read_view(Subject(program, document))
    given = None
    if profile is not None:
        given = parse_metrics(profile, document=profile_document)
        names = [kernel.name for kernel in view.kernels]
        check_profile_kernels(given, names, document=profile_document)
    with RecordedRun("optimize", document, listener) as run:
        run_context = _run_context(use_cache, run, time_limit_s)
        wanted = measuring or Measuring()
        setup = setup_unless(not_here(target.sheet, wanted), wanted, run)
        if setup is not None:
            setup = walk_setup(setup, program, problem, plan, target.sheet.name)
        profiles = profiles_of(program, given, problem, metrics_of(plan), setup, run)
        tools = WalkTools(run_context, setup, limits or EditLimits(), profiles)
        if exchange is not None:
            tools = replace(tools, exchange=exchange)
        walk = walk_stages(program, problem, target, plan, tools)
        walk, judged = walk_for_all(walk, cases, run_context, setup)
        run.finish(walk.reason, walk_record(walk, run.id, judged).model_dump(mode="json"))
        if setup is not None:
            setup.conclude()
    return WalkRun(walk, run.id, default_state_dir() / "runs" / run.id, judged)


def inspect(
    subject: str,
    *,
    gpu: str | None = None,
    problem: Problem | None = None,
    document: str | None = None,
    time_limit_s: float = DEFAULT_S,
    use_cache: bool = True,
    listener: Listener = silent,
) -> Study:
    """Study a program, or the program of a request document, on a GPU that need not be there."""
    from warpwright.analysis.study_program import Subject, study_program
    from warpwright.formats.request_text import looks_like_request, parse_request
    from warpwright.pipeline.request_study import study_request

    run_context = _run_context(use_cache, listener, time_limit_s)
    if looks_like_request(subject):
        request = parse_request(subject, document=document)
        target = None
        if gpu is not None:
            target = target_gpu(gpu)
            request = _retargeted(request, target)
        return _counted(study_request(request, run_context, problem, target)[0], run_context)
    if gpu is None:
        raise InputError(
            "no target GPU",
            place=Place(document),
            expected="--gpu NAME with a program (a request document names its own)",
            hint="`warpwright gpus` lists the names",
        )
    study = study_program(Subject(subject, document), target_gpu(gpu), run_context, problem=problem)
    return _counted(study, run_context)


def _counted(study: Study, run_context: RunContext) -> Study:
    from warpwright.costmodel.launch_counts import with_counts

    run_context.listener("counts", "counting instructions and sectors in the machine code")
    deadline = run_context.deadline
    return with_counts(study, run_context.cache, lambda: deadline is not None and deadline.over)


def target_gpu(name: str) -> ResolvedGpu:
    """The sheet of a GPU by name; `here` is this machine's own, with what the device reports.

    Raises InputError for an unknown name, MissingToolError for `here` without a GPU.
    """
    from warpwright.gpus.local import HERE, local_gpu
    from warpwright.gpus.sheets import find_gpu
    from warpwright.gpus.target_sheet import resolve_gpu
    from warpwright.types.gpu import StatedGpu

    if name.strip().lower() == HERE:
        return local_gpu()
    place = Place("--gpu")
    find_gpu(name, place=place)  # an error that lists the names: one that is unknown has no numbers
    return resolve_gpu(StatedGpu(name), place=place)


def _retargeted(request: Request, gpu: ResolvedGpu) -> Request:
    from warpwright.types.gpu import StatedGpu
    from warpwright.types.request import Profile, Request

    return Request(
        gpu=StatedGpu(gpu.sheet.name),
        stage=request.stage,
        program=request.program,
        profile=Profile(),  # it was taken on the request's own card
        problem=request.problem,
        program_line=request.program_line,
        document=request.document,
    )


def request(
    program: str,
    *,
    gpu: str,
    stage: str = "tuning",
    kind: str = "single",
    profile: str | None = None,
    problem: str | None = None,
    document: str | None = None,
    profile_document: str | None = None,
    problem_document: str | None = None,
) -> str:
    """A request document for a program. `profile` is JSON text, `problem` a problem file's text.

    The three documents name program, profile and problem in errors.
    """
    from warpwright.analysis.study_program import Subject, read_view
    from warpwright.data.stages import find_stage
    from warpwright.formats.kernelbench import read_problem
    from warpwright.formats.nsight import check_profile_kernels, parse_metrics
    from warpwright.formats.request_text import render_request
    from warpwright.gpus.target_sheet import stated_gpu
    from warpwright.types.request import Profile, Request

    view = read_view(Subject(program, document))
    measured = Profile()
    if profile is not None:
        measured = parse_metrics(profile, document=profile_document)
        names = [kernel.name for kernel in view.kernels]
        check_profile_kernels(measured, names, document=profile_document)
    if problem is not None:
        read_problem(problem, document=problem_document, model_needed=False)
    return render_request(
        Request(
            gpu=stated_gpu(target_gpu(gpu).sheet),
            stage=find_stage(stage, _kind(kind), place=Place("--stage")),
            program=program,
            profile=measured,
            problem=problem,
        )
    )


def cases(
    subject: str,
    *,
    gpu: str = "RTX 4090",
    roots: Sequence[Path] = (),
    use_cache: bool = True,
    listener: Listener = silent,
) -> tuple[str, bool]:
    """A first cases file for an entry point (`FILE.py:function`), and whether its inputs run.

    Raises InputError for what is no entry point.
    """
    from warpwright.entrypoints.named_programs import named_program
    from warpwright.pipeline.guessed_cases import first_cases

    named = named_program(subject, roots)
    if named is None or not named.signature.parameters:
        raise InputError(
            "no function whose inputs could be guessed",
            place=Place(subject),
            expected="FILE.py:function or package.module:function",
        )
    sheet = target_gpu(gpu).sheet
    return first_cases(named, sheet, _run_context(use_cache, listener, DEFAULT_S))


def request_breaches(
    program: str,
    *,
    gpu: str,
    stage: str = "tuning",
    kind: str = "single",
    document: str | None = None,
) -> tuple[Violation, ...]:
    """Rules of a stage that a program breaks before anything is changed: the first place of each,
    which says how many more there are.

    As its text shows it: a list of configs that code builds is not judged. `check` lets configs
    that a reply takes over as they are stay; what it adds or changes is held to the rules.
    """
    from warpwright.analysis.study_program import Subject, read_view
    from warpwright.data.stages import find_stage
    from warpwright.verifier.rules.own_breaches import own_breaches

    view = read_view(Subject(program, document))
    rules = find_stage(stage, _kind(kind), place=Place("--stage"))
    by_rule: dict[tuple[str, str], list[Violation]] = {}
    for breach in own_breaches(view, rules, target_gpu(gpu).sheet):
        by_rule.setdefault((breach.rule, breach.expected), []).append(breach)
    return tuple(
        replace(first, found=f"{first.found} (and {len(more)} more)") if more else first
        for first, *more in by_rule.values()
    )


def profile(
    subject: str,
    *,
    problem: Problem | None = None,
    metrics: Sequence[str] = (),
    groups: Sequence[str] = (),
    stage: str | None = None,
    kind: str = "single",
    request: str | None = None,
    request_document: str | None = None,
    clock_control: str = "none",
    timeout_s: float = 600.0,
    document: str | None = None,
    listener: Listener = silent,
) -> ProfileRun:
    """Profile a program, or the program of a request document, on this machine's GPU.

    Collects what `metrics`, `request` (another document's text) and `stage` name, or the
    default, and `groups` besides. `problem` gives the inputs; without it, a [PROBLEM] section.
    """
    from warpwright.data.stages import find_stage
    from warpwright.formats.kernelbench import stated_problem
    from warpwright.formats.request_text import looks_like_request, parse_request
    from warpwright.profiler.chosen_metrics import wanted_metrics
    from warpwright.profiler.profile_run import CLOCK_CONTROLS, ProfilePlan, profile_program
    from warpwright.program.view import read_program

    own = parse_request(subject, document=document) if looks_like_request(subject) else None
    naming = own if request is None else parse_request(request, document=request_document)
    program = subject if own is None else own.program
    first_line = 1 if own is None else own.program_line
    if problem is None:
        stated = next((r.problem for r in (own, naming) if r is not None and r.problem), None)
        problem = None if stated is None else stated_problem(stated, "[PROBLEM] section")
    if problem is None:
        raise InputError(
            "a profile needs the program's inputs",
            place=Place(document),
            expected="--problem FILE, --input SHAPE, or a [PROBLEM] section",
        )
    if clock_control not in CLOCK_CONTROLS:
        expected = "one of " + ", ".join(CLOCK_CONTROLS)
        raise InputError(
            "unknown clock control",
            place=Place("--clock-control"),
            expected=expected,
            got=repr(clock_control),
        )
    chosen = None if stage is None else find_stage(stage, _kind(kind), place=Place("--stage"))
    plan = ProfilePlan(
        wanted_metrics(metrics, groups, request=naming, stage=chosen),
        clock_control=clock_control,
        deadline_s=timeout_s,
    )
    view = read_program(program, document=document, first_line=first_line)
    kernels = [kernel.name for kernel in view.kernels]
    return profile_program(program, kernels, problem, plan, document=document, listener=listener)


def with_profile(
    request: str, subject: str, run: ProfileRun, *, document: str | None = None
) -> str:
    """The request document with this program, its profile, and the measured GPU as target."""
    from warpwright.formats.request_text import looks_like_request, parse_request, render_request
    from warpwright.gpus.local import local_gpu
    from warpwright.gpus.target_sheet import stated_gpu

    program = parse_request(subject).program if looks_like_request(subject) else subject
    parsed = parse_request(request, document=document)
    gpu = stated_gpu(local_gpu().sheet)
    return render_request(replace(parsed, gpu=gpu, program=program, profile=run.profile))


def gpus(name: str | None = None) -> tuple[GpuSheet, ...]:
    """All GPU sheets, or the one that `name` means; `here` is this machine's."""
    from warpwright.gpus.sheets import all_gpus

    return all_gpus() if name is None else (target_gpu(name).sheet,)


def stages(kind: str | None = None) -> tuple[Stage, ...]:
    """All stages with their rules, or those of one kind of program."""
    from warpwright.data.stages import all_stages

    wanted = None if kind is None else _kind(kind)
    return tuple(stage for stage in all_stages() if wanted is None or stage.kind is wanted)


def _kind(name: str) -> ProgramKind:
    from warpwright.types.stage import ProgramKind

    try:
        return ProgramKind(name)
    except ValueError as error:
        raise InputError(
            "unknown kind of program",
            place=Place("--kind"),
            expected="single, fusion or network",
            got=repr(name),
        ) from error


def runs(limit: int = 20) -> tuple[RunEntry, ...]:
    """The latest runs on this machine, newest first."""
    return Journal().runs(limit)


def run(run_id: str) -> tuple[RunEntry, tuple[Step, ...], Mapping[str, Any] | None]:
    """One run: its entry, its steps, and the record that it ended with."""
    journal = Journal()
    entry = journal.find(run_id)
    return entry, journal.steps(entry.id), journal.record(entry.id)


def move_scores() -> tuple[MoveScore, ...]:
    """How each move has done in the runs of this machine, by GPU and kind of kernel."""
    from warpwright.report.move_scores import move_scores as scored

    return scored(Journal().records())


def bench(
    programs: Sequence[tuple[str, str]],
    problem: Problem,
    *,
    baselines: bool = True,
    effort: str = "normal",
    groups: int | None = None,
    rounds: int | None = None,
    listener: Listener = silent,
) -> BenchResult:
    """Time programs (name, source) on this machine's GPU, against PyTorch too with `baselines`.

    `groups` and `rounds` stand in for those of the effort. Raises `MissingToolError` without a
    CUDA GPU.
    """
    from warpwright.bench.compare import EFFORTS, BenchPlan
    from warpwright.bench.compare import bench as run_bench
    from warpwright.program.view import read_program
    from warpwright.report.record import bench_record

    for name, source in programs:
        read_program(source, document=name)
    if effort not in EFFORTS:
        expected = "one of " + ", ".join(EFFORTS)
        raise InputError(
            "unknown effort", place=Place("--effort"), expected=expected, got=repr(effort)
        )
    usual_groups, usual_rounds = EFFORTS[effort]
    plan = BenchPlan(
        groups=usual_groups if groups is None else groups,
        rounds=usual_rounds if rounds is None else rounds,
    )
    plan = plan if baselines else replace(plan, baselines=())
    with RecordedRun("bench", programs[0][0], listener) as run:
        result = run_bench(programs, problem, plan=plan, listener=run)
        record = bench_record(result).model_dump(mode="json")
        run.finish(f"{len(result.rows)} contenders timed", record)
    return result


def doctor() -> MachineReport:
    """What this machine can do, and the fix for what it cannot."""
    from warpwright.doctor.machine import examine_machine

    return examine_machine()


def _run_context(use_cache: bool, listener: Listener, time_limit_s: float) -> RunContext:
    """The clock starts here."""
    from warpwright.store.cache import PassingCache, ResultCache
    from warpwright.store.run_context import RunContext

    if not time_limit_s > 0:
        raise InputError(
            "no time",
            place=Place("--time-limit"),
            expected="seconds, more than 0",
            got=f"{time_limit_s:g}",
        )
    cache = ResultCache() if use_cache else PassingCache()
    return RunContext(cache=cache, listener=listener, deadline=Deadline(time_limit_s))
