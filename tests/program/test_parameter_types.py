"""Kinds of kernel parameters, inferred from how the kernel uses them."""

from __future__ import annotations

import ast

import pytest

from warpwright.program.parameter_types import parameter_kinds
from warpwright.types.parameters import ParameterKind

POINTER, INTEGER, FLOAT = ParameterKind.POINTER, ParameterKind.INTEGER, ParameterKind.FLOAT


def kinds(source: str, name: str = "kernel") -> dict[str, ParameterKind]:
    return dict(parameter_kinds(ast.parse(source), name))


def test_a_matrix_product_is_read_in_full() -> None:
    found = kinds(
        """
def kernel(left, right, out, rows, inner, row_step, one_step, gain, offset_value,
           TILE: tl.constexpr, RELU: tl.constexpr):
    r = tl.program_id(0) * TILE + tl.arange(0, TILE)
    at = left + r[:, None] * row_step
    total = tl.zeros((TILE, TILE), dtype=tl.float32)
    for k in range(0, inner, TILE):
        a = tl.load(at + k * one_step, mask=r[:, None] < rows)
        b = tl.load(right + k)
        total += tl.dot(a, b)
        at += TILE
    total = total * gain + offset_value
    if RELU:
        total = tl.maximum(total, 0.0)
    tl.store(out + r, total)
"""
    )
    assert found == {
        "left": POINTER,
        "right": POINTER,
        "out": POINTER,
        "rows": INTEGER,
        "inner": INTEGER,
        "row_step": INTEGER,
        "one_step": INTEGER,
        "gain": FLOAT,
        "offset_value": FLOAT,
        "TILE": ParameterKind.CONSTANT,
        "RELU": ParameterKind.FLAG,
    }


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("tl.store(p, x)", POINTER),
        ("q = p\n    tl.load(q + 4)", POINTER),
        ("q = 4 + tl.arange(0, 8) + p\n    tl.load(q)", POINTER),
        ("tl.load(tl.multiple_of(p, 16))", POINTER),
        ("tl.atomic_add(p + 1, x)", POINTER),
        ("b = tl.make_block_ptr(base=p, shape=(1,), strides=(1,), offsets=(0,))", POINTER),
        ("q = p.to(tl.pointer_type(tl.int8))\n    tl.load(q)", POINTER),
        ("a, b = p, x\n    tl.load(a)", POINTER),
        ("helper(p, 3)", POINTER),
        ("helper(count=3, into=p)", POINTER),
        ("p.load([0, 0])", ParameterKind.DESCRIPTOR),
        ("y = x // p", INTEGER),
        ("y = tl.program_id(0) * p", INTEGER),
        ("y = tl.arange(0, 8) < p", INTEGER),
        ("y = tl.load(x) * p", FLOAT),
        ("y = tl.where(True, tl.load(x), p)", FLOAT),
        ("y = p > 0.5", FLOAT),
    ],
)
def test_use_tells_the_kind(body: str, kind: ParameterKind) -> None:
    source = f"""
def helper(into, count):
    tl.store(into, 0.0)

def kernel(x, p):
    {body}
"""
    assert kinds(source)["p"] is kind


@pytest.mark.parametrize(
    ("name", "kind"), [("eps", FLOAT), ("negative_slope", FLOAT), ("n", INTEGER)]
)
def test_a_name_decides_where_use_tells_nothing(name: str, kind: ParameterKind) -> None:
    assert kinds(f"def kernel({name}): pass")[name] is kind


def test_an_annotation_decides_too() -> None:
    found = kinds("def kernel(a: tl.float32, b: tl.int64): pass")
    assert found == {"a": FLOAT, "b": INTEGER}


def test_helpers_that_call_each_other_end() -> None:
    source = """
def kernel(p):
    other(p)

def other(q):
    kernel(q)
    tl.load(q)
"""
    assert kinds(source)["p"] is POINTER


def test_a_kernel_that_is_not_there_has_no_parameters() -> None:
    assert kinds("x = 1") == {}
