"""Counts of real binaries against what the kernels are known to do."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from amounts import slow_but

from warpwright.analysis.study_program import Subject, study_program
from warpwright.costmodel.count_criterion import compare_counts
from warpwright.costmodel.launch_counts import config_counts, program_counts, with_counts
from warpwright.costmodel.sass.sass_run import NO_TIME
from warpwright.gpus.sheets import find_gpu
from warpwright.gpus.target_sheet import resolve_gpu
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.counts import LaunchCounts
from warpwright.types.gpu import StatedGpu
from warpwright.types.shapes import Problem, TensorSpec
from warpwright.types.study import Study

pytestmark = pytest.mark.triton

HEAD = """import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def kernel({parameters}):
{body}


class ModelNew(nn.Module):
    def forward(self, {inputs}):
{host}
"""
BOTH = pytest.mark.parametrize("gpu", ["RTX 4090", "H100"])
EITHER = pytest.mark.parametrize("gpu", slow_but(["RTX 4090"], ["RTX 4090", "H100"]))
SECTOR = 32


def indented(text: str, by: int) -> str:
    return "\n".join(" " * by + line for line in text.strip().splitlines())


def study(
    gpu: str, parameters: str, body: str, host: str, *inputs: tuple[tuple[int, ...], str]
) -> Study:
    """The study of a program with one kernel; `inputs`: shape and dtype of `a`, `b`, ..."""
    names = "abcd"[: len(inputs)]
    source = HEAD.format(
        parameters=parameters,
        body=indented(body, 4),
        inputs=", ".join(names),
        host=indented(host, 8),
    )
    problem = Problem(
        inputs=tuple(TensorSpec(shape, dtype=dtype) for shape, dtype in inputs), origin="the test"
    )
    target = resolve_gpu(StatedGpu(find_gpu(gpu).name))
    return study_program(Subject(source), target, RunContext(ResultCache()), problem=problem)


def counted(made: Study, cache: ResultCache | None = None) -> LaunchCounts:
    (calls,), (kernel,) = made.calls, made.kernels
    return config_counts(calls, kernel.configs[0], cache)


COPY = """
at = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)) * step
inside = at < n
tl.store(y + at, tl.load(x + at, mask=inside), mask=inside)
"""
COPY_HOST = """
y = torch.empty_like(a)
n = a.numel()
kernel[(triton.cdiv(n, {step} * 1024),)](a, y, n, {step}, BLOCK=1024)
return y
"""


def copied(gpu: str, n: int, step: int) -> LaunchCounts:
    host = COPY_HOST.format(step=step)
    return counted(study(gpu, "x, y, n, step, BLOCK: tl.constexpr", COPY, host, ((n,), "float32")))


@BOTH
def test_a_copy_touches_each_sector_once_and_lanes_apart_touch_one_each(gpu: str) -> None:
    n = 1 << 20
    dense = copied(gpu, n, 1)
    assert dense.requested_bytes == 2 * 4 * n
    assert dense.sectors == 2 * 4 * n / SECTOR
    sparse = copied(gpu, n, 8)
    assert sparse.requested_bytes == dense.requested_bytes / 8
    assert sparse.sectors == dense.sectors
    assert dense.unknown == sparse.unknown == ()
    assert dense.sampled
    assert dense.instructions is not None and sparse.instructions is not None
    assert dense.instructions % (n // 1024 * 4) == 0  # straight code: the same in each warp


@EITHER
def test_lanes_that_a_mask_switches_off_touch_nothing(gpu: str) -> None:
    """1008 of 1024 elements in one block."""
    found = copied(gpu, 1008, 1)
    assert found.requested_bytes == 2 * 4 * 1008
    assert found.sectors == 2 * 1008 * 4 / SECTOR
    assert not found.sampled


@EITHER
def test_a_size_that_16_does_not_divide_costs_vectors_and_so_sectors(gpu: str) -> None:
    """Four loads of one element a lane, 16 bytes apart, instead of one of four: each sector
    is touched by two lanes of each of four loads."""
    found = copied(gpu, 1000, 1)
    assert found.requested_bytes == 2 * 4 * 1000
    assert found.sectors == 4 * 2 * 1000 * 4 / SECTOR


HORNER = """
at = tl.program_id(0) * 128 + tl.arange(0, 128)
value = tl.load(x + at)
start = value
{before}
for _ in range({turns}):
    value = value * start + 1.5
