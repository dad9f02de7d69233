"""What a terminal shows of a study and of a gate report."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from warpwright.types.compiled import Compiled
from warpwright.types.study import Activity, ConfigStudy, KernelStudy, Study
from warpwright.types.verdict import GateReport, Status

ACTIVITY_MARK = {Activity.ACTIVE: "●", Activity.POSSIBLE: "◐", Activity.UNKNOWN: "?"}


def print_study(study: Study, console: Console) -> None:
    """First line: compiled, for which card, not measured. Then one table a kernel, findings."""
    toolchain = study.toolchain
    with_what = f", with Triton {toolchain.triton} and ptxas {toolchain.ptxas}" if toolchain else ""
    console.print(
        f"Compiled for {study.gpu.sheet.name} ({study.gpu.sheet.target}){with_what}. "
        "Not measured: nothing ran on a GPU.",
        style="bold",
        soft_wrap=True,
    )
    for kernel in study.kernels:
        console.print()
        console.print(kernel_table(kernel, study.gpu.sheet.sm_count))
    _print_floor(study, console)
    findings = [*study.findings, *(f for kernel in study.kernels for f in kernel.findings)]
    if findings:
        console.print("\nFindings", style="bold")
    for finding in findings:
        console.print(
            f"- {finding.subject}: {finding.text} ({finding.origin})", markup=False, soft_wrap=True
        )
    if study.unknown:
        console.print("\nNot known, and what is certain all the same", style="bold")
    for text in study.unknown:
        console.print(f"- {text}", markup=False, soft_wrap=True)


def _print_floor(study: Study, console: Console) -> None:
    if study.cost is None:
        return
    moved = (study.cost.read_bytes + study.cost.written_bytes) / 1e6
    line = f"\nRoofline: {study.cost.flops / 1e9:.1f} GFLOP, at least {moved:.0f} MB"
    if study.floor_us is not None:
        bound = f", bound by {study.floor_bound}" if study.floor_bound else ""
        line += (
            f"; the floor is {study.floor_us / 1000:.3f} ms at the sheet's "
            f"{study.cost.compute_class} rate and bandwidth{bound} (predicted)"
        )
    console.print(line, markup=False, soft_wrap=True)


def kernel_table(kernel: KernelStudy, sm_count: int) -> Table:
    """One row a config and specialisation class."""
    title = kernel.kernel + ("" if kernel.autotuned else " (no autotune: one config)")
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("", justify="center")
    table.add_column("meta-parameters")
    for name in (
        "warps",
        "stages",
        "grid",
        "regs",
        "spill B",
        "shared B",
        "blocks/SM",
        "occup.",
        "waves",
    ):
        table.add_column(name, justify="right")
    for name in ("capped by", "binary", "launches"):
        table.add_column(name)
    for config in kernel.configs:
        for index in range(len(config.compiled)):
            table.add_row(*_row(config, index, sm_count))
    table.caption = "● active  ◐ may be active  ? unknown.  Equal binary numbers: equal binaries."
    return table


def _row(config: ConfigStudy, index: int, sm_count: int) -> tuple[Text | str, ...]:
    view = config.compiled[index]
    label = " ".join(f"{name}={value}" for name, value in config.config.meta) or "as launched"
    if len(config.compiled) > 1:
        label += f"\n  {view.result.specialization}"
    head = (
        ACTIVITY_MARK.get(config.activity, ""),
        label,
        str(config.config.num_warps),
        str(config.config.num_stages),
        "×".join(map(str, config.grid)) if config.grid else "?",
    )
    if not isinstance(view.result, Compiled):
        reason = Text(f"does not compile: {view.result.reason}", style="red")
        return (*head, "", "", "", "", "", "", "", "", reason)
    resources = view.result.resources
    occupancy = view.occupancy
    waves = "?"
    if config.blocks is not None and occupancy is not None and occupancy.blocks_per_sm:
        waves = f"{config.blocks / (occupancy.blocks_per_sm * sm_count):.1f}"
    launches = (
        Text(f"never: {view.unlaunchable[0]}", style="red") if view.unlaunchable else Text("yes")
    )
    return (
        *head,
        str(resources.registers_per_thread),
        "–" if view.spill_bytes is None else str(view.spill_bytes),
        f"{resources.shared_bytes:,}",
        "–" if occupancy is None else str(occupancy.blocks_per_sm),
        "–" if occupancy is None else f"{occupancy.occupancy_pct:.1f} %",
        waves,
        "–" if occupancy is None else ", ".join(occupancy.limiters),
        "?" if config.cubin_class is None else f"#{config.cubin_class + 1}",
        launches,
    )


def gate_lines(gate: GateReport) -> Iterator[str]:
    """The gate's verdict for a person: one line a check, violations and notes below it."""
    broken = len(gate.violations)
    verdict = {
        Status.PASS: "pass: every check was made and nothing is broken",
        Status.FAIL: f"fail: {broken} violation{'s' if broken != 1 else ''}",
        Status.NOT_VERIFIED: "nothing is broken, but not everything could be verified",
    }[gate.status]
    yield verdict
    for result in gate.results:
        yield f"  {result.check}: {result.status}"
        yield from (f"    {violation}" for violation in result.violations)
        yield from (f"    note: {note}" for note in result.notes)
        yield from (f"    not checked by a machine: {text}" for text in result.unchecked)
