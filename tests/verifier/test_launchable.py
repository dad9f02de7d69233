"""Whether a reply runs on its target: refused for what ends it there, and for nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from texts import replace_once

from warpwright.data.stages import find_stage
from warpwright.formats.reply import parse_reply
from warpwright.gpus.sheets import find_gpu
from warpwright.gpus.target_sheet import stated_gpu
from warpwright.pipeline.check_reply import check_reply
from warpwright.pipeline.request_study import study_request
from warpwright.program.view import read_program
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.request import Request
from warpwright.types.shapes import Problem, TensorSpec
from warpwright.types.verdict import CheckResult, Status
from warpwright.verifier.accuracy_pins import pinned_runs

pytestmark = pytest.mark.triton

PROBLEM = Problem(inputs=(TensorSpec((96, 64)), TensorSpec((64, 96))), origin="the test")
LAUNCH = "    gram_kernel[(triton.cdiv(m, SIZE), 1)](a, b, c, m, k, SIZE=SIZE)\n"
PROGRAM = f"""import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def gram_kernel(a_ptr, b_ptr, c_ptr, m, k, SIZE: tl.constexpr):
    rows = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    columns = tl.program_id(1) * SIZE + tl.arange(0, SIZE)
    total = tl.zeros((SIZE, SIZE), dtype=tl.float32)
    for start in range(0, k, SIZE):
        inner = start + tl.arange(0, SIZE)
        left = tl.load(a_ptr + rows[:, None] * k + inner[None, :])
        right = tl.load(b_ptr + inner[:, None] * m + columns[None, :])
        total += tl.dot(left, right)
    tl.store(c_ptr + rows[:, None] * m + columns[None, :], total)


def gram(a, b):
    m, k = a.shape
    c = torch.empty((m, m), device=a.device, dtype=a.dtype)
    SIZE = 32
{LAUNCH}    return c


class ModelNew(nn.Module):
    def forward(self, a, b):
        return gram(a, b)
