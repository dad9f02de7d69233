"""Trick: a mask goes in one branch of an `if`, under a test that does not imply it."""

from __future__ import annotations

from types import ModuleType

import accuracy_trial as trial
import pytest

from warpwright.analysis.study_program import Subject, study_program
from warpwright.gpus.sheets import find_gpu
from warpwright.program.view import read_program
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.gpu import ResolvedGpu
from warpwright.types.shapes import Problem
from warpwright.types.verdict import CheckResult, Status
from warpwright.verifier.spot_check import check_full_size

LOAD = "    x = tl.load(x_ptr + offsets, mask=mask)\n"
STORE = "    tl.store(y_ptr + offsets, x * factor, mask=mask)\n"


def guarded(
    lab: ModuleType, test: str, other_mask: str = ", mask=mask", fast_mask: str = ""
) -> str:
    """SCALE with a branch for blocks whose mask is taken to hold, all else under `else`."""
    text = lab.replaced(lab.SCALE, LOAD + STORE, "BOTH")
    both = LOAD + STORE
    fast = both.replace(", mask=mask", fast_mask).replace("    ", "        ")
    slow = both.replace(", mask=mask", other_mask).replace("    ", "        ")
    return str(lab.replaced(text, "BOTH", f"    if {test}:\n{fast}    else:\n{slow}"))


INSIDE = "(tl.program_id(0) + 1) * BLOCK <= n"


@pytest.mark.parametrize(
    "test",
    [INSIDE, "tl.program_id(0) < n // BLOCK", "tl.max(offsets, axis=0) < n", "n % BLOCK == 0"],
)
def test_a_mask_that_stands_in_the_other_branch_is_left_to_the_outputs(
    lab: ModuleType, test: str
) -> None:
    report = lab.judged(lab.SCALE, guarded(lab, test))
    assert report.violations == ()
    notes = [note for result in report.results for note in result.notes]
    assert any("other branch" in note and "comparing outputs decides" in note for note in notes)


def test_the_mask_may_go_by_a_test_within_a_test(lab: ModuleType) -> None:
    child = guarded(lab, INSIDE)
    old = "    else:\n        x ="
    child = lab.replaced(child, old, "    elif tl.program_id(0) < n // BLOCK:\n        x =")
    rest = (LOAD + STORE).replace("    ", "        ")
    child = lab.replaced(child, rest, rest.replace(", mask=mask", "") + "    else:\n" + rest)
    assert lab.refusals(lab.SCALE, child) == []


def test_the_mask_may_be_worked_out_anew_in_each_branch(lab: ModuleType) -> None:
    child = guarded(lab, INSIDE)
    line = "        mask = offsets < n\n"
    child = lab.replaced(child, "    mask = offsets < n\n", "")
    child = lab.replaced(child, "<= n:\n", f"<= n:\n{line}")
    child = lab.replaced(child, "    else:\n", f"    else:\n{line}")
    assert lab.refusals(lab.SCALE, child) == []


@pytest.mark.parametrize(
    "test", ["True", "1 == 1", "x_ptr.dtype.element_ty == tl.float32", "factor == factor"]
)
def test_a_test_that_knows_nothing_of_the_mask_is_refused(lab: ModuleType, test: str) -> None:
    reasons = lab.refusals(lab.SCALE, guarded(lab, test))
    assert any("mask dropped" in reason for reason in reasons)


@pytest.mark.parametrize("other", ["", ", mask=None"])
def test_the_other_branch_must_have_the_mask(lab: ModuleType, other: str) -> None:
    reasons = lab.refusals(lab.SCALE, guarded(lab, INSIDE, other))
    assert any("mask dropped" in reason for reason in reasons)


def test_the_other_branch_must_have_all_of_the_mask(lab: ModuleType) -> None:
    mask = "    mask = offsets < n\n"
    more = "    mask = (offsets < n) & (offsets >= 0)\n"
    parent = lab.replaced(lab.SCALE, mask, more)
    child = lab.replaced(guarded(lab, INSIDE, ", mask=offsets < n"), mask, more)
    reasons = lab.refusals(parent, child)
    assert any("mask dropped" in reason for reason in reasons)


