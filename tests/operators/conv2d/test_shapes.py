"""Conv2d programs of layers that nobody chose: every schedule that fits is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from amounts import examples
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from warpwright.gpus.sheets import find_gpu
from warpwright.proposers.schedules import candidates
from warpwright.types.conv2d import Conv2dLayer, Conv2dTask

GPU = find_gpu("H100 SXM")
FEWEST_OUTPUTS = 100  # so that no chance cancellation makes a relative error large
LARGEST_ERROR = 1e-3  # half of the last place of TF32 and float16 is 4.9e-4


def pairs(least: int, most: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(least, most), st.integers(least, most))


@st.composite
def layers(draw: st.DrawFn) -> Conv2dLayer:
    """Small layers, grouped and dilated ones too, whose kernel fits into the padded image."""
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    padding = draw(pairs(0, 4))
    half = draw(st.booleans())
    layer = Conv2dLayer(
        batch=draw(st.integers(1, 3)),
        in_channels=groups * draw(st.sampled_from([1, 3, 12, 16, 20, 33])),
        height=draw(st.integers(4, 18)),
        width=draw(st.integers(4, 40)),
        out_channels=groups * draw(st.sampled_from([1, 7, 16, 24, 65])),
        kernel=draw(pairs(1, 5)),
        stride=draw(pairs(1, 4)),
        padding_before=padding,
        padding_after=padding,
        dilation=draw(pairs(1, 3)),
        groups=groups,
        bias=draw(st.booleans()),
        dtype="float16" if half else "float32",
        channels_last=half and draw(st.booleans()),
    )
    for axis, size in enumerate((layer.height, layer.width)):
        assume(size + 2 * padding[axis] > layer.dilation[axis] * (layer.kernel[axis] - 1))
    outputs = layer.batch * layer.out_channels * layer.out_height * layer.out_width
    assume(outputs >= FEWEST_OUTPUTS)
    return layer


@pytest.mark.triton
@settings(
    max_examples=examples(15),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(layer=layers(), nonfinite=st.booleans())
def test_every_schedule_that_fits_a_layer_computes_it(
    layer: Conv2dLayer,
    nonfinite: bool,
    task_of: Callable[..., Conv2dTask],
    interpreted: Callable[..., dict[str, Any]],
) -> None:
    task = task_of(layer)
    seen: set[str] = set()
    for candidate in candidates(task, GPU):
        if candidate.schedule in seen:
            continue
        seen.add(candidate.schedule)
        found = interpreted(task, candidate.program, nonfinite=nonfinite)
        assert found["shape"] and found["dtype"] and found["layout"], (candidate.schedule, found)
        assert found["nonfinite"], (candidate.schedule, found)
        assert found["error"] <= LARGEST_ERROR, (candidate.schedule, found)
