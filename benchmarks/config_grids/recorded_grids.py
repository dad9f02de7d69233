"""Grids of configs that were timed on a card, as spaces with a time for each config."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from warpwright.types.config import Config
from warpwright.types.config_space import Axis, ConfigSpace, with_value

DATA = Path(__file__).parent.parent / "data" / "2026-11-30-h200-config-grids.json"


@dataclass(frozen=True, slots=True)
class RecordedGrid:
    """One kernel's whole grid. `times_ms`: None where the config cannot be launched."""

    kernel: str
    space: ConfigSpace
    times_ms: Mapping[Config, float | None]

    @property
    def best_ms(self) -> float:
        return min(ms for ms in self.times_ms.values() if ms is not None)


def recorded_grids(path: Path = DATA) -> list[RecordedGrid]:
    """All grids of a file that `record_config_grids.py` wrote."""
    return [_grid(name, told) for name, told in json.loads(path.read_text())["kernels"].items()]


def _grid(kernel: str, told: Mapping[str, object]) -> RecordedGrid:
    axes, fields, rows = told["axes"], told["fields"], told["rows"]
    assert isinstance(axes, dict) and isinstance(fields, list) and isinstance(rows, list)
    ms = len(axes) + fields.index("ms")
    times = {}
    for row in rows:
        config = Config()
        for name, value in zip(axes, row[: len(axes)], strict=True):
            config = with_value(config, name, value)
        times[config] = row[ms]
    middle = Config()
    for name, values in axes.items():
        middle = with_value(middle, name, values[len(values) // 2])
    listed = tuple(Axis(name, tuple(values)) for name, values in axes.items())
    return RecordedGrid(kernel, ConfigSpace(middle, listed, lambda c: c in times), times)
