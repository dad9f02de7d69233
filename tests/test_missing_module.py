"""A module that is not installed here is this machine's lack, not the program's mistake."""

from __future__ import annotations

import pytest

from warpwright import api
from warpwright.errors import MissingToolError
from warpwright.sandbox.toolchain import missing_module
from warpwright.types.shapes import Problem
from warpwright.types.verdict import Status

ABSENT = "import library_that_nobody_has\n"
PROGRAM = """import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def twice_kernel(x, out, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + at, 2.0 * tl.load(x + at, mask=at < n), mask=at < n)


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        twice_kernel[(triton.cdiv(x.numel(), 256),)](x, out, x.numel(), BLOCK=256)
        return out
"""
PROBLEM = Problem(
    source="""
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return 2.0 * x


def get_inputs():
    return [torch.rand(1000)]
"""
)


@pytest.mark.parametrize(
    ("reason", "module"),
    [
        ("ModuleNotFoundError: No module named 'nobody_has.this'", "nobody_has"),
        ("line 3: ModuleNotFoundError: No module named 'nobody_has'", "nobody_has"),
        ("ModuleNotFoundError: No module named 'numpy.no_such_part'", None),
        ("ModuleNotFoundError: No module named 'json.no_such_part'", None),
        ("ValueError: No module named 'nobody_has'", None),
    ],
)
def test_only_what_is_not_installed_at_all_is_missing(reason: str, module: str | None) -> None:
    assert missing_module(reason) == module


@pytest.mark.triton
@pytest.mark.parametrize("problem", [PROBLEM, None], ids=["shapes", "no shapes"])
def test_a_program_that_needs_it_is_not_called_broken(problem: Problem | None) -> None:
    with pytest.raises(MissingToolError, match="library_that_nobody_has, which is not installed"):
        api.inspect(ABSENT + PROGRAM, gpu="4090", problem=problem)


@pytest.mark.triton
def test_a_reply_that_needs_it_does_not_fail_to_run_for_it() -> None:
    """Rules on imports refuse it all the same."""
    request = api.request(PROGRAM, gpu="4090", stage="memory")
    gate = api.check(request, ABSENT + PROGRAM, problem=PROBLEM)
    (resources,) = [result for result in gate.results if result.check == "resources"]
    assert resources.status is Status.NOT_VERIFIED
    assert any("library_that_nobody_has" in note for note in resources.notes)


@pytest.mark.triton
def test_a_check_of_a_request_that_needs_it_goes_by_what_reading_tells() -> None:
    request = api.request(ABSENT + PROGRAM, gpu="4090", stage="memory")
    gate = api.check(request, ABSENT + PROGRAM, problem=PROBLEM)
    assert gate.status is Status.NOT_VERIFIED
    (accuracy,) = [result for result in gate.results if result.check == "accuracy"]
    assert any("library_that_nobody_has" in note for note in accuracy.notes)


@pytest.mark.triton
def test_a_part_that_an_installed_module_lacks_is_the_programs_mistake() -> None:
    request = api.request(PROGRAM, gpu="4090", stage="memory")
    gate = api.check(request, "import triton.no_such_part\n" + PROGRAM, problem=PROBLEM)
    (resources,) = [result for result in gate.results if result.check == "resources"]
    assert resources.status is Status.FAIL
