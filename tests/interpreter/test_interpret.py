"""Programs in the interpreter against a reference: honest ones pass, wrong ones do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from warpwright.interpreter.interpret import Interpretation, InterpretRun, RunOutcome, interpret
from warpwright.interpreter.reference.reference import (
    DISTRIBUTIONS,
    ReferenceRun,
    Unavailable,
    make_reference,
)
from warpwright.store.cache import ResultCache
from warpwright.types.config import Config
from warpwright.types.shapes import Problem, TensorSpec
from warpwright.types.verdict import CheckResult, Status
from warpwright.verifier.outputs.interpreted import conclude, judge_outputs

pytestmark = [pytest.mark.triton, pytest.mark.versions]

MATMUL_PROBLEM = """
import torch
import torch.nn as nn

ROWS, INNER, COLUMNS = 4096, 2048, 1024


class Model(nn.Module):
    def forward(self, left, right):
        return left @ right


def get_inputs():
    return [torch.rand(ROWS, INNER), torch.rand(INNER, COLUMNS)]


def get_init_inputs():
    return []
"""

MATMUL = """
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.autotune(
    configs=[
        triton.Config({"TILE_R": 16, "TILE_C": 32, "TILE_I": 16}, num_warps=2, num_stages=2),
        triton.Config({"TILE_R": 32, "TILE_C": 16, "TILE_I": 32}, num_warps=4, num_stages=2),
    ],
    key=["rows", "columns", "inner"],
)
@triton.jit
def product(left, right, out, rows, columns, inner, sl, sr, so,
            TILE_R: tl.constexpr, TILE_C: tl.constexpr, TILE_I: tl.constexpr):
    r = tl.program_id(0) * TILE_R + tl.arange(0, TILE_R)
    c = tl.program_id(1) * TILE_C + tl.arange(0, TILE_C)
    total = tl.zeros((TILE_R, TILE_C), dtype=tl.float32)
    for start in range(0, inner, TILE_I):
        i = start + tl.arange(0, TILE_I)
        a = tl.load(left + r[:, None] * sl + i[None, :],
                    mask=(r[:, None] < rows) & (i[None, :] < inner), other=0.0)
        b = tl.load(right + i[:, None] * sr + c[None, :],
                    mask=(i[:, None] < inner) & (c[None, :] < columns), other=0.0)
        total += tl.dot(a, b, input_precision="ieee")
    tl.store(out + r[:, None] * so + c[None, :], total,
             mask=(r[:, None] < rows) & (c[None, :] < columns))


class ModelNew(nn.Module):
    def forward(self, left, right):
        assert left.is_cuda and right.device.type == "cuda"
        rows, inner = left.shape
        columns = right.shape[1]
        out = torch.empty((rows, columns), device=left.device, dtype=left.dtype)
        def grid(meta):
            return triton.cdiv(rows, meta["TILE_R"]), triton.cdiv(columns, meta["TILE_C"])

        product[grid](left, right, out, rows, columns, inner,
                      left.stride(0), right.stride(0), out.stride(0))
        return out
"""
MATMUL_SHAPES = (TensorSpec((37, 50)), TensorSpec((50, 45)))
MATMUL_CONFIGS = (
    Config.of({"TILE_R": 16, "TILE_C": 32, "TILE_I": 16}, 2, 2),
    Config.of({"TILE_R": 32, "TILE_C": 16, "TILE_I": 32}, 4, 2),
)

CONV_PROBLEM = """
import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self, channels, filters, size):
        super().__init__()
        self.layer = nn.Conv2d(channels, filters, size, padding=1)
        nn.init.zeros_(self.layer.bias)

    def forward(self, x):
        return self.layer(x)


def get_inputs():
    return [torch.rand(64, 8, 128, 128)]


def get_init_inputs():
    return [8, 24, 3]
