"""What counts as a kernel's code, and what does not."""

from __future__ import annotations

import pytest

from warpwright.compiler.kernel_identity import kernel_code
from warpwright.errors import InputError

PROGRAM = '''"""Adds."""
import math
import torch
import triton
import triton.language as tl
from triton import autotune as tune

SCALE = tl.constexpr(2.0)
WIDTHS = [64, 128]
UNUSED = 5


@triton.jit
def scaled(x):
    """Scale x."""
    return x * SCALE


def heavy(args):
    return args["N"] > UNUSED


@tune(configs=[triton.Config({"BLOCK": width}) for width in WIDTHS], key=["N"])
@triton.heuristics({"FULL": heavy})
@triton.jit(do_not_specialize=["N"])
def add(x, y, N, FULL: tl.constexpr, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + offsets, scaled(tl.load(x + offsets)))


class ModelNew(torch.nn.Module):
    def forward(self, x):
        add[(1,)](x, x, math.prod(x.shape))
        return x
'''


def changed(old: str, new: str) -> str:
    assert old in PROGRAM
    return PROGRAM.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    offsets =", "    # where\n\n    offsets ="),
        ('    """Scale x."""\n', ""),
        ("[64, 128]", "[64, 128, 256]"),
        ("UNUSED = 5", "UNUSED = 6"),
        ('key=["N"]', 'key=["N"], warmup=3'),
        ('{"FULL": heavy}', '{"FULL": lambda args: True}'),
        ("add[(1,)]", "add[(2,)]"),
        ("import math\n", "import math, os\n"),
        ('"""Adds."""', '"""Adds numbers."""'),
    ],
)
def test_what_does_not_reach_the_compiler_does_not_count(old: str, new: str) -> None:
    assert kernel_code(changed(old, new), "add") == kernel_code(PROGRAM, "add")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tl.program_id(0)", "tl.program_id(1)"),
        ("return x * SCALE", "return x + SCALE"),
        ("tl.constexpr(2.0)", "tl.constexpr(2)"),
        ("triton.language as tl", "triton.language.core as tl"),
        ("do_not_specialize", "do_not_specialize_on_alignment"),
        ("UNUSED = 5", "tl.zeros = tl.ones"),
        ("UNUSED = 5", "UNUSED = 5\nprint(SCALE)"),
        ("UNUSED = 5", "UNUSED = 5\nif WIDTHS:\n    SCALE = tl.constexpr(3.0)"),
        ("UNUSED = 5", "UNUSED = 5\nfrom helpers import *"),
        ("x, y, N, FULL", "x, y, N: tl.constexpr, FULL"),
    ],
)
def test_what_may_reach_the_compiler_counts(old: str, new: str) -> None:
    assert kernel_code(changed(old, new), "add") != kernel_code(PROGRAM, "add")


def test_other_kernels_of_the_program_do_not_count() -> None:
    more = PROGRAM + "\n\n@triton.jit\ndef copy(x):\n    tl.store(x, 0)\n"
    assert kernel_code(more, "add") == kernel_code(PROGRAM, "add")
    assert kernel_code(more, "copy") != kernel_code(more, "add")


def test_a_kernel_made_inside_a_function_depends_on_the_whole_program() -> None:
    nested = "def make():\n    @triton.jit\n    def inner(x):\n        tl.store(x, 0)\n"
    assert kernel_code(f"{nested}A = 1\n", "inner") != kernel_code(f"{nested}A = 2\n", "inner")
    assert kernel_code(f"{nested}A = 1\n", "inner") == kernel_code(f"{nested}A = 1  # x\n", "inner")


def test_a_program_that_does_not_parse_is_an_error() -> None:
    with pytest.raises(InputError):
        kernel_code("def add(:", "add")
