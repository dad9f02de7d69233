"""The algorithm stage: screening, ranking, emission, verdict, on the tests' own schedules.

The schedules here are real kernels of a plain implicit GEMM; those of the package have tests of
their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from warpwright.errors import InputError, MissingToolError, Place
from warpwright.gpus.sheets import find_gpu
from warpwright.operators.conv2d.conv2d_text import describe, label
from warpwright.pipeline.optimize_problem import by_prediction, optimize_problem, recognized, screen
from warpwright.report.optimization_record import optimization_record
from warpwright.report.optimization_text import explain_optimization
from warpwright.sandbox import toolchain as toolchain_module
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.conv2d import Conv2dTask, ScheduleCandidate
from warpwright.types.evidence import Origin
from warpwright.types.gpu import GpuSheet, ResolvedGpu
from warpwright.types.optimization import Ranking, Screened
from warpwright.types.shapes import Problem
from warpwright.types.verdict import Status

pytestmark = pytest.mark.triton

GPU = ResolvedGpu(find_gpu("RTX 4090"))
PROBLEM = Problem(
    source="""
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(5, 24, 3, stride=2, padding=1)

    def forward(self, x):
        return torch.relu(self.conv(x))

def get_inputs():
    return [torch.rand(4, 5, 33, 31)]

def get_init_inputs():
    return []
"""
)

PROGRAM = """import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.autotune(
    configs=[
        CONFIGS,
    ],
    key=["pixels"],
)
@triton.jit
def gather_kernel(
    x_ptr, w_ptr, b_ptr, y_ptr, pixels, channels, height, width, filters, out_h, out_w,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, PAD: tl.constexpr,
    TILE_PIXELS: tl.constexpr, TILE_FILTERS: tl.constexpr, TILE_K: tl.constexpr,
):
    pixel = tl.program_id(0) * TILE_PIXELS + tl.arange(0, TILE_PIXELS)
    out = tl.program_id(1) * TILE_FILTERS + tl.arange(0, TILE_FILTERS)
    image = pixel // (out_h * out_w)
    row = pixel // out_w % out_h * STRIDE - PAD
    column = pixel % out_w * STRIDE - PAD
    total = channels * KERNEL * KERNEL
    acc = tl.zeros((TILE_PIXELS, TILE_FILTERS), dtype=tl.float32)
    for start in range(0, total, TILE_K):
        k = start + tl.arange(0, TILE_K)
        channel = k // (KERNEL * KERNEL)
        y = row[:, None] + (k // KERNEL % KERNEL)[None, :]
        x = column[:, None] + (k % KERNEL)[None, :]
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width) & (pixel < pixels)[:, None]
        offset = ((image[:, None] * channels + channel[None, :]) * height + y) * width + x
        a = tl.load(x_ptr + offset, mask=inside & (k < total)[None, :], other=0.0)
        w = tl.load(
            w_ptr + out[None, :] * total + k[:, None],
            mask=(k < total)[:, None] & (out < filters)[None, :], other=0.0,
        )
        acc += tl.dot(a, w, input_precision="ieee")
    acc += tl.load(b_ptr + out, mask=out < filters, other=0.0)[None, :]
    acc = tl.maximum(acc, 0.0, propagate_nan=tl.PropagateNan.ALL)
    place = image[:, None] * filters + out[None, :]
    place = place * (out_h * out_w) + (pixel % (out_h * out_w))[:, None]
    tl.store(y_ptr + place, acc, mask=(pixel < pixels)[:, None] & (out < filters)[None, :])


def convolve(x, weight, bias):
    batch, channels, height, width = x.shape
    out_h, out_w = (height - 1) // 2 + 1, (width - 1) // 2 + 1
    y = torch.empty((batch, weight.shape[0], out_h, out_w), device=x.device, dtype=x.dtype)
    pixels = batch * out_h * out_w

    def grid(meta):
        return (
            triton.cdiv(pixels, meta["TILE_PIXELS"]),
            triton.cdiv(weight.shape[0], meta["TILE_FILTERS"]),
        )

    gather_kernel[grid](
        x, weight, bias, y, pixels, channels, height, width, weight.shape[0], out_h, out_w,
        KERNEL=3, STRIDE=2, PAD=1,
    )
    return y


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(5, 24, 3, stride=2, padding=1)

    def forward(self, x):
        return convolve(x, self.conv.weight, self.conv.bias)
