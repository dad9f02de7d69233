"""Trick: right on every small input, wrong on the problem's own sizes."""

from __future__ import annotations

import functools

import pytest

from warpwright import api
from warpwright.analysis.study_program import Subject, study_program
from warpwright.formats.kernelbench import read_problem
from warpwright.program.view import read_program
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.study import Study
from warpwright.types.verdict import CheckResult, Status
from warpwright.verifier.spot_check import check_full_size

pytestmark = pytest.mark.triton

HEAD = """
import torch
import torch.nn as nn
import triton
import triton.language as tl

"""
# Each row divided by its sum; one row a block.
ROWS = (
    HEAD
    + """
@triton.jit
def share_rows(x_ptr, y_ptr, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for start in range(0, columns, BLOCK):
        at = start + tl.arange(0, BLOCK)
        inside = at < columns
        total += tl.load(x_ptr + row * columns + at, mask=inside, other=0.0)
    whole = tl.sum(total, axis=0)
    for start in range(0, columns, BLOCK):
        at = start + tl.arange(0, BLOCK)
        inside = at < columns
        x = tl.load(x_ptr + row * columns + at, mask=inside, other=0.0)
        tl.store(y_ptr + row * columns + at, x / whole, mask=inside)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        rows, columns = x.shape
        share_rows[(rows,)](x, y, columns, BLOCK=1024)
        return y
"""
)
# A flat copy, scaled; the last block is a partial one.
FLAT = (
    HEAD
    + """
@triton.jit
def halve(x_ptr, y_ptr, count, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    x = tl.load(x_ptr + at, mask=inside, other=0.0)
    tl.store(y_ptr + at, x * 0.5, mask=inside)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        count = x.numel()
        halve[(triton.cdiv(count, 1024),)](x, y, count, BLOCK=1024)
        return y
"""
)


def problem_of(expression: str, *shape: int) -> str:
    return (
        f"import torch\nclass Model(torch.nn.Module):\n    def forward(self, x):\n"
        f"        return {expression}\n\ndef get_inputs():\n    return [torch.rand{shape}]\n\n"
        f"def get_init_inputs():\n    return []\n"
    )


SHARES = "x / x.sum(dim=1, keepdim=True)"


@functools.cache
def parent(source: str, problem: str) -> Study:
    gpu = api.target_gpu("RTX 4090")
    return study_program(
        Subject(source), gpu, RunContext(ResultCache()), problem=read_problem(problem)
    )


def verdict(source: str, problem: str, child: str) -> CheckResult | str | None:
    study = parent(source, problem)
    kernels = {kernel.kernel: kernel for kernel in study.kernels}
    return check_full_size(study, read_program(child), kernels, RunContext(ResultCache()))


def changed(source: str, old: str, new: str, times: int = 1) -> str:
    assert source.count(old) == times
    return source.replace(old, new)


def is_wrong(checked: CheckResult | str | None) -> bool:
    assert isinstance(checked, CheckResult), checked
    return checked.status is Status.FAIL


LOOP = "range(0, columns, BLOCK):\n        at = start + tl.arange(0, BLOCK)\n        inside = at < columns\n        total"  # noqa: E501


@pytest.mark.parametrize(
    ("bound", "wrong"),
    [("tl.minimum(columns, 2048)", True), ("tl.cdiv(columns, BLOCK) * BLOCK", False)],
)
def test_a_loop_that_ends_at_a_constant(bound: str, wrong: bool) -> None:
    child = changed(ROWS, LOOP, LOOP.replace("range(0, columns,", f"range(0, {bound},"))
    assert is_wrong(verdict(ROWS, problem_of(SHARES, 6000, 3001), child)) is wrong


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mask", "wrong"), [("(at < columns) & (at < 2560)", True), ("columns > at", False)]
)
def test_a_mask_that_ends_at_a_constant(mask: str, wrong: bool) -> None:
    child = changed(ROWS, "inside = at < columns", f"inside = {mask}", times=2)
    assert is_wrong(verdict(ROWS, problem_of(SHARES, 6000, 3001), child)) is wrong


@pytest.mark.parametrize(("kind", "wrong"), [("tl.int32", True), ("tl.int64", False)])
def test_offsets_that_leave_32_bits(kind: str, wrong: bool) -> None:
    """Inputs of 9 GB, which take no memory. The row number is read, so that no compiler sees it."""
    child = changed(ROWS, "share_rows(x_ptr,", "share_rows(numbers, x_ptr,")
    child = changed(
        child,
        "tl.program_id(0).to(tl.int64)",
        f"tl.load(numbers + tl.program_id(0)).to({kind})",
    )
    child = changed(
        child,
        "](x, y, columns, BLOCK",
        "](torch.arange(rows, device=x.device, dtype=torch.int32), x, y, columns, BLOCK",
    )
    assert is_wrong(verdict(ROWS, problem_of(SHARES, 72000, 31001), child)) is wrong


@pytest.mark.slow
@pytest.mark.parametrize(
    ("grid", "wrong"),
    [("count // 1024 + (count % 1024 > 0)", False), ("triton.cdiv(count, 1024)", False)],
)
def test_a_last_block_by_another_formula(grid: str, wrong: bool) -> None:
    child = changed(FLAT, "(triton.cdiv(count, 1024),)", f"({grid},)")
    child = changed(child, "inside = at < count", "inside = at <= count - 1")
    assert is_wrong(verdict(FLAT, problem_of("x * 0.5", 200_000_741), child)) is wrong


