"""Mutation operators for the bodies of kernels.

Each is a pure function from a node to its mutated replacements, none where it does not apply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import libcst as cst

from mutation import value_operators
from mutation.syntax import (
    Function,
    called,
    contains_call,
    grouped,
    is_language_call,
    keyword,
    names_in,
    parsed,
    renamed,
    with_value,
    without,
)

Operator = Callable[[cst.CSTNode, Function], Iterator[cst.CSTNode]]

REDUCTIONS = {"sum": "max", "max": "sum", "min": "max", "cumsum": "cumprod"}
EXTREMA = {"minimum": "maximum", "maximum": "minimum"}
FUNCTIONS = {"exp": "exp2", "exp2": "exp", "sqrt": "rsqrt", "rsqrt": "sqrt", "log": "log2",
             "sigmoid": "exp", "sin": "cos", "cos": "sin"}  # fmt: skip
NARROWER = {"float32": "float16", "int64": "int16", "int32": "int8"}


def dropped_mask(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`tl.load(p, mask=m, other=0.0)` → `tl.load(p)`; the same for a store."""
    if is_language_call(node, "load", "store"):
        assert isinstance(node, cst.Call)
        mask, other = keyword(node, "mask"), keyword(node, "other")
        if mask is not None:
            yield without(node, *(a for a in (mask, other) if a is not None))


