"""Programs with one poor, fixed tile, and their spaces of configs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import rewriting

from warpwright.proposers.configs.constraints import TuningRules
from warpwright.proposers.configs.emit import emit_plans
from warpwright.proposers.configs.space import TileSpace, tile_space
from warpwright.types.answer import ConfigChoice, ConfigPlan
from warpwright.types.calls import KernelCalls
from warpwright.types.config import Config
from warpwright.types.program import ProgramView
from warpwright.types.stage import Rule
from warpwright.types.study import ConfigStudy, KernelStudy

HEAD = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


"""
PRODUCT = (
    HEAD
    + """\
@triton.jit
def product(a_ptr, b_ptr, c_ptr, M, N, K, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
            DEPTH: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    deep = tl.arange(0, DEPTH)
    a_at = a_ptr + row[:, None] * K + deep[None, :]
    b_at = b_ptr + deep[:, None] * N + column[None, :]
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for start in range(0, K, DEPTH):
        left = K - start
        a = tl.load(a_at, mask=(row[:, None] < M) & (deep[None, :] < left), other=0.0)
        b = tl.load(b_at, mask=(deep[:, None] < left) & (column[None, :] < N), other=0.0)
        total += tl.dot(a, b, allow_tf32=False)
        a_at += DEPTH
        b_at += DEPTH * N
    inside = (row[:, None] < M) & (column[None, :] < N)
    tl.store(c_ptr + row[:, None] * N + column[None, :], total, mask=inside)


class ModelNew(nn.Module):
    def forward(self, a, b):
        M, K = a.shape
        N = b.shape[1]
        c = torch.empty((M, N), device=a.device, dtype=a.dtype)
        ROWS, COLUMNS = 16, 32
        grid = (triton.cdiv(M, ROWS), triton.cdiv(N, COLUMNS))
        product[grid](a, b, c, M, N, K, ROWS=ROWS, COLUMNS=COLUMNS, DEPTH=16, num_warps=2)
        return c
"""
)
STREAM = (
    HEAD
    + """\
@triton.jit
def doubled(x_ptr, y_ptr, count, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y_ptr + at, 2.0 * tl.load(x_ptr + at, mask=at < count), mask=at < count)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        doubled[(triton.cdiv(x.numel(), 64),)](x, y, x.numel(), BLOCK=64)
        return y
"""
)
ROWS = (
    HEAD
    + """\
@triton.jit
def lengths(x_ptr, y_ptr, rows, width, MANY: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0) * MANY + tl.arange(0, MANY)
    total = tl.zeros((MANY,), dtype=tl.float32)
    for step in range(tl.cdiv(width, BLOCK)):
        column = step * BLOCK + tl.arange(0, BLOCK)
        inside = (row[:, None] < rows) & (column[None, :] < width)
        x = tl.load(x_ptr + row[:, None] * width + column[None, :], mask=inside, other=0.0)
        total += tl.sum(x * x, axis=1)
    tl.store(y_ptr + row, tl.sqrt(total), mask=row < rows)


class ModelNew(nn.Module):
    def forward(self, x):
        rows, width = x.shape
        y = torch.empty(rows, device=x.device)
        grid = lambda meta: (triton.cdiv(rows, meta["MANY"]),)
        lengths[grid](x, y, rows, width, MANY=2, BLOCK=32)
        return y
"""
)
SUMMED = (
    HEAD
    + """\
@triton.jit
def summed(x_ptr, y_ptr, count, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < count, other=0.0)
    tl.atomic_add(y_ptr, tl.sum(x, axis=0))


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.zeros(1, device=x.device)
        BLOCK = 32
        summed[(triton.cdiv(x.numel(), BLOCK),)](x, y, x.numel(), BLOCK=BLOCK)
        return y
"""
)
# Right only where the block divides the row: lanes beyond the end count, as exp(0).
SHARES = (
    HEAD
    + """\
@triton.jit
def shares(x_ptr, y_ptr, width, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    total = 0.0
    for start in range(0, width, BLOCK):
        column = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * width + column, mask=column < width, other=0.0)
        total += tl.sum(tl.exp(x), axis=0)
    tl.store(y_ptr + row, total)


class ModelNew(nn.Module):
    def forward(self, x):
        rows, width = x.shape
        y = torch.empty(rows, device=x.device)
        BLOCK = 16
        shares[(rows,)](x, y, width, BLOCK=BLOCK)
        return y
"""
)
SHAPES: dict[str, Sequence[tuple[int, ...]]] = {
    PRODUCT: [(75, 90), (90, 70)],
    STREAM: [(5, 333)],
    ROWS: [(37, 210)],
    SUMMED: [(7, 61)],
    SHARES: [(5, 64)],
}


def launched(source: str) -> tuple[ProgramView, KernelCalls, KernelStudy]:
    """A program's view, and its one kernel as it is launched, not compiled."""
    view, (calls,) = rewriting.traced(source, rewriting.problem(shapes_of(source)))
    configs = tuple(ConfigStudy(config, ()) for config in calls.configs)
    return view, calls, KernelStudy(calls.name, calls.autotuned, configs)


def shapes_of(source: str) -> Sequence[tuple[int, ...]]:
    return SHAPES[source]


def space_of(source: str, *rules: Rule) -> TileSpace | str:
    """The space of a program's one kernel under a stage's rules."""
    view, calls, kernel = launched(source)
    return tile_space(kernel, calls, view, TuningRules.of(rules))


def with_list(source: str, configs: Sequence[Config]) -> str:
    """The program with its own config and these."""
    view, calls, kernel = launched(source)
    choices = [
        *(ConfigChoice(study.config, False, True, "") for study in kernel.configs),
        *(ConfigChoice(config, True, True, "") for config in configs),
    ]
    return emit_plans(view.source, [(ConfigPlan(calls.name, tuple(choices)), calls)])


def alone(source: str, config: Config) -> str:
    """The program with this one config."""
    view, calls, _ = launched(source)
    plan = ConfigPlan(calls.name, (ConfigChoice(config, True, True, ""),))
    return emit_plans(view.source, [(plan, calls)])


def outputs(source: str, of: str, pins: Any = None) -> Any:
    return rewriting.outputs(source, rewriting.problem(shapes_of(of)), pins)
