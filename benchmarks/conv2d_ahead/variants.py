"""Workload B: what the emitted row_reuse_ahead loses, and variants of its copy and its loops.

    export PYTHONPATH=src:benchmarks
    python benchmarks/conv2d_ahead/variants.py [--out FILE] [--only "NAME;NAME"] [--timing-s 14]
    TRITON_INTERPRET=1 python benchmarks/conv2d_ahead/variants.py --small   # right? on a CPU

First every variant compiles in a child process of its own, many at a time: it runs --runs times
with NaN in all its buffers, and its outputs are held against each other and against float64 on
rows of the first and the last image. A child that hangs ends itself. Then those that were right are
timed here, bursts of all of them interleaved, each call with a cold L2 and the device held while
the host issues launches.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch
import triton
from triton.tools.tensor_descriptor import TensorDescriptor

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import ahead_kernels  # noqa: E402

from warpwright.operators.conv2d.kernels.layout import in_its_layout, output_size  # noqa: E402
from warpwright.operators.conv2d.kernels.prepass import padded_width  # noqa: E402
from warpwright.operators.conv2d.kernels.row_reuse_ahead import packed_taps_and_zeros  # noqa: E402

HANG_S = 20.0
FLUSH_BYTES = 256 * 1024**2
SPIN_US, SPIN_CYCLES_PER_US = 300, 1_900
PADDING, DILATION = (2, 4, 2, 4), (2, 3)
WORST_ERROR = 4e-4  # of the largest output; cuDNN's TF32 has 3.2e-4


@dataclass(frozen=True)
class Variant:
    """A point of the kernels; `emitted`: of the program that the project emits today."""

    name: str
    predicted: str = ""
    emitted: bool = False
    described: bool = False  # fetches by descriptors
    warps: int = 8
    stages: int = 6
    point: dict[str, Any] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        return self.point.get("COPIES", True) and self.point.get("PRODUCTS", True)


NARROW = {"BLOCK_C": 16, "EDGE_STAGES": 4}
WIDE = {"BLOCK_C": 32, "EDGE_STAGES": 2}
DEEP = {"DEPTH": 4, "COPY_P": 256}
DEEPER = {"DEPTH": 6, "COPY_P": 256}
ONE = {"DEPTH": 1, "COPY_P": 512}
FIRST = {"PIECES": 4}  # the first bands are copied by four times as many blocks
PAIR = {"DEPTH": 2, "COPY_P": 512}
STAGED = {"STAGED": 9, "COPY_P": 128}
JOIN = {"LOOPS": 3}
BY_X = {"LOOPS": 3, "ORDER": "r c kx", "CACHED_X": True}
BY_W = {"LOOPS": 3, "ORDER": "kx c r", "CACHED_W": True}
COPIES = {"PRODUCTS": False}
PRODUCTS = {"COPIES": False}
DEFAULTS = {
    "ROWS": 3,
    "BLOCK_OC": 64,
    "BLOCK_P": 256,
    "COPY_P": 512,
    "LEAD": 24,
    "DEPTH": 0,
    "STAGED": 0,
    "LOOPS": 4,
    "ORDER": "r kx c",
    "CACHED_X": False,
    "CACHED_W": False,
    "COPIES": True,
    "PRODUCTS": True,
    "PIECES": 1,
}
# What conv_rows_described takes of these.
DESCRIBED = ("BLOCK_OC", "BLOCK_P", "COPY_P", "LEAD", "DEPTH", "PIECES")


def variants() -> tuple[Variant, ...]:
    def emitted(name: str, predicted: str, **point: Any) -> Variant:
        return Variant(name, predicted, emitted=True, point=point)

    def tried(
        name: str, predicted: str, *parts: dict[str, Any], stages: int = 0, described: bool = False
    ) -> Variant:
        point = {key: value for part in parts for key, value in part.items()}
        stages = stages or (4 if point["BLOCK_C"] == 32 else 6)
        return Variant(name, predicted, described=described, stages=stages, point=point)

    x_narrow = {**BY_X, "EDGE_STAGES": 3}
    return (
        emitted("emitted 3 256 16", "1395-1410", ROWS=3, BLOCK_P=256, BLOCK_C=16),
        emitted("emitted 3 256 32", "1370-1385", ROWS=3, BLOCK_P=256, BLOCK_C=32),
        emitted("emitted 2 256 32", "1420", ROWS=2, BLOCK_P=256, BLOCK_C=32),
        emitted("emitted 3 128 32", "1485", ROWS=3, BLOCK_P=128, BLOCK_C=32),
        tried("lead 36, 16", "1395-1410", NARROW, {"LEAD": 36}),
        tried("copy in line, 16", "1335-1360", NARROW, ONE),
        tried("copy in line, 32", "1320-1350", WIDE, ONE),
        tried("copy 2x512, 16", "1330-1350", NARROW, PAIR),
        tried("copy 4x256, 16", "1305-1335", NARROW, DEEP),
        tried("copy 4x256, 32", "1300-1335", WIDE, DEEP),
        tried("copy 6x256, 16", "1295-1330", NARROW, DEEPER),
        tried("copy 4x256, 16, lead 36", "1305-1340", NARROW, DEEP, {"LEAD": 36}),
        tried("copy staged, 16", "1320-1360", NARROW, STAGED),
        tried("join, 16", "1360-1400", NARROW, JOIN),
        tried("join, copy in line, 32", "1295-1340", WIDE, JOIN, ONE),
        tried("join, copy 4x256, 16", "1265-1320", NARROW, JOIN, DEEP),
        tried("join, copy 4x256, 32", "1265-1320", WIDE, JOIN, DEEP),
        tried("join, copy 6x256, 16", "1260-1315", NARROW, JOIN, DEEPER),
        tried("join, copy 4x256, 16, pieces", "1255-1310", NARROW, JOIN, DEEP, FIRST),
        tried("join, copy 4x256, 32, pieces", "1255-1310", WIDE, JOIN, DEEP, FIRST),
        tried("taps from L1, 16", "1230-1320", NARROW, BY_W, DEEP),
        tried("input from L1, 16", "1180-1400", NARROW, x_narrow, DEEP, stages=5),
        tried("input from L1, 32", "1180-1400", WIDE, BY_X, DEEP, stages=3),
        tried("input from L1, 2 rows", "1250-1450", WIDE, BY_X, DEEP, {"ROWS": 2}, stages=3),
        tried("described, 16", "1270-1340", NARROW, DEEP, described=True),
        tried("described, 32", "1270-1340", WIDE, DEEP, described=True),
        tried(
            "described, 16, 8 stages",
            "1260-1340",
            NARROW,
            DEEP,
            {"EDGE_STAGES": 5},
            stages=8,
            described=True,
        ),
        tried("(copies as emitted)", "200", NARROW, COPIES),
        tried("(copies in line)", "180-200", NARROW, ONE, COPIES),
        tried("(copies 2x512)", "175-195", NARROW, PAIR, COPIES),
        tried("(copies 4x256)", "170-190", NARROW, DEEP, COPIES),
        tried("(copies 6x256)", "165-190", NARROW, DEEPER, COPIES),
        tried("(copies staged)", "175-210", NARROW, STAGED, COPIES),
        tried("(products, 16)", "1246", NARROW, PRODUCTS),
        tried("(products, 32)", "1225-1250", WIDE, PRODUCTS),
        tried("(products, join, 16)", "1205-1235", NARROW, JOIN, PRODUCTS),
        tried("(products, join, 32)", "1200-1235", WIDE, JOIN, PRODUCTS),
        tried("(products, taps from L1)", "1160-1240", NARROW, BY_W, PRODUCTS),
        tried("(products, input from L1)", "1110-1300", NARROW, x_narrow, PRODUCTS, stages=5),
    )


def conv2d_tried(
    v: Variant,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    packed_c: int,
) -> tuple[Any, Callable[[], Any]]:
    """What conv2d_rows_ahead does, for a variant. Returns the output, which the launch fills that
    is returned too, so that buffers may be spoiled before it."""
    x, channels_last = in_its_layout(x)
    weight = weight.contiguous()
    batch, channels, height, width = x.shape
    out_channels, _, kernel_h, kernel_w = weight.shape
    top, left, bottom, right = padding
    out_h, out_w = output_size(x, weight, stride, padding, dilation)
    y = torch.empty(
        (batch, out_channels, out_h, out_w),
        device=x.device,
        dtype=x.dtype,
        memory_format=torch.channels_last if channels_last else torch.contiguous_format,
    )
    rounded = x.dtype == torch.float32
    rows = height + top + bottom
    columns, pad_w = padded_width(width, left, right)
    beyond = pad_w + 256 * stride[1] + 3 * dilation[0] * (columns + 8)
    padded = torch.empty(
        (batch * rows * columns + beyond, packed_c), device=x.device, dtype=x.dtype
    )
    packed, counters = packed_taps_and_zeros(weight, packed_c, rounded, 1 + batch * rows)
    point = {**DEFAULTS, **v.point}
    step = dilation[0] // stride[0]
    parts = (
        triton.cdiv(out_channels, point["BLOCK_OC"]) * triton.cdiv(out_w, point["BLOCK_P"]) * step
    )
    bands = batch * triton.cdiv(rows, dilation[0] * point["ROWS"])
    tickets = point["LEAD"] * point["PIECES"] + bands * (parts + 1)
    named = {
        "WIDTH": width,
        "STRIDE_C": 1 if channels_last else height * width,
        "STRIDE_P": channels if channels_last else 1,
        "C": packed_c,
        "PADDED_H": rows,
        "PADDED_W": columns,
        "PAD_H": top,
        "PAD_W": pad_w,
        "LEFT": left,
        "OC": out_channels,
        "OH": out_h,
        "OW": out_w,
        "KH": kernel_h,
        "KW": kernel_w,
        "SH": stride[0],
        "DIL_H": dilation[0],
        "DIL_W": dilation[1],
        "HAS_BIAS": bias is not None,
        "CHANNELS_LAST": channels_last,
        "ROUND": rounded,
        "num_warps": v.warps,
        "num_stages": v.stages,
    }
    tail = (bias, y, counters, kernel_w, batch, channels, height, x.stride(0))
    if v.described:
        boxes = point["BLOCK_C"]
        taps = packed.view(-1, packed_c)
        x_desc = TensorDescriptor.from_tensor(padded, [point["BLOCK_P"], boxes])
        w_desc = TensorDescriptor.from_tensor(taps, [point["BLOCK_OC"], boxes])
        kernel = ahead_kernels.conv_rows_described
        given = (x, padded, x_desc, w_desc, *tail)
        named |= {key: point[key] for key in DESCRIBED}
        named |= {key: point[key] for key in ("BLOCK_C", "EDGE_STAGES")}
        named["FENCES"] = os.environ.get("TRITON_INTERPRET") != "1"
    else:
        kernel = ahead_kernels.conv_rows_tried
        given = (x, padded, packed, *tail)
        named |= {"SW": stride[1], **point}
    spoiled = [padded[: batch * rows * columns], y] if point["COPIES"] else [y]
    grid = (tickets,)

    def launch() -> Any:
        return kernel[grid](*given, **named)

    launch.spoiled = spoiled  # type: ignore[attr-defined]
    launch.padded = padded  # type: ignore[attr-defined]
    return y, launch


# --- workload B -------------------------------------------------------------------------------


class Work:
    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(7)
        x = torch.rand((8, 32, 512, 512), generator=generator)
        weight = torch.empty(64, 32, 5, 9).uniform_(-1, 1, generator=generator) / 1440**0.5
        self.x, self.weight = x.cuda(), weight.cuda()

    def prepared(self, v: Variant) -> tuple[Any, Callable[[], Any]]:
        return conv2d_tried(v, self.x, self.weight, None, (1, 1), PADDING, DILATION, 32)

    def call(self, v: Variant) -> Callable[[], Any]:
        """Of the whole work of one call, as a program does it: buffers and packing too."""
        if v.emitted:
            model = self.model(v)
            return lambda: model(self.x)
        return lambda: self.prepared(v)[1]()

    def model(self, v: Variant) -> Any:
        from conv2d_bench.contenders import SOURCES, load
        from conv2d_bench.layers import read_layers, task_of

        from warpwright.api import target_gpu
        from warpwright.proposers.schedules import candidates, emit

        task = task_of(next(named.layer for named in read_layers() if named.name == "B"))
        sheet = target_gpu("h100").sheet
        found = [
            one
            for one in candidates(task, sheet)
            if one.schedule == "row_reuse_ahead" and v.point.items() <= dict(one.point).items()
        ]
        if len(found) != 1:
            raise SystemExit(f"{v.name}: {len(found)} emitted points are so")
        module = load(emit(task, found, sheet), SOURCES)
        model = module.ModelNew().cuda().eval().requires_grad_(False)
        (parameter,) = model.parameters()
        parameter.copy_(self.weight)
        return model

    def error(self, y: Any) -> float:
        """Against float64, over the largest output: of the first image's first rows and the last
        image's last ones."""
        worst = 0.0
        for image, rows, kept in (
            (7, slice(-20, None), slice(-12, None)),
            (0, slice(0, 20), slice(0, 12)),
        ):
            x = self.x[image : image + 1, :, rows].double()
            exact = torch.nn.functional.conv2d(x, self.weight.double(), None, 1, (2, 4), DILATION)
            exact = exact[:, :, kept]
            off = (y[image : image + 1, :, kept].double() - exact).abs().max() / exact.abs().max()
            worst = max(worst, float(off.nan_to_num(nan=float("inf"))))
        return worst


