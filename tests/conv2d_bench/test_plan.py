"""Which programs `benchmarks/conv2d.py` looks at, and which one it takes after tuning."""

from __future__ import annotations

import pytest
from conv2d_bench.layers import NamedLayer, read_layers
from conv2d_bench.plan import begins_exact, emitted, exact, proposed, ways

from warpwright.gpus.sheets import find_gpu
from warpwright.types.conv2d import Precision

GPU = find_gpu("H100 SXM")
LAYERS = {named.name: named for named in read_layers()}


def rows_of(named: NamedLayer, times: dict[str, float | None]) -> list[dict[str, object]]:
    return [{"layer": named.name, "label": name, "median_us": us} for name, us in times.items()]


@pytest.mark.parametrize("name", ["mobile-stem", "spectrogram", "alexnet-1-one", "vgg-1-1"])
def test_layers_that_cudnn_computes_in_fp32_have_exact_programs_besides(name):
    named = LAYERS[name]
    plain, more = proposed(named, GPU, 5), exact(named, GPU, 5)
    assert named.without_tf32
    assert Precision.TF32X3 in {tried.precision for tried in more}
    assert any(t.candidate.schedule == "grouped_scalar" for t in (*plain, *more))
    programs = [tried.candidate.program for tried in (*plain, *more)]
    assert len(programs) == len(set(programs))
    assert len({tried.label for tried in (*plain, *more)}) == len(programs)


def test_half_precision_and_programs_of_multiply_adds_need_no_exact_ones():
    assert not exact(LAYERS["resnet-stem-f16"], GPU, 5)
    assert begins_exact(LAYERS["resnet-stem-f16"], GPU)
    assert begins_exact(LAYERS["unet-out"], GPU)
    assert not begins_exact(LAYERS["mobile-stem"], GPU)


def test_the_fastest_tuned_schedule_comes_first_with_its_points_by_time():
    named = LAYERS["mobile-stem"]
    direct = [t for t in proposed(named, GPU, 20) if t.candidate.schedule == "direct"][:2]
    window = [t for t in proposed(named, GPU, 20) if t.candidate.schedule == "depth_window"][:1]
    times = {direct[0].label: 9.0, direct[1].label: 7.0, window[0].label: 8.0}
    first, second = ways(named, GPU, rows_of(named, times), top=4)
    assert (first.schedule, second.schedule) == ("direct", "depth_window")
    assert first.points == (direct[1], direct[0])
    assert emitted(named, first, GPU).count("triton.Config(") == 2


def test_only_exact_ways_are_kept_where_asked_even_if_slower():
    named = LAYERS["mobile-stem"]
    plain, more = proposed(named, GPU, 1), exact(named, GPU, 1)
    direct = next(t for t in more if t.precision is Precision.STRICT)
    scalar = next(t for t in more if t.candidate.schedule == "grouped_scalar")
    times = {plain[0].label: 5.0, direct.label: 9.0, scalar.label: 7.0}
    every = ways(named, GPU, rows_of(named, times), top=4)
    kept = ways(named, GPU, rows_of(named, times), top=4, only_exact=True)
    assert [way.points[0] for way in every] == [plain[0], scalar, direct]
    assert [way.points[0] for way in kept] == [scalar, direct]
    assert "ieee" in emitted(named, kept[1], GPU)


def test_without_rows_the_best_predicted_way_is_taken():
    named = LAYERS["B"]
    (way,) = ways(named, GPU, rows_of(named, {"unknown": None}), top=3)
    every = proposed(named, GPU, 40)
    best = every[0].candidate.schedule
    assert way.points == tuple(t for t in every if t.candidate.schedule == best)[:3]
