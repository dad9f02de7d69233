"""Which values of a kernel are float32 by its text."""

from __future__ import annotations

import ast

import pytest

from warpwright.proposers.rewrites.common.float32_names import Float32Names
from warpwright.proposers.rewrites.common.kernel_text import kernel_text

KERNEL = """\
import triton
import triton.language as tl


@triton.jit
def one(x_ptr, n, eps, B: tl.constexpr):
    lane = tl.arange(0, B)
    x = tl.load(x_ptr + lane)
    start = 0.0
    total = start
    count = 0
    for k in range(0, n, B):
        total += tl.sum(x)
        count += 1
    wide = x[:, None] * lane[None, :]
    share = 1.0 / (1.0 + tl.exp(-wide))
    kept = share * (lane < n).to(share.dtype)
    first, last = x, lane
    either = x
    either = lane
    more = tl.where(lane < n, kept, 0.0) + eps
    halves = tl.zeros((B,), dtype=tl.int32)
    root = tl.math.rsqrt(tl.maximum(more, eps))
"""


def names(text: str) -> set[str]:
    kernel = kernel_text(text, "one")
    types = Float32Names(kernel)
    stored = {n.id for n in ast.walk(kernel.node) if isinstance(n, ast.Name)}
    return {name for name in stored if types.has(ast.Name(name, ast.Load()))}


def test_numbers_and_blocks_take_on_the_type_beside_them() -> None:
    assert names(KERNEL) == {"x", "start", "total", "wide", "share", "kept", "more", "root"}


@pytest.mark.parametrize("word", ["tl.float64", "tl.float16"])
def test_a_kernel_of_other_types_is_not_read(word: str) -> None:
    assert names(KERNEL.replace("tl.int32", word)) == set()
