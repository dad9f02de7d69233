"""Mutation operators for what a kernel's lanes hold: masks, indices, accumulators.

Each is a pure function from a node to its mutated replacements, none where it does not apply.
"""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from mutation.syntax import (
    Function,
    called,
    grouped,
    is_language_call,
    keyword,
    names_in,
    parsed,
    without,
)

SMALL_INTEGERS = ("int8", "int16")


def widened_mask(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`a & b` → `a | b`: lanes take part that only one of two conditions holds for."""
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.BitAnd):
        left, right = grouped(node.left), grouped(node.right)
        yield grouped(cst.BinaryOperation(left, cst.BitOr(), right))


def dropped_other(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`tl.load(p, mask=m, other=0.0)` → `tl.load(p, mask=m)`: lanes without a value."""
    if is_language_call(node, "load"):
        assert isinstance(node, cst.Call)
        other = keyword(node, "other")
        if other is not None:
            yield without(node, other)


def narrow_index(node: cst.CSTNode, where: Function) -> Iterator[cst.CSTNode]:
    """`i * stride` → `(i * stride).to(tl.int8)`, `tl.program_id(0)` → the same in 8 or 16 bits."""
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Multiply):
        known = {*where.strides, *where.sizes}
        if known & set(names_in(node)) and not isinstance(node.left, cst.Float):
            yield from _narrowed(node)
    if is_language_call(node, "arange", "program_id"):
        assert isinstance(node, cst.Call)
        yield from _narrowed(node)


def _narrowed(node: cst.BaseExpression) -> Iterator[cst.CSTNode]:
    for kind in SMALL_INTEGERS:
        yield cst.Call(
            cst.Attribute(grouped(node), cst.Name("to")), [cst.Arg(parsed(f"tl.{kind}"))]
        )


def rounded_accumulator(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`acc += x` → `acc = (acc + x).to(tl.bfloat16).to(tl.float32)`."""
    if isinstance(node, cst.AugAssign) and isinstance(node.operator, cst.AddAssign):
        total = grouped(cst.BinaryOperation(node.target, cst.Add(), grouped(node.value)))  # type: ignore[arg-type]
        for kind in ("bfloat16", "float32"):
            cast = cst.Attribute(total, cst.Name("to"))
            total = cst.Call(cast, [cst.Arg(parsed(f"tl.{kind}"))])
        yield cst.Assign([cst.AssignTarget(node.target)], total)


def started_accumulator(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`tl.zeros(shape, dtype)` → `tl.zeros(shape, dtype) + 1`."""
    if is_language_call(node, "zeros"):
        assert isinstance(node, cst.Call)
        yield grouped(cst.BinaryOperation(node, cst.Add(), cst.Integer("1")))


def doubled_accumulation(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`acc += x` → `acc += x + acc`: what is there already counts twice."""
    if isinstance(node, cst.AugAssign) and isinstance(node.operator, cst.AddAssign):
        twice = cst.BinaryOperation(grouped(node.value), cst.Add(), node.target)  # type: ignore[arg-type]
        yield node.with_changes(value=twice)


def rounded_down(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`tl.cdiv(n, b)` → `n // b`: the last, partial step of a loop is lost."""
    if called(node) == "cdiv":
        assert isinstance(node, cst.Call)
        whole, part = (grouped(argument.value) for argument in node.args[:2])
        yield grouped(cst.BinaryOperation(whole, cst.FloorDivide(), part))