@pytest.mark.parametrize("slow", ["        x = 0.0\n", "        pass\n", None])
def test_the_other_branch_must_have_the_access(lab: ModuleType, slow: str | None) -> None:
    child = guarded(lab, INSIDE)
    rest = "    else:\n" + (LOAD + STORE).replace("    ", "        ")
    child = lab.replaced(child, rest, "" if slow is None else "    else:\n" + slow)
    reasons = lab.refusals(lab.SCALE, child)
    assert any("mask dropped" in reason for reason in reasons)


WINDOW = (
    trial.IMPORTS
    + """
@triton.jit
def window_kernel(x_ptr, y_ptr, width, TAPS: tl.constexpr, TILE: tl.constexpr):
    line = tl.program_id(1)
    first = tl.program_id(0) * TILE
    places = first + tl.arange(0, TILE)
    total = tl.zeros((TILE,), dtype=tl.float32)
    for tap in range(TAPS):
        at = places + tap - 1
        total += tl.load(
            x_ptr + line * width + at, mask=(at >= 0) & (at < width), other=0.0
        )
    tl.store(y_ptr + line * width + places, total, mask=places < width)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        grid = (triton.cdiv(x.shape[1], 32), x.shape[0])
        window_kernel[grid](x, y, x.shape[1], TAPS=3, TILE=32)
        return y
"""
)
WINDOW_PROBLEM = Problem(
    source="""
import torch

class Model(torch.nn.Module):
    def forward(self, x):
        return torch.nn.functional.avg_pool1d(x, 3, stride=1, padding=1) * 3

def get_inputs():
    return [torch.randn(64, 5000)]

def get_init_inputs():
    return []
"""
)


def with_guard(test: str) -> str:
    """WINDOW with its loop twice, without the mask where the test holds."""
    start, end = WINDOW.index("    for tap"), WINDOW.index("    tl.store")
    slow = WINDOW[start:end].replace("\n    ", "\n        ").replace("    for", "        for", 1)
    fast = slow.replace(", mask=(at >= 0) & (at < width), other=0.0", "")
    branches = f"    if {test}:\n{fast.rstrip()}\n    else:\n{slow.rstrip()}\n"
    return str(WINDOW[:start] + branches + WINDOW[end:])


@pytest.mark.triton
def test_blocks_inside_pass_and_both_branches_are_run() -> None:
    test = "(first > 0) & (first + TILE < width)"
    run = trial.accuracy_of(WINDOW, with_guard(test), WINDOW_PROBLEM)
    assert run.result.status is Status.PASS, run.result
    assert {way for _, _, text, way in run.ways if text == test} == {True, False}


@pytest.mark.triton
@pytest.mark.parametrize(
    "test",
    [
        pytest.param("first < width", id="always"),
        pytest.param("first + TILE < width", id="the left border is forgotten"),
        pytest.param("first > 0", id="the right border is forgotten"),
        pytest.param("(first > 0) & (first + TILE < width + 40)", id="one block too far"),
        pytest.param("(first > 0) & (first + TILE <= width)", id="one lane too far"),
    ],
)
def test_a_mask_that_its_test_does_not_imply_is_wrong(test: str) -> None:
    run = trial.accuracy_of(WINDOW, with_guard(test), WINDOW_PROBLEM)
    assert run.result.status is not Status.PASS, run.result


@pytest.mark.triton
def test_a_test_that_is_too_wide_at_full_size_alone_is_wrong_there() -> None:
    """Each branch runs on small sizes too, where the test is right."""
    child = with_guard("(first > 0) & ((first + TILE < width) | (width > 3000))")
    gpu = ResolvedGpu(find_gpu("4090"))
    run_context = RunContext(ResultCache())
    study = study_program(Subject(WINDOW), gpu, run_context, problem=WINDOW_PROBLEM)
    kernels = {kernel.kernel: kernel for kernel in study.kernels}
    found = check_full_size(study, read_program(child), kernels, run_context)
    assert isinstance(found, CheckResult) and found.status is Status.FAIL, found


@pytest.mark.triton
def test_a_way_without_masks_that_no_check_takes_is_not_verified() -> None:
    test = "(width > 4000000) & (first > 0)"
    run = trial.accuracy_of(WINDOW, with_guard(test), WINDOW_PROBLEM)
    assert run.result.status is Status.NOT_VERIFIED
    assert any("ran in no check" in note for note in run.result.notes)
