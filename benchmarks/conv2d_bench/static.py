"""A target that need not be here: every emitted config compiled for it, nothing timed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from conv2d_bench.layers import NamedLayer, problem_file, task_of
from conv2d_bench.rows import Row, append_row, latest, read_rows
from warpwright.analysis.study_program import Subject, study_program
from warpwright.costmodel.problem_floor import problem_floor
from warpwright.operators.conv2d.conv2d_text import label
from warpwright.pipeline.optimize_problem import by_prediction, screen
from warpwright.proposers.schedules import candidates, emit
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.compiled import Compiled
from warpwright.types.gpu import ResolvedGpu
from warpwright.types.shapes import Problem
from warpwright.types.study import CompiledView


def compile_layers(
    layers: Sequence[NamedLayer], gpu: ResolvedGpu, out: Path, *, tries: int, configs: int
) -> list[Row]:
    """A row a layer; those that the file has for this target already are kept."""
    known = latest(row for row in read_rows(out) if row["target"] == gpu.sheet.name)
    rows = []
    for named in layers:
        row = known.get(named.name)
        if row is None:
            row = _row(named, gpu, tries, configs)
            append_row(out, row)
        rows.append(row)
        print(line(row), flush=True)
    return rows


def _row(named: NamedLayer, gpu: ResolvedGpu, tries: int, configs: int) -> Row:
    problem = Problem(source=problem_file(named.layer), origin=named.name)
    run_context = RunContext(cache=ResultCache())
    found = tuple(candidates(task_of(named.layer), gpu.sheet))[:tries]
    screened = screen(found, problem, gpu, run_context)
    out = [{"label": label(e.candidate), "why": e.rejected} for e in screened if e.rejected]
    row: Row = {"layer": named.name, "target": gpu.sheet.name, "looked_at": len(found), "out": out}
    usable = [entry for entry in screened if entry.rejected is None]
    if not usable:
        return {**row, "schedule": None, "kernels": []}
    order = [entry.candidate for entry in by_prediction(problem, usable).order]
    chosen = [c for c in order if c.schedule == order[0].schedule][:configs]
    program = emit(task_of(named.layer), chosen, gpu.sheet)
    study = study_program(Subject(program), gpu, run_context, problem=problem)
    roof = None if study.cost is None else problem_floor(study.cost, (), gpu.sheet)
    return {
        **row,
        "schedule": chosen[0].schedule,
        "problem_floor_us": None if roof is None else roof.floor_us,
        "kernels": [
            {
                "kernel": kernel.kernel,
                "config": str(config.config),
                "floor_us": config.floor_us,
                **_figures(config.compiled[0]),
            }
            for kernel in study.kernels
            for config in kernel.configs
        ],
    }


def _figures(view: CompiledView) -> Row:
    result = view.result
    if not isinstance(result, Compiled):
        return {"launchable": False, "why": result.reason}
    fits = view.occupancy
    return {
        "launchable": view.launchable,
        "registers": result.resources.registers_per_thread,
        "shared_bytes": result.resources.shared_bytes,
        "spill_bytes": result.spill_bytes,
        "occupancy_pct": None if fits is None else fits.occupancy_pct,
    }


def line(row: Row) -> str:
    """A row for a person."""
    if row["schedule"] is None:
        why = row["out"][0]["why"] if row["out"] else "no schedule proposes anything"
        return f"{row['layer']:18} nothing of {row['looked_at']} usable: {why}"
    kernels = row["kernels"]
    bad = [k for k in kernels if not k["launchable"] or k["spill_bytes"]]
    floors = [k["floor_us"] for k in kernels if k["floor_us"] is not None]
    fits = [k["occupancy_pct"] for k in kernels if k.get("occupancy_pct") is not None]
    occupancy = f"{median(fits):.0f} %" if fits else "unknown"
    return (
        f"{row['layer']:18} {row['schedule']:20} {len(kernels)} configs of all kernels, "
        f"{len(bad)} spill or cannot launch; median occupancy {occupancy}; "
        f"problem's floor {row['problem_floor_us'] or 0:.0f} µs, "
        f"launches' {max(floors, default=0):.0f} µs at most; {len(row['out'])} of "
        f"{row['looked_at']} candidates out"
    )
