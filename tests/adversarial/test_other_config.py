"""Trick: the kernel does not run under the configs that the program lists."""

from __future__ import annotations

from functools import cache

import accuracy_trial as trial
import pytest

from warpwright.gpus.sheets import find_gpu
from warpwright.program.view import read_program
from warpwright.store.cache import ResultCache
from warpwright.tracing.trace import trace_program
from warpwright.types.config import Config
from warpwright.types.launch_trace import Trace
from warpwright.verifier.accuracy_pins import pinned_runs
from warpwright.verifier.checks.integrity import check_integrity

pytestmark = pytest.mark.triton

KERNEL = "@triton.jit\ndef product_kernel("
LAUNCH = "        left, right, out, ROWS, COLUMNS, DEPTH, TILE_R=32, TILE_C=32, TILE_D=16\n"
TUNED = """@triton.autotune(
    configs=[
        triton.Config({"TILE_D": 16}, num_warps=4, num_stages=2),
        triton.Config({"TILE_D": 32}, num_warps=4, num_stages=2),
    ],
    key=["DEPTH"],%s
)
"""


def tuned(more: str = "", between: str = "", before: str = "") -> str:
    return trial.changed(
        trial.PRODUCT,
        (KERNEL, before + TUNED % more + between + KERNEL),
        (LAUNCH, LAUNCH.replace(", TILE_D=16", "")),
    )


@cache
def traced(source: str) -> Trace:
    found = trace_program(
        source, trial.PRODUCT_PROBLEM, gpu=find_gpu("RTX 4090"), cache=ResultCache()
    )
    assert isinstance(found, Trace), found
    return found


def refusals(parent: str, child: str) -> list[str]:
    views = read_program(parent), read_program(child)
    result = check_integrity(*views, None, traced(child), traced(parent))
    return [v.found for v in result.violations if v.rule == "integrity.other_config"]


HEURISTIC = "@triton.heuristics({'TILE_D': lambda given: 64})\n"
PRUNED = '\n    prune_configs_by={"early_config_prune": chosen},'
CHOSEN = (
    "def chosen(configs, named, **more):\n"
    '    return [triton.Config({"TILE_D": 128}, num_warps=8, num_stages=2)]\n\n\n'
)
FEWER = "def chosen(configs, named, **more):\n    return configs[:1]\n\n\n"


def test_a_heuristic_that_sets_a_listed_tile_again_is_refused() -> None:
    (found, *_) = refusals(tuned(), tuned(between=HEURISTIC))
    assert "TILE_D=64 by a heuristic" in found


def test_a_prune_function_that_gives_another_config_is_refused() -> None:
    (found,) = refusals(tuned(), tuned(more=PRUNED, before=CHOSEN))
    assert "TILE_D=128" in found and "does not list" in found


def test_fewer_of_the_listed_configs_and_the_parents_own_ways_pass() -> None:
    assert refusals(tuned(), tuned()) == []
    assert refusals(tuned(), tuned(more=PRUNED, before=FEWER)) == []
    heuristic = tuned(between=HEURISTIC)
    assert refusals(heuristic, heuristic) == []


@pytest.mark.parametrize(("parameter", "runs"), [("", 1), ("num_warps: tl.constexpr, ", 2)])
def test_configs_apart_in_an_option_that_the_kernel_reads_run_apart(
    parameter: str, runs: int
) -> None:
    source = f"""
import triton
import triton.language as tl


@triton.autotune(
    configs=[triton.Config({{"B": 64}}, num_warps=4), triton.Config({{"B": 64}}, num_warps=8)],
    key=[],
)
@triton.jit
def k(x, {parameter}B: tl.constexpr):
    tl.store(x + tl.arange(0, B), 1.0)


class ModelNew:
    def forward(self, x):
        k[(1,)](x)
"""
    usual = {"k": Config.of({"B": 64}, 4)}
    assert len(pinned_runs(read_program(source), {}, usual)) == runs
