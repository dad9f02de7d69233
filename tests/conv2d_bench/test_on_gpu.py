"""The parts of `benchmarks/conv2d.py` that need a GPU, on one small layer."""

from __future__ import annotations

import pytest

from warpwright.types.conv2d import Conv2dLayer

pytestmark = [pytest.mark.gpu, pytest.mark.triton]

LAYER = Conv2dLayer(
    4, 8, 30, 34, 32, (3, 3), padding_before=(1, 1), padding_after=(1, 1), bias=True
)


@pytest.fixture(scope="module")
def bench():
    from conv2d_bench.contenders import LayerBench

    return LayerBench("small", LAYER)


def test_times_are_positive_and_interleaved(bench):
    from conv2d_bench.timing import Timer, paired_ratio

    contenders = bench.eager()
    times = Timer().interleaved(contenders, rounds=4, budget_s=0.2, seed=3)
    assert set(times) == {contender.label for contender in contenders}
    assert all(len(entry.bursts) == 4 and min(entry.medians) > 0 for entry in times.values())
    same = paired_ratio(times["eager"], times["eager"])
    assert same == (1.0, 1.0, 1.0)


def test_a_schedules_program_runs_with_the_models_parameters(bench):
    import torch
    from conv2d_bench.layers import task_of

    from warpwright.api import target_gpu
    from warpwright.proposers.schedules import candidates

    first = candidates(task_of(LAYER), target_gpu("here").sheet)[0]
    ours = bench.program("ours", first.program)
    assert torch.allclose(ours.call(bench.x), bench.model(bench.x), rtol=1e-2, atol=1e-2)
