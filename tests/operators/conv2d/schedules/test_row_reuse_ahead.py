"""Row reuse that rewrites its input in its own launch: tickets, bands and what is copied when."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from warpwright.api import target_gpu
from warpwright.gpus.sheets import find_gpu
from warpwright.operators.conv2d.layer import library
from warpwright.operators.conv2d.schedules import row_reuse, row_reuse_ahead
from warpwright.operators.point import Point
from warpwright.program.view import read_program
from warpwright.proposers.schedules import candidates
from warpwright.types.conv2d import Conv2dLayer, Conv2dTask, Pointwise, Precision
from warpwright.types.verdict import Status
from warpwright.verifier.checks.format import check_format
from warpwright.verifier.checks.integrity import check_integrity
from warpwright.verifier.checks.names import check_names

TaskOf = Callable[..., Conv2dTask]
Interpreted = Callable[..., dict[str, Any]]

HOPPER, ADA = find_gpu("H100 SXM"), find_gpu("RTX 4090")
WORK = Conv2dLayer(8, 32, 512, 512, 64, (5, 9), (1, 1), (2, 4), (2, 4), (2, 3), bias=False)
SMALL = Conv2dLayer(2, 16, 11, 26, 20, (3, 3), (1, 1), (1, 1), (1, 1))
# With the bands of a window for each number of rows, counted by hand.
LAYERS = {
    "plain": (SMALL, {2: 2, 3: 2}),
    "dilated": (
        replace(
            SMALL,
            height=17,
            kernel=(5, 3),
            padding_before=(4, 2),
            padding_after=(4, 2),
            dilation=(2, 2),
            bias=False,
        ),
        {2: 3, 3: 3},
    ),
    "vertical stride": (
        replace(
            SMALL,
            height=16,
            stride=(2, 1),
            padding_before=(3, 0),
            padding_after=(3, 0),
            dilation=(4, 1),
        ),
        {2: 2, 3: 2},
    ),
    "horizontal stride, odd width": (replace(SMALL, stride=(1, 2), width=53), {2: 2, 3: 2}),
    "no padding, many rows of taps": (
        replace(SMALL, kernel=(7, 2), padding_before=(0, 0), padding_after=(0, 0)),
        {2: 4, 3: 3},
    ),
    "half precision, channels with zeros added, two blocks of channels": (
        replace(SMALL, batch=1, in_channels=40, out_channels=70, dtype="float16"),
        {2: 2, 3: 2},
    ),
    "channels_last": (replace(SMALL, in_channels=40, channels_last=True), {2: 2, 3: 2}),
}

QUICK = ("dilated", "horizontal stride, odd width")  # the others take seconds in the interpreter


def poisoned(program: str) -> str:
    """The program, with NaN wherever the input is to be rewritten."""
    before = "padded = torch.empty("
    assert program.count(before) == 1
    return program.replace(before, 'padded = float("nan") * torch.ones(')


def program_of(task: Conv2dTask, rows: int, lead: int, block_oc: int = 64) -> str:
    """A poisoned program of small tiles."""
    point = Point.of(
        4, 2, ROWS=rows, BLOCK_OC=block_oc, BLOCK_P=32, BLOCK_C=16, EDGE_STAGES=2, COPY_P=64,
        LEAD=lead,
    )  # fmt: skip
    return poisoned(row_reuse_ahead.program(task, (point,), HOPPER))


def assert_right(found: dict[str, Any]) -> None:
    assert found["shape"] and found["dtype"] and found["layout"] and found["nonfinite"], found
    assert found["error"] <= 4e-4, found


@pytest.mark.triton
@pytest.mark.parametrize(
    ("name", "rows"),
    [
        pytest.param(name, 2 + i % 2, marks=[pytest.mark.slow] if name not in QUICK else [])
        for i, name in enumerate(LAYERS)
    ],
)
def test_the_fewest_bands_of_lead_are_enough_for_every_window(
    name: str, rows: int, task_of: TaskOf, interpreted: Interpreted
) -> None:
    """A band that no lower ticket has copied would be NaN, where tickets run one by one."""
    layer, reach = LAYERS[name]
    task = task_of(layer)
    program = program_of(task, rows, lead=reach[rows], block_oc=32)
    assert_right(interpreted(task, program))
    assert_right(interpreted(task, program, size=(2, 14, 29), nonfinite=True))


@pytest.mark.triton
def test_a_single_column_of_any_stride_is_read_rightly(
    task_of: TaskOf, interpreted: Interpreted
) -> None:
    task = task_of(SMALL)
    program = program_of(task, 3, lead=2, block_oc=32)
    assert_right(interpreted(task, program, size=(2, 14, 1), turned=True))


@pytest.mark.parametrize("name", LAYERS)
def test_blocks_wait_for_all_bands_of_their_windows(name: str) -> None:
    """One by one, tickets do not show it: the expression is taken from the kernel."""
    layer, reach = LAYERS[name]
    text = library().functions["conv_rows_ahead"].text
    (expression,) = re.findall(r"^    REACH: tl.constexpr = (.*)$", text, re.MULTILINE)
    for rows, bands in reach.items():
        sizes = {
            "BAND": layer.dilation[0] * rows,
            "SH": layer.stride[0],
            "KH": layer.kernel[0],
            "DIL_H": layer.dilation[0],
        }
        assert eval(expression, sizes) == bands


@pytest.mark.parametrize("name", LAYERS)
def test_no_lead_is_shorter_than_the_windows_of_a_slab(name: str, task_of: TaskOf) -> None:
    layer, reach = LAYERS[name]
    long = task_of(replace(layer, height=4000, width=6 * layer.width))
    for gpu in (HOPPER, ADA):
        found = row_reuse_ahead.points(long, gpu)
        assert found
        for point in found:
            assert point["LEAD"] >= reach[point["ROWS"]]


@pytest.mark.triton
def test_pointwise_operations_and_more_lead_than_bands_leave_it_right(
    task_of: TaskOf, interpreted: Interpreted
) -> None:
    steps = (Pointwise("mul", 3.0), Pointwise("relu"), Pointwise("add", -0.5))
    task = task_of(SMALL, epilogue=steps)
    assert_right(interpreted(task, program_of(task, 3, lead=40)))


@pytest.mark.gpu
@pytest.mark.triton
def test_no_call_reads_what_is_not_written_yet_on_several_streams_and_in_graphs(
    task_of: TaskOf, tmp_path: Path
) -> None:
    import torch

    gpu = target_gpu("here").sheet
    task = task_of(replace(WORK, height=256))
    first_point = row_reuse_ahead.points(task, gpu)[:1]
    file = tmp_path / "program.py"
    file.write_text(poisoned(row_reuse_ahead.program(task, first_point, gpu)))
    specification = importlib.util.spec_from_file_location("program", file)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    model = module.ModelNew().cuda().requires_grad_(False)
    x = torch.rand(8, 32, 256, 512, device="cuda")
    first = model(x)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        exact = torch.nn.functional.conv2d(x, model.features.weight, None, 1, (2, 4), (2, 3))
    assert (first - exact).norm() / exact.norm() < 5e-4
    torch.cuda.synchronize()
    streams = [torch.cuda.Stream() for _ in range(3)]
    same = []
    for number in range(48):
        with torch.cuda.stream(streams[number % 3]):
            same.append((model(x) == first).all())
    torch.cuda.synchronize()
    assert all(bool(entry) for entry in same)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = model(x)
    for _ in range(5):
        y.fill_(float("nan"))
        graph.replay()
        assert torch.equal(y, first)


def test_the_program_passes_the_gate_and_asks_the_tuner_to_clear_its_counters(
    task_of: TaskOf,
) -> None:
    task = task_of(WORK)
    program = row_reuse_ahead.program(task, row_reuse_ahead.points(task, HOPPER), HOPPER)
    view = read_program(program)
    for check in (check_format, check_names, check_integrity):
        result = check(read_program(""), view)
        assert result.status is Status.PASS, result
        assert not result.notes, result
    (tuned,) = [kernel for kernel in view.kernels if kernel.autotune is not None]
    assert tuned.name == "conv_rows_ahead"
    assert tuned.autotune is not None and tuned.autotune.reset_to_zero == ("counters_ptr",)


def test_it_is_predicted_between_the_convolution_alone_and_row_reuse(task_of: TaskOf) -> None:
    task = task_of(WORK)
    first = candidates(task, HOPPER)[0]
    assert first.schedule == "row_reuse_ahead"
    point = row_reuse_ahead.points(task, HOPPER)[0]
    apart_us = row_reuse.predicted_us(task, row_reuse.points(task, HOPPER)[0], HOPPER)
    alone_us = row_reuse.convolution_us(task, point, HOPPER)
    assert alone_us < first.predicted_us < apart_us


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (replace(WORK, groups=2), "grouped"),
        (replace(WORK, in_channels=3), "input channels"),
        (replace(WORK, width=510), "four pixels"),
        (replace(WORK, batch=1, height=100), "too short"),
        (replace(WORK, kernel=(3, 1), padding_before=(2, 0), padding_after=(2, 0)), "little work"),
    ],
)
def test_other_layers_are_refused_with_a_reason(
    layer: Conv2dLayer, words: str, task_of: TaskOf
) -> None:
    reason = row_reuse_ahead.reason_not(task_of(layer), HOPPER)
    assert reason is not None and words in reason


@pytest.mark.parametrize("precision", [Precision.STRICT, Precision.TF32X3])
def test_more_exact_products_are_refused(precision: Precision, task_of: TaskOf) -> None:
    reason = row_reuse_ahead.reason_not(task_of(WORK, precision=precision), HOPPER)
    assert reason is not None and "TF32" in reason
