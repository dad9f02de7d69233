"""Conv2d schedules against cuDNN and torch.compile, layer by layer. Needs a CUDA GPU.

    export PYTHONPATH=src:benchmarks
    python benchmarks/conv2d.py warm  [--layers A,B] [--minutes 8]   # compile in parallel
    python benchmarks/conv2d.py tune  [...]                          # time candidates: tune.jsonl
    python benchmarks/conv2d.py final [...]                          # the table: final.jsonl
    python benchmarks/conv2d.py static --target "RTX 4090"           # no GPU: compile only

Timed: device time of one call with a cold L2, from NCHW input to NCHW output, every pre-pass and
every conversion of layout in it; bursts of all contenders interleaved, medians, ratios of bursts of
one round. Rows are JSON lines with all raw times; a layer that has a row is not done again, so that
a later call goes on where `--minutes` ended the last one. Caches (Triton's, Inductor's) are in
`--cache`, so that a final run does not wait for compilers. fp32 runs with TF32, PyTorch's default
for convolutions.
"""

from __future__ import annotations

import argparse
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conv2d_bench.layers import NamedLayer, read_layers
from conv2d_bench.rows import Row, append_row, latest, read_rows, table

from warpwright.api import target_gpu

if TYPE_CHECKING:
    from conv2d_bench.contenders import LayerBench
    from conv2d_bench.plan import Tried
    from conv2d_bench.timing import Timer

OURS_ROUNDS, TUNE_ROUNDS = 8, 4
TUNE_S = 0.12  # device time for the bursts of a candidate


def main() -> None:
    options = _options()
    named = _chosen(options.layers)
    cache = Path(options.cache).resolve()
    # before torch and Triton are imported, here and in the processes that compile
    os.environ.setdefault("TRITON_CACHE_DIR", str(cache / "triton"))
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache / "inductor"))
    ends = time.monotonic() + 60 * options.minutes
    out = Path(options.out)
    if options.mode == "static":
        from conv2d_bench.static import compile_layers

        gpu = target_gpu(options.target)
        compile_layers(named, gpu, out / "static.jsonl", tries=options.tries, configs=options.top)
        return
    sheet = target_gpu("here").sheet
    run = {"warm": _warm, "tune": _tune, "final": _final}[options.mode]
    run(named, sheet, options, out, ends)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mode", choices=("warm", "tune", "final", "static"))
    parser.add_argument(
        "--layers", default="", help="names, with commas between, in this order; all without"
    )
    parser.add_argument("--minutes", type=float, default=9.0, help="begin no layer after these")
    parser.add_argument("--seconds", type=float, default=2.5, help="final: of bursts, a layer")
    parser.add_argument("--top", type=int, default=4, help="configs of the program that is timed")
    parser.add_argument("--tries", type=int, default=24, help="candidates a layer")
    parser.add_argument("--processes", type=int, default=14, help="warm: so many at a time")
    parser.add_argument("--out", default="build/conv2d", help="folder of the JSON lines")
    parser.add_argument("--cache", default="build/conv2d-cache", help="folder of compiled code")
    parser.add_argument("--target", default="RTX 4090", help="static: the GPU, by name")
    parser.add_argument("--compile-mode", default="max-autotune-no-cudagraphs")
    parser.add_argument("--no-compile-opponent", default="", help="layers without it; or 'all'")
    parser.add_argument("--reuse", default="", help="a final.jsonl whose compiled opponent counts")
    parser.add_argument("--again", action="store_true", help="do layers that have a row too")
    return parser.parse_args()


def _chosen(names: str) -> tuple[NamedLayer, ...]:
    layers = read_layers()
    wanted = [name for name in names.split(",") if name]
    unknown = set(wanted) - {named.name for named in layers}
    if unknown:
        raise SystemExit(f"no such layer: {', '.join(sorted(unknown))}")
    by_name = {named.name: named for named in layers}
    return tuple(by_name[name] for name in wanted) if wanted else layers


