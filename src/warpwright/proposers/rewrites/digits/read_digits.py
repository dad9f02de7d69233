"""What the expressions of a reduction loop say of its index: which digits of it they are.

The index k of a reduction over K numbers runs in steps of BLOCK lanes. Division and remainder take
it apart: `k // (KH * KW)`, `k % KW`. All such values are `Digits(low, high)`, the number
`(k // low) % (high // low)`; `high` is None for all of k above `low`.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from warpwright.program.nodes import names_in
from warpwright.proposers.rewrites.common.kernel_text import KernelText, stored_names
from warpwright.proposers.rewrites.digits.extent import ONE, Extent

Axis = tuple[str, ...] | None
"""How a vector was given more axes: (":", "None") for `[:, None]`; None for none."""


@dataclass(frozen=True, slots=True)
class Digits:
    low: Extent
    high: Extent | None
    axis: Axis = None


@dataclass(frozen=True, slots=True)
class DigitLanes:
    """`tl.arange(0, BLOCK)`."""

    axis: Axis = None


class Scalar(Enum):
    """Two values that stand for themselves."""

    BASE = "the first index of the step"
    ALWAYS = "a mask that is true for every lane"


Known = Digits | DigitLanes | Scalar


@dataclass(frozen=True, slots=True)
class Header:
    """`for NAME in range(…)`: `counts_blocks` where NAME counts steps, not indices."""

    loop: ast.For
    name: str
    bound: Extent
    bound_text: str
    block: Extent
    counts_blocks: bool

    @property
    def base_text(self) -> str:
        """The first index of a step, as source that may stand in a product."""
        return f"({self.name} * {self.block.bracketed})" if self.counts_blocks else self.name


@dataclass
class Reader:
    """Evaluates expressions of one kernel in terms of the index of one loop."""

    kernel: KernelText
    definitions: Mapping[str, ast.expr]
    """Names that the kernel assigns once, with their value."""
    header: Header | None = None
    names: dict[str, Known] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)
    """Conditions on sizes that a value relied on, as source."""
    stale: set[str] = field(default_factory=set)
    """Names whose definition reads otherwise by now: a name in it stands for another part."""
    passed: set[str] = field(default_factory=set)
    """Names that the loop has assigned so far, other than parts of the index."""

    def learn(self, name: str, known: Known | None) -> None:
        """An assignment of the loop: the name stands for this part of the index, or for none."""
        before = self.names.pop(name, None)
        if known is not None:
            self.names[name] = known
        if before is not None and before != known:
            self.stale |= self._dependents(name)
        if known is None:
            self.passed.add(name)

    def _dependents(self, name: str) -> set[str]:
        found: set[str] = set()
        changed = {name}
        while changed:
            changed = {
                other
                for other in self.passed - found
                if other in self.definitions and changed & names_in(self.definitions[other])
            }
            found |= changed
        return found

    def definition(self, name: str) -> ast.expr | None:
        """What may be put in a name's place here: all in it still is what it was."""
        value = self.definitions.get(name)
        if value is None or name in self.stale:
            return None
        assigned = set(stored_names(self.kernel.node.body))
        settled = self.definitions.keys() | self.names.keys()
        return value if names_in(value) & assigned <= settled else None

    def extent(self, node: ast.expr | None, depth: int = 0) -> Extent | None:
        """A product of compile-time sizes, local names resolved; None for anything else."""
        if isinstance(node, ast.Constant) and type(node.value) is int and node.value > 0:
            return Extent(node.value)
        if isinstance(node, ast.Name):
            if node.id in self.kernel.constants:
                return Extent(1, (node.id,))
            value = self.definitions.get(node.id)
            return None if value is None or depth > 8 else self.extent(value, depth + 1)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            left, right = self.extent(node.left, depth), self.extent(node.right, depth)
            return None if left is None or right is None else left * right
        return None

    def known(self, node: ast.expr) -> Known | None:
        """What an expression is of the index, if it is anything of it."""
        if isinstance(node, ast.Name):
            if node.id in self.names:
                return self.names[node.id]
            value = self.definitions.get(node.id)
            return self.known(value) if isinstance(value, (ast.Call, ast.Subscript)) else None
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.Subscript):
            return self._subscript(node)
        if isinstance(node, ast.BinOp):
            return self._operation(node)
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
            every = all(self.known(value) is Scalar.ALWAYS for value in node.values)
            return Scalar.ALWAYS if every else None
        return None

    def _call(self, node: ast.Call) -> Known | None:
        called = self.kernel.called(node)
        if called == "arange" and len(node.args) == 2 and self.header is not None:
            zero = isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
            return DigitLanes() if zero and self.extent(node.args[1]) == self.header.block else None
        if called == "where" and len(node.args) == 3:
            return self.known(node.args[1]) if self.is_always(node.args[0]) else None
        if called in ("multiple_of", "max_contiguous", "max_constancy") and node.args:
            return self.known(node.args[0])
        if isinstance(node.func, ast.Attribute) and node.func.attr == "to" and len(node.args) == 1:
            same = self.kernel.path(node.args[0]) == "int32"
            return self.known(node.func.value) if same else None
        return None

    def is_always(self, node: ast.expr) -> bool:
        return self.known(node) is Scalar.ALWAYS

    def _subscript(self, node: ast.Subscript) -> Known | None:
        inner, axis = self.known(node.value), axis_of(node.slice)
        if inner is None or axis is None:
            return None
        if isinstance(inner, Scalar):
            return inner if inner is Scalar.ALWAYS else None
        return replace(inner, axis=axis) if inner.axis is None else None

    def _operation(self, node: ast.BinOp) -> Known | None:
        left, right = self.known(node.left), self.known(node.right)
        if isinstance(node.op, ast.BitAnd):
            both = left is Scalar.ALWAYS and right is Scalar.ALWAYS
            return Scalar.ALWAYS if both else None
        if isinstance(node.op, ast.Add):
            for base, lanes in ((left, right), (right, left)):
                if base is Scalar.BASE and isinstance(lanes, DigitLanes):
                    return Digits(ONE, None, lanes.axis)
            return None
        if isinstance(node.op, ast.Mult):
            return self._base(node)
        if isinstance(node.op, ast.Sub):
            return self._remainder(left, node.right)
        if not isinstance(left, Digits):
            return None
        divisor = self.extent(node.right)
        if divisor is None:
            return None
        if isinstance(node.op, ast.FloorDiv):
            low = left.low * divisor
            whole = left.high is None or left.high.over(low) is not None
            return replace(left, low=low) if whole else None
        if isinstance(node.op, ast.Mod):
            high = left.low * divisor
            whole = left.high is None or left.high.over(high) is not None
            return replace(left, high=high) if whole else None
        return None

    def _base(self, node: ast.BinOp) -> Known | None:
        """`step * BLOCK` in a loop that counts steps."""
        header = self.header
        if header is None or not header.counts_blocks:
            return None
        for name, factor in ((node.left, node.right), (node.right, node.left)):
            if isinstance(name, ast.Name) and name.id == header.name:
                return Scalar.BASE if self.extent(factor) == header.block else None
        return None

    def _remainder(self, left: Known | None, node: ast.expr) -> Known | None:
        """`k - (k // c) * c`."""
        if not isinstance(left, Digits) or not isinstance(node, ast.BinOp):
            return None
        if not isinstance(node.op, ast.Mult):
            return None
        for part, factor in ((node.left, node.right), (node.right, node.left)):
            upper, step = self.known(part), self.extent(factor)
            if isinstance(upper, Digits) and step is not None:
                low = left.low * step
                if upper == replace(left, low=low):
                    return replace(left, high=low)
        return None

    def _comparison(self, node: ast.Compare) -> Known | None:
        """`k < K`, and a digit below its own radix: true for every lane of a whole step."""
        header = self.header
        if header is None or len(node.ops) != 1:
            return None
        sides = (node.left, node.comparators[0])
        if isinstance(node.ops[0], ast.Gt):
            sides = (sides[1], sides[0])
        elif not isinstance(node.ops[0], ast.Lt):
            return None
        smaller, bound = self.known(sides[0]), self.extent(sides[1])
        if not isinstance(smaller, Digits) or bound is None:
            return None
        top = smaller.low * bound
        if smaller.high is not None and smaller.high == top:
            return Scalar.ALWAYS
        if smaller.high not in (None, header.bound):
            return None
        if top != header.bound:
            self.assumed.append(f"{top} == {header.bound}")
        return Scalar.ALWAYS


