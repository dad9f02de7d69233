"""The algorithm stage: a problem in, a program with another algorithm out.

    problem → recognise → candidates → compiled for the target → ranked → emitted → verified

The stage before a request's four: it keeps no rules of a parent's, because it replaces the
parent. Candidates are ranked by prediction unless the caller gives another `Ranker`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace

from warpwright.analysis.study_program import Subject, study_program
from warpwright.compiler.compile_pool import usable_workers
from warpwright.errors import InputError, Place
from warpwright.operators.conv2d.conv2d_text import describe, label
from warpwright.operators.conv2d.recognize import recognize_conv2d
from warpwright.proposers import schedules
from warpwright.sandbox.toolchain import toolchain
from warpwright.store.run_context import RunContext
from warpwright.types.bench import BenchResult
from warpwright.types.candidate import Candidate
from warpwright.types.compiled import Compiled
from warpwright.types.config import Config
from warpwright.types.conv2d import CONFIGS, TRIES, Conv2dTask, ScheduleCandidate
from warpwright.types.evidence import Origin
from warpwright.types.gpu import GpuSheet, ResolvedGpu
from warpwright.types.optimization import Optimization, Ranking, Screened
from warpwright.types.shapes import Problem
from warpwright.types.study import Study
from warpwright.types.verdict import Status, Verdict
from warpwright.verifier.verify import VerifyContext, no_parent, verify

Ranker = Callable[[Problem, Sequence[Screened]], Ranking]
"""Orders usable candidates, the best first. One that measures runs them on a GPU."""
Comparer = Callable[[str, Problem], BenchResult]
"""Times a program beside what its user has without it."""
Proposer = Callable[[Conv2dTask, GpuSheet], Sequence[ScheduleCandidate]]
Emitter = Callable[[Conv2dTask, Sequence[ScheduleCandidate], GpuSheet], str]

ATTEMPTS = 3
SCREENING_SHARE = 0.7  # of the time left: the rest is for judging what is written


def optimize_problem(
    problem: Problem,
    gpu: ResolvedGpu,
    run_context: RunContext,
    *,
    parent: str | None = None,
    rank: Ranker | None = None,
    compare: Comparer | None = None,
    propose: Proposer = schedules.candidates,
    emit: Emitter = schedules.emit,
    tries: int = TRIES,
    configs: int = CONFIGS,
) -> Optimization:
    """The best program for a problem on a GPU, whatever its algorithm.

    `parent`: a program of the same problem that is to be replaced. `rank` and `compare` measure,
    where a GPU does. Raises InputError where the problem is not recognised or no schedule is
    written for it, MissingToolError without torch or Triton.
    """
    toolchain(gpu.sheet.compute_capability)  # without one, the problem would seem to be at fault
    task = recognized(problem, gpu.sheet, run_context)
    run_context.listener("recognize", f"recognised: {describe(task)}")
    found = tuple(propose(task, gpu.sheet))[:tries]
    if not found:
        reasons = schedules.reasons_not(task, gpu.sheet)
        raise InputError(
            f"no schedule is written for this convolution: {describe(task)}",
            place=Place(problem.origin),
            got="; ".join(f"{name}: {why}" for name, why in reasons.items()) or None,
            hint="keep eager PyTorch, or the program that you have",
        )
    screened = screen(found, problem, gpu, run_context)
    result = Optimization(problem, task, gpu, screened, reason="", parent=parent)
    usable = [entry for entry in screened if entry.rejected is None]
    if not usable:
        return replace(result, reason="no candidate can run on this GPU without spilling")
    with run_context.off_the_clock():
        ranking = (rank or by_prediction)(problem, usable)
    result = _emitted(replace(result, ranking=ranking), ranking, emit, configs, run_context)
    if compare is None or result.program is None:
        return result
    return replace(result, beside=compare(result.program, problem))


def recognized(problem: Problem, sheet: GpuSheet, run_context: RunContext) -> Conv2dTask:
    """The task, or an InputError that says why the problem is none that we know."""
    run_context.listener("recognize", "reading the graph of the problem's Model")
    found = recognize_conv2d(
        problem, gpu=sheet, cache=run_context.cache, deadline=run_context.deadline
    )
    if isinstance(found, Conv2dTask):
        return found
    place = Place(problem.origin, line=found.line)
    if found.problem_fails:
        raise InputError(f"the problem file fails: {found.reason}", place=place)
    raise InputError(
        f"nothing recognised in the problem's Model: {found.reason}",
        place=place,
        expected="one conv2d, followed by pointwise operations or by nothing",
        hint="`warpwright answer` improves a program that you have, whatever it computes",
    )


def screen(
    found: Sequence[ScheduleCandidate], problem: Problem, gpu: ResolvedGpu, run_context: RunContext
) -> tuple[Screened, ...]:
    """Each candidate compiled for the target; what cannot run there, or spills, is out."""
    share = None if run_context.deadline is None else run_context.deadline.part(SCREENING_SHARE)
    quiet = RunContext(cache=run_context.cache, workers=1, deadline=share)
    done: dict[int, Screened] = {}
    with ThreadPoolExecutor(max_workers=run_context.workers or usable_workers()) as pool:
        waiting = {
            pool.submit(_screened, candidate, problem, gpu, quiet): index
            for index, candidate in enumerate(found)
        }
        for future in as_completed(waiting):
            entry = done[waiting[future]] = future.result()
            state = "" if entry.rejected is None else f": {entry.rejected}"
            run_context.listener(
                "compile", f"compiled {len(done)}/{len(found)}: {label(entry.candidate)}{state}"
            )
    return tuple(done[index] for index in range(len(found)))


def _screened(
    candidate: ScheduleCandidate, problem: Problem, gpu: ResolvedGpu, run_context: RunContext
) -> Screened:
    try:
        study = study_program(Subject(candidate.program), gpu, run_context, problem=problem)
    except InputError as error:  # the candidate is ours: its failure is a result here
        return Screened(candidate, rejected=f"it does not run: {error.what}")
    entry = Screened(candidate, study)
    return replace(entry, rejected=_reason_against(entry))


def _reason_against(entry: Screened) -> str | None:
    if not entry.views:
        return "none of its kernels was compiled"
    for view in entry.views:
        if not isinstance(view.result, Compiled):
            return view.result.told
        if view.unlaunchable:
            return f"cannot be launched: {view.unlaunchable[0]}"
        if view.result.spill_bytes:
            return f"spills {view.result.spill_bytes} bytes a thread"
    return None


def by_prediction(_: Problem, usable: Sequence[Screened]) -> Ranking:
    """By the schedules' own prediction, which can be no less than the roofline floor."""
    times = [max(e.candidate.predicted_us, e.floor_us or 0.0) for e in usable]
    order = sorted(range(len(usable)), key=times.__getitem__)
    return Ranking(
        order=tuple(usable[index] for index in order),
        times_us=tuple(times[index] for index in order),
        origin=Origin.PREDICTED,
        how="by each schedule's own model of its time, and the roofline floor of its launches",
    )


