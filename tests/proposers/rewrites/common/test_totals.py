"""Statements that take on one more term, in all their spellings."""

from __future__ import annotations

import ast

import pytest

from warpwright.proposers.rewrites.common.kernel_text import kernel_text
from warpwright.proposers.rewrites.common.totals import taken_on

KERNEL = """\
import triton
import triton.language as tl


@triton.jit
def k(x_ptr, s, t):
    {}
"""


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("s += t", ("s", "sum", "t")),
        ("s = t + s", ("s", "sum", "t")),
        ("s = tl.maximum(s, t)", ("s", "max", "t")),
        ("s = tl.minimum(tl.min(t, 0), s)", ("s", "min", "tl.min(t, 0)")),
        ("s = max(s, t)", ("s", "max", "t")),
        ("s = min(t, s)", ("s", "min", "t")),
        ("s = tl.max(s, 0)", None),
        ("s = tl.max(t, s)", None),
        ("s = max(s, s)", None),
        ("s = max(s, t, 1.0)", None),
        ("s -= t", None),
        ("s = t + t", None),
    ],
)
def test_one_term_more(statement: str, found: tuple[str, str, str] | None) -> None:
    kernel = kernel_text(KERNEL.format(statement), "k")
    taken = taken_on(kernel, kernel.node.body[0])
    assert (taken and (*taken[:2], ast.unparse(taken[2]))) == found