def axis_of(node: ast.expr) -> Axis:
    """`[:, None]` as (":", "None"); None for a subscript that does more than add axes."""
    items = node.elts if isinstance(node, ast.Tuple) else [node]
    axis = []
    for item in items:
        if isinstance(item, ast.Slice) and item.lower is item.upper is item.step is None:
            axis.append(":")
        elif isinstance(item, ast.Constant) and item.value is None:
            axis.append("None")
        else:
            return None
    return tuple(axis) if axis.count(":") == 1 else None


def subscripted(text: str, axis: Axis) -> str:
    return text if axis is None else f"{text}[{', '.join(axis)}]"


def read_header(kernel: KernelText, reader: Reader, loop: ast.For) -> Header | None:
    """A loop in steps of a block over a product of sizes: by index, or counting blocks."""
    call = loop.iter
    if not isinstance(loop.target, ast.Name) or not isinstance(call, ast.Call) or loop.orelse:
        return None
    if kernel.called(call) not in ("range", "static_range") or (
        call.keywords and (kernel.path(call.func) is None)
    ):
        return None
    arguments = call.args
    if len(arguments) == 3 and _is_zero(arguments[0]):
        bound, block = reader.extent(arguments[1]), reader.extent(arguments[2])
        if bound is None or block is None or block == ONE:
            return None
        return Header(loop, loop.target.id, bound, ast.unparse(arguments[1]), block, False)
    if len(arguments) == 2 and _is_zero(arguments[0]):
        arguments = arguments[1:]
    if len(arguments) != 1:
        return None
    parts = block_count(kernel, reader, arguments[0])
    if parts is None:
        return None
    bound, block = reader.extent(parts[0]), reader.extent(parts[1])
    if bound is None or block is None:
        return None
    return Header(loop, loop.target.id, bound, ast.unparse(parts[0]), block, True)


def block_count(
    kernel: KernelText, reader: Reader, node: ast.expr
) -> tuple[ast.expr, ast.expr] | None:
    """(K, BLOCK) of `tl.cdiv(K, BLOCK)` or `(K + BLOCK - 1) // BLOCK`."""
    if isinstance(node, ast.Name) and node.id in reader.definitions:
        return block_count(kernel, reader, reader.definitions[node.id])
    if isinstance(node, ast.Call) and kernel.called(node) == "cdiv" and len(node.args) == 2:
        return node.args[0], node.args[1]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv):
        top, block = node.left, ast.unparse(node.right)
        if isinstance(top, ast.BinOp):
            whole = ast.unparse(top)
            inner = top.left
            if isinstance(inner, ast.BinOp) and whole == f"{ast.unparse(inner.left)} + {block} - 1":
                return inner.left, node.right
            if whole == f"{ast.unparse(inner)} + ({block} - 1)":
                return inner, node.right
    return None


def _is_zero(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 0 and type(node.value) is int
