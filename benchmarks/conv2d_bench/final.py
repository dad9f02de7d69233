"""One layer of the final table: opponents, our program, errors."""

from __future__ import annotations

import gc
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton

from conv2d_bench.contenders import DEFAULT, Contender, LayerBench
from conv2d_bench.errors import as_exact, error_rows, uses_tf32
from conv2d_bench.layers import NamedLayer
from conv2d_bench.plan import Way, emitted, ways
from conv2d_bench.rows import Row
from conv2d_bench.timing import Timer, paired_ratio
from warpwright.gpus.driver import device_facts
from warpwright.types.gpu import GpuSheet

GLANCE_S = 0.1
WORTH_COMPILING = 0.97
"""Where eager PyTorch is ahead of ours by more than a glance can err, it is kept, whatever
torch.compile does: its search takes most of the time of a layer."""
MOST_WAYS = 3  # programs whose errors are looked at before the fastest is taken as it is
DRIVER = Path("/proc/driver/nvidia/version")


def machine() -> Row:
    """The card and the software."""
    facts = device_facts()
    return {
        "gpu": torch.cuda.get_device_name(),
        "facts": None if facts is None else str(facts),
        "driver": DRIVER.read_text().splitlines()[0] if DRIVER.exists() else None,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "triton": triton.__version__,
    }


def final_row(
    named: NamedLayer,
    sheet: GpuSheet,
    tuned_rows: Sequence[Row],
    timer: Timer,
    *,
    top: int,
    compile_mode: str | None,
    rounds: int,
    budget_s: float,
    reused: Row | None = None,
) -> Row:
    """Everything that is known of a layer, raw times included.

    `reused`: an earlier row. Its compiled opponent counts as its ratio to the default call then,
    times the default call now, and no ratio is paired with it.
    """
    gc.collect()
    torch.cuda.empty_cache()
    bench = LayerBench(named.name, named.layer)
    contenders = bench.eager()
    notes: list[str] = []
    only_exact = named.layer.dtype == "float32" and not uses_tf32(bench)
    found = ways(named, sheet, tuned_rows, top, only_exact=only_exact)
    ours = _ours(bench, found[:MOST_WAYS], named, sheet)
    notes += ["cuDNN computes this layer without TF32"] if only_exact else []
    notes += ours.notes
    if ours.contender is not None:
        contenders.append(ours.contender)
    seed = zlib.crc32(named.name.encode())
    compile_s: float | None = None
    if compile_mode is not None:
        lead = _lead(timer, contenders, seed)
        if lead is None or lead < WORTH_COMPILING:
            notes.append("torch.compile was not asked: eager is ahead of ours, and is kept")
        else:
            begun = time.monotonic()
            compiled = bench.compiled(compile_mode)
            failed = _first_call(compiled)
            compile_s = round(time.monotonic() - begun, 1)
            if failed is None:
                contenders.append(compiled)
            else:
                notes.append(f"{compiled.label} fails: {failed}")
    times = timer.interleaved(contenders, rounds=rounds, budget_s=budget_s, seed=seed)
    counting = {c.label: times[c.label].median_us for c in contenders if c.counts and not c.ours}
    if reused is not None and compile_mode is None:
        label_, us = _reused(reused, times[DEFAULT].median_us)
        counting |= {label_: us} if us is not None else {}
    best = min(counting, key=counting.__getitem__)
    row: Row = {
        "layer": named.name,
        "dtype": named.layer.dtype,
        "default_us": times[DEFAULT].median_us,
        "opponent": best,
        "opponent_us": counting[best],
        "ours": ours.way.schedule if ours.way is not None else None,
        "precision": ours.way.precision.value if ours.way is not None else None,
        "configs": [] if ours.way is None else [tried.label for tried in ours.way.points],
        "why_not": ours.why_not,
        "ours_us": None,
        "speedup": None,
        "speedup_default": None,
        "worst_error_ratio": max((e["ratio"] for e in ours.errors), default=None),
        "errors": ours.errors,
        "medians_us": {c.label: times[c.label].median_us for c in contenders},
        "compile_s": compile_s,
        "notes": notes,
        "program": ours.program,
        "bursts_us": {c.label: times[c.label].bursts for c in contenders},
    }
    if "ours" in times:
        row["ours_us"] = times["ours"].median_us
        row["speedup_default"] = paired_ratio(times[DEFAULT], times["ours"])[0]
        paired = paired_ratio(times[best], times["ours"]) if best in times else None
        row["speedup"] = paired[0] if paired else counting[best] / times["ours"].median_us
        row["speedup_range"] = None if paired is None else paired[1:]
    return row


@dataclass(frozen=True, slots=True)
class _Ours:
    """The program that is timed; `why_not` where there is none."""

    way: Way | None
    program: str | None
    contender: Contender | None
    errors: list[Row]
    why_not: str | None
    notes: list[str]


def _ours(bench: LayerBench, found: Sequence[Way], named: NamedLayer, sheet: GpuSheet) -> _Ours:
    """The fastest way that is as exact as cuDNN; the fastest that runs where none is."""
    kept: _Ours | None = None
    notes: list[str] = []
    why_not = "no schedule"
    for way in found:
        program = emitted(named, way, sheet)
        contender = bench.program("ours", program)
        failed = _first_call(contender)
        if failed is not None:
            why_not = failed
            notes.append(f"{way.points[0].label} fails: {failed}")
            continue
        errors = error_rows(bench, contender.call)
        if as_exact(errors):
            return _Ours(way, program, contender, errors, None, notes)
        kept = kept or _Ours(way, program, contender, errors, None, notes)
        worst = max(row["ratio"] for row in errors)
        notes.append(f"{way.points[0].label} is not as exact as cuDNN: {worst:.3g} times its error")
    return kept or _Ours(None, None, None, [], why_not, notes)


def _lead(timer: Timer, contenders: Sequence[Contender], seed: int) -> float | None:
    """How many times as fast as the best eager way ours looks at a glance; None without ours."""
    if not any(contender.ours for contender in contenders):
        return None
    glance = timer.interleaved(contenders, rounds=2, budget_s=GLANCE_S, seed=seed)
    eager = [glance[c.label].median_us for c in contenders if c.counts and not c.ours]
    return min(eager) / glance["ours"].median_us


def _first_call(contender: Contender) -> str | None:
    """Compile and tune; why it fails, or None."""
    try:
        contender.call(contender.x)
        torch.cuda.synchronize()
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}"
    return None


def _reused(row: Row, default_us: float) -> tuple[str, float | None]:
    """The compiled opponent of an earlier row, carried over by its ratio to the default call."""
    medians: dict[str, Any] = row["medians_us"]
    found = [name for name in medians if name.startswith("torch.compile")]
    if not found:
        return "", None
    return f"{found[0]} (reused)", medians[found[0]] / medians[DEFAULT] * default_us
