"""Run emitted conv2d programs on this GPU: right? how fast? beside cuDNN in the same run.

Each group of programs first runs in a process of its own, where it compiles and is compared with
float64 on the first and the last image, with Inf and NaN in the input too (a crash there harms no
other group). What passed is then timed in this process with device events, contenders of a layer
in turns, L2 flushed before each call.

    python benchmarks/conv2d_emit.py --out programs.json
    python benchmarks/conv2d_variants.py programs.json --out results.json [--only TEXT]

Needs torch and Triton only. Times in µs.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
import triton

GROUP = 4  # programs that one process checks
ERROR_SHARE = 1.05  # of cuDNN's own error against float64
Row = dict[str, Any]


def workload(layer: Row) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The input, and the state of an nn.Conv2d as it initialises itself; equal in each process."""
    generator = torch.Generator(device="cuda").manual_seed(1)
    dtype = getattr(torch, layer["dtype"])
    shape = (layer["batch"], layer["in_channels"], layer["height"], layer["width"])
    x = torch.rand(shape, device="cuda", generator=generator).to(dtype)
    if layer["channels_last"]:
        x = x.contiguous(memory_format=torch.channels_last)
    channels = layer["in_channels"] // layer["groups"]
    kernel = tuple(layer["kernel"])
    bound = (channels * kernel[0] * kernel[1]) ** -0.5
    state = {"weight": (layer["out_channels"], channels, *kernel)}
    if layer["bias"]:
        state["bias"] = (layer["out_channels"],)
    drawn = {
        name: ((torch.rand(size, device="cuda", generator=generator) * 2 - 1) * bound).to(dtype)
        for name, size in state.items()
    }
    return x, drawn


def eager(layer: Row, x: torch.Tensor, state: dict[str, torch.Tensor]) -> torch.Tensor:
    """The layer by PyTorch."""
    before, after = layer["padding_before"], layer["padding_after"]
    padding = tuple(before)
    if before != after:
        x = F.pad(x, (before[1], after[1], before[0], after[0]))
        padding = (0, 0)
    stride, dilation = tuple(layer["stride"]), tuple(layer["dilation"])
    groups = layer["groups"]
    return F.conv2d(x, state["weight"], state.get("bias"), stride, padding, dilation, groups)


def model_of(program: str, state: dict[str, torch.Tensor], folder: Path) -> tuple[Any, Any]:
    """The program as a module, and its model with this state."""
    path = folder / f"program_{abs(hash(program)):x}.py"
    path.write_text(program)
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    model = module.ModelNew()
    model.load_state_dict({f"conv.{name}": value for name, value in state.items()})
    return module, model.to("cuda", next(iter(state.values())).dtype)


def ends(tensor: torch.Tensor) -> torch.Tensor:
    """The first and the last image."""
    return tensor[[0, -1]].clone(memory_format=torch.preserve_format)


def reference(layer: Row, x: torch.Tensor, state: dict[str, torch.Tensor]) -> torch.Tensor:
    doubles = {name: value.double() for name, value in state.items()}
    images = [eager(layer, image.double(), doubles) for image in x.split(1)]
    return torch.cat(images)


def error(y: torch.Tensor, expected: torch.Tensor) -> float:
    return float((y.double() - expected).norm() / expected.norm())


