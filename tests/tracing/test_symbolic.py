"""Tracing without shapes: what is determined, what is assumed, what stays unknown."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from texts import replace_once

from warpwright.tracing.symbolic import SymbolicTrace, trace_symbolic
from warpwright.types.config import Config

pytestmark = pytest.mark.triton

KERNEL = """
import torch
import torch.nn as nn
import triton
import triton.language as tl

@triton.autotune(
    configs=[triton.Config({"TILE": 32, "OUT": 32}), triton.Config({"TILE": 64, "OUT": 16})],
    key=["images"],
)
@triton.jit
def filters(src, weight, bias, dst, images, channels, high, wide, out_channels, size, step,
            BIAS: tl.constexpr, TILE: tl.constexpr, OUT: tl.constexpr):
    tl.store(dst, tl.load(src) * tl.load(weight))

class ModelNew(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.conv = nn.Conv2d(5, 48, 3, stride=2)

    def forward(self, x):
        images, channels, high, wide = x.shape
        CHECK
        weight = self.conv.weight
        out_high, out_wide = (high - 3) // 2 + 1, (wide - 3) // 2 + 1
        y = torch.empty(images, 48, out_high, out_wide, device=x.device)
        grid = lambda m: (triton.cdiv(images * high * wide, m["TILE"]), triton.cdiv(48, m["OUT"]))
        filters[grid](x, weight, self.conv.bias, y, images, channels, high, wide,
                      weight.shape[0], weight.shape[2], self.conv.stride[0], BIAS=True)
        return y
"""
CHECKED = replace_once(KERNEL, "CHECK", "assert channels == self.conv.weight.shape[1]")
UNCHECKED = replace_once(KERNEL, "CHECK", "pass")


def test_what_the_program_checks_is_determined() -> None:
    trace = trace_symbolic(CHECKED)
    (launch,) = trace.launches
    assert launch.known == {"channels": 5, "out_channels": 48, "size": 3, "step": 2, "BIAS": True}
    assert launch.assumed == {}
    assert set(launch.unknown) == {"images", "high", "wide"}
    assert trace.inputs == ("ax5xcxd",)
    assert launch.dtypes["weight"] == "float32"


def test_what_only_fits_a_parameter_is_assumed() -> None:
    (launch,) = trace_symbolic(UNCHECKED).launches
    assert "channels" not in launch.known
    assert launch.assumed == {"channels": 5}
    assert launch.known["out_channels"] == 48


def test_the_grid_is_a_formula_that_a_grid_size_solves() -> None:
    (launch,) = trace_symbolic(CHECKED).launches
    assert launch.grid_text() == "(cdiv(images*high*wide, TILE), cdiv(out_channels, OUT))"
    small, large = Config.of({"TILE": 32, "OUT": 32}), Config.of({"TILE": 64, "OUT": 16})
    assert launch.constraint(small, 400).text == "images*high*wide in (6,368, 6,400]"
    assert not launch.constraint(large, 400).possible


def test_a_constructor_with_unknown_arguments_is_told() -> None:
    source = KERNEL.replace("classes=10", "width, depth, bias=True")
    trace = trace_symbolic(source)
    assert trace.unknown_arguments == ("width", "depth")
    assert trace.reason == "ModelNew cannot be built: width, depth unknown"
    assert trace.launches == ()


def test_an_element_wise_program_runs_on_every_rank() -> None:
    source = """
import torch
import triton
import triton.language as tl

@triton.jit
def double(src, dst, count, by, BLOCK: tl.constexpr):
    tl.store(dst, tl.load(src) * by)

class ModelNew(torch.nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        double[(triton.cdiv(x.numel(), 256),)](x, y, x.numel(), 2.0, BLOCK=256)
        return y
"""
    trace = trace_symbolic(source)
    (launch,) = trace.launches
    assert len(trace.inputs) == 5
    assert launch.known == {"by": 2.0, "BLOCK": 256}
    assert launch.unknown == ("count",)
    assert launch.grid_text() == "(cdiv(count, BLOCK))"


def test_the_operands_of_a_product_share_a_dimension() -> None:
    source = """
import torch
import triton
import triton.language as tl

@triton.jit
def multiply(a, b, c, m, k, n, step, TILE: tl.constexpr):
    tl.store(c, tl.load(a) * tl.load(b))

class ModelNew(torch.nn.Module):
    def forward(self, a, b):
        m, k = a.shape
        other, n = b.shape
        if other != k:
            raise ValueError("inner sizes differ")
        c = torch.empty(m, n, device=a.device)
        grid = (triton.cdiv(m, 32) * triton.cdiv(n, 32),)
        multiply[grid](a, b, c, m, k, n, a.stride(1), TILE=32)
        return c
"""
    trace = trace_symbolic(source)
    (launch,) = trace.launches
    assert "axb, bxc" in trace.inputs
    assert launch.known == {"step": 1, "TILE": 32}
    assert launch.grid_text() == "(cdiv(m, TILE)*cdiv(n, TILE))"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("x = 1 / 0", "ZeroDivisionError"),
        ("import torch", "no class ModelNew"),
        (replace_once(CHECKED, "return y", "raise OSError('no disk')"), "no disk"),
        (replace_once(CHECKED, "super().__init__()", "raise OSError('no model')"), "no model"),
        ("raise SystemExit", "exit"),
    ],
)
def test_a_failure_is_a_reason(source: str, reason: str) -> None:
    trace = trace_symbolic(source)
    assert trace.launches == ()
    assert reason in str(trace.reason)


def test_kernels_that_depend_on_the_sizes_are_not_claimed() -> None:
    source = CHECKED.replace("filters[grid]", "if images > 100: return y\n        filters[grid]")
    # some calls launch nothing: they are no evidence, and the rest still agree
    assert trace_symbolic(source).known["filters"]["size"] == 3


@pytest.mark.slow
def test_it_never_takes_long() -> None:
    started = time.monotonic()
    trace = trace_symbolic(CHECKED.replace("return y", "import time; time.sleep(60)"))
    assert time.monotonic() - started < 17
    assert trace.reason == "still running after 14 s"


@pytest.mark.cases
def test_seed_one_is_nearly_determined_and_seed_two_tells_what_lacks(cases_dir: Path) -> None:
    first, second = (
        trace_symbolic(path.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0])
        for path in sorted((cases_dir / "seeds").glob("*.txt"))
    )
    (launch,) = first.launches
    assert launch.known["C_in"] == 3
    assert launch.known["K_TOTAL"] == 363
    possible = [c for c in launch.configs if launch.constraint(c, 48400).possible]
    assert {config.meta_dict["BLOCK_N"] for config in possible} == {64}
    assert isinstance(second, SymbolicTrace)
    assert second.unknown_arguments == ("in_channels", "out_channels", "kernel_size")