def check(v: Variant, runs: int) -> dict[str, Any]:
    """Compile, run, compare. Ends the process if the device does not answer."""
    work = Work()
    guard = threading.Timer(HANG_S, lambda: (print("hangs", flush=True), os._exit(3)))
    guard.daemon = True
    if v.emitted:
        y = work.call(v)()
        guard.start()
        torch.cuda.synchronize()
        guard.cancel()
        return {"error": work.error(y)}
    _, launch = work.prepared(v)
    torch.cuda.synchronize()
    begun = time.monotonic()
    compiled = launch()
    found = {
        "compile_s": round(time.monotonic() - begun, 1),
        "registers": compiled.n_regs,
        "spills": compiled.n_spills,
        "shared": compiled.metadata.shared,
    }
    guard.start()
    torch.cuda.synchronize()
    if not v.whole:
        guard.cancel()
        return found
    torch.backends.cudnn.allow_tf32 = True
    eager = torch.nn.functional.conv2d(work.x, work.weight, None, 1, (2, 4), DILATION)
    first = None
    differing, most = 0, 0.0
    for _ in range(runs):
        y, launch = work.prepared(v)
        for buffer in launch.spoiled:
            buffer.fill_(float("nan"))
        launch()
        if first is None:
            first = y.clone()
            most = float((y - eager).abs().max().nan_to_num(nan=float("inf")) / eager.abs().max())
        differing += not torch.equal(y, first)
    guard.cancel()
    return found | {"differing": differing, "from_eager": most, "error": work.error(first)}