"""


def config(point: dict[str, int]) -> str:
    return f"triton.Config({point!r}, num_warps=4, num_stages=2)"


def candidate(
    pixels: int = 32, filters: int = 16, k: int = 16, *, schedule: str = "gather",
    predicted_us: float = 10.0, change: tuple[str, str] = ("", ""),
) -> ScheduleCandidate:  # fmt: skip
    """One point; `change` replaces a text in the program."""
    point = {"TILE_PIXELS": pixels, "TILE_FILTERS": filters, "TILE_K": k}
    program = PROGRAM.replace("CONFIGS", config(point)).replace(*change)
    return ScheduleCandidate(schedule, tuple(point.items()), program, "for a test", predicted_us)


RELU = "acc = tl.maximum(acc, 0.0, propagate_nan=tl.PropagateNan.ALL)"
GOOD = candidate()
WIDE = candidate(pixels=64, predicted_us=8.0)
NO_BIAS = candidate(
    schedule="hasty",
    predicted_us=1.0,
    change=("    acc += tl.load(b_ptr + out, mask=out < filters, other=0.0)[None, :]\n", ""),
)
HUGE = candidate(pixels=128, filters=128, k=128, change=('"ieee"', '"tf32"'))
BROKEN = candidate(change=("x.shape\n    out_h", "x.shape[:3]\n    out_h"))


def emit(_: Conv2dTask, chosen: Sequence[ScheduleCandidate], __: GpuSheet) -> str:
    """The first candidate's program with the points of all as its configs."""
    configs = ",\n        ".join(config(dict(c.point)) for c in chosen)
    return chosen[0].program.replace(config(dict(chosen[0].point)), configs)


@pytest.fixture(scope="module")
def run_context() -> RunContext:
    return RunContext(cache=ResultCache())


def optimize(run_context: RunContext, *found: ScheduleCandidate, **options: object):
    def propose(_: Conv2dTask, __: GpuSheet) -> Sequence[ScheduleCandidate]:
        return found

    return optimize_problem(PROBLEM, GPU, run_context, propose=propose, emit=emit, **options)


class TestScreening:
    def test_what_cannot_run_on_the_target_is_out_and_says_why(self, run_context):
        entries = screen([GOOD, HUGE, BROKEN], PROBLEM, GPU, run_context)
        assert [entry.candidate for entry in entries] == [GOOD, HUGE, BROKEN]
        assert entries[0].rejected is None
        assert "cannot be launched" in entries[1].rejected
        assert "does not run" in entries[2].rejected
        assert entries[2].study is None

    def test_a_usable_one_has_figures_of_the_target(self, run_context):
        (entry,) = screen([GOOD], PROBLEM, GPU, run_context)
        assert entry.spill_bytes == 0
        assert 0 < entry.occupancy_pct <= 100
        assert 0 < entry.floor_us < 100


class TestRanking:
    def test_no_prediction_beats_the_roofline_floor(self, run_context):
        (entry,) = screen([replace(GOOD, predicted_us=1e-6)], PROBLEM, GPU, run_context)
        ranking = by_prediction(PROBLEM, [entry])
        assert ranking.times_us == (entry.floor_us,)
        assert ranking.origin is Origin.PREDICTED

    def test_the_callers_ranking_decides(self, run_context):
        def backwards(_: Problem, usable: Sequence[Screened]) -> Ranking:
            order = tuple(sorted(usable, key=lambda e: -e.candidate.predicted_us))
            return Ranking(order, (1.0,) * len(order), Origin.MEASURED, "on a test's GPU")

        result = optimize(run_context, GOOD, WIDE, rank=backwards, configs=1)
        assert result.chosen == (GOOD,)
        assert "measured" in result.reason
        assert "Candidates were measured: on a test's GPU" in explain_optimization(result)


