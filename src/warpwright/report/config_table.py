"""A kernel's configs as a table of text: one row a config and specialisation class.

Rich's tables cannot span cells, and break words in narrow columns. Here a row that cannot launch
says why across the columns that it leaves empty, equal binaries stand together, and what does
not fit into the width is left out as whole columns and named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from warpwright.types.compiled import Compiled, Unlaunchable
from warpwright.types.study import Activity, CompiledView, ConfigStudy, KernelStudy

MARKS = {Activity.ACTIVE: "●", Activity.POSSIBLE: "◐", Activity.UNKNOWN: "?"}
MEANINGS = {"●": "active", "◐": "may be the active one", "?": "unknown"}
SHORT_LIMITS = {"shared memory": "shared", "registers": "regs"}
DROPPED_FIRST = ("grid", "occup.", "waves", "launches", "sectors", "instr.")
COUNTED = ("instr.", "sectors")
SPANNED = ("blocks/SM", "occup.", "waves", "capped by", "launches")
LEFT_ALIGNED = ("", "tile", "args", "capped by", "launches", "binary")


@dataclass(frozen=True, slots=True)
class Row:
    """Cells by column; `told` stands in place of the cells in `SPANNED`, where it is set."""

    cells: dict[str, str]
    group: int | None  # equal numbers: equal binaries
    told: str | None = None
    repeats: bool = False  # a binary that stands above already


@dataclass(frozen=True, slots=True)
class ConfigTable:
    """A table laid out for a width: its lines, and which of them are dim or tell a failure.

    Where there is no room for a row to tell why it cannot launch, a line below it does.
    """

    header: str
    lines: tuple[tuple[str, str], ...]  # (text, style: "", "dim" or "red")
    notes: tuple[str, ...] = field(default=())


def config_table(kernel: KernelStudy, sm_count: int, width: int) -> ConfigTable:
    """Lay a kernel's configs out for a terminal of `width` columns."""
    rows = _rows(kernel, sm_count)
    columns = ["", "tile", "args", "warps", "stages", "grid", "regs", "spill B", "shared B",
               "blocks/SM", "occup.", "waves", "capped by", "launches"]  # fmt: skip
    columns += [*COUNTED, "binary"]
    if all(config.counts is None for config in kernel.configs):
        columns = [name for name in columns if name not in COUNTED]
    if all(len(config.compiled) < 2 for config in kernel.configs):
        columns.remove("args")
    dropped: list[str] = []
    layouts = ((2, True), (1, True), (2, False), (1, False))  # gap, whether rows tell inside
    gap, inside = next(
        (
            (gap, inside)
            for gap, inside in layouts
            if _total(_widths(columns, rows, gap, inside), gap) <= width
        ),
        layouts[-1],
    )
    for name in DROPPED_FIRST:
        if _total(_widths(columns, rows, gap, inside), gap) <= width:
            break
        columns.remove(name)
        dropped.append(name)
    widths = _widths(columns, rows, gap, inside)
    separator = " " * gap
    header = separator.join(_cell(name, name, widths[name]) for name in columns).rstrip()
    return ConfigTable(
        header, _lines(rows, widths, separator, inside), _notes(kernel, rows, dropped)
    )


def tile_names(kernel: KernelStudy) -> tuple[str, ...]:
    """Names of the meta-parameters, in the order in which a tile's values are shown."""
    return tuple(dict.fromkeys(name for c in kernel.configs for name, _ in c.config.meta))


def tile_text(kernel: KernelStudy, config: ConfigStudy) -> str:
    """A config's meta-parameters as `32×64×16`; `–` for one that it leaves out."""
    values = config.config.meta_dict
    shown = [str(values.get(name, "–")) for name in tile_names(kernel)]
    return "×".join(shown) if shown else "as launched"


def short_limit(broken: Unlaunchable) -> str:
    """`163,840 B shared > 101,376 B`."""
    what = broken.limit.replace("shared memory per block", "shared")
    return f"{broken.needs:,} {broken.unit} {what} > {broken.allowed:,} {broken.unit}"


def _rows(kernel: KernelStudy, sm_count: int) -> list[Row]:
    """Rows with equal binaries together, in order of first appearance."""
    order: dict[object, int] = {}
    for position, config in enumerate(kernel.configs):
        order.setdefault(_group(config, position), position)
    places = {id(c): order[_group(c, position)] for position, c in enumerate(kernel.configs)}
    seen: set[int] = set()
    rows = []
    for config in sorted(kernel.configs, key=lambda config: places[id(config)]):
        place = places[id(config)]
        for index in range(len(config.compiled)):
            rows.append(_row(kernel, config, index, sm_count, place, repeats=place in seen))
        seen.add(place)
    return rows


def _group(config: ConfigStudy, position: int) -> object:
    return ("alone", position) if config.cubin_class is None else config.cubin_class


