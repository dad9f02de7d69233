"""Emitted conv2d programs: they pass the verifier, and compute what the problem's model does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from amounts import slow_but

from warpwright.gpus.sheets import find_gpu
from warpwright.program.view import read_program
from warpwright.proposers.schedules import candidates, emit, reasons_not
from warpwright.types.conv2d import Conv2dLayer, Conv2dTask, Pointwise, Precision, ScheduleCandidate
from warpwright.types.verdict import Status
from warpwright.verifier.checks.format import check_format
from warpwright.verifier.checks.integrity import check_integrity
from warpwright.verifier.checks.names import check_names

NO_PARENT = read_program("")
GPU = find_gpu("H100 SXM")
TaskOf = Callable[..., Conv2dTask]
Interpreted = Callable[..., dict[str, Any]]

STEM = Conv2dLayer(2, 3, 20, 36, 96, (7, 7), (4, 4), (2, 2), (2, 2))
DILATED = Conv2dLayer(2, 16, 11, 30, 24, (3, 5), (1, 1), (2, 4), (2, 4), (2, 2), bias=False)
PLAIN = Conv2dLayer(2, 20, 9, 26, 40, (3, 3), (1, 1), (1, 1), (1, 1))
POINTWISE = Conv2dLayer(2, 40, 6, 10, 72, (1, 1))
SMALL_GROUPS = Conv2dLayer(2, 12, 9, 11, 9, (3, 3), (1, 1), (1, 1), (1, 1), groups=3)
LAYERS = {
    "stem": STEM,
    "stem, stride 2": replace(STEM, kernel=(3, 3), stride=(2, 2), width=23),
    "half stem, stride 2": replace(
        STEM, stride=(2, 2), padding_before=(3, 3), padding_after=(3, 3), dtype="float16"
    ),
    "stem of odd padding": replace(
        STEM, stride=(2, 2), padding_before=(3, 3), padding_after=(3, 3)
    ),
    "small stem of odd padding": replace(
        STEM, kernel=(3, 3), stride=(2, 2), padding_before=(1, 1), padding_after=(1, 1)
    ),
    "stem of one channel, stride 2": replace(STEM, in_channels=1, kernel=(5, 3), stride=(2, 2)),
    "dilated": DILATED,
    "dilated, vertical stride": replace(DILATED, stride=(2, 1)),
    "plain": PLAIN,
    "padding='same' of an even kernel": replace(
        PLAIN, kernel=(4, 2), padding_before=(1, 0), padding_after=(2, 1)
    ),
    "horizontal stride": replace(PLAIN, stride=(1, 3), width=75),
    "grouped": replace(PLAIN, in_channels=32, groups=2),
    "many groups": replace(PLAIN, in_channels=20, groups=10),
    "half": replace(PLAIN, dtype="float16"),
    "channels_last": replace(PLAIN, channels_last=True),
    "pointwise": POINTWISE,
    "pointwise of odd images": replace(POINTWISE, height=7, width=7, in_channels=140),
    "half pointwise": replace(POINTWISE, dtype="float16", bias=False),
    "strided pointwise": replace(POINTWISE, stride=(2, 3)),
    "depthwise": replace(SMALL_GROUPS, out_channels=12, groups=12, stride=(2, 1)),
    "depthwise with a multiplier": replace(
        SMALL_GROUPS, out_channels=24, groups=12, kernel=(5, 3), dilation=(1, 2)
    ),
    "small groups": SMALL_GROUPS,
    "half small groups": replace(SMALL_GROUPS, dtype="float16", stride=(2, 2), bias=False),
    "far taps, most above or below": replace(
        PLAIN,
        in_channels=32,
        height=18,
        width=15,
        padding_before=(12, 3),
        padding_after=(12, 3),
        dilation=(12, 3),
        stride=(1, 1),
    ),
    "far taps, vertical stride": replace(
        PLAIN,
        in_channels=32,
        height=33,
        width=13,
        padding_before=(9, 1),
        padding_after=(9, 1),
        dilation=(9, 1),
        stride=(3, 1),
    ),
    "far taps and a split sum": replace(
        PLAIN,
        in_channels=512,
        height=10,
        width=7,
        padding_before=(6, 1),
        padding_after=(6, 1),
        dilation=(6, 1),
    ),
    "single columns": replace(
        PLAIN,
        height=30,
        width=1,
        kernel=(3, 1),
        padding_before=(1, 0),
        padding_after=(1, 0),
    ),
    "single columns flat": replace(
        PLAIN, width=1, kernel=(2, 1), padding_before=(0, 0), padding_after=(0, 0)
    ),
    "many channels, few pixels": replace(PLAIN, in_channels=512, out_channels=70, width=7),
    "the same in half channels_last": replace(
        PLAIN, in_channels=512, width=7, dtype="float16", channels_last=True
    ),
    "half in channels_last": replace(PLAIN, in_channels=32, dtype="float16", channels_last=True),
}
SOME = [
    "stem", "dilated", "plain", "far taps, most above or below", "pointwise", "strided pointwise",
    "depthwise", "small groups", "half in channels_last",
]  # fmt: skip
# One of each kind; the others show more of the same, or what the tests of one schedule show.
QUICK = (
    "dilated", "plain", "grouped", "half", "channels_last", "pointwise", "strided pointwise",
    "stem of one channel, stride 2", "depthwise", "small groups", "single columns",
    "far taps, most above or below",
)  # fmt: skip
# Interpreting takes a second or more of each layer's programs.
QUICK_TO_RUN = (
    "plain", "half", "pointwise", "depthwise", "small groups",
)  # fmt: skip
QUICK_FOR_TWO_SIZES = ("pointwise",)
QUICK_FOR_NONFINITE = ("plain", "depthwise")


# Of TF32 rounded to nearest, whatever the layer; float16 outputs round to 11 bits as well.
LARGEST_ERROR = 4e-4


def best_of_each(task: Conv2dTask) -> dict[str, ScheduleCandidate]:
    found: dict[str, ScheduleCandidate] = {}
    for candidate in candidates(task, GPU):
        found.setdefault(candidate.schedule, candidate)
    return found


def assert_right(found: dict[str, Any], largest: float = LARGEST_ERROR) -> None:
    assert found["shape"] and found["dtype"] and found["layout"] and found["nonfinite"], found
    assert found["error"] <= largest, found


@pytest.mark.parametrize("name", slow_but(QUICK, LAYERS))
def test_every_program_passes_the_gate(name: str, task_of: TaskOf) -> None:
    found = candidates(task_of(LAYERS[name]), GPU)
    assert found
    for candidate in best_of_each(task_of(LAYERS[name])).values():
        view = read_program(candidate.program)
        for check in (check_format, check_names, check_integrity):
            result = check(NO_PARENT, view)
            assert result.status is Status.PASS, result
            assert not result.notes, result


@pytest.mark.triton
@pytest.mark.parametrize("name", slow_but(QUICK_TO_RUN, LAYERS))
def test_programs_compute_what_the_model_does(
    name: str, task_of: TaskOf, interpreted: Interpreted
) -> None:
    task = task_of(LAYERS[name])
    for candidate in best_of_each(task).values():
        assert_right(interpreted(task, candidate.program))


@pytest.mark.triton
@pytest.mark.parametrize("name", slow_but(QUICK_FOR_TWO_SIZES, SOME))
def test_programs_are_right_for_other_sizes_than_they_were_tuned_for(
    name: str, task_of: TaskOf, interpreted: Interpreted
) -> None:
    task = task_of(LAYERS[name])
    for candidate in best_of_each(task).values():
        assert_right(interpreted(task, candidate.program, size=(3, 17, 29)))


@pytest.mark.triton
@pytest.mark.parametrize("name", slow_but(QUICK_FOR_NONFINITE, SOME))
def test_inf_and_nan_reach_the_outputs_whose_window_holds_them_and_no_others(
    name: str, task_of: TaskOf, interpreted: Interpreted
) -> None:
    task = task_of(LAYERS[name])
    for candidate in best_of_each(task).values():
        assert_right(interpreted(task, candidate.program, nonfinite=True))


@pytest.mark.triton
@pytest.mark.parametrize(
    "name",
    slow_but(["single columns"], ["plain", "pointwise", "single columns", "single columns flat"]),
)
def test_the_strides_of_an_input_change_nothing(
    name: str, task_of: TaskOf, interpreted: Interpreted
) -> None:
    """Of an axis of length one the stride may be anything, and the input is contiguous still."""
    task = task_of(LAYERS[name])
    found = best_of_each(task)
    assert name == "pointwise" or "nhwc" in found
    for candidate in found.values():
        assert_right(interpreted(task, candidate.program, turned=True))


@pytest.mark.slow
@pytest.mark.triton
def test_every_point_of_a_space_computes_the_same(
    task_of: TaskOf, interpreted: Interpreted
) -> None:
    for layer in (
        STEM, replace(PLAIN, in_channels=32, width=24, height=5), POINTWISE, SMALL_GROUPS,
        replace(SMALL_GROUPS, out_channels=12, groups=12),
    ):  # fmt: skip
        task = task_of(layer)
        for candidate in candidates(task, GPU):
            if dict(candidate.point).get("BLOCK_P", 64) <= 128:  # larger ones take long here
                assert_right(interpreted(task, candidate.program))


@pytest.mark.triton
@pytest.mark.parametrize(
    "layer", slow_but([PLAIN], [STEM, PLAIN, replace(PLAIN, channels_last=True)])
)
def test_pointwise_operations_are_done_before_the_store(
    layer: Conv2dLayer, task_of: TaskOf, interpreted: Interpreted
) -> None:
    steps = (Pointwise("mul", 3.0), Pointwise("gelu"), Pointwise("add", -0.5), Pointwise("mish"))
    more = (
        Pointwise("tanh"),
        Pointwise("softsign"),
        Pointwise("leaky_relu", 0.2),
        Pointwise("minimum", 0.6),
    )
    task = task_of(layer, epilogue=steps + more)
    for candidate in best_of_each(task).values():
        assert_right(interpreted(task, candidate.program), 6e-4)


@pytest.mark.triton
@pytest.mark.parametrize("precision", [Precision.STRICT, Precision.TF32X3])
def test_more_precise_products_leave_the_error_of_fp32(
    precision: Precision, task_of: TaskOf, interpreted: Interpreted
) -> None:
    task = task_of(PLAIN, precision=precision)
    found = best_of_each(task)
    assert set(found) == {"direct"}
    assert_right(interpreted(task, found["direct"].program), 3e-7)


@pytest.mark.parametrize("name", ["half pointwise", "half small groups", "half stem, stride 2"])
def test_bfloat16_has_the_programs_of_float16(name: str, task_of: TaskOf) -> None:
    """The interpreter multiplies bfloat16 wrongly, so what it shows of float16 must do."""
    half = task_of(LAYERS[name])
    brain = task_of(replace(LAYERS[name], dtype="bfloat16"))
    programs = {(c.schedule, c.point): c.program for c in candidates(half, GPU)}
    assert len(programs) > 1
    for candidate in candidates(brain, GPU):
        found = programs[candidate.schedule, candidate.point]
        assert candidate.program.replace("bfloat16", "float16", 1) == found


def test_one_program_tunes_itself_over_the_points_of_one_schedule(task_of: TaskOf) -> None:
    task = task_of(STEM)
    chosen = [c for c in candidates(task, GPU) if c.schedule == "depth_window"][:3]
    program = emit(task, chosen, GPU)
    assert program.count("triton.Config(") == 3
    assert program.count("@triton.autotune") == 1
    with pytest.raises(ValueError, match="one known schedule"):
        emit(task, [*chosen, best_of_each(task)["direct"]], GPU)


def test_only_few_tiles_of_long_sums_are_split_over_blocks(task_of: TaskOf) -> None:
    def nhwc(layer: Conv2dLayer) -> str:
        return best_of_each(task_of(layer))["nhwc"].program

    few = LAYERS["many channels, few pixels"]
    assert "split=1)" not in nhwc(few)
    assert "split=1)" in nhwc(replace(few, batch=4000))
    assert "split=1)" in nhwc(replace(few, in_channels=32))
    assert "split=1)" in nhwc(replace(few, kernel=(1, 1), in_channels=128))


def test_schedules_that_do_not_fit_say_why(task_of: TaskOf) -> None:
    reasons = reasons_not(task_of(replace(PLAIN, groups=10)), GPU)
    assert "grouped" in reasons["row_reuse"]
    assert "direct" not in reasons


@pytest.mark.parametrize(
    "layer",
    [
        replace(PLAIN, in_channels=32, height=8192, width=8192, out_channels=1),
        replace(POINTWISE, in_channels=4, height=8192, width=8192, out_channels=32),
        replace(SMALL_GROUPS, in_channels=32, groups=32, height=8192, width=8192, out_channels=32),
    ],
)
def test_images_whose_offsets_do_not_fit_32_bits_are_refused(
    layer: Conv2dLayer, task_of: TaskOf
) -> None:
    assert not candidates(task_of(layer), GPU)
    assert any("2^31" in reason for reason in reasons_not(task_of(layer), GPU).values())
    assert candidates(task_of(replace(layer, height=4000)), GPU)


def test_operations_that_cannot_be_written_are_refused(task_of: TaskOf) -> None:
    for step in (Pointwise("lgamma"), Pointwise("relu", 1.0), Pointwise("mul", float("inf"))):
        assert not candidates(task_of(PLAIN, epilogue=(step,)), GPU)
