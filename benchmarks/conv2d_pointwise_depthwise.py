"""Try kernels for ordinary pointwise, depthwise and grouped layers beside cuDNN, on a GPU.

Variants first run in worker processes, where they compile and are compared with float64 on the
first and the last image (a crash there harms no other). What passed is then timed in this process
with device events, L2 flushed before each call; so is cuDNN, in four ways, NCHW in and out.

    python benchmarks/conv2d_pointwise_depthwise.py --out results.json [--only TEXT] [--workers 14]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
import triton

from warpwright.operators.conv2d.kernels import depthwise, grouped, pointwise
from warpwright.types.conv2d import Conv2dLayer

Parameters = dict[str, Any]
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
MAX_ERROR = {"float32": 1e-3, "float16": 1e-3, "bfloat16": 8e-3}


def layer(batch: int, channels: int, out_channels: int, size: int, dtype: str, kernel: int = 1,
          stride: int = 1, groups: int = 1, dilation: int = 1) -> Conv2dLayer:  # fmt: skip
    """A square layer whose padding keeps the size (but for the stride), without bias."""
    pad = dilation * (kernel - 1) // 2
    return Conv2dLayer(
        batch, channels, size, size, out_channels, (kernel, kernel), (stride, stride),
        (pad, pad), (pad, pad), (dilation, dilation), groups, False, dtype,
    )  # fmt: skip


LAYERS: dict[str, Conv2dLayer] = {
    "r50 64-256 56 b32 fp32": layer(32, 64, 256, 56, "float32"),
    "r50 64-256 56 b32 fp16": layer(32, 64, 256, 56, "float16"),
    "r50 256-64 56 b32 fp32": layer(32, 256, 64, 56, "float32"),
    "r50 256-64 56 b32 fp16": layer(32, 256, 64, 56, "float16"),
    "r50 512-128 28 b64 fp32": layer(64, 512, 128, 28, "float32"),
    "r50 1024-256 14 b64 fp32": layer(64, 1024, 256, 14, "float32"),
    "r50 1024-256 14 b64 bf16": layer(64, 1024, 256, 14, "bfloat16"),
    "r50 512-2048 7 b64 fp32": layer(64, 512, 2048, 7, "float32"),
    "r50 512-2048 7 b64 fp16": layer(64, 512, 2048, 7, "float16"),
    "r50 256-512 56 s2 b32 fp32": layer(32, 256, 512, 56, "float32", stride=2),
    "r50 256-512 56 s2 b32 fp16": layer(32, 256, 512, 56, "float16", stride=2),
    "mob 32-64 112 b64 fp32": layer(64, 32, 64, 112, "float32"),
    "mob 32-64 112 b64 bf16": layer(64, 32, 64, 112, "bfloat16"),
    "mob 128-128 56 b128 fp32": layer(128, 128, 128, 56, "float32"),
    "mob 128-128 56 b128 fp16": layer(128, 128, 128, 56, "float16"),
    "dw 64 112 k3 b32 fp32": layer(32, 64, 64, 112, "float32", 3, groups=64),
    "dw 64 112 k3 b32 fp16": layer(32, 64, 64, 112, "float16", 3, groups=64),
    "dw 64 112 k3 s2 b32 fp32": layer(32, 64, 64, 112, "float32", 3, 2, groups=64),
    "dw 240 28 k5 b64 fp16": layer(64, 240, 240, 28, "float16", 5, groups=240),
    "dw 512 14 k3 b128 fp32": layer(128, 512, 512, 14, "float32", 3, groups=512),
    "dw 960 7 k5 b128 bf16": layer(128, 960, 960, 7, "bfloat16", 5, groups=960),
    "dw 96 56 k7 b64 fp32": layer(64, 96, 96, 56, "float32", 7, groups=96),
    "gr 128 56 g32 b32 fp32": layer(32, 128, 128, 56, "float32", 3, groups=32),
    "gr 256 28 g32 b32 fp16": layer(32, 256, 256, 28, "float16", 3, groups=32),
    "gr 512 28 s2 g32 b32 fp32": layer(32, 512, 512, 28, "float32", 3, 2, groups=32),
    "gr 1024 14 g32 b64 fp16": layer(64, 1024, 1024, 14, "float16", 3, groups=32),
}


@dataclass(frozen=True)
class Variant:
    """One kernel with its parameters, for one layer."""

    layer: str
    kernel: str
    parameters: tuple[tuple[str, int], ...]

    @property
    def name(self) -> str:
        return f"{self.layer} | {self.kernel} " + " ".join(f"{k}={v}" for k, v in self.parameters)


def tiles(*rows: tuple[int, ...], names: str) -> list[tuple[tuple[str, int], ...]]:
    return [tuple(zip(names.split(), row, strict=True)) for row in rows]


def power_of_two(value: int) -> int:
    return 1 << max(0, value - 1).bit_length()


def pointwise_variants(name: str, found: Conv2dLayer) -> list[Variant]:
    """Tiles whose blocks cover all output channels where they are few; both operand orders."""
    fp32 = found.dtype == "float32"
    oc, k = found.out_channels, power_of_two(found.in_channels)
    wide, half, least = (min(most, power_of_two(oc)) for most in (256, 128, 64))
    step = min(32 if fp32 else 64, k)
    # Where neighbouring pixels are not neighbours in memory by fours, loads are value by value
    # and take registers: smaller tiles.
    scattered = found.out_height * found.out_width % 4 != 0 or found.stride != (1, 1)
    if scattered:
        step = min(32, step)
    rows = [(0, half, 128, step, 4, 3), (0, half, 128, step, 8, 3), (0, half, 128, step, 8, 4),
            (0, half, 64, step, 4, 3), (0, half, 64, step, 4, 4), (0, least, 128, step, 4, 3),
            (0, least, 256, step, 8, 3), (0, wide, 64, step, 4, 3), (0, wide, 128, step, 8, 3),
            (1, half, 128, step, 8, 3)]  # fmt: skip
    if fp32:
        rows += [(1, half, 64, step, 4, 3), (1, wide, 128, step, 8, 3)]
    if scattered:
        rows = [row for row in rows if max(row[1] // 4, step) * row[2] <= 16 * 32 * row[4]]
    names = "TURN BLOCK_OC BLOCK_P BLOCK_K num_warps num_stages"
    points = tiles(*dict.fromkeys(rows), names=names)
    variants = [Variant(name, "conv_pointwise", p) for p in points]
    if k <= 256 and not scattered:
        rows = []
        wanted = [(0, 64, 2, 4), (0, 64, 3, 8), (0, 128, 2, 8), (0, 128, 3, 8),
                  (1, 64, 2, 8), (1, 128, 2, 8)]  # fmt: skip
        for turn, px, stages, warps in wanted:
            block = wide if (wide + stages * px) * k * found.element_bytes < 180_000 else half
            if (turn and not fp32) or (block + stages * px) * k * found.element_bytes > 220_000:
                continue
            rows.append((turn, block, px, k, stages, warps))
        names = "TURN BLOCK_OC BLOCK_P BLOCK_K num_stages num_warps"
        points = tiles(*dict.fromkeys(rows), names=names)
        variants += [Variant(name, "conv_pointwise_resident", p) for p in points]
    return variants


def depthwise_variants(name: str, found: Conv2dLayer) -> list[Variant]:
    """Blocks of about 128 to 1024 columns; several planes where one has fewer."""
    rows = []
    for height in (1, 2, 4, 7):
        if height == 7 and found.kernel[0] == 7:
            continue  # compiles for 10 s and more
        columns = -(-found.out_height // height) * found.out_width
        for lanes, warps in ((256, 4), (512, 4)):
            block_p = min(lanes, power_of_two(columns))
            rows.append((height, lanes // block_p, block_p, warps))
    columns = -(-found.out_height // 4) * found.out_width
    block_p = min(128, power_of_two(columns))
    rows.append((4, 128 // block_p, block_p, 4))
    names = "ROWS BLOCK_N BLOCK_P num_warps"
    return [Variant(name, "conv_depthwise", p) for p in tiles(*dict.fromkeys(rows), names=names)]


def grouped_variants(name: str, found: Conv2dLayer) -> list[Variant]:
    channels = found.in_channels // found.groups
    outputs = found.out_channels // found.groups
    step = 32 if found.dtype == "float32" else 64
    block = max(8, power_of_two(outputs))
    rows = [(128, block, step, 4, 2), (128, block, step, 4, 3), (256, block, step, 8, 3),
            (64, block, step, 4, 3), (128, block, step // 2, 4, 4)]  # fmt: skip
    names = "BLOCK_P BLOCK_OC BLOCK_K num_warps num_stages"
    variants = [Variant(name, "conv_grouped", p) for p in tiles(*rows, names=names)]
    if channels * outputs <= 64:
        rows = [(256, 4), (512, 4), (128, 4)]
        variants += [Variant(name, "conv_grouped_scalar", p)
                     for p in tiles(*rows, names="BLOCK_P num_warps")]  # fmt: skip
    return variants


def all_variants(only: str) -> list[Variant]:
    found: list[Variant] = []
    for name, shape in LAYERS.items():
        if shape.groups == 1:
            found += pointwise_variants(name, shape)
        elif shape.groups == shape.in_channels:
            found += depthwise_variants(name, shape)
        else:
            found += grouped_variants(name, shape)
    return [variant for variant in found if only in variant.name]


def tensors(found: Conv2dLayer, device: str = "cuda") -> dict[str, torch.Tensor]:
    generator = torch.Generator(device=device).manual_seed(1)
    dtype = DTYPES[found.dtype]
    size = (found.batch, found.in_channels, found.height, found.width)
    fan_in = found.in_channels // found.groups * found.kernel[0] * found.kernel[1]
    w_size = (found.out_channels, found.in_channels // found.groups, *found.kernel)
    out = (found.batch, found.out_channels, found.out_height, found.out_width)
    x = torch.randn(size, device=device, generator=generator).to(dtype)
    w = (torch.randn(w_size, device=device, generator=generator) * fan_in**-0.5).to(dtype)
    return {"x": x, "w": w, "y": torch.full(out, float("nan"), device=device, dtype=dtype)}


def call(variant: Variant, t: dict[str, torch.Tensor]) -> Callable[[], Any]:
    """The launch of a variant."""
    found = LAYERS[variant.layer]
    p = dict(variant.parameters)
    sizes = {"H": found.height, "W": found.width, "OH": found.out_height, "OW": found.out_width,
             "SH": found.stride[0], "SW": found.stride[1], "HAS_BIAS": False}  # fmt: skip
    window = {"KH": found.kernel[0], "KW": found.kernel[1], "PAD_H": found.padding_before[0],
              "PAD_W": found.padding_before[1], "DIL_H": found.dilation[0],
              "DIL_W": found.dilation[1]}  # fmt: skip
    pixels = found.out_height * found.out_width
    rounded = {"ROUND": found.dtype == "float32"}
    args = (t["x"], t["w"], None, t["y"])
    if variant.kernel.startswith("conv_pointwise"):
        blocks = triton.cdiv(found.batch * pixels, p["BLOCK_P"])
        oc_blocks = triton.cdiv(found.out_channels, p["BLOCK_OC"])
        more: Parameters = {"C": found.in_channels, "OC": found.out_channels, "PRECISION": "tf32",
                            "WIDE": False}  # fmt: skip
        if variant.kernel.endswith("resident"):
            tile = p["BLOCK_OC"] + p["num_stages"] * p["BLOCK_P"]
            held = tile * p["BLOCK_K"] * found.element_bytes
            blocks = min(blocks, 132 * max(1, min(16 // p["num_warps"], 220_000 // held)))
        kernel = getattr(pointwise, variant.kernel)
        return lambda: kernel[(blocks * oc_blocks,)](
            *args, found.batch, **sizes, **more, **rounded, **p
        )
    if variant.kernel == "conv_depthwise":
        columns = triton.cdiv(found.out_height, p["ROWS"]) * found.out_width
        planes = found.batch * found.out_channels
        grid = (triton.cdiv(planes, p["BLOCK_N"]) * triton.cdiv(columns, p["BLOCK_P"]),)
        more = {"OC": found.out_channels, "MULTIPLIER": found.out_channels // found.in_channels}
        return lambda: depthwise.conv_depthwise[grid](*args, planes, **sizes, **window, **more, **p)
    grid = (triton.cdiv(found.batch * pixels, p["BLOCK_P"]) * found.groups,)
    more = {"GROUPS": found.groups, "C": found.in_channels // found.groups,
            "OC": found.out_channels // found.groups}  # fmt: skip
    if variant.kernel == "conv_grouped":
        more = {**more, **rounded}
    kernel = getattr(grouped, variant.kernel)
    return lambda: kernel[grid](*args, found.batch, **sizes, **window, **more, **p)


def eager(found: Conv2dLayer, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return F.conv2d(x, w, None, found.stride, found.padding_before, found.dilation, found.groups)


def error(found: Conv2dLayer, t: dict[str, torch.Tensor], y: torch.Tensor) -> float:
    """Relative, against float64, of the first and the last image."""
    ends = [0, found.batch - 1]
    expected = eager(found, t["x"][ends].double(), t["w"].double())
    return ((y[ends].double() - expected).norm() / expected.norm()).item()


def check(variant: Variant, t: dict[str, torch.Tensor]) -> dict[str, Any]:
    start = time.monotonic()
    t["y"].fill_(float("nan"))
    compiled = call(variant, t)()
    torch.cuda.synchronize()
    return {
        "compile_s": round(time.monotonic() - start, 1),
        "regs": compiled.n_regs, "spills": compiled.n_spills, "shared": compiled.metadata.shared,
        "error": error(LAYERS[variant.layer], t, t["y"]),
        "finite": bool(torch.isfinite(t["y"]).all().item()),
    }  # fmt: skip


def check_list(numbers: list[int], only: str) -> None:
    """In a worker: one JSON line a variant, at once, so that a crash loses one only."""
    known = all_variants(only)
    held: tuple[str, dict[str, torch.Tensor]] | None = None
    for number in numbers:
        variant = known[number]
        if held is None or held[0] != variant.layer:
            held = (variant.layer, tensors(LAYERS[variant.layer]))
        try:
            result = check(variant, held[1])
        except Exception as problem:
            result = {"failed": repr(problem)[:300]}
        print(json.dumps([number, result]), flush=True)


def checked(numbers: list[int], only: str, deadline: float) -> dict[int, dict[str, Any]]:
    """Results of a worker's variants; a worker that dies is started again after the culprit."""
    results: dict[int, dict[str, Any]] = {}
    while left := [n for n in numbers if n not in results]:
        command = [sys.executable, __file__, "--only", only, "--check", ",".join(map(str, left))]
        limit_s = max(1.0, deadline - time.monotonic())
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=limit_s, check=False
            )
            out, why = done.stdout, done.stderr[-300:]
        except subprocess.TimeoutExpired as late:
            out = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
            why = "no result in time"
        for line in out.splitlines():
            number, result = json.loads(line)
            results[number] = result
        missing = [n for n in left if n not in results]
        if missing:
            results[missing[0]] = {"failed": why}
        if time.monotonic() > deadline:
            for n in missing:
                results[n] = {"failed": "not reached in time"}
    return results