def _row(
    kernel: KernelStudy, config: ConfigStudy, index: int, sm_count: int, place: int, repeats: bool
) -> Row:
    view = config.compiled[index]
    first = index == 0
    cells = {
        "": MARKS.get(config.activity, "") if first else "",
        "tile": tile_text(kernel, config) if first else "",
        "args": chr(ord("A") + index % 26),
        "warps": str(config.config.num_warps) if first else "",
        "stages": str(config.config.num_stages) if first else "",
        "grid": ("×".join(map(str, config.grid)) if config.grid else "?") if first else "",
        "binary": ("?" if config.cubin_class is None else f"#{config.cubin_class + 1}")
        if first
        else "",
    }
    if not isinstance(view.result, Compiled):
        reason = view.result.reason.splitlines()[0] if view.result.reason else "no reason given"
        told = "does not compile" if view.result.refused else "not verified, not compiled here"
        return Row(cells, place, f"{told}: {_cut(reason, 60)}", repeats)
    used = view.result.resources
    if config.counts is not None and first:
        cells["instr."] = _amount(config.counts.instructions)
        cells["sectors"] = _amount(config.counts.sectors)
    cells |= {
        "regs": str(used.registers_per_thread),
        "spill B": "–" if view.spill_bytes is None else str(view.spill_bytes),
        "shared B": f"{used.shared_bytes:,}",
    }
    if view.unlaunchable:
        return Row(cells, place, f"never launches: {short_limit(view.unlaunchable[0])}", repeats)
    return Row(cells | _fit(config, view, sm_count), place, repeats=repeats)


def _fit(config: ConfigStudy, view: CompiledView, sm_count: int) -> dict[str, str]:
    """What follows from occupancy: it fits at least one block on an SM."""
    fits = view.occupancy
    if fits is None or not fits.blocks_per_sm:
        return {"blocks/SM": "?", "occup.": "?", "waves": "?", "capped by": "?", "launches": "?"}
    waves = "?"
    if config.blocks is not None:
        waves = f"{config.blocks / (fits.blocks_per_sm * sm_count):.1f}"
    limiters = [SHORT_LIMITS.get(name, name) for name in fits.limiters]
    return {
        "blocks/SM": str(fits.blocks_per_sm),
        "occup.": f"{fits.occupancy_pct:.1f} %",
        "waves": waves,
        "capped by": ", ".join(limiters),
        "launches": "yes",
    }


def _amount(count: float | None) -> str:
    """`8.40 G`: three digits and thousands, millions or milliards."""
    if count is None:
        return "?"
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _widths(columns: Sequence[str], rows: Sequence[Row], gap: int, inside: bool) -> dict[str, int]:
    """Width of each column; with `inside` the last spanned one makes room for what rows tell."""
    widths = {
        name: max([len(name), *(len(row.cells.get(name, "")) for row in rows)]) for name in columns
    }
    spanned = [name for name in SPANNED if name in widths]
    room = sum(widths[name] for name in spanned) + gap * (len(spanned) - 1)
    needed = max((len(row.told) for row in rows if row.told), default=0)
    if inside and needed > room:
        widths[spanned[-1]] += needed - room
    return widths


def _total(widths: dict[str, int], gap: int) -> int:
    return sum(widths.values()) + gap * (len(widths) - 1)


def _lines(
    rows: Sequence[Row], widths: dict[str, int], separator: str, inside: bool
) -> tuple[tuple[str, str], ...]:
    grouped = any(row.repeats for row in rows)
    lines: list[tuple[str, str]] = []
    rule = "─" * _total(widths, len(separator))
    for position, row in enumerate(rows):
        if position and grouped and rows[position - 1].group != row.group:
            lines.append((rule, "dim"))
        style = "red" if row.told else ("dim" if row.repeats else "")
        lines.append((_line(row, widths, separator, inside), style))
        if row.told and not inside:
            lines.append((f"  └ {row.told}", style))
    return tuple(lines)


def _line(row: Row, widths: dict[str, int], separator: str, inside: bool) -> str:
    spanned = [name for name in SPANNED if name in widths]
    cells = []
    for name, width in widths.items():
        if row.told is None or name not in spanned:
            cells.append(_cell(name, row.cells.get(name, ""), width))
        elif not inside:
            cells.append(_cell(name, "never" if name == "launches" else "", width))
        elif name == spanned[0]:
            room = sum(widths[n] for n in spanned) + len(separator) * (len(spanned) - 1)
            cells.append(row.told.ljust(room))
    return separator.join(cells).rstrip()


def _cell(column: str, text: str, width: int) -> str:
    return text.ljust(width) if column in LEFT_ALIGNED else text.rjust(width)


def _notes(kernel: KernelStudy, rows: Sequence[Row], dropped: Sequence[str]) -> tuple[str, ...]:
    notes = []
    marks = [mark for mark in MEANINGS if any(row.cells[""] == mark for row in rows)]
    if marks:
        notes.append(",  ".join(f"{mark} {MEANINGS[mark]}" for mark in marks))
    if any(row.repeats for row in rows):
        notes.append("Configs between two rules are one and the same binary.")
    counted = [config.counts for config in kernel.configs if config.counts is not None]
    if counted and "instr." not in dropped:
        notes.append(
            "instr., sectors: executed and touched (32 bytes each) by warps in a forward pass; "
            "predicted from the machine code."
        )
    lacks = dict.fromkeys(lack for counts in counted for lack in counts.unknown)
    if lacks:
        notes.append(f"Not known to the counts: {'; '.join(lacks)}.")
    classes = kernel.specializations
    if len(classes) > 1:
        notes += [f"args {chr(ord('A') + i % 26)}: {name}" for i, name in enumerate(classes)]
    if dropped:
        notes.append(f"Left out for want of width: {', '.join(dropped)}.")
    return tuple(notes)
