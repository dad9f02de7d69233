"""Small inputs for real programs: every kernel launches, reference and program agree on shapes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from warpwright.interpreter.sizes.shrink import (
    ShrinkFailed,
    ShrunkenInputs,
    decode_plain,
    plan_shrunken_inputs,
)
from warpwright.interpreter.sizes.shrink_search import Limits
from warpwright.sandbox.deadline import Deadline
from warpwright.tracing.trace import encode, trace_program
from warpwright.types.launch_trace import Trace
from warpwright.types.shapes import Problem, TensorSpec
from warpwright.types.verdict import NOT_IN_TIME

pytestmark = pytest.mark.triton

KERNELS = """
import torch
import torch.nn as nn
import triton
import triton.language as tl

@triton.autotune(
    configs=[triton.Config({"TILE": 32}), triton.Config({"TILE": 64})], key=["rows"]
)
@triton.jit
def project(src, weight, dst, rows, inner, wide, TILE: tl.constexpr):
    r = tl.program_id(0) * TILE + tl.arange(0, TILE)
    c = tl.program_id(1) * TILE + tl.arange(0, TILE)
    total = tl.zeros((TILE, TILE), dtype=tl.float32)
    for start in range(0, inner, 32):
        k = start + tl.arange(0, 32)
        a = tl.load(src + r[:, None] * inner + k[None, :],
                    mask=(r[:, None] < rows) & (k[None, :] < inner), other=0.0)
        b = tl.load(weight + c[None, :] * inner + k[:, None],
                    mask=(c[None, :] < wide) & (k[:, None] < inner), other=0.0)
        total += tl.dot(a, b)
    tl.store(dst + r[:, None] * wide + c[None, :], total,
             mask=(r[:, None] < rows) & (c[None, :] < wide))

@triton.jit
def shift(data, count, by, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(data + at, tl.load(data + at, mask=at < count) + by, mask=at < count)
"""

LAYER = (
    KERNELS
    + """
class ModelNew(nn.Module):
    def __init__(self, inner, wide):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(wide, inner))

    def forward(self, x):
        rows, inner = x.shape
        assert inner == self.weight.shape[1]
        y = torch.empty(rows, self.weight.shape[0], device=x.device)
        wide = y.shape[1]
        project[lambda m: (triton.cdiv(rows, m["TILE"]), triton.cdiv(wide, m["TILE"]))](
            x, self.weight, y, rows, inner, wide)
        shift[(triton.cdiv(y.numel(), 1024),)](y, y.numel(), 0.5, BLOCK=1024)
        return y
"""
)

PROBLEM = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self, inner, wide):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(wide, inner))

    def forward(self, x):
        return x @ self.weight.T + 0.5

def get_inputs():
    return [torch.rand(ROWS, INNER)]

def get_init_inputs():
    return [INNER, WIDE]
"""


def layer_problem(rows: int, inner: int, wide: int) -> Problem:
    values = {"ROWS": rows, "INNER": inner, "WIDE": wide}
    source = PROBLEM
    for name, value in values.items():
        source = source.replace(name, str(value))
    return Problem(source=source)


def plan(source: str, problem: Problem, **options: object) -> ShrunkenInputs:
    trace = trace_program(source, problem)
    assert isinstance(trace, Trace), trace
    found = plan_shrunken_inputs(source, problem, trace, **options)  # type: ignore[arg-type]
    assert isinstance(found, ShrunkenInputs), found
    return found


def test_only_the_inputs_shrink_where_that_is_enough() -> None:
    found = plan(LAYER, layer_problem(50_000, 100, 80))
    (spec,) = found.inputs
    assert found.init is None
    assert spec.shape[1] == 100
    assert 64 < spec.shape[0] < 300
    assert found.covered == found.to_cover


def test_constructor_arguments_shrink_along_where_inputs_alone_cannot() -> None:
    found = plan(LAYER, layer_problem(16384, 8192, 8192 * 2))
    (spec,) = found.inputs
    assert found.init is not None
    (inner, wide), kwargs = found.init
    assert kwargs == {}
    assert spec.shape[1] == inner < 300
    assert 64 < wide < 300
    assert inner != wide
    assert found.steps <= Limits().steps


SLIDING = """
import torch
import torch.nn as nn
import triton
import triton.language as tl

@triton.jit
def slide(signal, taps, out, length, filter_length, TILE: tl.constexpr):
    channel = tl.program_id(1)
    start = (tl.program_id(0) * tl.num_programs(1) + channel) * length
    at = tl.arange(0, TILE)
    total = tl.zeros((TILE,), dtype=tl.float32)
    for tap in range(0, filter_length):
        place = at + tap - filter_length // 2
        inside = (place >= 0) & (place < length)
        factor = tl.load(taps + channel * filter_length + tap)
        total += factor * tl.load(signal + start + place, mask=inside, other=0.0)
    tl.store(out + start + at, total, mask=at < length)

class ModelNew(nn.Module):
    def __init__(self, channels, taps):
        super().__init__()
        self.taps = nn.Parameter(torch.randn(channels, taps))

    def forward(self, x):
        rows, channels, length = x.shape
        taps = self.taps.shape[1]
        assert channels == self.taps.shape[0] and length >= taps
        out = torch.empty_like(x)
        slide[(rows, channels)](x, self.taps, out, length, taps, TILE=2048)
        return out
"""


def test_a_length_does_not_shrink_to_that_of_a_filter_that_keeps_its_own() -> None:
    problem = Problem(inputs=(TensorSpec((16, 2048, 2048)),), init_args=(2048, 7))
    found = plan(SLIDING, problem)
    assert found.init is not None
    ((channels, taps), _), (spec,) = found.init, found.inputs
    assert taps == 7
    assert spec.shape[1:] == (channels, channels)
    assert channels > 7


