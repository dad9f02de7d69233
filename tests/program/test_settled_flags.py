"""Which flags of a program never change, so that one way of a branch is never taken."""

from __future__ import annotations

import ast
from textwrap import dedent

import pytest

from warpwright.program.settled_flags import settled_flags

PROGRAM = dedent(
    """
    @triton.jit
    def curved(x, FAST: tl.constexpr, EXACT: tl.constexpr = False):
        return tl.sigmoid(x) if FAST else tl.exp(x)


    @triton.jit
    def kernel(x, BIAS: tl.constexpr):
        curved(x, FAST=True)
        curved(x, True)


    def launch(x, bias):
        kernel[(1,)](x, BIAS=1)
    """
)


def test_what_every_call_gives_is_settled() -> None:
    found = settled_flags(ast.parse(PROGRAM))
    assert found == {("curved", "FAST"): True, ("curved", "EXACT"): False, ("kernel", "BIAS"): True}


@pytest.mark.parametrize(
    ("old", "new", "open_flag"),
    [
        ("curved(x, True)", "curved(x, False)", ("curved", "FAST")),
        ("curved(x, True)", "curved(x, n > 4)", ("curved", "FAST")),
        ("BIAS=1", "BIAS=bias is None", ("kernel", "BIAS")),
        ("x, BIAS=1", "*[x, 1]", ("kernel", "BIAS")),
        ("x, BIAS=1", "x, **options", ("kernel", "BIAS")),
        ("def launch", "TABLE = [kernel]\n\n\ndef launch", ("kernel", "BIAS")),
        ("@triton.jit\ndef kernel", "@tuned\n@triton.jit\ndef kernel", ("kernel", "BIAS")),
        ("    curved(x, FAST=True)", "    BIAS = x", ("kernel", "BIAS")),
    ],
)
def test_what_may_be_another_is_not(old: str, new: str, open_flag: tuple[str, str]) -> None:
    assert old in PROGRAM
    assert open_flag not in settled_flags(ast.parse(PROGRAM.replace(old, new)))
