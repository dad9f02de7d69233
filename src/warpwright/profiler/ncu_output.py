"""What Nsight Compute's command line prints, as values: the raw page as CSV, lists of metrics.

A log begins with messages (`==PROF==`, `==WARNING==`, `==ERROR==`), then comes the table of
`--page raw --csv`: a header, a row of units, a row for each profiled launch. The forms are those
of Nsight Compute 2024.1; columns are found by name, so that a new one does no harm.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

from warpwright.types.profiling import NcuLaunch, NcuOutput
from warpwright.types.request import MetricValue

KERNEL_COLUMN = "Kernel Name"
_MESSAGE = re.compile(r"==(PROF|WARNING|ERROR)==\s?(.*)")
_METRIC_LINE = re.compile(r'^"?([a-z][a-z0-9]*__[A-Za-z0-9_]+(?:\.[a-z0-9_]+)*)"?(?=[,\s]|$)', re.M)
_NO_VALUE = frozenset({"", "n/a", "nan", "-nan", "inf", "-inf", "no data"})
_MAX_CELL_CHARS = 1_000_000


class Trouble(StrEnum):
    """Why ncu gave nothing, as its messages tell it."""

    PERMISSION = "permission"
    BUSY = "counters in use"
    UNSUPPORTED = "unsupported GPU"
    NO_DRIVER = "no driver"
    UNKNOWN_METRIC = "unknown metric"
    NOTHING_LAUNCHED = "nothing launched"


_TROUBLES = (
    (Trouble.PERMISSION, r"ERR_NVGPUCTRPERM|permission to access NVIDIA GPU Performance Counters"),
    (Trouble.BUSY, r"driver resource was unavailable|lock file"),
    (Trouble.UNKNOWN_METRIC, r"Failed to find metric"),
    (
        Trouble.UNSUPPORTED,
        r"Unsupported GPU|ERR_NVCMPGPU|Profiling is not supported|Failed to initialize the profil",
    ),
    (Trouble.NO_DRIVER, r"connect to the CUDA driver|Driver could not be loaded"),
    (Trouble.NOTHING_LAUNCHED, r"No kernels were profiled"),
)


def parse_ncu_output(text: str, metrics: Sequence[str]) -> NcuOutput:
    """The launches in a log, with the values of `metrics`; never raises.

    A metric that has no column, no number, or no finite one is None.
    """
    messages: dict[str, list[str]] = {"PROF": [], "WARNING": [], "ERROR": []}
    table: list[str] = []
    for line in text.splitlines():
        found = _MESSAGE.match(line)
        if found is not None:
            messages[found[1]].append(found[2].strip())
        elif table or line.startswith('"ID",'):
            table.append(line)
    launches, units = _read_table(table, metrics)
    return NcuOutput(launches, units, tuple(messages["ERROR"]), tuple(messages["WARNING"]))


def _read_table(
    lines: Sequence[str], metrics: Sequence[str]
) -> tuple[tuple[NcuLaunch, ...], dict[str, str]]:
    launches, units, header = list[NcuLaunch](), dict[str, str](), list[str]()
    for row in _rows(lines):
        if row and row[0] == "ID":  # each profiled process may have a table of its own
            header = row
            continue
        cells = dict(zip(header, row, strict=False))
        if not cells.get("ID"):
            units |= {name: cells[name] for name in metrics if cells.get(name)}
        elif cells["ID"].isdigit() and cells.get(KERNEL_COLUMN):
            values = {name: number(cells.get(name, "")) for name in metrics}
            launches.append(NcuLaunch(cells[KERNEL_COLUMN], values))
    return tuple(launches), units


def _rows(lines: Sequence[str]) -> Iterable[list[str]]:
    csv.field_size_limit(_MAX_CELL_CHARS)
    for line in lines:  # a cell of the raw page never spans lines, so a broken one spoils one row
        try:
            yield from csv.reader([line])
        except csv.Error:
            continue


def number(text: str) -> MetricValue:
    """A number with or without thousands separators; None for `n/a`, `nan` and any other text."""
    plain = text.strip().lower()
    if plain in _NO_VALUE:
        return None
    try:
        value = float(plain.replace(",", ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def parse_metric_names(text: str) -> frozenset[str]:
    """The metric names that a `--query-metrics` listing has, whether a table or CSV."""
    return frozenset(_METRIC_LINE.findall(text))


def find_trouble(messages: Iterable[str]) -> tuple[Trouble, str] | None:
    """The first trouble that messages tell of, the gravest kind first, and the message."""
    told = tuple(messages)
    for trouble, pattern in _TROUBLES:
        for message in told:
            if re.search(pattern, message, re.IGNORECASE):
                return trouble, message
    return None
