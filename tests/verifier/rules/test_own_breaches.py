"""What a program breaks of a stage's rules before anybody changes it."""

from __future__ import annotations

import pytest

from warpwright.data.stages import find_stage
from warpwright.gpus.sheets import find_gpu
from warpwright.program.view import read_program
from warpwright.types.stage import ProgramKind
from warpwright.verifier.rules.checkers import CHECKERS
from warpwright.verifier.rules.own_breaches import WITHOUT_PARENT, own_breaches

PROGRAM = """
import triton
import triton.language as tl


@triton.autotune(
    configs=[
        triton.Config({{"BLOCK": {block}}}, num_warps=4),
        triton.Config({{"BLOCK": 2048}}, num_warps={warps}),
        triton.Config({{"BLOCK": 4096}}, num_warps=8),
    ],
    key=["n"],
)
@triton.jit
def add(x, y, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + i, tl.load(x + i, mask=i < n), mask=i < n)


def launch(x, y, n):
    add[lambda meta: (triton.cdiv(n, meta["BLOCK"]),)](x, y, n)
"""


def broken(stage: str, *, block: int = 1024, warps: int = 4) -> list[tuple[str, int | None]]:
    view = read_program(PROGRAM.format(block=block, warps=warps))
    rules = find_stage(stage, ProgramKind.SINGLE)
    return [(v.rule, v.line) for v in own_breaches(view, rules, find_gpu("4090"))]


@pytest.mark.parametrize("stage", ["grid", "tiling", "memory", "tuning"])
def test_a_program_that_obeys_is_told_nothing(stage: str) -> None:
    assert broken(stage) == []


def test_an_original_config_outside_the_rules_is_told_though_it_may_stay() -> None:
    assert broken("tuning", warps=3) == [("num_warps.domain", 9)]
    assert broken("tiling", block=1000) == [("block_sizes.power_of_two", 8)]
    assert broken("memory", block=1000, warps=3) == []


def test_the_rules_that_need_no_parent_are_rules_with_a_checker() -> None:
    assert CHECKERS.keys() >= WITHOUT_PARENT
