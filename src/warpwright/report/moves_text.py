"""Moves in a person's words: what was done to a program, and what became of all that was tried."""

from __future__ import annotations

from collections import Counter

from warpwright.types.answer import Answer, Decision
from warpwright.types.candidate import Claim, Move, moves_label
from warpwright.types.counts import MovesCounted, ProgramCounts
from warpwright.types.trial import LEAST_GAIN_PCT, MovesTrial
from warpwright.types.verdict import Verdict

CLAIMED = {
    Claim.BIT_EQUAL: "no bit of the outputs changes",
    Claim.SAME_SUM: "the same terms are summed in another order",
    Claim.OTHER_ARITHMETIC: "other arithmetic, as exact as the policy asks",
}
COLUMN_NAMES = ("executed instructions:", "sectors:")


def moves_section(answer: Answer) -> str:
    """What was done, edits beyond the stage apart, and every list of moves that was tried.

    Empty where no move was tried and no edit is beyond the stage.
    """
    tried = [*_measured(answer), *_predicted(answer)]
    beyond = _beyond_stage(answer.gate)
    if not (answer.moves or tried or beyond):
        return ""
    lines = ["## What was done to the program", "", *_done(answer)]
    for block in (beyond, tried):
        lines += ["", *block] if block else []
    return "\n".join(lines)


def beyond_rules_section(answer: Answer) -> str:
    """What would be much faster if the rules allowed it; empty where nothing would."""
    found = answer.beyond_rules
    if found is None:
        return ""
    if found.counts is not None:
        gain = f"{counts_change(*found.counts)} ({by_whose_code(found.counts[1])})"
    else:
        gain = f"{found.gain_pct:+.2f} % beside the parent, measured in screening"
    return (
        f"## If the rules allowed\n\n{moves_label(found.moves)}: {gain}. It breaks "
        f"{', '.join(found.broken)}, so it was not run: nothing is known of its outputs."
    )


def predicted_gain(answer: Answer) -> str | None:
    """Why moves that nothing measured are thought to help: counts with their change, and whose
    code was counted. None where there are none, or a GPU decided."""
    if not answer.moves or answer.trial is not None:
        return None
    counted = next((c for c in answer.counted if c.moves == answer.moves), None)
    if counted is None or counted.after is None:
        return None
    return f"{counts_change(counted.before, counted.after)} ({by_whose_code(counted.after)})"


def counts_change(before: ProgramCounts, after: ProgramCounts) -> str:
    """Both counts of two programs in a few words."""
    one, other = before.counts, after.counts
    return (
        f"executed instructions {_change(one.instructions, other.instructions)}, "
        f"sectors {_change(one.sectors, other.sectors)}"
    )


def _done(answer: Answer) -> list[str]:
    if not answer.moves:
        return ["Its kernels are as they were: no list of moves was handed out."]
    return [f"{number}. {_said(move)}." for number, move in enumerate(answer.moves, 1)]


def _said(move: Move) -> str:
    """What the move did, in words, with what it says of the outputs."""
    values = {name: _value(value) for name, value in move.arguments}
    words = said_of(move.name)
    words = move.short if words is None else words.format_map(values)
    return f"`{move.kernel}`: {words} (`{move.name}`; its claim: {CLAIMED[move.claim]})"


def said_of(name: str) -> str | None:
    """What a move did, with its arguments in braces; None for one that has no words."""
    # few texts tell of moves, and only those need the rewrites
    from warpwright.proposers.rewrites.registry import REWRITES

    return REWRITES[name].said if name in REWRITES else None


def _value(value: object) -> str:
    return ", ".join(f"`{item}`" for item in value) if isinstance(value, tuple) else str(value)


