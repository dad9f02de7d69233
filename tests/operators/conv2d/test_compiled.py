"""Emitted conv2d programs compiled for GPUs that need not be here: they fit, and load wide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from amounts import slow_but

from warpwright.analysis.study_program import Study
from warpwright.gpus.sheets import find_gpu
from warpwright.pipeline.optimize_problem import screen
from warpwright.proposers.schedules import candidates
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.compiled import Compiled
from warpwright.types.conv2d import Conv2dLayer, Conv2dTask, Precision
from warpwright.types.gpu import ResolvedGpu
from warpwright.types.shapes import Problem

pytestmark = pytest.mark.triton

TaskOf = Callable[..., Conv2dTask]
INPUTS = """

def get_inputs():
    return [torch.rand({batch}, {in_channels}, {height}, {width})]


def get_init_inputs():
    return []
"""
STEM = Conv2dLayer(8, 3, 112, 112, 96, (11, 11), (4, 4), (2, 2), (2, 2))
ROWS = Conv2dLayer(2, 32, 60, 120, 64, (5, 9), (1, 1), (2, 3), (2, 3), (2, 3), bias=False)
AHEAD = Conv2dLayer(8, 32, 508, 512, 64, (5, 9), (1, 1), (2, 4), (2, 4), (2, 3), bias=False)
HOPPER, ADA = "H100 SXM", "RTX 4090"


def compiled(task: Conv2dTask, schedule: str, target: str, run_context: RunContext) -> Study:
    """The first point of a schedule; it can be launched on the target, and spills nothing."""
    layer = task.layer
    inputs = INPUTS.format(
        batch=layer.batch, in_channels=layer.in_channels, height=layer.height, width=layer.width
    )
    problem = Problem(source=f"import torch\n{task.problem_source}{inputs}")
    gpu = ResolvedGpu(find_gpu(target))
    found = [c for c in candidates(task, gpu.sheet) if c.schedule == schedule][:1]
    assert found
    (entry,) = screen(found, problem, gpu, run_context)
    assert entry.rejected is None
    assert entry.spill_bytes == 0
    assert entry.study is not None
    return entry.study


def facts_of(study: Study, kernel: str) -> dict[str, int]:
    """Counts of instructions of the only config of a kernel."""
    (view,) = [
        v for k in study.kernels if k.kernel == kernel for c in k.configs for v in c.compiled
    ]
    assert isinstance(view.result, Compiled)
    return dict(view.result.facts)


@pytest.fixture(scope="module")
def run_context() -> RunContext:
    return RunContext(cache=ResultCache())


@pytest.mark.parametrize(
    ("layer", "schedule", "target"),
    [
        (STEM, "depth_window", HOPPER),
        pytest.param(ROWS, "row_reuse", HOPPER, marks=pytest.mark.slow),
        pytest.param(AHEAD, "row_reuse_ahead", HOPPER, marks=pytest.mark.slow),
        pytest.param(AHEAD, "row_reuse_ahead", ADA, marks=pytest.mark.slow),
        (STEM, "direct", ADA),
    ],
)
def test_the_first_point_uses_tensor_cores_and_spills_nothing(
    layer: Conv2dLayer, schedule: str, target: str, task_of: TaskOf, run_context: RunContext
) -> None:
    study = compiled(task_of(layer), schedule, target, run_context)
    (tuned,) = [k.kernel for k in study.kernels if k.kernel.startswith("conv_")]
    assert facts_of(study, tuned)["mma"] > 0


def test_what_is_copied_ahead_moves_16_bytes_at_once(
    task_of: TaskOf, run_context: RunContext
) -> None:
    facts = facts_of(
        compiled(task_of(AHEAD), "row_reuse_ahead", HOPPER, run_context), "conv_rows_ahead"
    )
    assert facts["load_128"] > 0 and facts["store_128"] > 0 and facts["atomics"] > 0
    assert not facts.get("load_32") and not facts.get("store_32")


@pytest.mark.parametrize(
    ("padding", "width"),
    [
        ((2, 3), 120),
        pytest.param((0, 0), 120, marks=pytest.mark.slow),
        pytest.param((0, 0), 118, marks=pytest.mark.slow),
    ],
)
def test_the_pre_pass_moves_16_bytes_at_once_whatever_the_padding(
    padding: tuple[int, int], width: int, task_of: TaskOf, run_context: RunContext
) -> None:
    layer = replace(ROWS, padding_before=padding, padding_after=padding, width=width)
    facts = facts_of(compiled(task_of(layer), "nhwc", HOPPER, run_context), "to_padded_nhwc")
    assert facts["load_128"] > 0 and facts["store_128"] > 0
    assert not facts.get("load_32") and not facts.get("store_32")


def test_a_split_sum_of_a_single_output_compiles(task_of: TaskOf, run_context: RunContext) -> None:
    """Triton makes a constant of an argument that is 1, which the interpreter does not show."""
    one = Conv2dLayer(1, 512, 3, 3, 1, (3, 3))
    facts = facts_of(compiled(task_of(one), "nhwc", HOPPER, run_context), "sum_parts")
    assert sum(count for name, count in facts.items() if name.startswith("store_")) > 0


@pytest.mark.slow
@pytest.mark.parametrize("target", [HOPPER, ADA])
def test_the_pre_pass_of_odd_images_still_stores_16_bytes_at_once(
    target: str, task_of: TaskOf, run_context: RunContext
) -> None:
    layer = replace(ROWS, in_channels=64, height=7, width=7, kernel=(3, 3), dilation=(1, 1))
    study = compiled(task_of(layer), "nhwc", target, run_context)
    facts = facts_of(study, "to_padded_nhwc")
    assert facts["store_128"] > 0
    assert not facts.get("store_32")
    assert facts_of(study, "conv_nhwc")["mma"] > 0


@pytest.mark.parametrize("precision", [Precision.STRICT, Precision.TF32X3])
@pytest.mark.parametrize(
    ("schedule", "target"),
    [pytest.param("direct", HOPPER, marks=pytest.mark.slow), ("direct", ADA)],
)
def test_more_precise_products_spill_nothing(
    schedule: str, target: str, precision: Precision, task_of: TaskOf, run_context: RunContext
) -> None:
    compiled(task_of(STEM, precision), schedule, target, run_context)


@pytest.mark.parametrize("target", slow_but([HOPPER], [HOPPER, ADA]))
def test_multiply_adds_of_few_channels_spill_nothing(
    target: str, task_of: TaskOf, run_context: RunContext
) -> None:
    layer = replace(STEM, kernel=(3, 3), stride=(2, 2), padding_before=(1, 1), padding_after=(1, 1))
    facts = facts_of(
        compiled(task_of(layer, Precision.STRICT), "grouped_scalar", target, run_context),
        "conv_grouped_scalar",
    )
    assert not facts.get("mma")
