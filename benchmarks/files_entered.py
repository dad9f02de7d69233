"""Count the package's files that one request enters on its way to the record, by a trace.

    PYTHONPATH=src python benchmarks/files_entered.py [--example | --both] [--short] [--out FILE]

A real run of `api.answer_run` without a GPU and without kept results; every function that is called
in the main process, in any of its threads, is seen (what children do is not). All modules are
imported before, so that an import enters nothing. A file is *entered* when code of another file
calls into it (a generator that goes on counts as a call); it is entered *again* each later time.
Printed: the files in the order in which they are first entered, with their lines, how often they
are entered, and by how many other files; then small files that one other file alone enters, which
could be part of it without making it longer than 300 lines.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import sys
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import warpwright
from warpwright import api
from warpwright.formats.kernelbench import read_problem
from warpwright.types.shapes import Problem

PACKAGE = Path(warpwright.__file__).parent
EXAMPLE = Path(__file__).parent.parent / "examples" / "01-conv2d-stride4"
MOST_LINES = 300
GOAL = 45

PROGRAM = """
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.autotune(
    configs=[
        triton.Config({"ROWS": 32, "COLUMNS": 32, "DEPTH": 32}, num_warps=4, num_stages=2),
        triton.Config({"ROWS": 64, "COLUMNS": 32, "DEPTH": 32}, num_warps=4, num_stages=2),
    ],
    key=["rows", "columns", "depth"],
)
@triton.jit
def product_kernel(
    left, right, out, rows, columns, depth,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for start in range(0, depth, DEPTH):
        inner = start + tl.arange(0, DEPTH)
        a = tl.load(
            left + row[:, None] * depth + inner[None, :],
            mask=(row[:, None] < rows) & (inner[None, :] < depth), other=0.0,
        )
        b = tl.load(
            right + inner[:, None] * columns + column[None, :],
            mask=(inner[:, None] < depth) & (column[None, :] < columns), other=0.0,
        )
        total += tl.dot(a, b, input_precision="ieee")
    tl.store(
        out + row[:, None] * columns + column[None, :], total,
        mask=(row[:, None] < rows) & (column[None, :] < columns),
    )


class ModelNew(nn.Module):
    def forward(self, left, right):
        rows, depth = left.shape
        columns = right.shape[1]
        out = torch.empty((rows, columns), device=left.device, dtype=left.dtype)

        def grid(meta):
            return triton.cdiv(rows, meta["ROWS"]), triton.cdiv(columns, meta["COLUMNS"])

        product_kernel[grid](left, right, out, rows, columns, depth)
        return out
"""

PROBLEM = """
import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, left, right):
        return left @ right


def get_inputs():
    return [torch.randn(128, 96), torch.randn(96, 128)]
"""


@dataclass
class Trace:
    """What was entered: files as they were first entered, how often each, by which others."""

    entered: Counter[str] = field(default_factory=Counter)
    callers: dict[str, set[str]] = field(default_factory=dict)
    files: dict[str, str | None] = field(default_factory=dict)

    def file_of(self, frame: FrameType) -> str | None:
        """The frame's file inside the package; None outside of it."""
        name = frame.f_code.co_filename
        if name not in self.files:
            path = Path(name)
            inside = path.is_absolute() and path.is_relative_to(PACKAGE)
            self.files[name] = str(path.relative_to(PACKAGE)) if inside else None
        return self.files[name]

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call" or (file := self.file_of(frame)) is None:
            return
        above = frame.f_back
        while above is not None and self.file_of(above) is None:
            above = above.f_back
        caller = "" if above is None else self.file_of(above) or ""
        if caller == file:
            return
        self.entered[file] += 1
        self.callers.setdefault(file, set()).add(caller)

    @property
    def again(self) -> int:
        return self.entered.total() - len(self.entered)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--example", action="store_true", help="examples/01 in place of a product")
    parser.add_argument("--both", action="store_true")
    parser.add_argument("--short", action="store_true", help="the numbers alone")
    parser.add_argument("--out", type=Path, help="write what was counted here, as JSON")
    options = parser.parse_args()
    import_all()
    rows = {}
    if not options.example or options.both:
        rows["product"] = counted(small_request(), read_problem(PROBLEM))
    if options.example or options.both:
        problem = read_problem((EXAMPLE / "problem.py").read_text())
        rows["example"] = counted((EXAMPLE / "request.txt").read_text(), problem)
    for name, trace in rows.items():
        show(name, trace, options.short)
    if options.out is not None:
        found = {
            name: {file: [times, sorted(trace.callers[file])] for file, times in entries(trace)}
            for name, trace in rows.items()
        }
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def import_all() -> None:
    """Import every module of the main process."""
    for module in pkgutil.walk_packages(warpwright.__path__, "warpwright."):
        words = module.name.split(".")
        if words[-1].startswith(("child_", "__main__")) or "kernels" in words:
            continue
        importlib.import_module(module.name)


def small_request() -> str:
    return api.request(PROGRAM, gpu="4090")


def counted(request: str, problem: Problem) -> Trace:
    """One request answered in folders of its own, traced."""
    trace = Trace()
    with tempfile.TemporaryDirectory(prefix="warpwright-files-") as name:
        os.environ["WARPWRIGHT_CACHE_DIR"] = f"{name}/cache"
        os.environ["WARPWRIGHT_STATE_DIR"] = f"{name}/state"
        measuring = api.Measuring(wanted=False)
        threading.setprofile(trace)
        sys.setprofile(trace)
        try:
            api.answer_run(request, problem=problem, measuring=measuring)
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
    return trace


def entries(trace: Trace) -> list[tuple[str, int]]:
    return list(trace.entered.items())


def show(name: str, trace: Trace, short: bool) -> None:
    print(f"{name}: {len(trace.entered)} files entered, {trace.again} times again; goal {GOAL}")
    if short:
        return
    for number, (file, times) in enumerate(entries(trace), 1):
        by = len(trace.callers[file])
        print(f"{number:4} {file:50} {length(file):4} lines, {times:6} times, by {by}")
    folders = Counter(str(Path(file).parent) for file in trace.entered)
    print("by folder: " + ", ".join(f"{folder} {n}" for folder, n in folders.most_common()))
    print("entered by one other file alone, and short enough to be part of it:")
    for file, into in foldable(trace):
        print(f"  {file} ({length(file)}) → {into} ({length(into)})")


def foldable(trace: Trace) -> list[tuple[str, str]]:
    """Files, and the only file that enters them, which with them stays short; smallest first."""
    found = []
    for file, callers in trace.callers.items():
        (into, *more) = callers
        if not more and into and length(file) + length(into) <= MOST_LINES:
            found.append((file, into))
    return sorted(found, key=lambda pair: length(pair[0]))


def length(file: str) -> int:
    return len((PACKAGE / file).read_text().splitlines())


if __name__ == "__main__":
    raise SystemExit(main())
