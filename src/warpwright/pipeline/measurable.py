"""Whether an answer can be measured on this machine, and how much of it."""

from __future__ import annotations

from warpwright.bench.statistics.budget import BUDGETS, LEAST_S, budget_of
from warpwright.errors import InputError, MissingToolError, Place
from warpwright.gpus.local import is_here
from warpwright.gpus.target_sheet import resolve_gpu
from warpwright.search.trial_setup import TrialSetup
from warpwright.store.journal import default_state_dir
from warpwright.types.gpu import GpuSheet, ResolvedGpu
from warpwright.types.progress import Listener
from warpwright.types.request import Request
from warpwright.types.shapes import Problem
from warpwright.types.trial import Measuring
from warpwright.verifier.verify import GPU_SECTION


def trial_setup(
    request: Request,
    problem: Problem | None,
    target: ResolvedGpu | None,
    measuring: Measuring,
    listener: Listener,
) -> TrialSetup | None:
    """How to measure, or None. Raises MissingToolError where it is wanted and cannot be done on
    this machine, InputError for an effort that does not exist and for missing shapes."""
    return setup_unless(_not_measurable(request, problem, target, measuring), measuring, listener)


def setup_unless(
    missing: tuple[str, str] | None, measuring: Measuring, listener: Listener
) -> TrialSetup | None:
    """The setup, unless measuring is not wanted or something is missing (why, and what to do)."""
    budget = budget_of(measuring.effort)
    if budget is None:
        expected = f"one of {', '.join(BUDGETS)}, or seconds by the clock, {LEAST_S:g} at least"
        got = repr(measuring.effort)
        raise InputError("unknown effort", place=Place("--effort"), expected=expected, got=got)
    if measuring.wanted is False:
        return None
    if missing is None:
        return TrialSetup(default_state_dir() / "trials", budget, measuring.device)
    reason, hint = missing
    if measuring.wanted:
        raise MissingToolError(f"nothing can be measured: {reason}", hint=hint)
    listener("measure", f"nothing is measured: {reason}")
    return None


def _not_measurable(
    request: Request, problem: Problem | None, target: ResolvedGpu | None, measuring: Measuring
) -> tuple[str, str] | None:
    """Why a request cannot be measured on this machine, and what to do; None where it can."""
    if problem is None and request.problem is None:
        if measuring.wanted:
            raise InputError(
                "nothing can be measured: no input shapes are known",
                place=Place(request.document),
                expected="--problem FILE, --input SHAPE, or a [PROBLEM] section",
            )
        return "no input shapes are known", "give --problem FILE"
    place = Place(request.document, GPU_SECTION)
    return not_here((target or resolve_gpu(request.gpu, place=place)).sheet, measuring)


def not_here(sheet: GpuSheet, measuring: Measuring) -> tuple[str, str] | None:
    """Why the target is not the GPU of this machine, and what to do; None where it is."""
    if measuring.device == "cpu":
        return None
    same, here = is_here(sheet)
    hint = "`--gpu here` takes the GPU of this machine as the target"
    return None if same else (f"{here}, the target is {sheet.name}", hint)