@pytest.mark.parametrize(
    ("mask", "wrong"),
    [("at < count // 256 * 256", True), ("(at < count // 256 * 256) | (at < count)", False)],
)
def test_a_last_block_that_loses_its_end(mask: str, wrong: bool) -> None:
    child = changed(FLAT, "inside = at < count", f"inside = {mask}")
    assert is_wrong(verdict(FLAT, problem_of("x * 0.5", 200_000_741), child)) is wrong


@pytest.mark.slow
@pytest.mark.parametrize(("tile", "wrong"), [("1024", False), ("4096", False)])
def test_other_tiles_are_held_against_the_same_elements(tile: str, wrong: bool) -> None:
    child = FLAT.replace("1024", tile).replace("inside = at < count", "inside = count > at")
    assert is_wrong(verdict(FLAT, problem_of("x * 0.5", 200_000_741), child)) is wrong


@pytest.mark.slow
def test_what_no_block_alone_can_show_is_said_and_not_blamed() -> None:
    """Sums by atomics: one block of many has only its part."""
    adding = changed(FLAT, "tl.store(y_ptr + at, x * 0.5,", "tl.atomic_add(y_ptr + at, x * 0.5,")
    adding = changed(adding, "empty_like", "zeros_like")
    checked = verdict(FLAT, problem_of("x * 0.5", 200_000_741), adding)
    assert isinstance(checked, str)
    assert "not verified at full size" in checked
    assert "atomics" in checked


def test_a_launch_after_one_that_is_too_long_to_run_whole_is_said_and_not_blamed() -> None:
    twice = changed(
        FLAT,
        "        return y",
        "        halve[(triton.cdiv(count, 1024),)](y, y, count, BLOCK=1024)\n        return 2 * y",
    )
    checked = verdict(FLAT, problem_of("x * 0.5", 200_000_741), twice)
    assert isinstance(checked, str)
    assert "not verified at full size" in checked


@pytest.mark.slow
def test_a_copy_on_the_host_before_the_launch_hinders_nothing() -> None:
    child = changed(
        FLAT,
        "y = torch.empty_like(x)",
        "x = x.flip(0).flip(0)\n        y = torch.empty_like(x)",
    )
    assert not is_wrong(verdict(FLAT, problem_of("x * 0.5", 200_000_741), child))


def test_a_short_kernel_before_the_last_runs_whole() -> None:
    """A factor made by a kernel of one block: right, and wrong where it depends on the size."""
    child = changed(
        FLAT,
        "@triton.jit\n",
        "@triton.jit\ndef factor(f_ptr, count):\n"
        "    tl.store(f_ptr, tl.where(count > 5000, LARGE, 0.5))\n\n\n@triton.jit\n",
    )
    child = changed(child, "halve(x_ptr, y_ptr,", "halve(f_ptr, x_ptr, y_ptr,")
    child = changed(child, "x * 0.5", "x * tl.load(f_ptr)")
    child = changed(
        child,
        "        halve[(triton.cdiv(count, 1024),)](x,",
        "        f = torch.empty(1, device=x.device)\n        factor[(1,)](f, count)\n"
        "        halve[(triton.cdiv(count, 1024),)](f, x,",
    )
    problem = problem_of("x * 0.5", 200_000_741)
    assert not is_wrong(verdict(FLAT, problem, child.replace("LARGE", "0.5")))
    assert is_wrong(verdict(FLAT, problem, child.replace("LARGE", "0.25")))


def test_configs_of_the_same_code_and_tiles_are_nothing_new() -> None:
    child = changed(FLAT, "](x, y, count, BLOCK=1024)", "](x, y, count, BLOCK=1024, num_warps=8)")
    assert verdict(FLAT, problem_of("x * 0.5", 200_000_741), child) is None


def test_a_program_that_is_right_where_its_parent_is_wrong_is_not_blamed() -> None:
    """The parent loses columns at full size; the problem's model tells who is right."""
    wrong = changed(ROWS, LOOP, LOOP.replace("range(0, columns,", "range(0, 2048,"))
    checked = verdict(wrong, problem_of(SHARES, 6000, 3001), ROWS)
    assert isinstance(checked, str)
    assert "the parent itself is wrong" in checked


def test_a_check_of_a_reply_looks_at_full_size_once_where_its_code_is_new() -> None:
    request = api.request(ROWS, gpu="RTX 4090", problem=problem_of(SHARES, 64, 3001))
    other = changed(ROWS, "inside = at < columns", "inside = columns > at", times=2)
    for reply, wanted in ((other, [Status.PASS]), (ROWS, [])):
        gate = api.check(request, reply)
        assert [r.status for r in gate.results if r.check == "full size"] == wanted, gate.results


UNDEFINED = """
@triton.jit
def sum_rows(x_ptr, y_ptr, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * columns + at, mask=at < columns)
    tl.store(y_ptr + row, tl.sum(x, axis=0))


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty((x.shape[0],), dtype=x.dtype, device=x.device)
        sum_rows[(x.shape[0],)](x, y, x.shape[1], BLOCK=4096)
        return y
"""


def test_what_the_parent_takes_from_undefined_lanes_is_no_fault_of_a_candidate() -> None:
    source = HEAD + UNDEFINED
    child = changed(source, "mask=at < columns", "mask=at < columns, other=0.0")
    problem = problem_of("x.sum(dim=1)", 600, 3001)
    assert not is_wrong(verdict(source, problem, child))
    wrong = changed(child, "tl.sum(x, axis=0)", "tl.sum(tl.where(at < 2048, x, 0.0), axis=0)")
    assert is_wrong(verdict(source, problem, wrong))
