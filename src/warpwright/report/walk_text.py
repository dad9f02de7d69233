"""A walk in a person's words: the table of its stages, and the explanation (Markdown)."""

from __future__ import annotations

import re

from rich.console import Console
from rich.table import Table

from warpwright.report.explanation import explain, gate_section
from warpwright.report.moves_text import (
    beyond_rules_section,
    by_whose_code,
    counts_change,
    moves_section,
)
from warpwright.report.optimization_text import explain_optimization
from warpwright.report.trial_text import gain_text, trial_section
from warpwright.types.answer import Answer
from warpwright.types.evidence import Origin
from warpwright.types.trial import Trial
from warpwright.types.walk import Gain, StageOutcome, StageWalk, WalkStep

FEW_WORDS = 140  # characters of a reason that a cell of the table holds
COLUMNS = ("stage", "", "what changed, or why not", "gain")


def print_walk(walk: StageWalk, console: Console) -> None:
    """The table, and below it what holds for all of its rows."""
    table = Table(*COLUMNS)
    for row in walk_rows(walk):
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    console.print(table)
    for note in walk_notes(walk):
        console.print(note, markup=False, soft_wrap=True)


def walk_rows(walk: StageWalk) -> list[tuple[str, str, str, str]]:
    """One row a stage and one for the whole: stage, outcome, what was done or why not, gain."""
    rows = [
        (str(step.stage), str(step.outcome), _what(step), _gain(step.gain)) for step in walk.steps
    ]
    outcome = StageOutcome.CHANGED if walk.changed else StageOutcome.KEPT
    return [*rows, ("all", str(outcome), walk.reason, _gain(walk.gain))]


def walk_notes(walk: StageWalk) -> list[str]:
    """Where the gains come from, and what is not known of the stages."""
    notes = [_origin(walk)]
    missing = list(dict.fromkeys(s.profile.missing for s in walk.steps if s.profile.missing))
    notes += [f"No metric skips a stage without a profile ({told})." for told in missing]
    for step in walk.steps:
        unknown = [r.condition.metric for r in step.skip.conditions if r.holds is None]
        if step.profile.origin is not None and unknown:
            notes.append(f"{step.stage} is not skipped: {' and '.join(unknown)} is not known.")
    late = [step.stage for step in walk.steps if not step.in_time]
    if late:
        measured = any(trial.gpu is not None for trial in _trials(walk))
        more = "a larger --effort" if measured else "a longer --time-limit"
        notes.append(f"Out of time: {', '.join(late)}; {more} may find more.")
    return [note for note in notes if note]


def _origin(walk: StageWalk) -> str:
    if walk.trial is not None and walk.trial.gpu is not None:
        return (
            f"Gains were measured on {walk.trial.gpu.name}: a stage's beside its parent, that of "
            "all by fresh timings beside the first program."
        )
    if walk.trial is not None:
        return f"The last program was not timed beside the first: {walk.trial.failure}."
    counts = next((step.gain.counts for step in walk.steps if step.gain.counts), None)
    if counts is None:
        timed = any(trial.failure is None for trial in _trials(walk))
        return "" if timed else "Nothing was timed."
    return f"Nothing was timed; gains are {by_whose_code(counts[1])} for {walk.gpu.sheet.name}."


def _trials(walk: StageWalk) -> list[Trial]:
    """What the stages measured."""
    trials = [None if step.answer is None else step.answer.trial for step in walk.steps]
    return [trial for trial in trials if trial is not None]


def _what(step: WalkStep) -> str:
    few = step.reason if step.changed else step.reason.split("; ")[0]
    few = " ".join(few.split())
    if len(few) > FEW_WORDS:
        few = f"{few[: FEW_WORDS - 2].rsplit(' ', 1)[0]} …"
    told = [few]
    if step.reply is not None and not step.reply.taken:
        told.append("a reply was not taken")
    if not step.in_time and step.outcome is not StageOutcome.NOT_REACHED:
        told.append("not all of it in time")
    return "; ".join(told)


def _gain(gain: Gain) -> str:
    if gain.comparison is not None:
        return f"{Origin.MEASURED}: {gain_text(gain.comparison)}"
    if gain.counts is not None:
        return f"{Origin.PREDICTED}: {counts_change(*gain.counts)}"
    return "" if gain.unknown is None else f"not known: {gain.unknown}"


def explain_walk(walk: StageWalk) -> str:
    """The whole explanation: the table, the verdict on the whole way, then each stage's own."""
    title = "Changed" if walk.changed else "Kept the program"
    sections = [
        f"# {title}: {walk.reason}",
        "\n".join([_row(COLUMNS), "| --- | --- | --- | --- |", *map(_row, walk_rows(walk))]),
        "\n".join(f"- {note}" for note in walk_notes(walk)),
        "" if walk.trial is None else _below(trial_section(walk.trial)),
        "" if walk.gate is None else f"## From the first program to the last\n\n{_whole(walk)}",
        *(_stage(step) for step in walk.steps),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _whole(walk: StageWalk) -> str:
    assert walk.gate is not None
    return _below(gate_section(walk.gate))


def _stage(step: WalkStep) -> str:
    number = "" if step.number is None else f"{step.number}. "
    lines = [f"## {number}{step.stage}: {step.outcome}", "", f"{step.reason}.", ""]
    for reading in step.skip.conditions:
        target = reading.condition
        value = "not known" if reading.value is None else f"{reading.value:g}"
        lines.append(
            f"- skipped where {target.metric} {target.comparison} {target.target:g}: {value}"
        )
    if step.reply is not None:
        gate = step.reply.gate
        lines += ["", f"A reply to its request: {step.reply.reason}."]
        lines += [] if gate is None else ["", _below(gate_section(gate), 2)]
    if step.trial is not None:
        lines += ["", _below(trial_section(step.trial))]
    if step.algorithm is not None:
        lines += ["", _below(explain_optimization(step.algorithm), 2)]
    if step.answer is not None:
        lines += ["", _below(_answered(step, step.answer))]
    return "\n".join(lines)


def _answered(step: WalkStep, answer: Answer) -> str:
    """The stage's own explanation; of one that kept its parent what was tried, and no more."""
    if step.changed:
        return _below(explain(answer))
    timed = "" if answer.trial is None else trial_section(answer.trial)
    tried = [moves_section(answer), beyond_rules_section(answer), timed]
    return "\n\n".join(section for section in tried if section)


def _below(text: str, floors: int = 1) -> str:
    """A text whose headings go under another's."""
    return re.sub(r"^(#+ )", rf"{'#' * floors}\1", text.rstrip(), flags=re.MULTILINE)


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
