"""What `optimize` did, in a person's words, as Markdown."""

from __future__ import annotations

from warpwright.operators.conv2d.conv2d_text import describe, label
from warpwright.report.explanation import gate_section, kernel_section
from warpwright.report.gpu_text import gpu_notes
from warpwright.report.optimization_record import place_of
from warpwright.report.roofline_text import floor_claim, flops, size
from warpwright.report.trial_text import measured_on
from warpwright.types.bench import BenchResult
from warpwright.types.evidence import Origin
from warpwright.types.optimization import Optimization, Screened

MAX_CANDIDATES = 24


def explain_optimization(result: Optimization) -> str:
    """The whole explanation. Every number in it says where it comes from."""
    sections = [_headline(result), _beside(result), _recognized(result), _candidates(result)]
    if result.study is not None:
        sections += [kernel_section(kernel) for kernel in result.study.kernels]
    if result.gate is not None:
        sections.append(gate_section(result.gate))
    return "\n\n".join(section for section in sections if section) + "\n"


def _headline(result: Optimization) -> str:
    title = "Another algorithm" if result.program is not None else "Nothing to hand out"
    lines = [f"# {title}: {result.reason}", "", _standing(result)]
    if result.parent is not None:
        lines += [
            "",
            "The program that was given is replaced, not edited: none of its rules is kept, and "
            "nothing here says by how much the new one is faster than it: `warpwright bench` does.",
        ]
    return "\n".join(lines)


def _standing(result: Optimization) -> str:
    sheet = result.gpu.sheet
    if result.beside is not None:
        return f"{beside_text(result.beside)} {measured_on(result.beside.gpu)}"
    if result.ranking is not None and result.ranking.origin is Origin.MEASURED:
        return f"Candidates were measured: {result.ranking.how}."
    return (
        f"Compiled for {sheet.name} ({sheet.target}) and ranked by prediction, not measured. It is "
        "not said that this is faster than cuDNN: `warpwright bench` compares both on your card."
    )


def beside_text(beside: BenchResult) -> str:
    """Whether the program is faster than eager PyTorch, and by how much, in one sentence."""
    own, *others = beside.rows
    if own.median_us is None:
        return f"The program could not be timed: {own.failed or 'no times'}."
    timed = [row for row in others if row.median_us is not None]
    best = min(timed, key=lambda row: row.median_us or 0.0, default=None)
    if best is None or best.median_us is None:
        return f"It takes {own.median_us:.1f} µs; nothing of PyTorch's could be timed beside it."
    ratio = best.median_us / own.median_us
    told = f"{own.median_us:.1f} µs a call, the best of eager PyTorch ({best.label}) "
    told += f"{best.median_us:.1f} µs"
    if ratio > 1.0:
        return f"Faster than cuDNN here: {told}, {ratio:.2f}×."
    return f"cuDNN stays ahead here: {told}, {ratio:.2f}×. Keep eager PyTorch."


def _beside(result: Optimization) -> str:
    if result.beside is None:
        return ""
    lines = [
        "## Beside eager PyTorch",
        "",
        "| | µs a call | 95 % | error |",
        "| --- | --- | --- | --- |",
    ]
    for row in result.beside.rows:
        low_high = row.interval_us
        span = "" if low_high is None else f"{low_high[0]:.1f} – {low_high[1]:.1f}"
        error = "?" if row.error is None else f"{row.error.relative_l2:.2g}"
        time_us = row.failed or _number(row.median_us)
        lines.append(f"| {row.label} | {time_us} | {span} | {error} |")
    return "\n".join([*lines, "", *(f"- {note}" for note in result.beside.notes)])


def _recognized(result: Optimization) -> str:
    layer = result.task.layer
    lines = [
        "## The problem",
        "",
        f"- Recognised from the graph of the problem's Model: {describe(result.task)}.",
        f"- {flops(layer.flops)} and at least {size(layer.least_bytes)} a call; "
        f"output {layer.batch}×{layer.out_channels}×{layer.out_height}×{layer.out_width}.",
    ]
    if layer.dtype == "float32":
        lines.append(f"- Precision: {result.task.precision} (as the problem file leaves it).")
    study = result.study
    if study is not None and study.floor_us is not None:
        lines.append(f"- {floor_claim(study.floor_us, study.floor_bound)}")
    lines += [f"- {note}" for note in gpu_notes(result.gpu)]
    return "\n".join(lines)


def _candidates(result: Optimization) -> str:
    usable = [] if result.ranking is None else list(result.ranking.order)
    out = [entry for entry in result.screened if entry.rejected is not None]
    how = "" if result.ranking is None else f", ranked {result.ranking.how}"
    lines = [
        f"## Candidates ({len(result.screened)} compiled, {len(out)} out){how}",
        "",
        "| rank | candidate | µs | floor µs | occupancy | spill B | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(_row(result, entry) for entry in usable[:MAX_CANDIDATES]),
    ]
    lines += [f"- out: {label(e.candidate)}: {e.rejected}" for e in out[:MAX_CANDIDATES]]
    return "\n".join(lines)


def _row(result: Optimization, entry: Screened) -> str:
    rank, time_us = place_of(result, entry)
    chosen = "in the program" if entry.candidate in result.chosen else ""
    return (
        f"| {rank} | {label(entry.candidate)} | {_number(time_us)} | {_number(entry.floor_us)} | "
        f"{_number(entry.occupancy_pct)} % | {entry.spill_bytes} | {chosen} |"
    )


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f}"
