"""What was measured for an answer, in a person's words (Markdown)."""

from __future__ import annotations

from collections.abc import Sequence

from warpwright.types.measurement import Burst, Comparison, MeasuredGpu
from warpwright.types.trial import Apart, ConfigTrial, OtherShape, Trial
from warpwright.types.verdict import AccuracyCase, Status

SAME_PCT = 2.0  # what medians of a few calls differ by anyway


def trial_section(trial: Trial, moved: bool = False) -> str:
    """Each config, the decision, accuracy at full size, and what device time does not hold.

    `moved`: the configs were tried on a program that moves had made.
    """
    if trial.gpu is None and trial.failure is not None:
        return f"## Not measured\n\nNothing could be timed: {trial.failure}."
    lines = ["## Measured", "", f"{measured_on(trial.gpu)} Effort: {trial.budget}."]
    if trial.resumed:
        lines.append("An interrupted run was resumed: what it had finished was not done again.")
    if trial.failure is not None:
        lines.append(f"No decision: {trial.failure}.")
    if trial.configs:
        lines += ["", *_config_table(trial.configs, moved)]
    if trial.comparison is not None:
        lines += ["", *_decision(trial.comparison, trial)]
    if trial.accuracy is not None:
        lines += ["", *_accuracy(trial)]
    for name, apart in (("parent", trial.parent), ("answer", trial.answer)):
        if apart is not None:
            lines += ["", f"Apart from device time, the {name}:", "", *_apart(apart)]
    if trial.other_shapes:
        lines += ["", *_other_shapes(trial.other_shapes)]
    return "\n".join(lines)


def measured_on(gpu: MeasuredGpu | None) -> str:
    """The card and the software in a sentence."""
    if gpu is None:
        return "Triton's interpreter on the CPU: these times say nothing of any GPU."
    return (
        f"Measured on {gpu.name}, driver {gpu.driver or 'unknown'}, CUDA {gpu.cuda or 'unknown'}, "
        f"torch {gpu.torch or 'unknown'}, triton {gpu.triton or 'unknown'}."
    )


def gain_text(comparison: Comparison) -> str:
    """The gain with its interval and the noise, in a few words."""
    if comparison.gain_pct is None or comparison.interval_pct is None:
        return comparison.reason
    low, high = comparison.interval_pct
    noise = comparison.noise_floor_pct
    shown = f"{comparison.gain_pct:+.2f} % [{low:+.2f}, {high:+.2f}]"
    return shown if noise is None else f"{shown}, noise ±{noise:.2f} %"