def check(layer: Row, programs: list[str]) -> Iterator[Row]:
    """Compile, run and compare programs of one layer, one result each."""
    x, state = workload(layer)
    few = ends(x)
    expected = reference(layer, few, state)
    own = error(eager(layer, few, state), expected)
    poisoned = few.clone(memory_format=torch.preserve_format)
    poisoned[0, 0, x.shape[2] // 2, x.shape[3] // 2] = float("inf")
    poisoned[-1, -1, -1, -1] = float("nan")
    touched = reference(layer, poisoned, state)
    with tempfile.TemporaryDirectory() as folder:
        for program in programs:
            start = time.monotonic()
            try:
                module, model = model_of(program, state, Path(folder))
                with torch.no_grad():
                    y = model(x)
                    torch.cuda.synchronize()
                    compile_s = time.monotonic() - start
                    bad = model(poisoned)
                found = error(ends(y), expected)
                same = torch.equal(bad.isnan(), touched.isnan())
                same = same and torch.equal(bad.isinf(), touched.isinf())
                yield {
                    "error": found,
                    "error_cudnn": own,
                    "right": found <= ERROR_SHARE * own and bool(y.isfinite().all()),
                    "nonfinite_right": same,
                    "compile_s": round(compile_s, 1),
                    "kernels": kernels_of(module),
                }
            except torch.AcceleratorError:
                raise  # the context is lost
            except Exception as problem:
                yield {"failed": repr(problem)[-700:]}


def kernels_of(module: Any) -> Row:
    """Registers, spills and shared memory of each kernel that ran, tuned kernels included."""
    found = {}
    for name, value in vars(module).items():
        function = getattr(value, "fn", value)
        if not isinstance(function, triton.runtime.JITFunction):
            continue
        for caches in function.device_caches.values():
            for kernel in caches[0].values():
                shared = kernel.metadata.shared
                found[name] = {"regs": kernel.n_regs, "spills": kernel.n_spills, "shared": shared}
    return found


def checked(row: Row, indices: list[int], programs: Path, limit_s: float) -> dict[int, Row]:
    """Results of `check` in processes of their own; after a crash, the rest in a new one."""
    found: dict[int, Row] = {}
    left = list(indices)
    while left:
        command = [sys.executable, __file__, str(programs), "--check", row["name"]]
        command += ["--indices", ",".join(map(str, left))]
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=limit_s)
            out, told = run.stdout, run.stderr[-700:]
        except subprocess.TimeoutExpired as late:
            out = (late.stdout or b"").decode() if isinstance(late.stdout, bytes) else ""
            told = f"over {limit_s:g} s"
        done = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        found.update(zip(left, done, strict=False))
        if len(done) < len(left):
            found[left[len(done)]] = {"failed": told}
        left = left[len(done) + 1 :]
    return found


def time_together(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Row]:
    """Median and least µs of each call; the calls in turns, L2 flushed before each."""
    flush = torch.empty(256 << 20, dtype=torch.uint8, device="cuda")
    for call in calls.values():
        for _ in range(3):
            call()
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            flush.zero_()
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            call()
            end.record()
            torch.cuda.synchronize()
            samples[name].append(begin.elapsed_time(end) * 1e3)
    return {
        name: {"median_us": round(statistics.median(taken), 1), "min_us": round(min(taken), 1)}
        for name, taken in samples.items()
    }