"""

CONV = """
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def window_sum(image, taps, shift, out, height, width, filters,
               CHANNELS: tl.constexpr, SIZE: tl.constexpr, PIXELS: tl.constexpr,
               FILTERS: tl.constexpr, DEPTH: tl.constexpr):
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    kernel = tl.arange(0, FILTERS)
    sample = tl.program_id(1)
    row = pixel // width
    column = pixel % width
    inside = pixel < height * width
    total = tl.zeros((FILTERS, PIXELS), dtype=tl.float32)
    for start in range(0, CHANNELS * SIZE * SIZE, DEPTH):
        tap = start + tl.arange(0, DEPTH)
        channel = tap // (SIZE * SIZE)
        y = row[None, :] + (tap % (SIZE * SIZE) // SIZE)[:, None] - 1
        x = column[None, :] + (tap % SIZE)[:, None] - 1
        valid = (tap < CHANNELS * SIZE * SIZE)[:, None] & inside[None, :]
        valid = valid & (y >= 0) & (y < height) & (x >= 0) & (x < width)
        place = ((sample * CHANNELS + channel[:, None]) * height + y) * width + x
        values = tl.load(image + place, mask=valid, other=0.0)
        weights = tl.load(taps + kernel[:, None] * (CHANNELS * SIZE * SIZE) + tap[None, :],
                          mask=(kernel[:, None] < filters)
                          & (tap[None, :] < CHANNELS * SIZE * SIZE), other=0.0)
        total += tl.dot(weights, values)
    total += tl.load(shift + kernel, mask=kernel < filters, other=0.0)[:, None]
    target = (sample * filters + kernel[:, None]) * height * width + pixel[None, :]
    tl.store(out + target, total, mask=(kernel[:, None] < filters) & inside[None, :])


class ModelNew(nn.Module):
    def __init__(self, channels, filters, size):
        super().__init__()
        self.layer = nn.Conv2d(channels, filters, size, padding=1)

    def forward(self, x):
        batch, channels, height, width = x.shape
        filters, _, size, _ = self.layer.weight.shape
        out = torch.empty(batch, filters, height, width, device="cuda", dtype=x.dtype)
        window_sum[(triton.cdiv(height * width, 64), batch)](
            x.contiguous(), self.layer.weight, self.layer.bias, out, height, width, filters,
            CHANNELS=channels, SIZE=size, PIXELS=64, FILTERS=32, DEPTH=32, num_warps=4)
        return out
"""
CONV_SHAPES = (TensorSpec((2, 8, 9, 11)),)
SEED = 20240611


def reference_of(problem: str, shapes: Sequence[TensorSpec], directory: Path) -> ReferenceRun:
    made = make_reference(Problem(source=problem), shapes, directory, seed=SEED)
    assert not isinstance(made, Unavailable), made
    return made


@pytest.fixture(scope="module")
def matmul(tmp_path_factory: pytest.TempPathFactory) -> ReferenceRun:
    return reference_of(MATMUL_PROBLEM, MATMUL_SHAPES, tmp_path_factory.mktemp("matmul"))


@pytest.fixture(scope="module")
def conv(tmp_path_factory: pytest.TempPathFactory) -> ReferenceRun:
    return reference_of(CONV_PROBLEM, CONV_SHAPES, tmp_path_factory.mktemp("conv"))


def every_case(reference: ReferenceRun, kernel: str | None, configs: Sequence[Config]) -> list:
    if kernel is None:
        return [InterpretRun(case.name) for case in reference.cases]
    return [
        InterpretRun(case.name, {kernel: config}, str(config))
        for config in configs
        for case in reference.cases
    ]


@pytest.fixture(scope="module")
def matmul_parent(matmul: ReferenceRun) -> tuple[Interpretation, ...]:
    return interpret(MATMUL, matmul, every_case(matmul, "product", MATMUL_CONFIGS))


@pytest.fixture(scope="module")
def conv_parent(conv: ReferenceRun) -> tuple[Interpretation, ...]:
    return interpret(CONV, conv, every_case(conv, None, ()))


Check = Callable[[str], CheckResult]


@pytest.fixture
def check_matmul(matmul: ReferenceRun, matmul_parent: tuple[Interpretation, ...]) -> Check:
    def check(source: str) -> CheckResult:
        runs = [
            InterpretRun("problem", {"product": config}, str(config)) for config in MATMUL_CONFIGS
        ]
        results = interpret(source, matmul, runs, deadline_s=30)
        return conclude(
            judge_outputs(results, matmul_parent, matmul.cases, required_kernels=["product"])
        )

    return check


@pytest.fixture
def check_conv(conv: ReferenceRun, conv_parent: tuple[Interpretation, ...]) -> Check:
    def check(source: str) -> CheckResult:
        runs = [InterpretRun("problem"), InterpretRun("perturbed state")]
        results = interpret(source, conv, runs, deadline_s=30)
        return conclude(
            judge_outputs(results, conv_parent, conv.cases, required_kernels=["window_sum"])
        )

    return check


def changed(source: str, old: str, new: str) -> str:
    assert source.count(old) == 1, old
    return source.replace(old, new)


class TestHonestPrograms:
    def test_a_matmul_passes_in_every_config_on_every_distribution(self, matmul, matmul_parent):
        cases = judge_outputs(
            matmul_parent, matmul_parent, matmul.cases, required_kernels=["product"]
        )
        assert len(cases) == 2 * len(DISTRIBUTIONS)
        assert conclude(cases).status is Status.PASS, conclude(cases)
        assert all(case.bit_equal_to_parent for case in cases)

    def test_its_two_configs_are_really_two(self, matmul, matmul_parent):
        first, second = (matmul_parent[0], matmul_parent[len(DISTRIBUTIONS)])
        assert first.run.label != second.run.label
        assert first.outputs[0].data.tobytes() != second.outputs[0].data.tobytes()

    def test_a_convolution_with_truncated_tf32_passes_as_its_own_parent(self, conv, conv_parent):
        cases = judge_outputs(conv_parent, conv_parent, conv.cases, required_kernels=["window_sum"])
        result = conclude(cases)
        assert result.status is Status.PASS, result
        assert any("breaks the precision policy" in note for note in result.notes)

    def test_other_order_of_summation_passes(self, check_matmul):
        twin = changed(
            MATMUL,
            "for start in range(0, inner, TILE_I):",
            "for step in range(0, tl.cdiv(inner, TILE_I)):\n"
            "        start = (tl.cdiv(inner, TILE_I) - 1 - step) * TILE_I",
        )
        assert check_matmul(twin).status is Status.PASS

    def test_compile_time_parameters_may_be_annotated_with_text(self, check_conv):
        twin = CONV.replace("tl.constexpr", '"tl.constexpr"')
        assert check_conv(twin).status is Status.PASS

    def test_a_mask_that_was_never_needed_may_go(self, check_conv):
        twin = changed(
            CONV,
            "(tap < CHANNELS * SIZE * SIZE)[:, None] & inside[None, :]",
            "inside[None, :] & (tap < CHANNELS * SIZE * SIZE)[:, None]",
        )
        assert check_conv(twin).status is Status.PASS

    def test_operands_rounded_to_nearest_keep_the_policy(self, conv):
        rounding = """
@triton.jit
def nearest(v):
    bits = v.to(tl.int32, bitcast=True) + 0x1000
    return tl.where(v != v, v, bits.to(tl.float32, bitcast=True))


@triton.jit
def window_sum("""
        twin = changed(CONV, "\n@triton.jit\ndef window_sum(", rounding)
        twin = changed(twin, "tl.dot(weights, values)", "tl.dot(nearest(weights), nearest(values))")
        results = interpret(twin, conv, [InterpretRun("problem"), InterpretRun("normal")])
        for case in judge_outputs(results, [], conv.cases, required_kernels=["window_sum"]):
            assert case.status is Status.PASS, case
            assert case.error.relative_l2 == pytest.approx(case.policy_error.relative_l2, rel=0.05)


MATMUL_MUTATIONS = {
    "dropped column mask of the store": (
        "mask=(r[:, None] < rows) & (c[None, :] < columns))\n\n",
        "mask=r[:, None] < rows)\n\n",
    ),
    "dropped mask of a load": ("& (i[None, :] < inner), other=0.0)", ", other=0.0)"),
    "wrong stride": ("right + i[:, None] * sr", "right + i[:, None] * sl"),
    "swapped operands": ("r[:, None] * so + c[None, :]", "c[None, :] * so + r[:, None]"),
    "deleted dot": ('total += tl.dot(a, b, input_precision="ieee")', "total += 0.0"),
    "bound one tile short": ("range(0, inner, TILE_I)", "range(0, inner - TILE_I, TILE_I)"),
    "bound one element short": ("(i[None, :] < inner)", "(i[None, :] < inner - 1)"),
    "sum that forgets": ("total += tl.dot", "total = tl.dot"),
    "wrong pointer": ("tl.load(right + i", "tl.load(left + i"),
    "TF32 in a float32 product": ('input_precision="ieee"', 'input_precision="tf32"'),
    "half-precision sum": (
        'total += tl.dot(a, b, input_precision="ieee")',
        "total += tl.dot(a.to(tl.float16), b.to(tl.float16))",
    ),
    "kernel without a store": ("tl.store(out + r", "tl.load(out + r"),
}

CONV_MUTATIONS = {
    "dropped edge mask": ("(y >= 0) & (y < height) & ", "(y < height) & "),
    "dropped width mask": ("& (x >= 0) & (x < width)", "& (x >= 0)"),
    "bias left out while it is zero": (
        "total += tl.load(shift + kernel, mask=kernel < filters, other=0.0)[:, None]",
        "pass",
    ),
    "padding off by one": ("(tap % SIZE)[:, None] - 1", "(tap % SIZE)[:, None]"),
    "channels swapped": ("channel = tap // (SIZE * SIZE)", "channel = 7 - tap // (SIZE * SIZE)"),
    "one filter missing": (
        "tl.store(out + target, total, mask=(kernel[:, None] < filters)",
        "tl.store(out + target, total, mask=(kernel[:, None] < filters - 1)",
    ),
    "first sample only": ("sample = tl.program_id(1)", "sample = tl.program_id(1) * 0"),
}


class TestMutations:
    @pytest.mark.parametrize("name", MATMUL_MUTATIONS)
    def test_a_wrong_matmul_is_refused(self, name, check_matmul):
        result = check_matmul(_mutant(MATMUL, *MATMUL_MUTATIONS[name]))
        assert result.status is Status.FAIL, result
        assert result.violations

    @pytest.mark.parametrize("name", CONV_MUTATIONS)
    def test_a_wrong_convolution_is_refused(self, name, check_conv):
        result = check_conv(_mutant(CONV, *CONV_MUTATIONS[name]))
        assert result.status is Status.FAIL, result


def _mutant(source: str, old: str, new: str) -> str:
    if source.count(old) > 1:  # the load and the store share a mask: take the last
        head, _, tail = source.rpartition(old)
        return head + new + tail
    return changed(source, old, new)


class TestLaunches:
    def test_a_guard_that_is_satisfied_runs_the_kernel(self, check_conv):
        guarded = changed(
            CONV,
            "        batch, channels, height, width = x.shape\n",
            "        if not x.is_cuda:\n            return self.layer(x)\n"
            "        batch, channels, height, width = x.shape\n",
        )
        assert check_conv(guarded).status is Status.PASS

    def test_a_program_that_does_not_launch_its_kernel_is_not_verified(self, check_conv):
        idle = changed(
            CONV,
            "        batch, channels, height, width = x.shape\n",
            "        return self.layer(x)\n        batch, channels, height, width = x.shape\n",
        )
        result = check_conv(idle)
        assert result.status is Status.NOT_VERIFIED
        assert any("not launched: window_sum" in note for note in result.notes)

    def test_an_empty_grid_is_no_launch(self, check_conv):
        idle = changed(
            CONV,
            "window_sum[(triton.cdiv(height * width, 64), batch)](",
            "out = self.layer(x)\n        window_sum[(0, batch)](",
        )
        assert check_conv(idle).status is Status.NOT_VERIFIED

    def test_a_config_that_the_program_lacks_is_told(self, matmul):
        wrong = Config.of({"TILE_R": 8, "TILE_C": 8, "TILE_I": 8}, 2, 2)
        (result,) = interpret(MATMUL, matmul, [InterpretRun("problem", {"product": wrong})])
        assert result.outcome is RunOutcome.FAILED
        assert "has no config" in result.reason


class TestBadPrograms:
    def test_a_program_that_changes_its_input_is_refused(self, check_conv):
        result = check_conv(
            changed(CONV, "        return out", "        x.add_(1)\n        return out")
        )
        assert result.status is Status.FAIL
        assert "changes its input 0" in result.violations[0].found

    def test_a_wrong_shape_is_refused(self, check_conv):
        result = check_conv(changed(CONV, "        return out", "        return out[:1]"))
        assert "has shape" in result.violations[0].found

    def test_a_wrong_dtype_is_refused(self, check_conv):
        result = check_conv(changed(CONV, "        return out", "        return out.half()"))
        assert "is float16 instead of float32" in result.violations[0].found

    def test_a_write_out_of_bounds_is_refused_with_its_line(self, check_matmul):
        source = _mutant(
            MATMUL,
            "(r[:, None] < rows) & (c[None, :] < columns))\n\n",
            "(c[None, :] < columns))\n\n",
        )
        result = check_matmul(source)
        assert "writes out of bounds in product, line" in result.violations[0].found

    def test_a_program_that_raises_is_refused_with_the_line(self, check_conv):
        result = check_conv(
            changed(CONV, "total += tl.dot(weights, values)", "total += tl.dot(weights, valuez)")
        )
        assert "NameError" in result.violations[0].found
        assert result.violations[0].found.startswith("line ")

    def test_an_endless_kernel_costs_the_others_nothing(self, matmul):
        endless = changed(
            MATMUL,
            "    for start in range(0, inner, TILE_I):",
            "    while TILE_R == 16:\n        pass\n    for start in range(0, inner, TILE_I):",
        )
        runs = [InterpretRun("problem", {"product": config}) for config in MATMUL_CONFIGS]
        first, second = interpret(endless, matmul, runs, deadline_s=3)
        assert (first.outcome, second.outcome) == (RunOutcome.TIMEOUT, RunOutcome.OK)
        assert first.block_cpu_s is not None and first.block_cpu_s > 20 * (second.cpu_s or 3)
        assert second.block_cpu_s is None

    def test_host_code_that_does_not_end_is_stopped_in_no_block(self, matmul):
        endless = changed(
            MATMUL,
            "        columns = right.shape[1]\n",
            "        columns = right.shape[1]\n"
            "        while float(left.min()) < 0:\n            pass\n",
        )
        (run,) = interpret(endless, matmul, [InterpretRun("normal")], deadline_s=2)
        assert (run.outcome, run.block_cpu_s) == (RunOutcome.TIMEOUT, None)

    def test_a_run_that_kills_its_process_costs_the_others_nothing(self, matmul):
        deadly = changed(
            MATMUL,
            "        columns = right.shape[1]\n",
            "        columns = right.shape[1]\n"
            "        import ctypes\n"
            "        if float(left.min()) < 0:\n            ctypes.string_at(0)\n",
        )
        runs = [InterpretRun("normal"), InterpretRun("problem")]
        first, second = interpret(deadly, matmul, runs, deadline_s=20)
        assert (first.outcome, second.outcome) == (RunOutcome.FAILED, RunOutcome.OK)
        assert "SIGSEGV" in first.reason

    def test_a_pin_is_found_among_configs_that_name_warps_as_a_meta_parameter(self, matmul):
        named = changed(MATMUL, '"TILE_I": 32}, num_warps=4', '"TILE_I": 32, "num_warps": 4}')
        (run,) = interpret(named, matmul, [InterpretRun("problem", {"product": MATMUL_CONFIGS[1]})])
        assert run.outcome is RunOutcome.OK, run.reason

    def test_no_run_begins_after_the_budget_is_spent_and_nothing_is_kept(
        self, matmul, monkeypatch, tmp_path
    ):
        monkeypatch.setattr("warpwright.interpreter.interpret.BUDGET_S", 1.0)
        endless = changed(
            MATMUL,
            "        columns = right.shape[1]\n",
            "        columns = right.shape[1]\n"
            "        while float(left.min()) < 0:\n            pass\n",
        )
        runs = [InterpretRun("normal"), InterpretRun("problem")]
        first, second = interpret(
            endless, matmul, runs, deadline_s=2, cache=ResultCache(tmp_path / "cache")
        )
        assert (first.outcome, second.outcome) == (RunOutcome.TIMEOUT, RunOutcome.TIMEOUT)
        assert "still running" in first.reason and "not run" in second.reason
        assert not (tmp_path / "cache").exists()

    def test_inline_assembly_is_not_verified_rather_than_wrong(self, check_conv):
        source = changed(
            CONV,
            "total += tl.dot(weights, values)",
            "total += tl.dot(weights, tl.inline_asm_elementwise("
            "'mov.b32 $0, $1;', '=r,r', [values], tl.float32, True, 1))",
        )
        result = check_conv(source)
        assert result.status is Status.NOT_VERIFIED
        assert any("inline assembly" in note for note in result.notes)


class TestEvaluationMode:
    PROGRAM = MATMUL.replace(
        "        rows, inner = left.shape\n",
        "        if self.training:\n            return left @ right\n"
        "        rows, inner = left.shape\n",
    )

    @pytest.mark.parametrize("evaluation_mode", [True, False])
    def test_a_kernel_for_evaluation_runs_only_after_eval(self, tmp_path, evaluation_mode):
        made = make_reference(
            Problem(source=MATMUL_PROBLEM), MATMUL_SHAPES, tmp_path, seed=SEED,
            evaluation_mode=evaluation_mode, distributions=["problem"],
        )  # fmt: skip
        runs = [InterpretRun("problem", {"product": MATMUL_CONFIGS[0]})]
        (run,) = interpret(self.PROGRAM, made, runs)
        assert run.launches == ({"product": 1} if evaluation_mode else {})

    def test_the_reference_is_computed_in_the_same_mode(self, tmp_path):
        doubling = changed(
            MATMUL_PROBLEM, "return left @ right",
            "return left @ right * (1.0 if self.training else 2.0)",
        )  # fmt: skip
        outputs = []
        for mode in (True, False):
            made = make_reference(
                Problem(source=doubling), MATMUL_SHAPES, tmp_path / str(mode), seed=SEED,
                evaluation_mode=mode, distributions=["problem"],
            )  # fmt: skip
            outputs.append(made.cases[0].outputs[0].data)
        assert (outputs[0] == 2.0 * outputs[1]).all()


class TestWithoutReference:
    def test_equal_to_the_parent_is_said_and_is_no_pass(self, tmp_path):
        problem = Problem(inputs=MATMUL_SHAPES, origin="command line")
        made = make_reference(problem, MATMUL_SHAPES, tmp_path, seed=SEED)
        runs = [InterpretRun(case.name) for case in made.cases]
        parent = interpret(MATMUL, made, runs)
        cases = judge_outputs(parent, list(parent), made.cases, required_kernels=["product"])
        twins = judge_outputs(
            interpret(MATMUL, made, runs), parent, made.cases, required_kernels=["product"]
        )
        assert conclude(cases).status is Status.NOT_VERIFIED
        assert all(
            "equal to the parent; not verified against a reference" in case.reason for case in twins
        )

    def test_a_program_that_differs_from_its_parent_is_refused(self, tmp_path):
        made = make_reference(Problem(inputs=MATMUL_SHAPES), MATMUL_SHAPES, tmp_path, seed=SEED)
        runs = [InterpretRun("normal")]
        parent = interpret(MATMUL, made, runs)
        wrong = interpret(changed(MATMUL, "total += tl.dot", "total = tl.dot"), made, runs)
        (case,) = judge_outputs(wrong, parent, made.cases, required_kernels=["product"])
        assert case.status is Status.FAIL

    def test_no_shapes_is_never_a_pass(self, tmp_path):
        made = make_reference(Problem(source=MATMUL_PROBLEM), (), tmp_path, seed=SEED)
        assert made == Unavailable("no input shapes")
        result = conclude([])
        assert result.status is Status.NOT_VERIFIED
        assert result.notes == ("not verified: no input shapes",)