def _emitted(
    result: Optimization, ranking: Ranking, emit: Emitter, configs: int, run_context: RunContext
) -> Optimization:
    """The program with a short config list; again without the points that fail accuracy."""
    task, sheet = result.task, result.gpu.sheet
    left = [entry.candidate for entry in ranking.order]
    for _ in range(ATTEMPTS):
        if not left:
            break
        schedule = left[0].schedule
        chosen = [candidate for candidate in left if candidate.schedule == schedule][:configs]
        run_context.listener("emit", f"writing {schedule} with {len(chosen)} configs")
        program = emit(task, chosen, sheet)
        study, gate, wrong = judged(program, result.problem, result.gpu, run_context)
        result = replace(result, chosen=tuple(chosen), study=study, gate=gate)
        if gate.status is not Status.FAIL:
            how = f"{describe(task)}: {schedule}, {len(chosen)} configs, {ranking.origin}"
            return replace(result, program=program, reason=how)
        # Without what was shown to be wrong; without the schedule where it cannot be told.
        kept = [c for c in left if c.schedule != schedule or (wrong and not _is_in(c, wrong))]
        left = kept if len(kept) < len(left) else []
    broken = () if result.gate is None else result.gate.violations
    told = "; ".join(str(violation) for violation in broken[:3])
    return replace(result, reason=f"every program that was written was refused: {told}")


def _is_in(candidate: ScheduleCandidate, wrong: Sequence[Config]) -> bool:
    """Whether a candidate's point is one of these configs, by the meta-parameters of both."""
    point = dict(candidate.point)
    return any(
        all(point.get(name) == value for name, value in config.meta if name in point)
        for config in wrong
    )


def judged(
    program: str, problem: Problem, gpu: ResolvedGpu, run_context: RunContext
) -> tuple[Study | None, Verdict, tuple[Config, ...]]:
    """The study of a program, every check on it that needs no parent, and configs found wrong."""
    context = VerifyContext(no_parent(gpu), run_context, problem)
    found = verify(Candidate("", program), None, context)
    wrong = tuple(config for configs in found.failing.values() for config in configs)
    if found.trace is None:
        return None, found.gate, wrong
    return study_program(Subject(program), gpu, run_context, problem=problem), found.gate, wrong