def in_child(v: Variant, runs: int) -> dict[str, Any]:
    begun = time.monotonic()
    command = [sys.executable, __file__, "--child", v.name, "--runs", str(runs)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    except subprocess.TimeoutExpired:
        return {"failed": "out of time"}
    if done.returncode != 0:
        last = (done.stdout.strip() + " " + done.stderr.strip()).strip().splitlines()[-1:]
        return {"failed": f"ended with {done.returncode}: {' '.join(last)[:300]}"}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found | {"child_s": round(time.monotonic() - begun, 1)}


def right(found: dict[str, Any]) -> bool:
    """Parts are timed whatever they compute; they were not compared."""
    if "failed" in found:
        return False
    return (
        found.get("differing", 0) == 0
        and found.get("error", 0.0) <= WORST_ERROR
        and (found.get("from_eager", 0.0) <= 1e-3)
    )


# --- timing -----------------------------------------------------------------------------------


def burst(flush: Any, call: Callable[[], Any], calls: int) -> list[float]:
    events = [
        (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))
        for _ in range(calls)
    ]
    for before, after in events:
        flush.zero_()
        torch.cuda._sleep(SPIN_US * SPIN_CYCLES_PER_US)
        before.record()
        call()
        after.record()
    torch.cuda.synchronize()
    return [before.elapsed_time(after) * 1e3 for before, after in events]