def _warm(
    named: tuple[NamedLayer, ...], sheet: Any, options: argparse.Namespace, out: Path, ends: float
) -> None:
    """Compile every candidate (of tuned layers: the programs that `final` may time)."""
    from conv2d_bench.plan import begins_exact, emitted, exact, proposed, warm_job, ways
    from conv2d_bench.warm import warm_all

    tuned_rows = read_rows(out / "tune.jsonl")
    done = {row["key"] for row in read_rows(out / "warm.jsonl")}
    programs = out / "programs"
    jobs = []
    for layer in named:
        if any(row["layer"] == layer.name for row in tuned_rows):
            exactly = layer.without_tf32
            likely = ways(layer, sheet, tuned_rows, options.top, only_exact=exactly)
            jobs += [
                warm_job(layer.name, f"program {number}", emitted(layer, way, sheet), programs)
                for number, way in enumerate(likely[: 2 if exactly else 1], start=1)
            ]
        else:
            found = proposed(layer, sheet, options.tries)
            if layer.without_tf32 and not begins_exact(layer, sheet):
                found += exact(layer, sheet, options.tries)
            for tried in found:
                job = warm_job(layer.name, tried.label, tried.candidate.program, programs)
                jobs += [job] if job.key not in done else []
    begun = time.monotonic()
    results = warm_all(
        jobs, out / "warm", processes=options.processes, deadline_s=max(1.0, ends - begun)
    )
    for key, error in results.items():
        append_row(out / "warm.jsonl", {"key": key, "error": error})
    failed = {key: error for key, error in results.items() if error is not None}
    print(f"{len(results)} of {len(jobs)} programs run once in {time.monotonic() - begun:.0f} s")
    for key, error in failed.items():
        print(f"  failed: {key}: {error}")


def _tune(
    named: tuple[NamedLayer, ...], sheet: Any, options: argparse.Namespace, out: Path, ends: float
) -> None:
    """A row a candidate: its median time. Exact ones are added where cuDNN leaves TF32."""
    from conv2d_bench.contenders import LayerBench
    from conv2d_bench.errors import uses_tf32
    from conv2d_bench.plan import begins_exact, exact, proposed
    from conv2d_bench.timing import Timer

    path = out / "tune.jsonl"
    done = {(row["layer"], row["label"]) for row in read_rows(path)}
    broken = {row["key"] for row in read_rows(out / "warm.jsonl") if row["error"] is not None}
    timer = Timer()
    for layer in named:
        if time.monotonic() > ends:
            print(f"out of time before {layer.name}")
            return
        bench = LayerBench(layer.name, layer.layer)
        found = proposed(layer, sheet, options.tries)
        if not begins_exact(layer, sheet) and not uses_tf32(bench):
            found += exact(layer, sheet, options.tries)
        best: tuple[float, str] | None = None
        for tried in found:
            known = (layer.name, tried.label) in done and not options.again
            if known or f"{layer.name}/{tried.label}" in broken:
                continue
            row = _tuned(layer, tried, bench, timer)
            append_row(path, row)
            if row["median_us"] is not None:
                timed = (row["median_us"], tried.label)
                best = min(best or timed, timed)
        print(f"{layer.name:18} best {best}", flush=True)


def _tuned(layer: NamedLayer, tried: Tried, bench: LayerBench, timer: Timer) -> Row:
    row: Row = {
        "layer": layer.name, "label": tried.label, "schedule": tried.candidate.schedule,
        "precision": tried.precision.value, "predicted_us": tried.candidate.predicted_us,
        "median_us": None, "error": None,
    }  # fmt: skip
    try:
        ours = bench.program(tried.label, tried.candidate.program)
        timed = timer.interleaved([ours], rounds=TUNE_ROUNDS, budget_s=TUNE_S, seed=1)
        row["median_us"] = timed[tried.label].median_us
        row["bursts_us"] = timed[tried.label].bursts
    except Exception as error:
        row["error"] = f"{type(error).__name__}: {str(error)[:300]}"
    return row


def _final(
    named: tuple[NamedLayer, ...], sheet: Any, options: argparse.Namespace, out: Path, ends: float
) -> None:
    from conv2d_bench.final import final_row, machine
    from conv2d_bench.timing import Timer

    path = out / "final.jsonl"
    known = latest(read_rows(path))
    reuse = latest(read_rows(Path(options.reuse))) if options.reuse else {}
    tuned_rows = read_rows(out / "tune.jsonl")
    without = options.no_compile_opponent.split(",")
    timer, here = Timer(), machine()
    rows: list[Row] = []
    for layer in named:
        row = None if options.again else known.get(layer.name)
        if row is None and time.monotonic() > ends:
            print(f"out of time before {layer.name}: call again to go on")
            continue
        if row is None:
            begun = time.monotonic()
            compiled = None if {layer.name, "all"} & set(without) else options.compile_mode
            row = final_row(
                layer, sheet, tuned_rows, timer, top=options.top, compile_mode=compiled,
                rounds=OURS_ROUNDS, budget_s=options.seconds, reused=reuse.get(layer.name),
            )  # fmt: skip
            stamp = datetime.now(UTC).isoformat(timespec="seconds")
            wall_s = round(time.monotonic() - begun, 1)
            row = {**row, "machine": here, "at": stamp, "wall_s": wall_s}
            append_row(path, row)
            print(f"{layer.name} in {wall_s} s", flush=True)
        rows.append(row)
    print(table(rows))


if __name__ == "__main__":
    main()