def dropped_condition(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`a & b` → `a`, `b`: a mask loses one of its conditions."""
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.BitAnd):
        yield grouped(node.left)
        yield grouped(node.right)


def wrong_stride(node: cst.CSTNode, where: Function) -> Iterator[cst.CSTNode]:
    """`i * stride_m` → `i * stride_n`: another stride of the same kernel."""
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Multiply):
        for side in ("left", "right"):
            factor = getattr(node, side)
            if isinstance(factor, cst.Name) and factor.value in where.strides:
                for other in where.strides:
                    if other != factor.value:
                        yield node.with_changes(**{side: cst.Name(other)})


def wrong_size(node: cst.CSTNode, where: Function) -> Iterator[cst.CSTNode]:
    """`n * C + c` → `n * H + c`: another size in an index or a bound."""
    if isinstance(node, cst.BinaryOperation) and isinstance(
        node.operator, (cst.Multiply, cst.FloorDivide, cst.Modulo)
    ):
        factor = node.right
        if isinstance(factor, cst.Name) and factor.value in where.sizes:
            for other in where.sizes:
                if other != factor.value:
                    yield node.with_changes(right=cst.Name(other))
    if isinstance(node, cst.ComparisonTarget):
        bound = node.comparator
        if isinstance(bound, cst.Name) and bound.value in where.sizes:
            for other in where.sizes:
                if other != bound.value:
                    yield node.with_changes(comparator=cst.Name(other))


def swapped_operands(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`a - b` → `b - a`, and so for `/`, `//`, `%`; `tl.dot(a, b)` → `tl.dot(b, a)`."""
    if isinstance(node, cst.BinaryOperation) and isinstance(
        node.operator, (cst.Subtract, cst.Divide, cst.FloorDivide, cst.Modulo)
    ):
        yield node.with_changes(left=grouped(node.right), right=grouped(node.left))
    if is_language_call(node, "dot"):
        assert isinstance(node, cst.Call)
        first, second, *rest = node.args
        yield node.with_changes(
            args=(
                first.with_changes(value=second.value),
                second.with_changes(value=first.value),
                *rest,
            )
        )


def deleted_dot(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`acc += tl.dot(a, b)` → `pass`; `acc + tl.dot(a, b)`, `tl.dot(a, b, acc)` → `acc`."""
    if isinstance(node, cst.AugAssign) and contains_call(node.value, "dot"):
        yield cst.Pass()
    if isinstance(node, cst.BinaryOperation) and is_language_call(node.right, "dot"):
        yield grouped(node.left)
    if is_language_call(node, "dot"):
        assert isinstance(node, cst.Call)
        accumulator = keyword(node, "acc") or (node.args[2] if len(node.args) > 2 else None)
        if accumulator is not None and accumulator.value is not None:
            yield grouped(accumulator.value)


def off_by_one_bound(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`i < n` → `i < n - 1`, `i <= n`; `range(0, n)` → `range(0, n - 1)`."""
    if isinstance(node, cst.ComparisonTarget) and isinstance(node.operator, cst.LessThan):
        bound = grouped(node.comparator)
        yield node.with_changes(
            comparator=cst.BinaryOperation(bound, cst.Subtract(), cst.Integer("1"))
        )
        yield node.with_changes(operator=cst.LessThanEqual())
    if called(node) in ("range", "static_range"):
        assert isinstance(node, cst.Call)
        positional = [a for a in node.args if a.keyword is None]
        if positional:
            end = positional[0 if len(positional) == 1 else 1]
            shorter = cst.BinaryOperation(grouped(end.value), cst.Subtract(), cst.Integer("1"))
            yield with_value(node, end, shorter)


def skipped_iteration(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`range(0, n, b)` → `range(b, n, b)`; `range(n)` → `range(1, n)`: the first one is lost."""
    if called(node) not in ("range", "static_range"):
        return
    assert isinstance(node, cst.Call)
    positional = [a for a in node.args if a.keyword is None]
    if len(positional) == 1:
        first = cst.Arg(cst.Integer("1"))
        end = cst.Arg(positional[0].value)
        rest = [a for a in node.args if a.keyword is not None]
        yield node.with_changes(args=(first, end, *rest))
    elif len(positional) > 1:
        step = positional[2].value if len(positional) > 2 else cst.Integer("1")
        later = cst.BinaryOperation(grouped(positional[0].value), cst.Add(), grouped(step))
        yield with_value(node, positional[0], later)


def wrong_pointer(node: cst.CSTNode, where: Function) -> Iterator[cst.CSTNode]:
    """`x_ptr + i` → `w_ptr + i`: another pointer of the same kernel."""
    if isinstance(node, cst.BinaryOperation):
        base = node.left
        if isinstance(base, cst.Name) and base.value in where.pointers:
            for other in where.pointers:
                if other != base.value:
                    yield node.with_changes(left=cst.Name(other))


def removed_accumulation(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`acc += v` → `acc = v`; `acc = acc + v` → `acc = v`: only the last term counts."""
    if isinstance(node, cst.AugAssign) and isinstance(
        node.operator, (cst.AddAssign, cst.MultiplyAssign)
    ):
        yield cst.Assign([cst.AssignTarget(node.target)], node.value)
    if isinstance(node, cst.Assign) and len(node.targets) == 1:
        target, value = node.targets[0].target, node.value
        if not isinstance(value, cst.BinaryOperation) or not isinstance(value.operator, cst.Add):
            return
        if target.deep_equals(value.left):
            yield node.with_changes(value=value.right)


def dropped_statement(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`acc += bias[None, :]` → `pass`; also a pointer that no longer moves on."""
    if isinstance(node, cst.AugAssign) and not contains_call(node.value, "dot"):
        yield cst.Pass()


def dropped_bias(node: cst.CSTNode, where: Function) -> Iterator[cst.CSTNode]:
    """`y + bias` → `y`, for a term whose names speak of a bias, a shift or beta."""
    if not isinstance(node, cst.BinaryOperation) or not isinstance(node.operator, cst.Add):
        return
    is_address = any(name in where.pointers for name in names_in(node))
    if not is_address and any(_is_bias(name) for name in names_in(node.right)):
        yield grouped(node.left)


def _is_bias(name: str) -> bool:
    return any(part in name.lower() for part in ("bias", "beta", "shift")) or name == "b"


def wrong_axis(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`tl.program_id(0)` → `tl.program_id(1)`; `tl.sum(x, axis=1)` → `axis=0`; both ways."""
    if not is_language_call(node, "program_id", "num_programs", *REDUCTIONS):
        return
    assert isinstance(node, cst.Call)
    place = keyword(node, "axis")
    if place is None and called(node) in ("program_id", "num_programs") and node.args:
        place = node.args[0]
    if place is not None and isinstance(place.value, cst.Integer):
        yield with_value(node, place, cst.Integer("1" if place.value.value == "0" else "0"))


def changed_reduction(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`tl.sum(x, axis=0)` → `tl.max(x, axis=0)`, and so on."""
    if is_language_call(node, *REDUCTIONS):
        assert isinstance(node, cst.Call)
        yield renamed(node, REDUCTIONS[called(node) or ""])


def changed_other(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`other=0.0` → `other=1.0`; any other value → `other=0.0`."""
    if is_language_call(node, "load"):
        assert isinstance(node, cst.Call)
        other = keyword(node, "other")
        if other is not None:
            zero = isinstance(other.value, (cst.Float, cst.Integer)) and (
                float(other.value.evaluated_value) == 0
            )
            yield with_value(node, other, cst.Float("1.0" if zero else "0.0"))


def swapped_extremum(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`tl.minimum(a, b)` → `tl.maximum(a, b)`, and back."""
    if is_language_call(node, *EXTREMA):
        assert isinstance(node, cst.Call)
        yield renamed(node, EXTREMA[called(node) or ""])


def changed_function(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`tl.exp(x)` → `tl.exp2(x)`, `tl.sqrt(x)` → `tl.rsqrt(x)`, and so on."""
    if is_language_call(node, *FUNCTIONS):
        assert isinstance(node, cst.Call)
        yield renamed(node, FUNCTIONS[called(node) or ""])


def changed_arithmetic(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`a + b` → `a - b`, `a - b` → `a + b`, `a * b` → `a + b`, `a // b` ↔ `a % b`."""
    swaps: tuple[tuple[type[cst.BaseBinaryOp], cst.BaseBinaryOp], ...] = (
        (cst.Add, cst.Subtract()),
        (cst.Subtract, cst.Add()),
        (cst.Multiply, cst.Add()),
        (cst.FloorDivide, cst.Modulo()),
        (cst.Modulo, cst.FloorDivide()),
    )
    if not isinstance(node, cst.BinaryOperation):
        return
    for kind, other in swaps:
        if isinstance(node.operator, kind):
            left, right = grouped(node.left), grouped(node.right)
            yield grouped(cst.BinaryOperation(left, other, right))


def changed_constant(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """A float literal becomes half as large again (zero: one); `i + 1` → `i + 2`."""
    if isinstance(node, cst.Float):
        value = float(node.value)
        yield cst.Float(repr(value * 1.5) if value else "1.0")
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, (cst.Add, cst.Subtract)):
        step = node.right
        if isinstance(step, cst.Integer):
            yield node.with_changes(right=cst.Integer(str(int(step.evaluated_value) + 1)))


def negated_condition(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`tl.where(c, a, b)` → `tl.where(c, b, a)`; `if c:` → `if not (c):`."""
    if is_language_call(node, "where"):
        assert isinstance(node, cst.Call)
        if len(node.args) == 3:
            condition, yes, no = node.args
            yes_now = yes.with_changes(value=no.value)
            yield node.with_changes(args=(condition, yes_now, no.with_changes(value=yes.value)))
    if isinstance(node, cst.If):
        negated = cst.UnaryOperation(cst.Not(), grouped(node.test))
        yield node.with_changes(test=negated, whitespace_before_test=cst.SimpleWhitespace(" "))


def wrong_cast(node: cst.CSTNode, _where: Function) -> Iterator[cst.CSTNode]:
    """`x.to(tl.float32)` → `x.to(tl.float16)`, also in `dtype=`; `tl.int64` → `tl.int16`."""
    if isinstance(node, cst.Arg) and isinstance(node.value, cst.Attribute):
        name = node.value.attr.value
        module = node.value.value
        if isinstance(module, cst.Name) and module.value == "tl" and name in NARROWER:
            yield node.with_changes(value=parsed(f"tl.{NARROWER[name]}"))


KERNEL_OPERATORS: dict[str, Operator] = {
    "widened mask": value_operators.widened_mask,
    "dropped other": value_operators.dropped_other,
    "narrow index": value_operators.narrow_index,
    "rounded accumulator": value_operators.rounded_accumulator,
    "started accumulator": value_operators.started_accumulator,
    "doubled accumulation": value_operators.doubled_accumulation,
    "rounded down": value_operators.rounded_down,
    "dropped mask": dropped_mask,
    "dropped condition": dropped_condition,
    "wrong stride": wrong_stride,
    "wrong size": wrong_size,
    "swapped operands": swapped_operands,
    "deleted dot": deleted_dot,
    "off-by-one bound": off_by_one_bound,
    "skipped iteration": skipped_iteration,
    "wrong pointer": wrong_pointer,
    "removed accumulation": removed_accumulation,
    "dropped statement": dropped_statement,
    "dropped bias": dropped_bias,
    "wrong axis": wrong_axis,
    "changed reduction": changed_reduction,
    "changed other": changed_other,
    "swapped extremum": swapped_extremum,
    "changed function": changed_function,
    "changed arithmetic": changed_arithmetic,
    "changed constant": changed_constant,
    "negated condition": negated_condition,
    "wrong cast": wrong_cast,
}
