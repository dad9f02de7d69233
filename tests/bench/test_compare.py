"""`bench` with real workers and a real judge, on the CPU device; and its table."""

from __future__ import annotations

import io
import json
from textwrap import dedent

import pytest
from rich.console import Console

from warpwright.bench.compare import BenchPlan, bench
from warpwright.bench.device.worker import EagerVariant
from warpwright.errors import InputError, MissingToolError
from warpwright.report.bench_table import print_bench
from warpwright.report.record import bench_record
from warpwright.types.bench import BenchResult
from warpwright.types.shapes import Problem, TensorSpec

PROBLEM = dedent(
    """
    import torch
    import torch.nn as nn

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = nn.Parameter(torch.rand(32))

        def forward(self, x):
            return torch.tanh(x) + self.shift

    def get_inputs():
        return [torch.randn(16, 32)]
    """
)
PROGRAM = dedent(
    """
    import torch
    import torch.nn as nn
    import triton
    import triton.language as tl

    @triton.jit
    def tanh_kernel(x_ptr, shift_ptr, y_ptr, total, BLOCK: tl.constexpr):
        at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        ok = at < total
        e = tl.exp(2 * tl.load(x_ptr + at, mask=ok))
        shift = tl.load(shift_ptr + at % 32, mask=ok)
        tl.store(y_ptr + at, 1 - 2 / (e + 1) + shift, mask=ok)

    class ModelNew(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = nn.Parameter(torch.rand(32))

        def forward(self, x):
            y = torch.empty_like(x)
            tanh_kernel[(triton.cdiv(x.numel(), 256),)](x, self.shift, y, x.numel(), BLOCK=256)
            return y
    """
)
IN_SMALL_BLOCKS = PROGRAM.replace("256", "32")  # eight times the blocks to interpret
WRONG = PROGRAM.replace("2 / (e + 1)", "2.02 / (e + 1)")
RAISES = PROGRAM.replace("y = torch.empty_like(x)", "raise RuntimeError('no luck today')")
PLAN = BenchPlan(
    groups=2, rounds=4, burst_us=1.0, warm_up_s=0.01, baselines=(EagerVariant(), EagerVariant(True))
)


@pytest.fixture(scope="module")
def result() -> BenchResult:
    programs = [
        ("a.py", PROGRAM),
        ("small.py", IN_SMALL_BLOCKS),
        ("a.py", WRONG),
        ("raises.py", RAISES),
    ]
    return bench(programs, Problem(source=PROBLEM), plan=PLAN, device="cpu")


@pytest.mark.triton
def test_every_contender_has_a_row_in_order(result: BenchResult) -> None:
    assert [row.label for row in result.rows] == [
        "a.py",
        "small.py",
        "a.py (2)",
        "raises.py",
        "eager, NCHW",
        "eager, channels_last",
    ]


@pytest.mark.triton
def test_more_work_takes_more_time(result: BenchResult) -> None:
    small = result.rows[1]
    assert small.failed is None
    assert small.speedup is not None
    assert small.speedup < 0.8


@pytest.mark.triton
def test_errors_tell_the_wrong_program_from_the_right_one(result: BenchResult) -> None:
    right, _, wrong, _, eager, _ = result.rows
    assert right.error is not None and wrong.error is not None and eager.error is not None
    assert right.error.relative_l2 < 1e-6
    assert eager.error.relative_l2 < 1e-6
    assert wrong.error.relative_l2 > 1e-3


@pytest.mark.triton
def test_a_program_that_raises_is_a_row_that_says_so(result: BenchResult) -> None:
    assert "no luck today" in (result.rows[3].failed or "")
    assert all(entry.burst.program != "raises.py" for entry in result.bursts)


@pytest.mark.triton
def test_groups_have_workers_of_their_own_and_every_time_is_kept(result: BenchResult) -> None:
    workers = {(e.group, e.burst.program): e.burst.worker for e in result.bursts}
    assert len(set(workers.values())) == len(workers) == 2 * 5
    assert len(result.bursts) == 2 * 4 * 5
    assert [e.burst.order for e in result.bursts] == list(range(len(result.bursts)))
    assert all(sum(e.burst.times_us) < e.burst.wall_us for e in result.bursts)


@pytest.mark.triton
def test_the_record_is_json_with_raw_times_and_the_table_shows_every_row(
    result: BenchResult,
) -> None:
    record = json.loads(bench_record(result).model_dump_json())
    assert record["schema_name"] == "warpwright.bench"
    assert record["gpu"] is None
    assert len(record["bursts"][0]["burst"]["times_us"]) == PLAN.min_calls
    shown = io.StringIO()
    print_bench(result, Console(file=shown, width=150))
    text = shown.getvalue()
    assert "say nothing of any GPU" in text
    assert "no luck today" in text
    assert all(row.label in text for row in result.rows)


@pytest.mark.triton
def test_without_a_model_there_are_no_opponents_and_no_errors() -> None:
    problem = Problem(inputs=(TensorSpec((16, 32)),))
    plan = BenchPlan(groups=1, rounds=4, burst_us=1.0, warm_up_s=0.01)
    found = bench([("a.py", PROGRAM)], problem, plan=plan, device="cpu")
    assert [row.label for row in found.rows] == ["a.py"]
    assert found.rows[0].failed is None
    assert found.rows[0].error is None
    assert found.rows[0].error_unknown == "the problem has no reference"
    assert any("one group" in note for note in found.notes)


@pytest.mark.triton
def test_a_problem_that_cannot_be_loaded_is_an_input_error() -> None:
    broken = Problem(source=PROBLEM + "\nraise ValueError('half written')\n")
    with pytest.raises(InputError, match="half written"):
        bench([("a.py", PROGRAM)], broken, plan=PLAN, device="cpu")


@pytest.mark.triton
def test_without_a_gpu_it_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    with pytest.raises(MissingToolError, match="no NVIDIA GPU to time programs on"):
        bench([("a.py", PROGRAM)], Problem(source=PROBLEM))


def test_nothing_to_time_is_refused() -> None:
    with pytest.raises(InputError, match="nothing to time"):
        BenchPlan(groups=0)
