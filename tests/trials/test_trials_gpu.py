"""A measured answer on a GPU, the whole way: a program that is really slow gets really faster."""

from __future__ import annotations

from pathlib import Path

import pytest

from warpwright import api
from warpwright.types.answer import Decision
from warpwright.types.measurement import Outcome
from warpwright.types.shapes import Problem
from warpwright.types.verdict import Status

pytestmark = pytest.mark.gpu

PROBLEM = """import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, a, b):
        return torch.matmul(a, b)


def get_inputs():
    return [torch.rand(2048, 2048).half(), torch.rand(2048, 2048).half()]


def get_init_inputs():
    return []
"""
# One stage: every step of the loop waits for its loads. Two are allowed, and much faster.
PROGRAM = """import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.autotune(
    configs=[triton.Config({"ROWS": 128, "COLUMNS": 128, "DEPTH": 32}, num_warps=8, num_stages=1)],
    key=["m", "n", "k"],
)
@triton.jit
def product_kernel(
    a_ptr, b_ptr, c_ptr, m, n, k,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for start in range(0, k, DEPTH):
        depth = start + tl.arange(0, DEPTH)
        left = tl.load(a_ptr + rows[:, None] * k + depth[None, :],
                       mask=(rows[:, None] < m) & (depth[None, :] < k), other=0.0)
        right = tl.load(b_ptr + depth[:, None] * n + columns[None, :],
                        mask=(depth[:, None] < k) & (columns[None, :] < n), other=0.0)
        total += tl.dot(left, right)
    inside = (rows[:, None] < m) & (columns[None, :] < n)
    tl.store(c_ptr + rows[:, None] * n + columns[None, :], total.to(tl.float16), mask=inside)


class ModelNew(nn.Module):
    def forward(self, a, b):
        m, k = a.shape
        n = b.shape[1]
        c = torch.empty((m, n), device=a.device, dtype=a.dtype)

        def grid(meta):
            return (triton.cdiv(m, meta["ROWS"]), triton.cdiv(n, meta["COLUMNS"]))

        product_kernel[grid](a, b, c, m, n, k)
        return c
"""


def test_a_slow_program_is_answered_with_a_measured_gain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARPWRIGHT_STATE_DIR", str(tmp_path / "state"))
    request = api.request(PROGRAM, gpu="here", problem=PROBLEM)
    answer = api.answer(request, gpu="here", measuring=api.Measuring(wanted=True, budget="quick"))
    assert answer.decision is Decision.CHANGED, answer.reason
    trial = answer.trial
    assert trial is not None and trial.gpu is not None and trial.comparison is not None
    assert trial.comparison.outcome is Outcome.ACCEPT
    assert trial.comparison.gain_pct is not None and trial.comparison.gain_pct > 10
    assert trial.accuracy is not None and trial.accuracy.status is Status.PASS
    assert any(burst.conditions is not None for burst in trial.bursts)


def test_the_program_with_its_best_config_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that the rules allow is in its list already: nothing new can be faster."""
    monkeypatch.setenv("WARPWRIGHT_STATE_DIR", str(tmp_path / "state"))
    stages = ", ".join(
        f'triton.Config({{"ROWS": 128, "COLUMNS": 128, "DEPTH": 32}}, num_warps=8, num_stages={n})'
        for n in (2, 3, 4)
    )
    start, end = PROGRAM.index("[triton.Config"), PROGRAM.index("],\n    key")
    program = PROGRAM[:start] + f"[{stages}" + PROGRAM[end:]
    answer = api.answer(
        api.request(program, gpu="here"),
        problem=Problem(source=PROBLEM),
        gpu="here",
        measuring=api.Measuring(wanted=True, budget="quick"),
    )
    assert answer.decision is Decision.KEPT
    assert answer.trial is not None
    assert len([config for config in answer.trial.configs if not config.proposed]) == 3