def profile(call: Callable[[], Any]) -> dict[str, float]:
    """µs of each kernel of one call, by torch's profiler; the flush before it is not counted."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as taken:
        for _ in range(3):
            call()
        torch.cuda.synchronize()
    return {
        event.key[:60]: round(event.device_time_total / event.count, 1)
        for event in taken.key_averages()
    }


def opponents(layer: Row, x: torch.Tensor, state: Row) -> dict[str, Callable[[], Any]]:
    """cuDNN with its heuristics and with its search, in both layouts."""
    last = x.contiguous(memory_format=torch.channels_last)
    first = x.contiguous()

    def call(image: torch.Tensor, search: bool) -> Callable[[], Any]:
        def run() -> torch.Tensor:
            torch.backends.cudnn.benchmark = search
            return eager(layer, image, state)

        return run

    return {
        "cudnn nchw": call(first, False),
        "cudnn nchw search": call(first, True),
        "cudnn channels_last": call(last, False),
        "cudnn channels_last search": call(last, True),
    }


def timed(row: Row, results: dict[int, Row], rounds: int, with_profile: bool) -> Row:
    """All times of one layer: opponents and what passed its check."""
    x, state = workload(row["layer"])
    calls = opponents(row["layer"], x, state)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        for index, candidate in enumerate(row["candidates"]):
            if results[index].get("right"):
                model = model_of(candidate["program"], state, Path(folder))[1]
                calls[str(index)] = partial(model, x)
        times = time_together(calls, rounds)
        if with_profile:
            for name, call in calls.items():
                try:
                    times[name]["kernels_us"] = profile(call)
                except Exception as problem:  # a machine without CUPTI: times are enough
                    times[name]["kernels_us"] = repr(problem)[:200]
    return times


def compare(rows: list[Row], arguments: argparse.Namespace) -> None:
    """Check everything in parallel, then time layer by layer; results are written as they come."""
    start = time.monotonic()
    jobs = [
        (row, list(range(first, min(first + GROUP, len(row["candidates"])))))
        for row in rows
        for first in range(0, len(row["candidates"]), GROUP)
    ]
    with ThreadPoolExecutor(arguments.workers) as pool:
        found = list(pool.map(
            lambda job: checked(job[0], job[1], arguments.programs, arguments.limit_s), jobs
        ))  # fmt: skip
    print(f"checked {len(jobs)} groups in {time.monotonic() - start:.0f} s", flush=True)
    results: Row = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "triton": triton.__version__,
        "layers": [],
    }
    for row in rows:
        mine: dict[int, Row] = {}
        for (other, _), group in zip(jobs, found, strict=True):
            if other is row:
                mine.update(group)
        try:
            times = timed(row, mine, arguments.rounds, row["name"] in arguments.profile.split(","))
        except Exception as problem:
            times = {}
            print(row["name"], "not timed:", repr(problem)[:500], flush=True)
        tell(row, mine, times)
        results["layers"].append({**summary(row, mine, times), "opponents": {
            name: value for name, value in times.items() if name.startswith("cudnn")
        }})  # fmt: skip
        arguments.out.write_text(json.dumps(results, indent=1))
    print(f"all in {time.monotonic() - start:.0f} s", flush=True)


def summary(row: Row, mine: dict[int, Row], times: Row) -> Row:
    """What is kept of a layer: no programs, but the points that made them."""
    kept = []
    for index, candidate in enumerate(row["candidates"]):
        point = {key: candidate[key] for key in ("schedule", "point", "predicted_us")}
        kept.append({**point, **mine[index], "time": times.get(str(index))})
    return {"name": row["name"], "layer": row["layer"], "candidates": kept}


def tell(row: Row, mine: dict[int, Row], times: Row) -> None:
    """One block of lines for a layer, best first."""
    print(f"\n== {row['name']}", flush=True)
    best = min((v["min_us"] for k, v in times.items() if k.startswith("cudnn")), default=None)
    for name, value in times.items():
        if name.startswith("cudnn"):
            print(f"  {name}: {json.dumps(value)}")
    order = sorted(mine, key=lambda i: times.get(str(i), {}).get("min_us", 1e12))
    for index in order:
        candidate = row["candidates"][index]
        point = " ".join(f"{key}={value}" for key, value in candidate["point"])
        found, took = mine[index], times.get(str(index))
        share = f"{best / took['min_us']:.2f}x" if took and best else "-"
        print(f"  {share} {candidate['schedule']} {point} predicted {candidate['predicted_us']:.0f}"
              f" {json.dumps(took)} {json.dumps(found)}", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", type=Path, help="what conv2d_emit.py wrote")
    parser.add_argument("--out", type=Path, default=Path("conv2d_variants.json"))
    parser.add_argument("--only", default="", help="layers whose name contains this text")
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--limit-s", type=float, default=90.0, help="for a group of programs")
    parser.add_argument("--profile", default="A,B", help="layers whose kernels are timed apart")
    parser.add_argument("--check", help="one layer, in this process")
    parser.add_argument("--indices", default="")
    arguments = parser.parse_args()
    rows = json.loads(arguments.programs.read_text())["layers"]
    if arguments.check:
        row = next(row for row in rows if row["name"] == arguments.check)
        programs = [row["candidates"][int(i)]["program"] for i in arguments.indices.split(",")]
        for found in check(row["layer"], programs):
            print(json.dumps(found), flush=True)
        return
    compare([row for row in rows if arguments.only in row["name"]], arguments)


if __name__ == "__main__":
    main()