tl.store(y + at, value)
"""
HORNER_HOST = """
y = torch.empty_like(a)
kernel[(a.numel() // 128,)](a, y, {turns})
return y
"""


@cache
def horner(gpu: str, turns: int, constant: bool = False, loop: str = "n") -> LaunchCounts:
    parameters = f"x, y, n{': tl.constexpr' if constant else ''}"
    return counted(
        study(
            gpu,
            parameters,
            HORNER.format(turns=loop, before=""),
            HORNER_HOST.format(turns=turns),
            ((64 * 128,), "float32"),
        )
    )


@EITHER
@pytest.mark.parametrize(("turns", "constant"), [(2, False), (7, False), (103, False), (7, True)])
def test_a_loop_runs_as_often_as_it_is_told_however_the_assembler_unrolls_it(
    gpu: str, turns: int, constant: bool
) -> None:
    """One multiply-add a turn in each of 64 blocks' 4 warps."""
    found = horner(gpu, turns, constant)
    assert found.by_kind["float"] == pytest.approx(64 * 4 * turns, abs=64 * 4 * 4)
    assert found.unknown == ()


def test_instructions_grow_by_the_same_with_each_unrolled_pass() -> None:
    """The assembler unrolls by four and more: equal steps of 32 turns cost the same."""
    one, two, three = (horner("RTX 4090", turns).instructions for turns in (39, 71, 103))
    assert one is not None and two is not None and three is not None
    assert three - two == two - one > 0
    assert horner("RTX 4090", 39).sectors == horner("RTX 4090", 103).sectors


@EITHER
def test_a_loop_whose_bound_was_loaded_is_unknown(gpu: str) -> None:
    made = study(
        gpu,
        "x, y, bound",
        HORNER.format(turns="tl.load(bound)", before=""),
        HORNER_HOST.format(turns="b"),
        ((64 * 128,), "float32"),
        ((1,), "int32"),
    )
    found = counted(made)
    assert found.instructions is None and found.sectors is None
    assert "data" in found.unknown[0]


@EITHER
def test_blocks_that_leave_early_count_what_they_ran(gpu: str) -> None:
    body = HORNER.format(turns="n", before="if tl.program_id(0) * 128 >= n * 64:\n    return")
    host = HORNER_HOST.format(turns=64)
    made = study(gpu, "x, y, n", body, host, ((128 * 64, 1), "float32"))
    found = counted(made)
    # of 64 blocks, those below 32 go on, for 64 turns
    assert found.by_kind["float"] == pytest.approx(32 * 4 * 64, abs=64 * 4 * 4)
    assert found.requested_bytes == 2 * 4 * 128 * 32


@EITHER
def test_loops_as_long_as_the_blocks_number_count_for_each_block(gpu: str) -> None:
    """As in causal attention: block i makes i turns."""
    body = HORNER.format(turns="tl.program_id(0)", before="")
    host = HORNER_HOST.format(turns=1)
    found = counted(study(gpu, "x, y, n", body, host, ((64 * 128,), "float32")))
    turns = sum(range(64))
    assert found.by_kind["float"] == pytest.approx(4 * turns + 2 * 4 * 64, rel=0.03)


GATHER = """
at = tl.program_id(0) * 128 + tl.arange(0, 128)
tl.store(y + at, tl.load(x + tl.load(index + at)))
"""


@EITHER
def test_an_address_that_was_loaded_leaves_sectors_unknown_and_instructions_known(
    gpu: str,
) -> None:
    host = "y = torch.empty_like(a)\nkernel[(64,)](a, b, y)\nreturn y"
    made = study(gpu, "x, index, y", GATHER, host, ((64 * 128,), "float32"), ((64 * 128,), "int32"))
    found = counted(made)
    assert found.sectors is None and found.requested_bytes is None
    assert found.instructions is not None
    assert found.unknown == ("an address that depends on data",)


BORDER = """
at = tl.program_id(0) * 128 + tl.arange(0, 128)
inside = tl.max(at, axis=0) < n
if inside:
    tl.store(y + at, tl.load(x + at))
"""
LIVE = """
at = tl.program_id(0) * 128 + tl.arange(0, 128)
if tl.sum((at < n).to(tl.int32), axis=0) == 128:
    tl.store(y + at, tl.load(x + at))
"""


@pytest.mark.parametrize(
    "gpu", slow_but(["RTX 4090", "H100"], ["A100 SXM 40GB", "RTX 4090", "H100", "B200"])
)
@pytest.mark.parametrize("body", [BORDER, LIVE], ids=["largest", "sum"])
def test_a_branch_on_a_reduction_over_the_block_is_followed(gpu: str, body: str) -> None:
    """Of 32 blocks the first 10 lie inside."""
    host = "y = torch.empty_like(a)\nkernel[(32,)](a, y, 10 * 128)\nreturn y"
    found = counted(study(gpu, "x, y, n", body, host, ((32 * 128,), "float32")))
    assert found.unknown == ()
    assert found.requested_bytes == pytest.approx(2 * 4 * 128 * 10, rel=0.25)  # of sampled blocks


FLOAT_ROWS = """
at = tl.program_id(0) * 128 + tl.arange(0, 128)
row = tl.floor(at / width).to(tl.int32)
tl.store(y + at, tl.load(x + row * 8))
"""


@EITHER
def test_rows_found_by_a_division_of_floats_are_known(gpu: str) -> None:
    """Rows of 32 lanes: a sector for each warp of the load, four of the store."""
    host = "y = torch.empty_like(a)\nkernel[(32,)](a, y, 32)\nreturn y"
    found = counted(study(gpu, "x, y, width", FLOAT_ROWS, host, ((32 * 128,), "float32")))
    assert found.unknown == ()
    assert found.sectors == 32 * 4 * (1 + 4)


PRODUCT = """
row = tl.program_id(0) * 64 + tl.arange(0, 64)
column = tl.program_id(1) * 64 + tl.arange(0, 64)
inner = tl.arange(0, 32)
total = tl.zeros((64, 64), tl.float32)
for start in range(0, depth, 32):
    left = tl.load(x + row[:, None] * depth + (start + inner)[None, :])
    right = tl.load(w + (start + inner)[:, None] * width + column[None, :])
    total = tl.dot(left, right, total)
tl.store(y + row[:, None] * width + column[None, :], total)
"""


@BOTH
def test_a_pipelined_product_loads_its_tiles_once_for_each_block(gpu: str) -> None:
    rows, width, depth = 512, 384, 1024
    host = (
        f"y = torch.empty({rows}, {width}, device=a.device)\n"
        f"kernel[({rows // 64}, {width // 64})](a, b, y, {width}, {depth}, num_stages=3)\nreturn y"
    )
    made = study(
        gpu,
        "x, w, y, width, depth",
        PRODUCT,
        host,
        ((rows, depth), "float16"),
        ((depth, width), "float16"),
    )
    found = counted(made)
    loads = rows * depth * 2 * (width // 64) + depth * width * 2 * (rows // 64)
    stores = rows * width * 4
    assert found.requested_bytes == loads + stores
    assert found.sectors == (loads + stores) / SECTOR
    if gpu == "RTX 4090":  # each multiplies 16 × 16 by 16 × 8
        assert found.by_kind["tensor core"] == rows * width * depth / (16 * 8 * 16)


DIGITS = """
at = tl.program_id(0) * 256 + tl.arange(0, 256)
row = at // width
column = at % width
tl.store(y + column * rows + row, tl.load(x + at))
"""


@EITHER
def test_quotients_by_run_time_numbers_are_worked_out_as_the_machine_does(gpu: str) -> None:
    """A transpose whose index is taken apart: 24 columns, so stores of a warp run along rows."""
    rows, width = 512, 24
    host = (
        f"y = torch.empty({width}, {rows}, device=a.device)\n"
        f"kernel[({rows * width // 256},)](a, y, {width}, {rows})\nreturn y"
    )
    made = study(gpu, "x, y, width, rows", DIGITS, host, ((rows, width), "float32"))
    found = counted(made)
    assert found.unknown == ()
    assert found.requested_bytes == 2 * 4 * rows * width
    assert found.sectors is not None
    loads = rows * width * 4 / SECTOR
    # lanes of a store: two or more consecutive elements, so 24 columns and the odd second row
    apart = sum(
        len({(4 * ((at % width) * rows + at // width)) // SECTOR for at in lanes(first)})
        for first in range(0, rows * width, 32)
    )
    assert found.sectors in (loads + apart, pytest.approx(loads + apart, rel=0.35))


def lanes(first: int) -> range:
    return range(first, first + 32)


def test_counts_are_kept_by_content(tmp_path) -> None:  # type: ignore[no-untyped-def]
    made = study(
        "RTX 4090",
        "x, y, n",
        HORNER.format(turns="n", before=""),
        HORNER_HOST.format(turns=9),
        ((64 * 128,), "float32"),
    )
    cache = ResultCache(tmp_path)
    first = counted(made, cache)
    assert counted(made, cache) == first
    assert first.instructions


def test_a_study_carries_the_counts_of_what_can_be_launched() -> None:
    made = study(
        "RTX 4090",
        "x, y, n",
        HORNER.format(turns="n", before=""),
        HORNER_HOST.format(turns=9),
        ((64 * 128,), "float32"),
    )
    (kernel,) = with_counts(made).kernels
    counts = kernel.configs[0].counts
    assert counts is not None and counts.instructions
    program = program_counts(with_counts(made))
    assert program.counts == counts
    assert program.occupancy_pct["kernel"]
    assert program.spill_bytes == {"kernel": 0}
    assert program.host_operations.get("empty_like") == 1


def test_a_size_made_constant_is_accepted_by_its_counts_and_the_way_back_is_not() -> None:
    """A quotient by a number that is known is a product and a shift."""
    host = "y = torch.empty(24, 512, device=a.device)\nkernel[(48,)](a, y, 24, 512)\nreturn y"
    given, constant = (
        program_counts(study("RTX 4090", f"x, y, {sizes}", DIGITS, host, ((512, 24), "float32")))
        for sizes in ("width, rows", "width: tl.constexpr, rows: tl.constexpr")
    )
    verdict = compare_counts(given, constant)
    assert verdict.accepted, verdict
    assert verdict.unknown == ()
    assert given.counts.sectors == constant.counts.sectors
    back = compare_counts(constant, given)
    assert not back.accepted
    assert "more executed instructions" in back.reasons[0]


def test_what_is_not_counted_in_time_is_unknown_and_not_kept(tmp_path: Path) -> None:
    host = COPY_HOST.format(step=1)
    made = study("H100", "x, y, n, step, BLOCK: tl.constexpr", COPY, host, ((4096,), "float32"))
    (calls,), (kernel,) = made.calls, made.kernels
    cache = ResultCache(tmp_path)
    cut = config_counts(calls, kernel.configs[0], cache, stop=lambda: True)
    assert cut.instructions is None
    assert cut.unknown == (NO_TIME,)
    assert counted(made, cache).instructions is not None