def timed(run: Callable[[], Any], flush: torch.Tensor, repeats: int = 15) -> dict[str, float]:
    """Median and least µs of device time; L2 flushed before each call."""
    for _ in range(3):
        run()
    samples = []
    for _ in range(repeats):
        flush.zero_()
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        samples.append((begin, end))
    torch.cuda.synchronize()
    values = [begin.elapsed_time(end) * 1e3 for begin, end in samples]
    return {"median_us": round(statistics.median(values), 1), "min_us": round(min(values), 1)}


def cudnn(found: Conv2dLayer, t: dict[str, torch.Tensor], flush: torch.Tensor) -> dict[str, Any]:
    """Four ways of PyTorch, NCHW in and out: conversions of x and y count, those of w do not."""
    last = torch.channels_last
    w_last = t["w"].contiguous(memory_format=last)

    def plain() -> torch.Tensor:
        return eager(found, t["x"], t["w"])

    def converted() -> torch.Tensor:
        return eager(found, t["x"].contiguous(memory_format=last), w_last).contiguous()

    results: dict[str, Any] = {"error": error(found, t, plain())}
    for mode in (False, True):
        torch.backends.cudnn.benchmark = mode
        name = "benchmark" if mode else "default"
        results[f"nchw {name}"] = timed(plain, flush)
        results[f"channels_last {name}"] = timed(converted, flush)
    return results


