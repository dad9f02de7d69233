"""What a terminal shows of `bench`."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from warpwright.report.trial_text import measured_on
from warpwright.types.bench import BenchResult, BenchRow


def print_bench(result: BenchResult, console: Console) -> None:
    """Card and software first, then one row a contender, then what the numbers do not say."""
    console.print(measured_on(result.gpu), markup=False, soft_wrap=True)
    table = Table()
    table.add_column("")
    for name in ("µs a call", "interval", "× the first", "interval", "error (L2)"):
        table.add_column(name, justify="right")
    for row in result.rows:
        table.add_row(*_cells(row))
    console.print(table)
    console.print(
        f"Device time, L2 cold. {result.confidence:.0%} intervals over {result.groups} groups of "
        f"new processes, {result.rounds} rounds each. Errors against float64.",
        markup=False,
        soft_wrap=True,
    )
    for row in result.rows:
        for text in filter(None, (row.failed, row.error_unknown)):
            console.print(f"- {row.label}: {text}", markup=False, soft_wrap=True)
    for note in result.notes:
        console.print(f"- {note}", markup=False, soft_wrap=True)
    console.print(_clocks(result), markup=False, soft_wrap=True)


def _cells(row: BenchRow) -> tuple[str, ...]:
    if row.failed is not None:
        return row.label, "failed", "", "", "", ""
    return (
        row.label,
        "?" if row.median_us is None else f"{row.median_us:.1f}",
        _span(row.interval_us, 1),
        "" if row.speedup is None else f"{row.speedup:.3f}",
        _span(row.speedup_interval, 3),
        "?" if row.error is None else f"{row.error.relative_l2:.2g}",
    )


def _span(interval: tuple[float, float] | None, digits: int) -> str:
    return "" if interval is None else f"{interval[0]:.{digits}f} – {interval[1]:.{digits}f}"


def _clocks(result: BenchResult) -> str:
    """The range of clocks and temperature, and every reason for which the card slowed down."""
    seen = [entry.burst.conditions for entry in result.bursts]
    known = [conditions for conditions in seen if conditions is not None]
    if not known:
        return "Clocks, temperature and throttling: not known."
    parts = []
    for name, unit in (
        ("sm_clock_mhz", "MHz"),
        ("memory_clock_mhz", "MHz"),
        ("temperature_c", "°C"),
    ):
        values = [value for c in known if (value := getattr(c, name)) is not None]
        if values:
            label = name.rsplit("_", 1)[0].replace("_", " ")
            parts.append(f"{label} {min(values):.0f} to {max(values):.0f} {unit}")
    reasons = sorted({reason for conditions in known for reason in conditions.throttle_reasons})
    parts.append(f"throttled by {', '.join(reasons)}" if reasons else "no throttling")
    return "; ".join(parts).capitalize() + "."