def _beyond_stage(gate: Verdict) -> list[str]:
    """The edits beyond the stage, listed apart, each kind once a place."""
    if not gate.beyond_stage:
        return []
    asked = {"--strict": gate.limits.strict, "--bit-equal": gate.limits.bit_equal}
    named = ", ".join(option for option, given in asked.items() if given)
    counted = Counter(f"{edit.kind} in {edit.subject}" for edit in gate.beyond_stage)
    return [
        "Edits that the rules neither ask for nor forbid; `--strict` leaves them out, "
        "`--bit-equal` those that change a bit:",
        "",
        *(f"- {what}" + (f" ({n} times)" if n > 1 else "") for what, n in counted.items()),
        *(["", f"Asked of them: {named}."] if named else []),
    ]


def _measured(answer: Answer) -> list[str]:
    trials = () if answer.trial is None else answer.trial.moves
    if not trials:
        return []
    followed = max(
        (trial for trial in trials if trial.is_worth_following),
        key=lambda trial: trial.gain_pct or 0.0,
        default=None,
    )
    rows = [
        "Every list of moves that was tried, measured beside the parent with one config of each "
        "kernel (screening: it chooses what configs are tried on, and decides nothing):",
        "",
        "| moves | µs | parent µs | beside the parent | what became of it |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    ordered = sorted(trials, key=lambda trial: trial.time_us or float("inf"))
    for trial in ordered:
        gain = "–" if trial.gain_pct is None else f"{trial.gain_pct:+.2f} %"
        times = ("–" if us is None else f"{us:.1f}" for us in (trial.time_us, trial.parent_us))
        rows.append(_row(moves_label(trial.moves), *times, gain, _fate(trial, followed, answer)))
    return rows


def _fate(trial: MovesTrial, followed: MovesTrial | None, answer: Answer) -> str:
    if trial.failure is not None:
        return trial.failure
    if not trial.is_worth_following:
        return f"not followed: under {LEAST_GAIN_PCT:g} % faster"
    if trial is not followed:
        return "not followed: another was faster"
    if answer.decision is Decision.CHANGED and trial.moves == answer.moves:
        return "handed out"
    return "configs were tried on it; not handed out (the decision stands above)"


def _predicted(answer: Answer) -> list[str]:
    if not answer.counted:
        return []
    whose = by_whose_code(answer.counted[0].before)
    rows = [
        f"Every list of moves that was tried, {whose} for {answer.study.gpu.sheet.name} with one "
        "config of each kernel; nothing was timed:",
        "",
        "| moves | executed instructions | sectors | verdict |",
        "| --- | ---: | ---: | --- |",
    ]
    for counted in answer.counted:
        one, other = counted.before.counts, counted.after.counts if counted.after else None
        cells = (
            _change(one.instructions, None if other is None else other.instructions),
            _change(one.sectors, None if other is None else other.sectors),
        )
        rows.append(_row(moves_label(counted.moves), *cells, _verdict(counted, answer)))
    return rows


def _verdict(counted: MovesCounted, answer: Answer) -> str:
    if counted.accepted and counted.moves == answer.moves:
        return "handed out"
    if counted.accepted and answer.moves:
        return "speaks for it; another is predicted to gain more"
    if counted.accepted:
        return "speaks for it; not handed out"
    parts = counted.reason.split("; ")
    told = [part for part in parts if not part.startswith(COLUMN_NAMES)]  # they have columns
    return f"not taken: {'; '.join(told or parts)}"


def by_whose_code(program: ProgramCounts) -> str:
    """That counts are a prediction, and by which tools' binaries."""
    tools = program.toolchain
    ptxas = "ptxas of an unknown version" if tools.ptxas is None else f"ptxas {tools.ptxas}"
    return f"predicted, by the binaries of Triton {tools.triton}, {ptxas}"


def _change(one: float | None, other: float | None) -> str:
    first, second = ("?" if count is None else f"{count:,.0f}" for count in (one, other))
    change = f" ({100 * (other / one - 1):+.1f} %)" if one and other is not None else ""
    return f"{first} → {second}{change}"


def _row(*cells: str) -> str:
    """A row of a table: no cell ends it early."""
    return f"| {' | '.join(' '.join(cell.replace('|', '/').split()) for cell in cells)} |"