def _config_table(configs: Sequence[ConfigTrial], moved: bool) -> list[str]:
    where = " of the program that the moves made" if moved else ""
    rows = [
        f"Each config alone in its kernel's place{where}, beside the parent with its own tuner "
        "(screening: it chooses what is timed again, and decides nothing):",
        "",
        "| kernel | config | from | µs | parent µs | beside the parent | at full size |",
        "| --- | --- | --- | ---: | ---: | ---: | --- |",
    ]
    ordered = sorted(configs, key=lambda trial: (trial.kernel, trial.time_us or float("inf")))
    for trial in ordered:
        source = "proposed" if trial.proposed else "original"
        cells = (
            trial.kernel,
            str(trial.config),
            source,
            _number(trial.time_us, ".1f"),
            _number(trial.parent_us, ".1f"),
            "–" if trial.gain_pct is None else f"{trial.gain_pct:+.2f} %",
            trial.failure or (str(trial.accuracy.status) if trial.accuracy else "–"),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _decision(comparison: Comparison, trial: Trial) -> list[str]:
    lines = [
        *([] if trial.repaired is None else [f"Whatever its time: {trial.repaired}.", ""]),
        f"**{comparison.outcome}**: {comparison.reason}.",
        "",
        f"- parent {_number(comparison.parent_us, '.1f')} µs, answer "
        f"{_number(comparison.candidate_us, '.1f')} µs (medians of device time a call, cold L2)",
        f"- gain {gain_text(comparison)}; the interval holds with {comparison.confidence:.1%} "
        f"({comparison.pairs} pairs of bursts in new processes, after {comparison.tried} new "
        "configs were screened)",
        f"- at least {comparison.threshold_pct:g} % was asked for",
        f"- {_conditions(trial.bursts)}",
    ]
    if trial.floor_us is not None:
        lines.append(
            f"- what must be moved takes {trial.floor_us:.1f} µs by the card's sheet; the times "
            f"are {trial.light}"
        )
    return lines


def _conditions(bursts: Sequence[Burst]) -> str:
    known = [burst.conditions for burst in bursts if burst.conditions is not None]
    clocks = [c.sm_clock_mhz for c in known if c.sm_clock_mhz is not None]
    heat = [c.temperature_c for c in known if c.temperature_c is not None]
    reasons = sorted({reason for c in known for reason in c.throttle_reasons})
    parts = []
    if clocks:
        parts.append(f"SM clock {min(clocks):.0f} to {max(clocks):.0f} MHz")
    if heat:
        parts.append(f"{min(heat):.0f} to {max(heat):.0f} °C")
    if known:
        parts.append(f"throttled by {', '.join(reasons)}" if reasons else "no throttling")
    return ", ".join(parts) or "clocks, temperature and throttling: not known"


def _accuracy(trial: Trial) -> list[str]:
    assert trial.accuracy is not None
    passed = [case for case in trial.cases if case.status is Status.PASS]
    worst = max(passed, key=_share, default=None)
    lines = [
        f"Accuracy at full size against a float64 reference: {trial.accuracy.status} "
        f"({len(passed)} of {len(trial.cases)} runs passed; the program that is handed out on "
        "every kind of data, and its configs each by itself)."
    ]
    if worst is not None and worst.error is not None and worst.bound is not None:
        lines.append(
            f"Nearest to its bound: {worst.config} on {worst.distribution}, "
            f"{worst.error.relative_l2:.2e} of {worst.bound.relative_l2:.2e}."
        )
    return lines


def _share(case: AccuracyCase) -> float:
    if case.error is None or case.bound is None or not case.bound.relative_l2:
        return 0.0
    return case.error.relative_l2 / case.bound.relative_l2


def _apart(apart: Apart) -> list[str]:
    told = [f"- `{kernel}`'s tuner takes {config}" for kernel, config in apart.chosen.items()]
    if apart.first_call_s is not None:
        told.append(f"- first call, with compiling and tuning: {apart.first_call_s:.1f} s")
    if apart.host_us is not None:
        told.append(f"- host time to issue a call: {apart.host_us:.0f} µs")
    if apart.do_bench_us is not None:
        told.append(f"- by triton.testing.do_bench: {apart.do_bench_us:.1f} µs")
    if apart.cuda_graph is not None:
        told.append(f"- in a CUDA graph: {apart.cuda_graph}")
    if apart.torch_compile is not None:
        told.append(f"- under torch.compile: {apart.torch_compile}")
    return told + [f"- not measured: {note}" for note in apart.notes]


def _other_shapes(others: Sequence[OtherShape]) -> list[str]:
    """What the answer is worth on other shapes, and what becoming ready for one takes."""
    lines = [
        "On other shapes than the problem's (medians of a few calls; ready: with what is compiled "
        "and tuned for the new shape):",
        "",
        "| inputs | parent µs | answer µs | gain | ready, parent | ready, answer |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for other in others:
        if other.failure is not None:
            lines.append(f"| {other.shapes} | | | not timed: {other.failure} | | |")
            continue
        assert other.parent_us is not None and other.answer_us is not None
        assert other.gain_pct is not None
        slower = " (slower)" if other.gain_pct < -SAME_PCT else ""
        lines.append(
            f"| {other.shapes} | {other.parent_us:,.0f} | {other.answer_us:,.0f} | "
            f"{other.gain_pct:+.0f} %{slower} | {other.parent_ready_s:.1f} s | "
            f"{other.answer_ready_s:.1f} s |"
        )
    return lines
