"""One layer of the final table: opponents, our program, errors."""

from __future__ import annotations

import gc
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import triton

from conv2d_bench.contenders import DEFAULT, Contender, LayerBench
from conv2d_bench.errors import error_rows
from conv2d_bench.layers import NamedLayer
from conv2d_bench.plan import emitted, tuned
from conv2d_bench.rows import Row
from conv2d_bench.timing import Timer, paired_ratio
from warpwright.report.conv2d_text import label
from warpwright.sandbox.gpu_facts import device_facts
from warpwright.types.gpu import GpuSheet

GLANCE_S = 0.1
WORTH_COMPILING = 0.97
"""Where eager PyTorch is ahead of ours by more than a glance can err, it is kept, whatever
torch.compile does: its search takes most of the time of a layer."""
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
    program, why_not, errors = None, None, []
    chosen = tuned(named, sheet, tuned_rows, top)
    if chosen:
        program = emitted(named, chosen, sheet)
        ours = bench.program("ours", program)
        why_not = _first_call(ours)
        if why_not is None:
            errors = error_rows(bench, ours.call)
            contenders.append(ours)
    else:
        why_not = "no schedule"
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
        "ours": chosen[0].schedule if chosen and why_not is None else None,
        "configs": [label(c) for c in chosen],
        "why_not": why_not,
        "ours_us": None,
        "speedup": None,
        "speedup_default": None,
        "worst_error_ratio": max((e["ratio"] for e in errors), default=None),
        "errors": errors,
        "medians_us": {c.label: times[c.label].median_us for c in contenders},
        "compile_s": compile_s,
        "notes": notes,
        "program": program,
        "bursts_us": {c.label: times[c.label].bursts for c in contenders},
    }
    if "ours" in times:
        row["ours_us"] = times["ours"].median_us
        row["speedup_default"] = paired_ratio(times[DEFAULT], times["ours"])[0]
        paired = paired_ratio(times[best], times["ours"]) if best in times else None
        row["speedup"] = paired[0] if paired else counting[best] / times["ours"].median_us
        row["speedup_range"] = None if paired is None else paired[1:]
    return row


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