"""
TUNED = replace_once(
    replace_once(
        PROGRAM,
        "@triton.jit\n",
        "@triton.autotune(configs=[triton.Config({'SIZE': 32}), triton.Config({'SIZE': 128})],"
        " key=['m'])\n@triton.jit\n",
    ),
    LAUNCH,
    LAUNCH.replace(", SIZE=SIZE", "").replace("(triton.cdiv(m, SIZE), 1)", "(3, 1)"),
)


@pytest.fixture(scope="module")
def run_context(tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    directory: Path = tmp_path_factory.mktemp("cache")
    return RunContext(cache=ResultCache(directory))


def resources(run_context: RunContext, reply: str, parent: str = PROGRAM) -> CheckResult:
    """The check on what runs, of a reply to a request of the memory stage."""
    request = Request(gpu=stated_gpu(find_gpu("4090")), stage=find_stage("memory"), program=parent)
    assert reply != parent
    gate = check_reply(request, parse_reply(reply), run_context, PROBLEM, accuracy=False)
    (result,) = [result for result in gate.results if result.check == "resources"]
    return result


def test_a_config_that_the_tuner_passes_over_is_told_and_not_refused(
    run_context: RunContext,
) -> None:
    result = resources(run_context, TUNED)
    assert result.status is Status.PASS
    (note,) = [note for note in result.notes if "passes over" in note]
    assert "SIZE=128" in note
    assert "shared memory" in note


def test_a_list_of_which_no_config_can_run_is_refused(run_context: RunContext) -> None:
    result = resources(run_context, TUNED.replace("triton.Config({'SIZE': 32}), ", ""))
    assert [v.rule for v in result.violations] == ["configs.launchable"]


def test_a_launch_that_can_never_run_is_refused(run_context: RunContext) -> None:
    result = resources(run_context, PROGRAM.replace("SIZE = 32", "SIZE = 128"))
    assert [v.rule for v in result.violations] == ["configs.launchable"]
    assert "101,376" in result.violations[0].found


def test_a_config_that_ends_in_static_assert_is_passed_over(run_context: RunContext) -> None:
    reply = TUNED.replace("'SIZE': 128", "'SIZE': 64").replace(
        "    rows =", "    tl.static_assert(SIZE < 64)\n    rows ="
    )
    result = resources(run_context, reply)
    assert result.status is Status.PASS
    assert any("SIZE=64" in note and "passes over" in note for note in result.notes)


def test_a_kernel_that_does_not_compile_is_refused_with_the_line_of_the_reply(
    run_context: RunContext,
) -> None:
    """Under the very launch options of the parent, and although another config is listed."""
    wrong = "tl.dot(left, righ)"
    for program in (PROGRAM, TUNED):
        reply = program.replace("tl.dot(left, right)", wrong)
        result = resources(run_context, f"Here:\n```python\n{reply}```\n")
        assert [v.rule for v in result.violations] == ["configs.launchable"]
        line = result.violations[0].line
        assert line == reply[: reply.index(wrong)].count("\n") + 3
        assert "righ" in result.violations[0].found


def test_what_cannot_run_in_the_parent_either_is_not_held_against_the_reply(
    run_context: RunContext,
) -> None:
    parent = PROGRAM.replace("SIZE = 32", "SIZE = 128")
    assert resources(run_context, parent + "# the same\n", parent).status is Status.PASS


def test_a_grid_with_too_many_blocks_is_refused(run_context: RunContext) -> None:
    result = resources(run_context, PROGRAM.replace("(triton.cdiv(m, SIZE), 1)", "(3, 65536)"))
    assert [v.rule for v in result.violations] == ["grid.launchable"]
    assert "65,535" in result.violations[0].found


def test_host_code_that_fails_is_refused_with_its_line(run_context: RunContext) -> None:
    reply = PROGRAM.replace("    SIZE = 32\n", "    SIZE = gram_kernel.best\n")
    result = resources(run_context, reply)
    assert [v.rule for v in result.violations] == ["program.runs"]
    assert result.violations[0].line == reply[: reply.index(".best")].count("\n") + 1


def test_host_code_that_depends_on_data_is_not_verified_but_its_kernels_are_compiled(
    run_context: RunContext,
) -> None:
    reply = PROGRAM.replace("    SIZE = 32\n", "    SIZE = 32 if a.sum().item() > 0 else 16\n")
    result = resources(run_context, reply)
    assert result.status is Status.NOT_VERIFIED
    assert any("data" in note for note in result.notes)
    tuned = TUNED.replace("    SIZE = 32\n", "    m = m if a.sum().item() > 0 else k\n")
    broken = resources(run_context, tuned.replace("tl.dot(left, right)", "tl.dot(left, righ)"))
    assert [v.rule for v in broken.violations] == ["configs.launchable"]


def test_host_code_that_times_its_launches_is_followed_and_told(run_context: RunContext) -> None:
    timed = LAUNCH.replace("SIZE=SIZE", "SIZE=SIZE, num_warps=warps")
    indented = "".join(f"    {line}\n" for line in timed.splitlines())
    reply = PROGRAM.replace(
        LAUNCH,
        "    best, warps = None, 4\n"
        "    for warps in (2, 8):\n"
        "        start = torch.cuda.Event(enable_timing=True)\n"
        "        end = torch.cuda.Event(enable_timing=True)\n"
        f"        start.record()\n{indented}        end.record()\n"
        "        torch.cuda.synchronize()\n"
        "        if best is None or start.elapsed_time(end) < best[0]:\n"
        "            best = start.elapsed_time(end), warps\n"
        f"    warps = best[1]\n{timed}",
    )
    result = resources(run_context, reply)
    assert result.status is Status.PASS
    assert any("times its launches" in note for note in result.notes)


def test_a_kernel_that_host_code_defines_as_it_runs_is_not_verified(
    run_context: RunContext,
) -> None:
    start, end = PROGRAM.index("@triton.jit"), PROGRAM.index("\n\ndef gram(")
    inner = "".join(f"    {line}\n" if line else "\n" for line in PROGRAM[start:end].splitlines())
    reply = (PROGRAM[:start] + PROGRAM[end:].lstrip()).replace(
        "    SIZE = 32\n", f"{inner}    SIZE = 32\n"
    )
    result = resources(run_context, reply)
    assert result.status is Status.NOT_VERIFIED
    assert any("gram_kernel" in note for note in result.notes)


def test_a_config_that_never_runs_on_the_target_is_not_judged_by_its_output(
    run_context: RunContext,
) -> None:
    child = read_program(TUNED)
    request = Request(gpu=stated_gpu(find_gpu("4090")), stage=find_stage("memory"), program=TUNED)
    study, _ = study_request(request, run_context, PROBLEM)
    kernels = {kernel.kernel: kernel for kernel in study.kernels}
    assert len(kernels["gram_kernel"].configs) == 2
    runs = pinned_runs(child, kernels, {})
    sizes = [run.pins["gram_kernel"].meta_dict["SIZE"] for run in runs]
    assert sizes == [32]


FAILING = replace_once(PROGRAM, "    c = torch.empty(", "    c = missing.empty(")


def test_a_reply_to_a_program_that_fails_is_judged_by_itself(run_context: RunContext) -> None:
    result = resources(run_context, PROGRAM, FAILING)
    assert result.status is Status.PASS
    (note,) = [note for note in result.notes if "nothing is compared with it" in note]
    assert "name 'missing' is not defined" in note


def test_a_reply_that_fails_as_its_program_does_is_refused(run_context: RunContext) -> None:
    result = resources(run_context, FAILING.replace("SIZE = 32", "SIZE = 16"), FAILING)
    assert [v.rule for v in result.violations] == ["program.runs"]


@pytest.mark.slow
def test_the_outputs_of_a_reply_to_a_program_that_fails_are_held_to_the_reference() -> None:
    problem = Problem(
        source="""
import torch
class Model(torch.nn.Module):
    def forward(self, a, b):
        return a @ b
def get_inputs():
    return [torch.rand(96, 64), torch.rand(64, 96)]
def get_init_inputs():
    return []
"""
    )
    request = Request(gpu=stated_gpu(find_gpu("4090")), stage=find_stage("memory"), program=FAILING)
    exact = PROGRAM.replace("tl.dot(left, right)", "tl.dot(left, right, input_precision='ieee')")
    for reply, status in ((exact, Status.PASS), (PROGRAM, Status.FAIL)):
        gate = check_reply(request, parse_reply(reply), RunContext(ResultCache()), problem)
        (accuracy,) = [result for result in gate.results if result.check == "accuracy"]
        assert accuracy.status is status
