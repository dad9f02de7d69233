"""The errors and the baselines of `benchmarks/conv2d.py`, on a layer that the CPU can do."""

from __future__ import annotations

import pytest

from warpwright.types.conv2d import Conv2dLayer

pytestmark = pytest.mark.triton

LAYER = Conv2dLayer(
    4, 8, 30, 34, 32, (3, 3), padding_before=(1, 1), padding_after=(1, 1), bias=True
)


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def bench(request):
    from dataclasses import replace

    import torch
    from conv2d_bench.contenders import LayerBench

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a layer takes longer to share out than to work out
    yield LayerBench("small", replace(LAYER, dtype=request.param), "cpu")
    torch.set_num_threads(threads)


def test_all_ways_of_eager_give_one_output(bench):
    import torch

    outputs = [contender.call(contender.x) for contender in bench.eager()]
    for output in outputs[1:]:
        assert torch.allclose(output, outputs[0], rtol=1e-2, atol=1e-2)
    for contender, output in zip(bench.eager(), outputs, strict=True):
        assert output.is_contiguous() or not contender.counts


def test_eager_against_itself_has_no_more_error_and_keeps_nan(bench):
    from conv2d_bench.errors import DATA, error_rows

    rows = error_rows(bench, bench.model)
    assert [row["data"] for row in rows] == list(DATA)
    assert all(row["ratio"] == 1.0 for row in rows)
    assert rows[-1]["nonfinite_kept"] is True


def test_a_lost_nan_and_a_coarser_output_show(bench):
    from conv2d_bench.errors import error_rows

    rows = error_rows(bench, lambda x: bench.model(x).nan_to_num() * 1.03)
    assert rows[-1]["nonfinite_kept"] is False
    assert all(row["ratio"] > 1.5 for row in rows[:-1])


def test_eager_on_the_cpu_does_not_use_tf32_and_one_that_rounds_does(bench):
    from types import SimpleNamespace

    from conv2d_bench.errors import uses_tf32

    coarse = SimpleNamespace(layer=bench.layer, x=bench.x, model=_coarse(bench))
    assert not uses_tf32(bench)
    assert uses_tf32(coarse) == (bench.layer.dtype == "float32")


def _coarse(bench):
    """The model with an output that is off by as much as TF32 leaves."""

    class Coarse:
        conv = bench.model.conv

        def __call__(self, x):
            return bench.model(x) * 1.0003

    return Coarse()


def test_ours_is_as_exact_within_a_twentieth_and_with_every_nan_in_place(bench):
    from conv2d_bench.errors import as_exact, error_rows

    rows = error_rows(bench, bench.model)
    assert as_exact(rows)
    assert not as_exact([*rows[:-1], {**rows[-1], "nonfinite_kept": False}])
    assert as_exact([*rows[:-1], {**rows[-1], "nonfinite_kept": False, "cudnn_keeps": False}])
    assert not as_exact([{**rows[0], "ratio": 1.06}, *rows[1:]])
