"""Try kernels for the two seed convolutions: correct? how fast? which of their passes takes what?

Each variant first runs in a process of its own, where it compiles and is compared with float64
on the first and the last image (a crash there harms no other). What passed is then timed in this
process with device events, L2 flushed before each call.

    python benchmarks/conv2d_variants.py --out results.json [--only TEXT] [--workers 12]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
import triton
from triton.tools.tensor_descriptor import TensorDescriptor

from warpwright.proposers.schedules.conv2d.kernels import (
    depth_window,
    direct,
    prepass,
    row_reuse,
    row_reuse_nchw,
)

Step = tuple[str, Callable[[], Any]]


SHAPES: dict[str, dict[str, Any]] = {
    "A": {"x": (256, 3, 224, 224), "w": (96, 3, 11, 11), "stride": 4, "padding": (2, 2),
          "dilation": (1, 1), "bias": True},
    "B": {"x": (8, 32, 512, 512), "w": (64, 32, 5, 9), "stride": 1, "padding": (2, 4),
          "dilation": (2, 3), "bias": False},
}  # fmt: skip


def pack(w: torch.Tensor, order: int, k: int, oc: int, k_major: bool, pad_kw: int = 1) -> Step:
    """The packed weight, [k, oc] or [oc, k] (`k_major`), and the step that fills it."""
    packed = torch.zeros((oc, k) if k_major else (k, oc), device=w.device, dtype=w.dtype)
    channels, kh, kw = w.shape[1:]
    stride_k, stride_o = (1, k) if k_major else (oc, 1)
    block = 256

    def run() -> Any:
        return prepass.pack_weight[(triton.cdiv(k, block), oc)](
            w, packed, channels, k, w.shape[0], kh, kw, stride_k, stride_o,
            S=4, PAD_KW=pad_kw, ORDER=order, BLOCK=block, ROUND=True,
        )  # fmt: skip

    return packed, run


def pack_taps(w: torch.Tensor, order: int, taps: int, depth: int) -> Step:
    """[taps·oc, depth]: for each tap a matrix of output by input channels."""
    oc = w.shape[0]
    packed = torch.zeros((taps * oc, depth), device=w.device, dtype=w.dtype)
    # k = tap·depth + c lies at (tap·oc + o)·depth + c: one call a tap would be simpler to read,
    # but the stride of k is not constant; so pack [oc, taps·depth] and view it per tap.
    flat, run = pack(w, order, taps * depth, oc, k_major=True)

    def both() -> Any:
        kernel = run()
        packed.view(taps, oc, depth).copy_(flat.view(oc, taps, depth).transpose(0, 1))
        return kernel

    return packed, both


def build_b(x: torch.Tensor, w: torch.Tensor, y: torch.Tensor, p: dict[str, Any]) -> list[Step]:
    """Steps of one call of workload B."""
    batch, channels, height, width = x.shape
    oc, _, kh, kw = w.shape
    rows, block_p = p.get("rows", 2), p["block_p"]
    packed, pack_step = pack_taps(w, 0, kh * kw, channels)
    w_desc = TensorDescriptor(packed, list(packed.shape), [channels, 1], [64, 32])
    step = 2  # dilation 2 over stride 1
    px_blocks = triton.cdiv(y.shape[3], block_p)
    groups = step * triton.cdiv(triton.cdiv(y.shape[2], step), rows)
    common = {
        "C": channels, "KH": kh, "KW": kw, "SH": 1, "PAD_H": 2, "PAD_W": 4, "DIL_H": 2, "DIL_W": 3,
        "STEP": step, "HAS_BIAS": False, "OC": oc, "BLOCK_OC": 64, "BLOCK_P": block_p,
        "BLOCK_C": 32, "STAGES": p["stages"], "num_warps": p["warps"],
    }  # fmt: skip
    chunk = p.get("chunk", batch)
    steps: list[Step] = [("weight", pack_step)]
    if p["kernel"] == "nchw":
        box = [1, 32, 1, block_p]
        for b0 in range(0, batch, chunk):
            part, out = x[b0 : b0 + chunk], y[b0 : b0 + chunk]
            desc = TensorDescriptor(part, list(part.shape), list(part.stride()), box)
            args = (desc, w_desc, None, out, oc, y.shape[2], y.shape[3], px_blocks, 1)
            steps.append(
                (
                    "conv",
                    lambda a=args: row_reuse_nchw.conv_two_rows_nchw[(px_blocks * groups, chunk)](
                        *a, ROUND=p.get("round", True), **common
                    ),
                )
            )
        return steps
    if p["kernel"] == "padded":
        padded_h, padded_w = height + 4, triton.cdiv(width + 8, 16) * 16
        slack = 256 + 8 * padded_w  # pixels: rows of an incomplete group, and one block
        padded = torch.empty(chunk * padded_h * padded_w + slack, channels, device=x.device)
        del common["PAD_H"], common["PAD_W"]
        for b0 in range(0, batch, chunk):
            part, out = x[b0 : b0 + chunk], y[b0 : b0 + chunk]
            steps.append(
                (
                    "prepass",
                    lambda s=part: prepass.nchw_to_padded_nhwc[
                        (triton.cdiv(padded_h * padded_w, 128), chunk)
                    ](
                        s,
                        padded,
                        channels,
                        height,
                        width,
                        padded_h,
                        padded_w,
                        PAD_H=2,
                        PAD_W=4,
                        BLOCK_C=32,
                        BLOCK_P=128,
                        ROUND=True,
                    ),
                )
            )
            args = (
                padded,
                packed,
                None,
                out,
                padded_h,
                padded_w,
                oc,
                y.shape[2],
                y.shape[3],
                px_blocks,
                1,
            )
            steps.append(
                (
                    "conv",
                    lambda a=args: row_reuse.conv_two_rows_padded[(px_blocks * groups, chunk)](
                        *a, **common
                    ),
                )
            )
        return steps
    nhwc = torch.empty((chunk, height, width, channels), device=x.device, dtype=x.dtype)
    box = [1, 1, block_p, 32]
    desc = TensorDescriptor(nhwc, list(nhwc.shape), list(nhwc.stride()), box)
    edges = {"EDGE_STAGES": p.get("edge_stages", p["stages"])}
    kernel = row_reuse.conv_three_rows
    if rows == 2:
        kernel = row_reuse.conv_two_rows
        edges["EDGES"] = p["edges"]
    for b0 in range(0, batch, chunk):
        part, out = x[b0 : b0 + chunk], y[b0 : b0 + chunk]
        pixels = height * width
        bp = p.get("pre_p", 128)
        steps.append(
            (
                "prepass",
                lambda s=part: prepass.nchw_to_nhwc[(triton.cdiv(pixels, bp), chunk)](
                    s, nhwc, channels, pixels, BLOCK_C=32, BLOCK_P=bp, ROUND=True
                ),
            )
        )
        args = (desc, w_desc, None, out, oc, y.shape[2], y.shape[3], px_blocks, 1)
        steps.append(
            ("conv", lambda a=args: kernel[(px_blocks * groups, chunk)](*a, **common, **edges))
        )
    return steps


def build_a(x: torch.Tensor, w: torch.Tensor, bias: torch.Tensor, y: torch.Tensor,
            p: dict[str, Any]) -> list[Step]:  # fmt: skip
    """Steps of one call of workload A."""
    batch, channels, height, width = x.shape
    oc, out_h, out_w = y.shape[1:]
    if p["kernel"] == "direct":
        k = triton.cdiv(channels * 11 * 12, p["block_k"]) * p["block_k"]
        block_b = 32 if p["block_a"] == 64 else 0
        packed, pack_step = pack(w, 1, k, p["block_a"] + block_b, True, pad_kw=12)
        grid = (triton.cdiv(batch * out_h * out_w, p["block_m"]), 1)
        return [
            ("weight", pack_step),
            (
                "conv",
                lambda: direct.conv_direct[grid](
                    x,
                    packed,
                    bias,
                    y,
                    batch,
                    height,
                    width,
                    oc,
                    out_h,
                    out_w,
                    C=channels,
                    KH=11,
                    KW=11,
                    PAD_KW=12,
                    SH=4,
                    SW=4,
                    PAD_H=2,
                    PAD_W=2,
                    DIL_H=1,
                    DIL_W=1,
                    K=k,
                    HAS_BIAS=True,
                    BLOCK_M=p["block_m"],
                    BLOCK_K=p["block_k"],
                    BLOCK_A=p["block_a"],
                    BLOCK_B=block_b,
                    ROUND=p.get("round", True),
                    num_warps=p["warps"],
                    num_stages=p["stages"],
                ),
            ),
        ]
    chunk = p.get("chunk", batch)
    # One row more where their number is odd: conv_depth_rows reads rows in pairs.
    rows, columns, depth = 2 * triton.cdiv(out_h + 2, 2), out_w + 2, channels * 16
    deep = torch.empty((chunk, rows, columns, depth), device=x.device, dtype=x.dtype)
    steps: list[Step] = []
    if p["kernel"] == "window":
        k = triton.cdiv(9 * depth, p["block_k"]) * p["block_k"]
        block_b = 32 if p["block_a"] == 64 else 0
        packed, pack_step = pack(w, 2, k, p["block_a"] + block_b, True)
    else:
        packed, pack_step = pack_taps(w, 2, 9, depth)
        shape = [chunk, rows // 2, 2, columns, depth]
        strides = [rows * columns * depth, 2 * columns * depth, columns * depth, depth, 1]
        box = [1, 2, 1, 64, p["block_k"]]
        x_desc = TensorDescriptor(deep, shape, strides, box)
        wa = TensorDescriptor(packed, list(packed.shape), [depth, 1], [64, p["block_k"]])
        wb = TensorDescriptor(packed, list(packed.shape), [depth, 1], [32, p["block_k"]])
    steps.append(("weight", pack_step))
    for b0 in range(0, batch, chunk):
        part, out = x[b0 : b0 + chunk], y[b0 : b0 + chunk]
        steps.append(
            (
                "prepass",
                lambda s=part: prepass.space_to_depth[(rows, chunk)](
                    s,
                    deep,
                    height,
                    width,
                    rows,
                    columns,
                    PAD_H=2,
                    PAD_W=2,
                    C=channels,
                    S=4,
                    BLOCK_CS=16,
                    BLOCK_W=64,
                    ROUND=True,
                    num_warps=p.get("pre_warps", 4),
                ),
            )
        )
        if p["kernel"] == "window":
            grid = (triton.cdiv(chunk * out_h * out_w, p["block_m"]), 1)
            steps.append(
                (
                    "conv",
                    lambda o=out: depth_window.conv_depth_window[grid](
                        deep,
                        packed,
                        bias,
                        o,
                        chunk,
                        rows,
                        columns,
                        oc,
                        out_h,
                        out_w,
                        DEPTH=depth,
                        KY=3,
                        KX=3,
                        K=k,
                        HAS_BIAS=True,
                        BLOCK_M=p["block_m"],
                        BLOCK_K=p["block_k"],
                        BLOCK_A=p["block_a"],
                        BLOCK_B=block_b,
                        num_warps=p["warps"],
                        num_stages=p["stages"],
                    ),
                )
            )
        else:
            grid = (triton.cdiv(out_h, 4), chunk)
            steps.append(
                (
                    "conv",
                    lambda o=out: depth_window.conv_depth_rows[grid](
                        x_desc,
                        wa,
                        wb,
                        bias,
                        o,
                        oc,
                        out_h,
                        out_w,
                        1,
                        DEPTH=depth,
                        KX=3,
                        HAS_BIAS=True,
                        OC=oc,
                        BLOCK_P=64,
                        BLOCK_C=p["block_k"],
                        BLOCK_A=64,
                        BLOCK_B=32,
                        STAGES=p["stages"],
                        num_warps=p["warps"],
                    ),
                )
            )
    return steps


VARIANTS: dict[str, dict[str, Any]] = {
    "B zero taps p256 s3": {"kernel": "rows", "edges": 0, "block_p": 256, "stages": 3, "warps": 8},
    "B three loops p256 s3": {"kernel": "rows", "edges": 1, "block_p": 256, "stages": 3, "warps": 8},
    "B three loops p256 s4": {"kernel": "rows", "edges": 1, "block_p": 256, "stages": 4, "warps": 8},
    "B two loops p256 s3+2": {"kernel": "rows", "edges": 2, "block_p": 256, "stages": 3,
                              "edge_stages": 2, "warps": 8},
    "B two loops p256 s4+2": {"kernel": "rows", "edges": 2, "block_p": 256, "stages": 4,
                              "edge_stages": 2, "warps": 8},
    "B two loops p256 s4+2 pre256": {"kernel": "rows", "edges": 2, "block_p": 256, "stages": 4,
                                     "edge_stages": 2, "warps": 8, "pre_p": 256},
    "B three loops p128 w4 s3": {"kernel": "rows", "edges": 1, "block_p": 128, "stages": 3,
                                 "warps": 4},
    "B two loops p128 w4 s3+2": {"kernel": "rows", "edges": 2, "block_p": 128, "stages": 3,
                                 "edge_stages": 2, "warps": 4},
    "B three rows p256 s3+2": {"kernel": "rows", "rows": 3, "block_p": 256, "stages": 3,
                               "edge_stages": 2, "warps": 8},
    "B three rows p128 w4 s3+2": {"kernel": "rows", "rows": 3, "block_p": 128, "stages": 2,
                                  "edge_stages": 2, "warps": 4},
    "B two loops p256 s4+2 chunk 2": {"kernel": "rows", "edges": 2, "block_p": 256, "stages": 4,
                                      "edge_stages": 2, "warps": 8, "chunk": 2},
    "B two loops p256 s4+2 chunk 1": {"kernel": "rows", "edges": 2, "block_p": 256, "stages": 4,
                                      "edge_stages": 2, "warps": 8, "chunk": 1},
    "B padded pointers p256 s3": {"kernel": "padded", "block_p": 256, "stages": 3, "warps": 8},
    "B padded pointers p256 s4": {"kernel": "padded", "block_p": 256, "stages": 4, "warps": 8},
    "B padded pointers p128 w4 s3": {"kernel": "padded", "block_p": 128, "stages": 3, "warps": 4},
    "B nchw p256 w8 s3": {"kernel": "nchw", "block_p": 256, "stages": 3, "warps": 8},
    "B nchw p128 w4 s3": {"kernel": "nchw", "block_p": 128, "stages": 3, "warps": 4},
    "B nchw p256 w8 s3 unrounded": {"kernel": "nchw", "block_p": 256, "stages": 3, "warps": 8,
                                    "round": False},
    "A window m128 k32 w4 s4": {"kernel": "window", "block_m": 128, "block_k": 32, "block_a": 64,
                                "warps": 4, "stages": 4},
    "A window m128 k16 w4 s6": {"kernel": "window", "block_m": 128, "block_k": 16, "block_a": 64,
                                "warps": 4, "stages": 6},
    "A window m128 k32 w8 s4": {"kernel": "window", "block_m": 128, "block_k": 32, "block_a": 64,
                                "warps": 8, "stages": 4},
    "A window m256 k16 w8 s5": {"kernel": "window", "block_m": 256, "block_k": 16, "block_a": 64,
                                "warps": 8, "stages": 5},
    "A window m128 n128 k32 w8 s4": {"kernel": "window", "block_m": 128, "block_k": 32,
                                     "block_a": 128, "warps": 8, "stages": 4},
    "A window m128 k32 w4 s4 chunk 64": {"kernel": "window", "block_m": 128, "block_k": 32,
                                         "block_a": 64, "warps": 4, "stages": 4, "chunk": 64},
    "A window m128 k32 w4 s4 chunk 32": {"kernel": "window", "block_m": 128, "block_k": 32,
                                         "block_a": 64, "warps": 4, "stages": 4, "chunk": 32},
    "A window m128 k32 w4 s4 pre8": {"kernel": "window", "block_m": 128, "block_k": 32,
                                     "block_a": 64, "warps": 4, "stages": 4, "pre_warps": 8},
    "A rows k16 w8 s3": {"kernel": "rows", "block_k": 16, "warps": 8, "stages": 3},
    "A rows k16 w8 s4": {"kernel": "rows", "block_k": 16, "warps": 8, "stages": 4},
    "A direct m128 k32 w4 s3": {"kernel": "direct", "block_m": 128, "block_k": 32, "block_a": 64,
                                "warps": 4, "stages": 3},
    "A direct m256 k32 w8 s3": {"kernel": "direct", "block_m": 256, "block_k": 32, "block_a": 64,
                                "warps": 8, "stages": 3},
    "A direct m128 k32 w4 s3 unrounded": {"kernel": "direct", "block_m": 128, "block_k": 32,
                                          "block_a": 64, "warps": 4, "stages": 3, "round": False},
    "A direct m128 k16 w4 s4": {"kernel": "direct", "block_m": 128, "block_k": 16, "block_a": 64,
                                "warps": 4, "stages": 4},
}  # fmt: skip


def workload(
    name: str, device: str = "cuda", size: tuple[int, ...] | None = None
) -> dict[str, torch.Tensor]:
    """Inputs of a workload, as the seeds make them, and room for the output."""
    shape = SHAPES[name]
    generator = torch.Generator(device=device).manual_seed(1)
    size = size or shape["x"]
    x = torch.rand(size, device=device, generator=generator)
    bound = (shape["w"][1] * shape["w"][2] * shape["w"][3]) ** -0.5
    w = (torch.rand(shape["w"], device=device, generator=generator) * 2 - 1) * bound
    bias = (torch.rand(shape["w"][0], device=device, generator=generator) * 2 - 1) * bound
    like = eager(name, {"x": x[:1], "w": w, "bias": bias})
    y = torch.full((size[0], *like.shape[1:]), float("nan"), device=device)
    return {"x": x, "w": w, "bias": bias, "y": y}


def eager(name: str, t: dict[str, torch.Tensor]) -> torch.Tensor:
    shape = SHAPES[name]
    bias = t["bias"] if shape["bias"] else None
    return F.conv2d(t["x"], t["w"], bias, shape["stride"], shape["padding"], shape["dilation"])


def build(variant: str, t: dict[str, torch.Tensor]) -> list[Step]:
    parameters = VARIANTS[variant]
    if variant.startswith("A"):
        return build_a(t["x"], t["w"], t["bias"], t["y"], parameters)
    return build_b(t["x"], t["w"], t["y"], parameters)


def reference(name: str, t: dict[str, torch.Tensor]) -> torch.Tensor:
    """float64 results of the first and the last image."""
    ends = {"x": t["x"][[0, -1]].double(), "w": t["w"].double(), "bias": t["bias"].double()}
    return torch.cat([eager(name, {**ends, "x": ends["x"][i : i + 1]}) for i in range(2)])


def error(y: torch.Tensor, expected: torch.Tensor) -> float:
    return ((y[[0, -1]].double() - expected).norm() / expected.norm()).item()


def check(variant: str, expected: Path) -> dict[str, Any]:
    """Compile, run and compare one variant; in a process of its own."""
    tensors = workload(variant[0])
    start = time.monotonic()
    compiled = [(label, step()) for label, step in build(variant, tensors)]
    torch.cuda.synchronize()
    kernels = {
        label: {"regs": k.n_regs, "spills": k.n_spills, "shared": k.metadata.shared}
        for label, k in compiled
        if hasattr(k, "n_regs")
    }
    return {
        "compile_s": round(time.monotonic() - start, 1),
        "kernels": kernels,
        "error": error(tensors["y"], torch.load(expected)),
        "finite": bool(torch.isfinite(tensors["y"]).all().item()),
    }


def time_steps(steps: list[Step], flush: torch.Tensor, repeats: int = 20) -> dict[str, float]:
    """Median µs of the whole call, and of each kind of step with events between the steps."""
    for _ in range(3):
        for _, step in steps:
            step()
    totals = []
    for _ in range(repeats):
        flush.zero_()
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _, step in steps:
            step()
        end.record()
        torch.cuda.synchronize()
        totals.append(begin.elapsed_time(end) * 1e3)
    parts: dict[str, list[float]] = {label: [] for label, _ in steps}
    for _ in range(repeats):
        flush.zero_()
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(len(steps) + 1)]
        marks[0].record()
        for mark, (_, step) in zip(marks[1:], steps, strict=True):
            step()
            mark.record()
        torch.cuda.synchronize()
        sums = dict.fromkeys(parts, 0.0)
        for (label, _), a, b in zip(steps, marks[:-1], marks[1:], strict=True):
            sums[label] += a.elapsed_time(b) * 1e3
        for label, total in sums.items():
            parts[label].append(total)
    medians = {label: round(statistics.median(values), 1) for label, values in parts.items()}
    return {
        "total_us": round(statistics.median(totals), 1),
        "min_us": round(min(totals), 1),
        **medians,
    }


def checked(variant: str, folder: Path, limit_s: float) -> dict[str, Any]:
    """What `check` found in its own process, or how that process ended."""
    command = [sys.executable, __file__, "--check", variant, "--expected", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": f"no result within {limit_s} s"}
    if done.returncode != 0:
        return {"failed": (done.stderr or done.stdout)[-600:]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(only: str, workers: int, limit_s: float, out: Path) -> None:
    """Check all variants in parallel, then time those that are right, and PyTorch besides."""
    names = [name for name in VARIANTS if only in name]
    results: dict[str, Any] = {"device": torch.cuda.get_device_name(), "triton": triton.__version__,
                               "torch": torch.__version__, "variants": {}}  # fmt: skip
    flush = torch.empty(256 << 20, dtype=torch.uint8, device="cuda")
    with tempfile.TemporaryDirectory() as folder:
        tensors = {name: workload(name) for name in sorted({n[0] for n in names})}
        expected = {name: reference(name, t) for name, t in tensors.items()}
        for name, value in expected.items():
            torch.save(value, Path(folder) / name)
        with ThreadPoolExecutor(workers) as pool:
            checks = dict(zip(names, pool.map(
                lambda n: checked(n, Path(folder), limit_s), names), strict=True))  # fmt: skip
    for name, t in tensors.items():
        yardstick = eager(name, t)
        results[f"{name} cuDNN error"] = error(yardstick, expected[name])
        results[f"{name} cuDNN"] = time_steps([("conv", lambda n=name, v=t: eager(n, v))], flush)
        last = {**t, "x": t["x"].contiguous(memory_format=torch.channels_last)}
        step: Step = ("conv", lambda n=name, v=last: eager(n, v))
        results[f"{name} cuDNN channels_last"] = time_steps([step], flush)
        print(name, results[f"{name} cuDNN error"], results[f"{name} cuDNN"],
              results[f"{name} cuDNN channels_last"], flush=True)  # fmt: skip
        del yardstick, last
    for name, found in checks.items():
        if "failed" not in found and found["error"] < 1e-2:
            try:
                found["time"] = time_steps(build(name, tensors[name[0]]), flush)
            except Exception as problem:
                found["failed"] = repr(problem)
        results["variants"][name] = {"parameters": VARIANTS[name], **found}
        print(name, json.dumps(found), flush=True)
        out.write_text(json.dumps(results, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("conv2d_variants.json"))
    parser.add_argument("--only", default="", help="variants whose name contains this text")
    parser.add_argument("--workers", type=int, default=12)
    parser.add_argument("--limit-s", type=float, default=90.0)
    parser.add_argument("--check", help="one variant, in this process")
    parser.add_argument("--expected", type=Path)
    arguments = parser.parse_args()
    if arguments.check:
        print(json.dumps(check(arguments.check, arguments.expected / arguments.check[0])))
    else:
        compare(arguments.only, arguments.workers, arguments.limit_s, arguments.out)


if __name__ == "__main__":
    main()
