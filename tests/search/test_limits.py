"""Limits on edits hold where moves are made, not only where they are judged."""

from __future__ import annotations

from textwrap import dedent

import pytest

from warpwright import api
from warpwright.analysis.study_program import Subject, study_program
from warpwright.search.moves import beside, move_candidates, refined
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.candidate import Candidate, Claim
from warpwright.types.shapes import Problem, TensorSpec
from warpwright.types.study import Study
from warpwright.types.verdict import EditLimits

PROGRAM = dedent(
    """
    import torch
    import torch.nn as nn
    import triton
    import triton.language as tl

    @triton.jit
    def row_sum_kernel(x_ptr, y_ptr, columns, BLOCK: tl.constexpr):
        row = tl.program_id(0)
        total = 0.0
        for start in range(0, columns, BLOCK):
            at = start + tl.arange(0, BLOCK)
            x = tl.load(x_ptr + row * columns + at, mask=at < columns, other=0.0)
            total += tl.sum(x, axis=0)
        tl.store(y_ptr + row, total)

    def row_sum(x):
        y = torch.empty(x.shape[0], device=x.device, dtype=x.dtype)
        row_sum_kernel[(x.shape[0],)](x, y, x.shape[1], BLOCK=128)
        return y

    class ModelNew(nn.Module):
        def forward(self, x):
            return row_sum(x)
    """
)


@pytest.fixture(scope="module")
def study() -> Study:
    problem = Problem(inputs=(TensorSpec((512, 4096)),))
    gpu = api.target_gpu("RTX 4090")
    return study_program(Subject(PROGRAM), gpu, RunContext(ResultCache()), problem=problem)


@pytest.mark.triton
def test_bit_equal_makes_no_other_move_on_any_way(study: Study) -> None:
    base = Candidate(PROGRAM, PROGRAM)
    free, bit_equal = EditLimits(), EditLimits(bit_equal=True)
    others = move_candidates(study, free)
    made = [*others, *refined(base, study, free), *beside(base, study, others, free)]
    assert any(one.claim is not Claim.BIT_EQUAL for one in refined(base, study, free))
    assert any(one.claim is Claim.BIT_EQUAL for one in made)
    held = [
        *move_candidates(study, bit_equal),
        *refined(base, study, bit_equal),
        *beside(base, study, others, bit_equal),
    ]
    assert held and all(one.claim is Claim.BIT_EQUAL for one in held)


@pytest.mark.triton
def test_strict_makes_none(study: Study) -> None:
    strict = EditLimits(strict=True)
    assert move_candidates(study, strict) == ()
    assert refined(Candidate(PROGRAM, PROGRAM), study, strict) == ()
