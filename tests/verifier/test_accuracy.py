"""Which sizes a program without masks is run on."""

from __future__ import annotations

import pytest

from warpwright.analysis.study_program import Subject, study_program
from warpwright.gpus.sheets import find_gpu
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.config import Config
from warpwright.types.gpu import ResolvedGpu
from warpwright.types.launch_trace import ConstantArgument, Launch, Trace, TracedConfig
from warpwright.types.shapes import Problem
from warpwright.types.verdict import Status
from warpwright.verifier.accuracy import largest_tile, verify_accuracy


def test_the_largest_tile_is_a_power_of_two_among_constants_and_meta_parameters() -> None:
    arguments = {
        "BLOCK": ConstantArgument(128, "128"),
        "TAPS": ConstantArgument(147, "147"),
        "EVEN": ConstantArgument(True, "True"),
    }
    configs = tuple(TracedConfig(Config.of({"SIZE": size}), (1,)) for size in (32, 256))
    assert largest_tile(Trace((Launch("k", 0, arguments, configs, True),))) == 256
    assert largest_tile(Trace(())) == 1


PROGRAM = """
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def twice(x_ptr, y_ptr, width, WIDTH: tl.constexpr):
    at = tl.program_id(0) * width + tl.arange(0, WIDTH)
    tl.store(y_ptr + at, tl.load(x_ptr + at) * 2.0)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        twice[(x.shape[0],)](x, y, x.shape[1], WIDTH=256)
        return y
"""
PROBLEM = """
import torch
class Model(torch.nn.Module):
    def forward(self, x):
        return x * 2
def get_inputs():
    return [torch.rand(512, 256)]
def get_init_inputs():
    return []
"""


@pytest.mark.slow
@pytest.mark.triton
def test_a_program_without_masks_is_judged_on_sizes_that_its_tiles_divide() -> None:
    run_context = RunContext(cache=ResultCache())
    problem = Problem(source=PROBLEM)
    study = study_program(
        Subject(PROGRAM), ResolvedGpu(find_gpu("4090")), run_context, problem=problem
    )
    run = verify_accuracy(study, study.view, {k.kernel: k for k in study.kernels}, run_context)
    assert run.result.status is Status.PASS
    assert "256" in run.cases[0].inputs[0]