class TestResult:
    def test_the_program_holds_the_best_points_and_passed_every_check(self, run_context):
        result = optimize(run_context, GOOD, WIDE, HUGE)
        assert result.chosen == (WIDE, GOOD)
        assert result.program == emit(result.task, [WIDE, GOOD], GPU.sheet)
        assert result.gate.status is Status.PASS
        names = [check.check for check in result.gate.results]
        assert names == ["format", "names", "integrity", "resources", "accuracy"]
        assert {case.distribution for case in result.gate.accuracy_cases} >= {"problem", "wide"}
        assert all(case.parent_error is None for case in result.gate.accuracy_cases)

    def test_a_wrong_schedule_gives_way_to_the_next(self, run_context):
        result = optimize(run_context, NO_BIAS, GOOD)
        assert result.chosen == (GOOD,)
        assert result.program is not None

    def test_a_schedule_that_loses_nan_is_refused(self, run_context):
        loses = (RELU, "acc = tl.where(acc > 0.0, acc, 0.0)")
        result = optimize(run_context, candidate(change=loses))
        assert result.program is None
        failed = [c for c in result.gate.accuracy_cases if c.status is Status.FAIL]
        assert {case.distribution for case in failed} == {"nonfinite"}

    def test_where_all_are_wrong_nothing_is_handed_out(self, run_context):
        result = optimize(run_context, NO_BIAS)
        assert result.program is None
        assert "refused" in result.reason
        assert "Nothing to hand out" in explain_optimization(result)
        assert optimization_record(result).candidates[0].chosen is False

    def test_where_none_can_run_nothing_is_handed_out(self, run_context):
        result = optimize(run_context, HUGE)
        assert (result.program, result.ranking) == (None, None)
        assert "out: gather TILE_PIXELS=128" in explain_optimization(result)

    def test_the_record_tells_every_candidates_fate(self, run_context):
        record = optimization_record(optimize(run_context, GOOD, WIDE, HUGE), "a-run")
        assert [(c.rank, c.chosen) for c in record.candidates] == [
            (2, True),
            (1, True),
            (None, False),
        ]
        assert record.ranking_origin == "predicted"
        assert record.task.epilogue[0].function == "relu"
        assert record.study.kernels[0].kernel == "gather_kernel"

    def test_no_speed_is_claimed_without_a_measurement(self, run_context):
        text = explain_optimization(optimize(run_context, GOOD, parent=GOOD.program))
        assert "not said that this is faster than cuDNN" in text
        assert "replaced, not edited" in text


class TestProblems:
    def test_one_that_is_not_recognised_is_bad_input(self, run_context):
        other = Problem(source=PROBLEM.source.replace("torch.relu(", "torch.sum("))
        with pytest.raises(InputError, match="nothing recognised"):
            recognized(other, GPU.sheet, run_context)

    def test_one_without_a_schedule_is_bad_input(self, run_context):
        with pytest.raises(InputError, match="no schedule is written"):
            optimize(run_context)

    def test_one_that_fails_names_its_line(self, run_context):
        other = Problem(source=PROBLEM.source.replace("super()", "missing()"), origin="layer.py")
        with pytest.raises(InputError, match="the problem file fails: NameError") as caught:
            recognized(other, GPU.sheet, run_context)
        line = other.source[: other.source.index("missing()")].count("\n") + 1
        assert caught.value.place == Place("layer.py", line=line)

    def test_it_is_not_blamed_for_a_machine_without_triton(self, run_context, monkeypatch):
        monkeypatch.setattr(toolchain_module, "find_triton", lambda: None)
        with pytest.raises(MissingToolError, match="Triton is not installed"):
            optimize(run_context, GOOD)

    def test_it_is_told_in_one_line(self, run_context):
        task = recognized(PROBLEM, GPU.sheet, run_context)
        assert describe(task) == (
            "conv2d of 4×5×33×31 with 24×5×3×3, float32, stride 2, padding 1, bias, relu"
        )
        assert label(GOOD) == "gather TILE_PIXELS=32 TILE_FILTERS=16 TILE_K=16"
