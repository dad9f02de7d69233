"""The rows of `benchmarks/conv2d.py`: kept as they come, and the table that is made of them."""

from __future__ import annotations

import pytest
from conv2d_bench.rows import append_row, geomean, latest, read_rows, speed, table


def row(layer: str, speedup: float | None) -> dict[str, object]:
    ours = speedup is not None
    return {
        "layer": layer, "default_us": 30.0, "opponent": "eager", "opponent_us": 20.0,
        "ours": "direct" if ours else None, "ours_us": 20.0 / speedup if ours else None,
        "why_not": None if ours else "no schedule", "speedup": speedup,
        "speedup_default": 1.5 * speedup if ours else None, "worst_error_ratio": 1.0,
    }  # fmt: skip


def test_rows_come_back_and_the_last_of_a_layer_counts(tmp_path):
    path = tmp_path / "new" / "rows.jsonl"
    assert read_rows(path) == []
    for speedup in (1.0, 2.0):
        append_row(path, row("x", speedup))
    append_row(path, row("y", None))
    assert len(read_rows(path)) == 3
    assert latest(read_rows(path)) == {"x": row("x", 2.0), "y": row("y", None)}


def test_keeping_eager_counts_one():
    assert speed(row("x", 0.5)) == 1.0
    assert speed(row("x", None)) == 1.0
    assert speed(row("x", 1.25)) == 1.25


def test_the_geometric_mean_leaves_the_seeds_out():
    text = table([row("A", 9.0), row("x", 2.0), row("y", 0.5), row("z", None)])
    assert geomean([2.0, 1.0, 1.0]) == pytest.approx(2 ** (1 / 3))
    last = text.splitlines()[-1]
    assert "3 layers beside the seeds: geomean 1.260 with 2 kept eager" in last
    assert "without keeping 1.000, least 0.50" in last
    assert "no schedule" in text
