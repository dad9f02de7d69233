"""The first cases file of an entry point: guesses run on stand-ins until one launches kernels."""

from __future__ import annotations

from itertools import islice

from warpwright.entrypoints.first_cases import Guess, cases_text, guesses
from warpwright.entrypoints.harness import problem_text
from warpwright.entrypoints.named_programs import NamedProgram
from warpwright.store.run_context import RunContext
from warpwright.tracing.trace import TraceFailed, trace_program
from warpwright.types.gpu import GpuSheet
from warpwright.types.shapes import Problem

TRIED = 12


def first_cases(named: NamedProgram, sheet: GpuSheet, run_context: RunContext) -> tuple[str, bool]:
    """The text of a cases file, and whether its inputs run."""
    reasons: list[str] = []
    tried = list(islice(guesses(named.signature), TRIED))
    for number, guess in enumerate(tried, 1):
        shown = ", ".join(f"{name} = {text}" for name, text in guess.arguments.items())
        run_context.listener("cases", f"guess {number} of {len(tried)}: {shown}")
        reason = _why_not(named, guess, sheet, run_context)
        if reason is None:
            return cases_text(named.label, named.signature, guess, None), True
        reasons.append(reason)
    return cases_text(named.label, named.signature, tried[0], reasons[0]), False


def _why_not(
    named: NamedProgram, guess: Guess, sheet: GpuSheet, run_context: RunContext
) -> str | None:
    """Why the entry point does not run on a guess; None where it launches kernels."""
    items = ", ".join(f'"{name}": {text}' for name, text in guess.arguments.items())
    source = f"import torch\n\n\ndef guessed():\n    return {{{items}}}\n"
    entry = named.joined.entry
    backward = entry is not None and entry.backward
    source += problem_text("guessed", named.signature, None, backward=backward)
    trace = trace_program(
        named.source,
        Problem(source=source, origin="a guess", has_model=False),
        gpu=sheet,
        cache=run_context.cache,
        deadline=run_context.deadline,
    )
    if isinstance(trace, TraceFailed):
        return trace.reason
    return None if trace.launches else "no kernel is launched"
