"""Schedules on a GPU of this machine: ranked by time, and set beside eager PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from warpwright.bench.compare import BASELINES, BenchPlan, bench
from warpwright.bench.processes import open_bench
from warpwright.errors import MissingToolError
from warpwright.operators.conv2d.conv2d_text import label
from warpwright.search.open_trial import Table, card, question_key, why
from warpwright.search.pinned_programs import Entrant
from warpwright.search.screening import ParentFailedError, Screening
from warpwright.search.trial_setup import TrialSetup
from warpwright.store.measured_points import MeasuredPoints
from warpwright.types.bench import BenchResult
from warpwright.types.config import Config, MetaValue
from warpwright.types.evidence import Origin
from warpwright.types.optimization import Ranking, Screened
from warpwright.types.progress import Listener, silent
from warpwright.types.shapes import Problem
from warpwright.types.trial import ConfigTrial
from warpwright.types.verdict import Status

EAGER = tuple(variant for variant in BASELINES if variant.compile is None)
GROUPS = 2
ROUNDS = 6
HOPELESS = 3.0
"""Times the best prediction: what is predicted slower is only measured where all others fail. In 40
layers on an H100, of 10 to 24 candidates that were timed of each, the fastest was predicted at most
1.64 times as slow as the best predicted (benchmarks/results/2026-11-25-conv2d-tune.jsonl)."""


def measured_ranker(
    setup: TrialSetup, target: str, tell: Listener = silent
) -> Callable[[Problem, Sequence[Screened]], Ranking]:
    """A ranker that runs every candidate on the device: right at full size, and how long it takes.

    Candidates are judged by the precision policy alone: there is no parent to excuse an error.
    The ranker raises MissingToolError where no candidate runs on the device.
    """

    def rank(problem: Problem, usable: Sequence[Screened]) -> Ranking:
        found, reasons = [], []
        for tried in _with_hope_first(usable):
            ranking = _ranked(setup, target, problem, tried, tell)
            if isinstance(ranking, Ranking):
                found.append(ranking)
                if ranking.order:
                    break
            else:
                reasons += ranking
        if not found:
            raise MissingToolError(
                f"no candidate runs on this machine's GPU: {'; '.join(reasons[:2])}",
                hint="`warpwright doctor` says what this machine can do; --no-measure predicts",
            )
        return found[-1]

    return rank


def _ranked(
    setup: TrialSetup, target: str, problem: Problem, tried: Sequence[Screened], tell: Listener
) -> Ranking | list[str]:
    """The ranking, or why none of them runs."""
    reasons = []
    for first in tried:  # any that runs will do: the others are timed beside it
        measured = _screened(setup, target, problem, first, tried, tell)
        if not isinstance(measured, str):
            return _ranking(tried, *measured)
        reasons.append(f"{label(first.candidate)}: {measured}")
    return reasons


def _with_hope_first(usable: Sequence[Screened]) -> list[Sequence[Screened]]:
    """Those that may be the fastest; then, in case none of them is any good, the others."""
    best_us = min((entry.candidate.predicted_us for entry in usable), default=0.0)
    hopeful = [e for e in usable if e.candidate.predicted_us <= HOPELESS * best_us]
    others = [e for e in usable if e.candidate.predicted_us > HOPELESS * best_us]
    return [hopeful, others] if others else [hopeful]


def _screened(
    setup: TrialSetup,
    target: str,
    problem: Problem,
    first: Screened,
    usable: Sequence[Screened],
    tell: Listener,
) -> tuple[tuple[ConfigTrial, ...], str] | str:
    """Every candidate timed beside the first, and the card's name; or why the first cannot run."""
    source = first.candidate.program
    names = [label(entry.candidate) for entry in usable]
    key = question_key({"optimize": target, "candidates": names}, source, problem, setup)
    caches = setup.caches(key)
    setup.begin()
    tell("measure", "starting workers; the float64 reference at full size")
    with open_bench(problem, source, (), device=setup.device, caches=caches, spares=1) as opened:
        failed = opened.open()
        if failed is not None:
            return why(failed)
        opened.full_size.parent_runs.clear()
        session, points = setup.session(key, opened.gpu), MeasuredPoints(setup.state)
        table = Table(opened, session, setup.budget, tell, setup.deadline, points)
        try:
            with Screening(table) as screening:
                screening.start()
                return screening.run([_entrant(entry) for entry in usable]), card(opened.gpu)
        except ParentFailedError as error:
            return str(error)


def _entrant(entry: Screened) -> Entrant:
    point: dict[str, MetaValue] = dict(entry.candidate.point)
    warps, stages = point.pop("num_warps", 4), point.pop("num_stages", 3)
    assert isinstance(warps, int) and isinstance(stages, int)
    config = Config.of(point, warps, stages)
    study = entry.study
    launches = () if study is None or study.trace is None else study.trace.kernels
    candidate = entry.candidate
    return Entrant(candidate.schedule, config, True, candidate.program, {}, tuple(launches))


def _ranking(usable: Sequence[Screened], trials: Sequence[ConfigTrial], where: str) -> Ranking:
    timed = [
        (trial.time_us, number)
        for number, trial in enumerate(trials)
        if _fault(trial) is None and trial.time_us is not None
    ]
    order = [number for _, number in sorted(timed)]
    failed = [trial for trial in trials if _fault(trial) is not None]
    how = f"by device time on {where}"
    if failed:
        told = "; ".join(f"{t.kernel} {t.config}: {_fault(t)}" for t in failed[:3])
        how += f" ({len(failed)} of {len(trials)} failed there: {told})"
    return Ranking(
        order=tuple(usable[number] for number in order),
        times_us=tuple(time_us for time_us, _ in sorted(timed)),
        origin=Origin.MEASURED,
        how=how,
    )


def _fault(trial: ConfigTrial) -> str | None:
    """Why a candidate gets no place: it failed, or it was not shown to be right."""
    if trial.failure is not None:
        return trial.failure
    if trial.accuracy is None or trial.accuracy.status is not Status.PASS:
        notes = () if trial.accuracy is None else trial.accuracy.notes
        return f"not shown to be right: {notes[0] if notes else 'it was not checked'}"
    return None


def beside_eager(
    program: str, problem: Problem, *, device: str = "cuda", tell: Listener = silent
) -> BenchResult:
    """The program beside eager PyTorch in each of its layouts and searches.

    `torch.compile` is left to `warpwright bench`: its own search takes minutes.
    """
    tell("bench", "beside eager PyTorch: NCHW and channels_last, cuDNN's benchmark off and on")
    plan = BenchPlan(groups=GROUPS, rounds=ROUNDS)
    plan = replace(plan, baselines=EAGER if device == "cuda" else EAGER[:1])
    return bench([("the program", program)], problem, plan=plan, device=device, listener=tell)