def compare(only: str, workers: int, limit_s: float, out: Path) -> None:
    variants = all_variants(only)
    deadline = time.monotonic() + limit_s
    shares = [list(range(len(variants)))[i::workers] for i in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        parts = pool.map(lambda share: checked(share, only, deadline), filter(None, shares))
        found = {number: result for part in parts for number, result in part.items()}
    print(f"{len(variants)} variants checked", flush=True)
    torch.backends.cudnn.allow_tf32 = True
    flush = torch.empty(256 << 20, dtype=torch.uint8, device="cuda")
    results: dict[str, Any] = {"device": torch.cuda.get_device_name(), "triton": triton.__version__,
                               "torch": torch.__version__, "layers": {}}  # fmt: skip
    for name, shape in LAYERS.items():
        mine = [(n, v) for n, v in enumerate(variants) if v.layer == name]
        if not mine:
            continue
        t = tensors(shape)
        peers = cudnn(shape, t, flush)
        rows = []
        for number, variant in mine:
            row = {"variant": variant.name.split(" | ")[1], **found[number]}
            if row.get("finite") and row["error"] < MAX_ERROR[shape.dtype]:
                row.update(timed(call(variant, t), flush))
            rows.append(row)
        rows.sort(key=lambda row: row.get("median_us", 1e9))
        floor_us = max(shape.least_bytes / 3.0e6, shape.flops / (363e6 * 4 / shape.element_bytes))
        results["layers"][name] = {"floor_us": round(floor_us, 1), "cudnn": peers, "ours": rows}
        out.write_text(json.dumps(results, indent=1))
        report(name, results["layers"][name])


def report(name: str, result: dict[str, Any]) -> None:
    ways = {k: v["median_us"] for k, v in result["cudnn"].items() if k != "error"}
    best = min(ways.values())
    print(f"\n{name}: floor {result['floor_us']} cudnn {ways} error {result['cudnn']['error']:.2e}")
    for row in result["ours"]:
        if "median_us" not in row:
            print("   FAILED", row["variant"], {k: v for k, v in row.items() if k != "variant"})
            continue
        ratio = best / row["median_us"]
        print(f"   {row['median_us']:7.1f} ({row['min_us']:.1f}) {ratio:.2f}x {row['variant']}"
              f"  regs {row['regs']} spills {row['spills']} shared {row['shared']}"
              f" error {row['error']:.2e}", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("conv2d_pointwise_depthwise.json"))
    parser.add_argument("--only", default="", help="variants whose name contains this text")
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--limit-s", type=float, default=80.0, help="for compiling and checking")
    parser.add_argument("--check", help="numbers of variants, in this process")
    arguments = parser.parse_args()
    if arguments.check:
        check_list([int(n) for n in arguments.check.split(",")], arguments.only)
    else:
        compare(arguments.only, arguments.workers, arguments.limit_s, arguments.out)


if __name__ == "__main__":
    main()