def test_what_was_planned_really_launches_every_kernel() -> None:
    problem = layer_problem(16384, 8192, 8192 * 2)
    found = plan(LAYER, problem)
    assert found.init is not None
    small = Problem(inputs=found.inputs, init_args=found.init[0])
    trace = trace_program(LAYER, small)
    assert isinstance(trace, Trace)
    assert trace.kernels == ("project", "shift")
    assert all(
        extent > 1
        for launch in trace.launches
        for config in launch.configs
        for extent in config.grid
    )
    assert sum(min(c.blocks for c in launch.configs) for launch in trace.launches) == found.blocks


def test_without_a_reference_sizes_of_parameters_stay() -> None:
    problem = Problem(inputs=(TensorSpec((50_000, 96)),), init_args=(96, 80))
    unchecked = LAYER.replace("assert inner == self.weight.shape[1]", "pass")
    (spec,) = plan(unchecked, problem).inputs
    assert spec.shape[1] == 96


def test_sizes_on_which_the_reference_gives_another_shape_are_not_taken() -> None:
    # the program pads to 256 columns, whatever comes in
    source = (
        KERNELS
        + """
class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty(x.shape[0], 256, device=x.device)
        shift[(triton.cdiv(y.numel(), 512),)](y, y.numel(), 1.0, BLOCK=512)
        return y
"""
    )
    problem = Problem(
        source="""
import torch
class Model(torch.nn.Module):
    def forward(self, x):
        return x + 1
def get_inputs():
    return [torch.rand(4096, 256)]
def get_init_inputs():
    return []
"""
    )
    (spec,) = plan(source, problem).inputs
    assert spec.shape[1] == 256
    assert spec.shape[0] < 64


def test_dtypes_and_other_inputs_are_kept() -> None:
    source = (
        KERNELS
        + """
class ModelNew(nn.Module):
    def forward(self, x, mask, by):
        assert mask.dtype == torch.bool and x.shape == mask.shape
        shift[(triton.cdiv(x.numel(), 256),)](x, x.numel(), by, BLOCK=256)
        return x
"""
    )
    problem = Problem(
        inputs=(TensorSpec((4096, 512), "float16"), TensorSpec((4096, 512), "bool"), 2.5)  # type: ignore[arg-type]
    )
    found = plan(source, problem)
    assert [spec.dtype for spec in found.inputs] == ["float16", "bool"]
    assert found.inputs[0].shape == found.inputs[1].shape


def test_a_program_that_fails_has_no_plan_but_a_reason() -> None:
    problem = layer_problem(4096, 96, 80)
    trace = trace_program(LAYER, problem)
    assert isinstance(trace, Trace)
    broken = LAYER.replace("rows, inner = x.shape", "raise ValueError('never')")
    result = plan_shrunken_inputs(broken, problem, trace)
    assert isinstance(result, ShrinkFailed)
    assert "never" in result.reason


@pytest.mark.parametrize("limit_s", [0.3, 1.5, 2.5, 4.0])
def test_a_search_that_the_deadline_ends_says_so_and_nothing_of_the_program(limit_s: float) -> None:
    """Wherever it ends: before the search, within it, or with a plan."""
    slow = LAYER.replace("rows, inner = x.shape", "rows, inner = x.shape; time.sleep(0.6)")
    problem = layer_problem(50_000, 100, 80)
    trace = trace_program(LAYER, problem)
    assert isinstance(trace, Trace)
    deadline = Deadline(limit_s)
    found = plan_shrunken_inputs("import time\n" + slow, problem, trace, deadline=deadline)
    if isinstance(found, ShrinkFailed):
        assert NOT_IN_TIME in found.reason


def test_constructor_arguments_survive_the_way_back() -> None:
    value = ([1, (2, [3])], {"a": (None, "x")})
    assert decode_plain(encode(value)) == value


def test_a_transposed_convolution_keeps_the_channels_of_its_weight() -> None:
    # torch's stand-ins do not compare the two, and this program would take any number
    source = (
        KERNELS
        + """
class ModelNew(nn.Module):
    def __init__(self, channels, filters):
        super().__init__()
        self.up = nn.ConvTranspose1d(channels, filters, 2, stride=2)

    def forward(self, x):
        y = torch.empty(x.shape[0], self.up.out_channels, 2 * x.shape[2], device=x.device)
        shift[(triton.cdiv(y.numel(), 512),)](y, y.numel(), 1.0, BLOCK=512)
        return y
"""
    )
    problem = Problem(
        source="""
import torch
class Model(torch.nn.Module):
    def __init__(self, channels, filters):
        super().__init__()
        self.up = torch.nn.ConvTranspose1d(channels, filters, 2, stride=2)
    def forward(self, x):
        return self.up(x)
def get_inputs():
    return [torch.rand(200, 24, 3000)]
def get_init_inputs():
    return [24, 40]
"""
    )
    (spec,) = plan(source, problem).inputs
    assert spec.shape[1] == 24
    assert spec.shape[2] < 3000


def test_a_reference_that_reads_values_counts_as_none() -> None:
    reading = layer_problem(4096, 96, 80)
    assert reading.source is not None
    head, body = reading.source.split("def forward(self, x):", 1)
    read = "def forward(self, x):\n        assert x.max().item() < 2"
    found = plan(LAYER, replace(reading, source=head + read + body))
    (spec,) = found.inputs
    assert spec.shape[0] < 4096
    assert spec.shape[1] == 96
