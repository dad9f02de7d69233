"""When a loop's body adds nothing: the terms of its sums are zero where a division leaves a rest.

    for k in range(K):
        t = offs + P - k * D
        i = t // S
        inside = (t % S == 0) & (i >= 0) & (i < L)
        x = tl.load(x_ptr + i, mask=inside, other=0.0)
        acc += x * tl.load(w_ptr + k)

Here `t % S == 0` is a part of the mask, so `x` and with it the term are zero where it is false.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from warpwright.program.kernel_assignments import called_name
from warpwright.program.nodes import clone
from warpwright.proposers.rewrites.common.kernel_text import KernelText, stored_names
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.totals import taken_on
from warpwright.proposers.rewrites.common.value_axes import new_axes
from warpwright.proposers.rewrites.outer.liveness import live_after, read_first
from warpwright.proposers.rewrites.residues.substitution import OPAQUE, Substitution
from warpwright.proposers.rewrites.scalarise.flat_index import Sizes

_PURE = frozenset({
    "load", "where", "maximum", "minimum", "exp", "exp2", "log", "log2", "sqrt", "rsqrt", "abs",
    "cdiv", "fma", "floor", "ceil", "cast", "dot", "sum", "zeros", "full", "arange", "trans",
    "range", "static_range", "program_id", "num_programs", "multiple_of", "max_contiguous",
    "expand_dims", "broadcast_to", "min", "max", "float", "int",
})  # fmt: skip
"""What a body may call: nothing of it is seen outside but by its result."""
_SAME_ZEROS = frozenset({"sum", "trans", "expand_dims", "broadcast_to", "cast"})
Zeros = frozenset["Residue"]
_NONE: Zeros = frozenset()


@dataclass(frozen=True, slots=True)
class Residue:
    """`value % size == 0`, both as source. `exact`: so for every size; else, since a product that
    leaves 32 bits may equal the value too, for powers of two alone."""

    value: str
    size: str
    exact: bool


def zero_unless(
    kernel: KernelText, loop: ast.For, sizes: Sizes, outside: Mapping[str, ast.expr]
) -> Zeros:
    """The conditions without each of which one step of the loop changes nothing.

    They are said in names that the loop does not assign, and its variable. `outside`: names that
    are to be looked through, with their values before the loop. Raises DoesNotApply where the body
    does more than to take terms on to totals.
    """
    return _Body(kernel, loop, sizes, outside).conditions()


def from_first_load(kernel: KernelText, loop: ast.For) -> Sequence[ast.stmt]:
    """The statements of a loop's body but for the arithmetic before its first load.

    What only follows from the loop's variable the compiler works out once, before the loop around
    it; not where it stands under a condition.
    """
    totals = _totals(kernel, loop)
    for place, node in enumerate(loop.body):
        loads = any(kernel.called(inner) in ("load", "dot") for inner in ast.walk(node))
        if not isinstance(node, ast.Assign | ast.AugAssign) or loads:
            return loop.body[place:]
        if totals.intersection(stored_names([node])):
            return loop.body[place:]
    return loop.body


def _totals(kernel: KernelText, loop: ast.For) -> frozenset[str]:
    """Names that one step of a loop leaves to the next, or to what follows it."""
    live = read_first(loop.body) | live_after(kernel.node, loop)
    return live.intersection(stored_names(loop.body))


class _Body:
    """Goes once through a loop's body; a name's value is an expression of what the loop finds."""

    def __init__(
        self, kernel: KernelText, loop: ast.For, sizes: Sizes, outside: Mapping[str, ast.expr]
    ) -> None:
        self._kernel, self._loop, self._sizes = kernel, loop, sizes
        own = set(stored_names(loop.body))
        self._totals = _totals(kernel, loop)
        self._values: dict[str, ast.expr] = {}
        self._put = Substitution(kernel, own, self._values, outside)
        self._terms: list[Zeros] = []

    def conditions(self) -> Zeros:
        self._walk(self._loop.body)
        if not self._terms:
            raise DoesNotApply("the loop takes on nothing to a total")
        found = reduce(frozenset.__and__, self._terms)
        return frozenset(one for one in found if OPAQUE not in one.value)

    def _walk(self, body: Sequence[ast.stmt]) -> None:
        for node in body:
            self._check_calls(node)
            if isinstance(node, ast.Assign | ast.AugAssign):
                self._assign(node)
            elif isinstance(node, ast.If):
                self._branches(node)
            elif isinstance(node, ast.For) and not node.orelse:
                for name in stored_names([node]):
                    self._values[name] = self._put.unknown()
                self._walk(node.body)
                for name in stored_names([node]):
                    self._values[name] = self._put.unknown()
            elif not isinstance(node, ast.Pass):
                raise DoesNotApply("the loop does more than to take on terms")

    def _check_calls(self, node: ast.stmt) -> None:
        for call in ast.walk(node):
            if isinstance(call, ast.Call):
                name = self._kernel.called(call) or called_name(call)
                if name not in _PURE and not (
                    isinstance(call.func, ast.Attribute) and name == "to"
                ):
                    raise DoesNotApply(f"{name} is called in the loop")

    def _assign(self, node: ast.Assign | ast.AugAssign) -> None:
        names = stored_names([node])
        if any(name in self._totals for name in names):
            self._terms.append(self._term(node))
            return
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            before = ast.Name(node.target.id, ast.Load())
            self._values[node.target.id] = self._put.value(ast.BinOp(before, node.op, node.value))
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = self._put.value(node.value)
            self._values |= dict.fromkeys(names, value)
        else:
            self._values |= {name: self._put.unknown() for name in names}

    def _term(self, node: ast.Assign | ast.AugAssign) -> Zeros:
        """When the term that a statement takes on to a total is zero."""
        taken = taken_on(self._kernel, node)
        if taken is not None and taken[1] == "sum":
            return self._zero(self._put.value(taken[2]))
        if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Sub):
            return self._zero(self._put.value(node.value))
        if isinstance(node, ast.Assign) and self._kernel.called(node.value) == "dot":
            call, total = node.value, node.targets[0]
            assert isinstance(call, ast.Call)
            start = _argument(call, 2, "acc")
            again = start is not None and _text(start) == _text(total)
            if again and len(node.targets) == 1:
                return self._zero(self._put.value(ast.Call(call.func, call.args[:2], [])))
        raise DoesNotApply("the loop carries more than sums from step to step")

    def _branches(self, node: ast.If) -> None:
        before = dict(self._values)
        self._walk(node.body)
        first, self._values = self._values, before
        self._walk(node.orelse)
        for name in stored_names([node]):
            one, other = first.get(name), self._values.get(name)
            same = one is not None and other is not None and _text(one) == _text(other)
            if not same:
                self._values[name] = self._put.unknown()

    def _zero(self, node: ast.expr | None) -> Zeros:
        """The conditions without which a value is zero, or false."""
        match node:
            case ast.Compare() | ast.BoolOp(op=ast.And()) | ast.BinOp(op=ast.BitAnd()):
                return self._all_of(node)
            case ast.BoolOp(op=ast.Or(), values=values):
                return reduce(frozenset.__and__, map(self._zero, values))
            case ast.BinOp(left, ast.Mult(), right):
                return self._zero(left) | self._zero(right)
            case ast.BinOp(left, ast.Add() | ast.Sub() | ast.BitOr(), right):
                return self._zero(left) & self._zero(right)
            case ast.UnaryOp(ast.USub(), operand):
                return self._zero(operand)
            case ast.Subscript(value=value) if new_axes(node) is not None:
                return self._zero(value)
            case ast.IfExp(body=body, orelse=orelse):
                return self._zero(body) & self._zero(orelse)
            case ast.Call():
                return self._zero_call(node)
        return _NONE

    def _zero_call(self, node: ast.Call) -> Zeros:
        name = self._kernel.called(node)
        if name is None and isinstance(node.func, ast.Attribute) and node.func.attr == "to":
            return self._zero(node.func.value)
        if name == "load":
            filled = is_zero(_argument(node, 2, "other"))
            return self._zero(_argument(node, 1, "mask")) if filled else _NONE
        if name == "where" and len(node.args) == 3:
            condition, one, other = node.args
            if is_zero(other):
                return self._zero(condition) | self._zero(one)
            return self._zero(one) & self._zero(other)
        if name == "dot" and len(node.args) == 2 and _argument(node, 2, "acc") is None:
            return self._zero(node.args[0]) | self._zero(node.args[1])
        if name in _SAME_ZEROS and node.args:
            return self._zero(node.args[0])
        return _NONE

    def _all_of(self, node: ast.expr) -> Zeros:
        parts = list(_conjuncts(node))
        true = {_text(part) for part in parts}
        found: set[Residue] = set()
        for part in parts:
            if isinstance(part, ast.Compare):
                found |= set(self._residues(part, true))
            else:
                found |= self._zero(part)
        return frozenset(found)

    def _residues(self, node: ast.Compare, true: set[str]) -> Iterable[Residue]:
        """What a comparison says of a rest, where all conditions of `true` hold too."""
        if len(node.ops) != 1 or not isinstance(node.ops[0], ast.Eq):
            return
        left, right = node.left, node.comparators[0]
        if is_zero(left):
            left, right = right, left
        if is_zero(right):
            rest = left
            if not isinstance(rest, ast.BinOp) or not isinstance(rest.op, ast.Mod | ast.Sub):
                return
            if isinstance(rest.op, ast.Mod):
                yield from self._residue(rest.left, rest.right, True, true)
                return
            left, right = rest.left, rest.right
        for value, product in ((left, right), (right, left)):
            if not isinstance(product, ast.BinOp) or not isinstance(product.op, ast.Mult):
                continue
            for size, times in ((product.left, product.right), (product.right, product.left)):
                if _is_whole(self._kernel, times):
                    exact = _text(times) == _text(ast.BinOp(value, ast.FloorDiv(), size))
                    yield from self._residue(value, size, exact, true)

    def _residue(
        self, value: ast.expr, size: ast.expr, exact: bool, true: set[str]
    ) -> Iterable[Residue]:
        extent = self._sizes.of(size)
        if extent is not None:
            met = _Met(self._kernel, true).visit(clone(value))
            yield Residue(_text(met), str(extent), exact)


class _Met(ast.NodeTransformer):
    """`tl.where(m, a, b)` as `a` where all of `m` is true; whole numbers of any width."""

    def __init__(self, kernel: KernelText, true: set[str]) -> None:
        self._kernel, self._true = kernel, true

    def visit_Call(self, node: ast.Call) -> ast.AST:
        inner = whole_cast(self._kernel, node)
        chosen = inner is None and self._kernel.called(node) == "where" and len(node.args) == 3
        if chosen and {_text(part) for part in _conjuncts(node.args[0])} <= self._true:
            inner = node.args[1]
        return self.generic_visit(node) if inner is None else self.visit(inner)


def _conjuncts(node: ast.expr) -> Iterable[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd):
        yield from _conjuncts(node.left)
        yield from _conjuncts(node.right)
    elif isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        for value in node.values:
            yield from _conjuncts(value)
    else:
        yield node


def _is_whole(kernel: KernelText, node: ast.expr) -> bool:
    """Whether a value is surely made of whole numbers."""
    if isinstance(node, ast.BinOp):
        if isinstance(node.op, ast.FloorDiv):
            return True  # Triton divides whole numbers alone so
        if isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Mod):
            return _is_whole(kernel, node.left) and _is_whole(kernel, node.right)
        return False
    if isinstance(node, ast.Constant):
        return type(node.value) is int
    if isinstance(node, ast.Call):
        if kernel.called(node) == "where" and len(node.args) == 3:
            return all(_is_whole(kernel, side) for side in node.args[1:])
        return whole_cast(kernel, node) is not None
    return False


def whole_cast(kernel: KernelText, node: ast.expr) -> ast.expr | None:
    """`x` of `x.to(tl.int32)`, or to 64 bits; None for anything else."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    if node.func.attr != "to" or len(node.args) != 1:
        return None
    return node.func.value if kernel.path(node.args[0]) in ("int32", "int64") else None


def _argument(node: ast.Call, place: int, name: str) -> ast.expr | None:
    given = next((keyword.value for keyword in node.keywords if keyword.arg == name), None)
    return node.args[place] if given is None and len(node.args) > place else given


def is_zero(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float) and node.value == 0


def _text(node: ast.expr) -> str:
    return ast.unparse(node)
