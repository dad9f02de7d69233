"""Specialisation classes that a call could have, when there is no call."""

from __future__ import annotations

from warpwright.compiler.specialize_source import missing_constants, specialization_classes
from warpwright.program.view import read_program

PROGRAM = """
import torch
import triton
import triton.language as tl

@triton.autotune(configs=[triton.Config({"TILE": 32})], key=["rows"])
@triton.jit
def filters(src, dst, rows, wide, row_step, one_step, pad_h, eps, limit,
            BIAS: tl.constexpr, DEPTH: tl.constexpr, TILE: tl.constexpr, FAST: tl.constexpr = True):
    at = tl.program_id(0) * TILE + tl.arange(0, TILE)
    x = tl.load(src + at * row_step + one_step - pad_h, mask=at < rows * wide)
    if BIAS:
        x += eps
    for k in range(DEPTH):
        x *= x
    tl.store(dst + at, x, mask=at < limit)

def run(x):
    y = torch.empty_like(x)
    filters[(1,)](x, y, x.shape[0], x.shape[1], x.stride(0), x.stride(1), 1, 1e-5, limit=None,
                  BIAS=x is not None, DEPTH=x.ndim)
    return y
"""


def test_sizes_and_flags_span_the_classes() -> None:
    classes = specialization_classes(read_program(PROGRAM), "filters")
    assert [c.label for c in classes] == [
        "sizes divisible by 16, BIAS=True",
        "sizes not divisible by 16, BIAS=True",
        "sizes divisible by 16, BIAS=False",
        "sizes not divisible by 16, BIAS=False",
    ]
    first, second = classes[:2]
    assert first.signature == {
        "src": "*fp32",
        "dst": "*fp32",
        "rows": "i32",
        "wide": "i32",
        "row_step": "i32",
        "one_step": "constexpr",
        "pad_h": "constexpr",
        "eps": "fp32",
        "limit": "constexpr",
        "BIAS": "constexpr",
        "DEPTH": "constexpr",
        "TILE": "constexpr",
        "FAST": "constexpr",
    }
    assert first.constants == {
        "one_step": 1,
        "pad_h": 1,
        "limit": None,
        "BIAS": True,
        "FAST": True,
    }
    assert first.divisible_by_16 == ("src", "dst", "rows", "wide", "row_step")
    assert second.divisible_by_16 == ("src", "dst")


def test_constants_that_nothing_tells_are_named() -> None:
    (found, *_) = specialization_classes(read_program(PROGRAM), "filters")
    assert missing_constants(found, {"TILE": 32}) == ("DEPTH",)


def test_what_is_known_leaves_fewer_classes() -> None:
    known = {"BIAS": False, "DEPTH": 4, "rows": 64, "wide": 7, "row_step": 1}
    (found,) = specialization_classes(read_program(PROGRAM), "filters", known, dtype="float16")
    assert found.label == "as the source states"
    assert found.signature["src"] == "*fp16"
    assert found.constants["row_step"] == 1
    assert found.divisible_by_16 == ("src", "dst", "rows")
    assert missing_constants(found, {"TILE": 32}) == ()


def test_window_sizes_are_not_taken_for_multiples_of_sixteen() -> None:
    source = PROGRAM.replace(", 1, 1e-5, limit=None", ", x.ndim, 1e-5, limit=None")
    (first, *_) = specialization_classes(read_program(source), "filters")
    assert first.signature["pad_h"] == "i32"
    assert "pad_h" not in first.divisible_by_16


def test_two_launches_that_differ_settle_nothing() -> None:
    source = PROGRAM.replace(
        "    return y",
        "    filters[(1,)](x, y, 3, 4, 5, 6, 7, 1.0, None, BIAS=False, DEPTH=2)\n    return y",
    )
    (first, *_) = specialization_classes(read_program(source), "filters")
    assert first.signature["pad_h"] == "i32"
    assert first.constants["limit"] is None


def test_a_kernel_that_is_not_there_has_no_classes() -> None:
    assert specialization_classes(read_program(PROGRAM), "missing") == ()