def timed(calls: dict[str, Callable[[], Any]], budget_s: float) -> dict[str, list[list[float]]]:
    """Rounds of bursts of three of all contenders in random order, until the budget is spent."""
    flush = torch.empty(FLUSH_BYTES // 4, dtype=torch.int32, device="cuda")
    times: dict[str, list[list[float]]] = {name: [] for name in calls}
    shuffled = random.Random(3)
    for call in calls.values():
        for _ in range(3):
            call()
    torch.cuda.synchronize()
    names, ends = list(calls), time.monotonic() + budget_s
    while time.monotonic() < ends:
        shuffled.shuffle(names)
        for name in names:
            times[name].append(burst(flush, calls[name], 3))
    return times


class Clocks:
    """Clock and power while it is open, if nvidia-smi is there."""

    def __enter__(self) -> Clocks:
        query = "--query-gpu=clocks.sm,power.draw,temperature.gpu"
        command = ["nvidia-smi", query, "--format=csv,noheader,nounits", "-lms", "100", "-i", "0"]
        try:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        except OSError:
            self.process = None
        return self

    def __exit__(self, *_: object) -> None:
        self.lines: list[str] = []
        if self.process is not None:
            self.process.terminate()
            self.lines = (self.process.communicate()[0] or "").strip().splitlines()

    def summary(self) -> str:
        rows = []
        for line in self.lines:
            cells = line.split(",")
            if len(cells) == 3:
                try:
                    rows.append([float(cell) for cell in cells])
                except ValueError:
                    continue
        if not rows:
            return "clocks unknown"
        clocks, watts, degrees = (sorted(column) for column in zip(*rows, strict=True))
        return (
            f"SM clock {clocks[0]:.0f} to {clocks[-1]:.0f} MHz, median {median(clocks):.0f}; "
            f"power median {median(watts):.0f} W, most {watts[-1]:.0f}; {degrees[-1]:.0f} C"
        )


# --- small images on a CPU --------------------------------------------------------------------


def rounded(t: Any) -> Any:
    return ((t.view(torch.int32) + 0x1000) & -0x2000).view(torch.float32)


def small(starts: tuple[str, ...]) -> None:
    """Every kind of variant, in the interpreter, against float64 of the rounded operands."""
    kinds: dict[str, Variant] = {}
    for v in variants():
        if v.whole and not v.emitted and (not starts or v.name.startswith(starts)):
            small_point = {**v.point, "LEAD": 7}
            small_point["BLOCK_P"] = 32
            small_point["COPY_P"] = 64 if v.point.get("COPY_P", 512) > 128 else 32
            kinds[v.name] = Variant(v.name, described=v.described, point=small_point)
    layers = (
        # batch, channels, packed, height, width, outputs, kernel, stride, padding, dilation, last
        (2, 32, 32, 13, 36, 64, (5, 9), (1, 1), (2, 4, 2, 4), (2, 3), False),
        (3, 20, 32, 17, 44, 64, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), False),
        (1, 40, 64, 11, 28, 100, (4, 5), (1, 2), (0, 3, 1, 2), (1, 1), True),
        (2, 32, 32, 12, 40, 64, (3, 3), (2, 1), (0, 0, 0, 0), (2, 2), False),
    )
    worst = 0.0
    for number, (b, c, packed, h, w, oc, kernel, stride, padding, dilation, last) in enumerate(
        layers
    ):
        generator = torch.Generator().manual_seed(number)
        x = torch.randn((b, c, h, w), generator=generator)
        if last:
            x = x.to(memory_format=torch.channels_last)
        weight = torch.randn((oc, c, *kernel), generator=generator)
        bias = torch.randn(oc, generator=generator) if number % 2 else None
        top, left, bottom, right_ = padding
        wide = torch.nn.functional.pad(
            rounded(x.contiguous()).double(), (left, right_, top, bottom)
        )
        exact = torch.nn.functional.conv2d(
            wide,
            rounded(weight).double(),
            None if bias is None else bias.double(),
            stride,
            0,
            dilation,
        )
        for name, v in kinds.items():
            if v.described and (stride[1] != 1 or oc % 64 != 0):
                continue
            y, launch = conv2d_tried(v, x, weight, bias, stride, padding, dilation, packed)
            for buffer in launch.spoiled:
                buffer.fill_(float("nan"))
            launch()
            off = float(((y.double() - exact).abs().max() / exact.abs().max()).nan_to_num(nan=9.0))
            worst = max(worst, off)
            print(
                f"layer {number}  {name:28} {off:.1e}  {'' if off < 2e-6 else 'WRONG'}", flush=True
            )
    print(f"worst {worst:.1e}")
    sys.exit(worst >= 2e-6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--child")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", default="", help="names that begin so, with ; between")
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--processes", type=int, default=15)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--timing-s", type=float, default=14.0)
    options = parser.parse_args()
    starts = tuple(start for start in options.only.split(";") if start)
    if options.small:
        small(starts)
    every = {v.name: v for v in variants()}
    if options.child:
        print(json.dumps(check(every[options.child], options.runs)))
        return
    begun = time.monotonic()
    chosen = [v for name, v in every.items() if not starts or name.startswith(starts)]
    with ThreadPoolExecutor(max_workers=options.processes) as pool:
        checked = list(pool.map(lambda v: in_child(v, options.runs), chosen))
    print(f"compiled and checked in {time.monotonic() - begun:.0f} s", flush=True)
    found_of = {v.name: found for v, found in zip(chosen, checked, strict=True)}
    work = Work()
    calls = {name: work.call(every[name]) for name, found in found_of.items() if right(found)}
    with Clocks() as clocks:
        times = timed(calls, options.timing_s)
    report(found_of, times, every)
    print(f"{torch.cuda.get_device_name(0)}; {clocks.summary()}")
    print(f"{time.monotonic() - begun:.0f} s in all")
    if options.out:
        rows = [
            {"name": n, "predicted": every[n].predicted, "point": every[n].point, **found}
            for n, found in found_of.items()
        ]
        rounded_times = {n: [[round(t, 2) for t in b] for b in bs] for n, bs in times.items()}
        text = {"rows": rows, "bursts_us": rounded_times, "clocks": clocks.lines}
        options.out.write_text(json.dumps(text))


def report(
    found_of: dict[str, dict[str, Any]],
    times: dict[str, list[list[float]]],
    every: dict[str, Variant],
) -> None:
    """Sorted by time; those that failed or were wrong at the end, not timed."""

    def middle(name: str) -> float:
        bursts = times.get(name)
        return median(t for b in bursts for t in b) if bursts else float("inf")

    heads = "regs spills shared  error    differing"
    print(f"{'variant':32} {'median':>7} {'least':>7} {'predicted':>10} {heads}")
    for name in sorted(found_of, key=middle):
        found = found_of[name]
        us = [t for b in times.get(name, []) for t in b]
        both = f"{median(us):7.0f} {min(us):7.0f}" if us else f"{'-':>7} {'-':>7}"
        cells = [str(found.get(key, "-")) for key in ("registers", "spills", "shared")]
        error = f"{found['error']:.2e}" if "error" in found else "-"
        tail = found.get("failed") or ("" if right(found) else f"WRONG {found}")
        line = f"{name:32} {both} {every[name].predicted:>10}"
        line += f" {cells[0]:>4} {cells[1]:>6} {cells[2]:>6}"
        print(f"{line}  {error:8} {found.get('differing', '-')} {tail}")


if __name__ == "__main__":
    main()
