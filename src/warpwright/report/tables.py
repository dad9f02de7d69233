"""What a terminal shows of a study."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from warpwright.report.cause_text import details, headline
from warpwright.report.config_table import config_table, tile_names
from warpwright.report.gpu_text import gpu_notes
from warpwright.report.roofline_text import MEANING, floor_lines
from warpwright.types.study import Finding, KernelStudy, Study

LEAST_WIDTH = 60


def print_study(study: Study, console: Console) -> None:
    """First line: compiled, for which card, not measured. Then one table a kernel, the roofline,
    causes, findings."""
    toolchain = study.toolchain
    with_what = f", with Triton {toolchain.triton} and ptxas {toolchain.ptxas}" if toolchain else ""
    _paragraph(
        console,
        f"Compiled for {study.gpu.sheet.name} ({study.gpu.sheet.target}){with_what}. "
        "Not measured: nothing ran on a GPU.",
        style="bold",
    )
    for note in gpu_notes(study.gpu):
        _paragraph(console, note)
    for kernel in study.kernels:
        _print_kernel(kernel, study.gpu.sheet.sm_count, console)
    _print_roofline(study, console)
    for kernel in study.kernels:
        _print_causes(kernel, console)
    findings = [*study.findings, *(f for kernel in study.kernels for f in _worth_telling(kernel))]
    _print_list("Findings", [f"{f.subject}: {f.text} ({f.origin})" for f in findings], console)
    _print_list("Not known, and what is certain all the same", study.unknown, console)


def _worth_telling(kernel: KernelStudy) -> tuple[Finding, ...]:
    """Without a known active config the table alone tells the occupancy of each."""
    return tuple(f for f in kernel.findings if kernel.active or f.id != "occupancy-cap")


def _line(console: Console, text: str, style: str = "") -> None:
    """One line as it is: never wrapped, cut or read as markup."""
    console.print(Text(text, style=style), soft_wrap=True)


def _paragraph(
    console: Console, text: str, first: str = "", rest: str = "", style: str = ""
) -> None:
    """Text wrapped at words, with hanging indents; words longer than a line stay whole."""
    lines = textwrap.wrap(
        text,
        max(console.width, LEAST_WIDTH),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    for line in lines:
        _line(console, line, style)


def _print_list(title: str, items: Sequence[str], console: Console) -> None:
    if items:
        _line(console, f"\n{title}", "bold")
    for item in items:
        _paragraph(console, item, "- ", "  ")


def _print_kernel(kernel: KernelStudy, sm_count: int, console: Console) -> None:
    table = config_table(kernel, sm_count, max(console.width, LEAST_WIDTH))
    binaries = len({c.cubin_class for c in kernel.configs if c.cubin_class is not None})
    count = len(kernel.configs)
    title = f"{kernel.kernel}: " + (
        f"{_listed(kernel)}{count} config{'s' if count != 1 else ''}, {binaries} "
        f"{'binary' if binaries == 1 else 'binaries'}"
        if kernel.autotuned
        else "no autotune, one config"
    )
    console.print()
    _paragraph(console, title, rest="  ", style="bold")
    names = tile_names(kernel)
    if names:
        _paragraph(console, f"tile = {'×'.join(names)}", rest="  ")
    _line(console, table.header, "bold")
    for text, style in table.lines:
        _line(console, text, style)
    for note in table.notes:
        _paragraph(console, note, rest="  ", style="dim")
    for config in kernel.pruned:
        _paragraph(
            console,
            f"not tried: {config}, dropped by the program's own pruning on these inputs",
            first="  ",
            rest="    ",
            style="dim",
        )
    if kernel.active_reason:
        _paragraph(console, f"Active config: {kernel.active_reason}.", rest="  ")


def _listed(kernel: KernelStudy) -> str:
    """`3 configs listed, 2 of them dropped by the program's own pruning; left: `, if any were."""
    dropped = len(kernel.pruned)
    if not dropped:
        return ""
    listed = dropped + len(kernel.configs)
    return f"{listed} configs listed, {dropped} dropped by the program's own pruning; left: "


def _print_roofline(study: Study, console: Console) -> None:
    lines = floor_lines(study)
    if not lines:
        return
    _line(console, "\nRoofline (predicted)", "bold")
    for line in lines:
        work = f" {line.work};" if line.work else ""
        _paragraph(console, f"{line.subject}:{work} {line.floor}", "- ", "  ")
    _paragraph(console, MEANING, "  ", "  ", "dim")


def _print_causes(kernel: KernelStudy, console: Console) -> None:
    if not kernel.causes:
        return
    title = f"Causes in {kernel.kernel}, by how much of its time each could explain"
    console.print()
    _paragraph(console, title, rest="  ", style="bold")
    for number, cause in enumerate(kernel.causes, 1):
        _paragraph(console, f"{headline(cause)}: {cause.claim}", f"{number}. ", "   ")
        for detail in details(cause):
            _paragraph(console, detail, "   - ", "     ")
