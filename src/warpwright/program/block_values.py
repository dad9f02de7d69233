"""Which way the branches of a kernel go in some blocks of a launch, worked out lane by lane.

Ranges (`ranges.py`) hold for all blocks at once: of `tl.min(offs % W, 0) > 0` they tell nothing.
Here the whole numbers of one block are computed, vectors of one axis included, for blocks at the
ends of the grid and between them. What loads give, tiles and loops are left out.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from warpwright.program.branch_sites import Site, site_of

MOST_BLOCKS = 27
_SAME = frozenset({"to", "cast", "multiple_of", "max_contiguous", "int"})
_OPERATORS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.BitAnd: lambda a, b: a & b,
    ast.BitOr: lambda a, b: a | b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
}


def ways_of_blocks(
    kernel: ast.FunctionDef, numbers: Mapping[str, object], grid: Sequence[int]
) -> dict[Site, frozenset[bool]]:
    """`if` → the ways that it goes in the blocks that are looked at, outside of loops; without
    those of which a block cannot tell. `numbers`: the kernel's arguments by name."""
    seen: dict[Site, set[bool] | None] = {}
    known = {n: v for n, v in numbers.items() if isinstance(v, int)}
    last = max((at for at, node in enumerate(kernel.body) if isinstance(node, ast.If)), default=-1)
    body = kernel.body[: last + 1]  # what follows the last branch decides none
    for place in _places(grid) if body else ():
        _Block(known, place, grid, seen).run(body)
    return {site: frozenset(ways) for site, ways in seen.items() if ways is not None}


def _places(grid: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Blocks at both ends of each axis, and spread between them."""
    long = [size for size in grid if size > 1]
    each = max(2, int(MOST_BLOCKS ** (1 / max(1, len(long))) + 1e-9))
    spread = [
        range(size) if size <= each else sorted({i * (size - 1) // (each - 1) for i in range(each)})
        for size in grid
    ]
    return product(*spread)


@lru_cache(maxsize=1024)
def _stored_in(statement: ast.stmt) -> frozenset[str]:
    """Names that a statement assigns: asked of each block, on each set of sizes that is tried."""
    return frozenset(
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )


class _Unknown(Exception):  # noqa: N818
    """A value that cannot be told."""


class _Block:
    """One block's names and what they hold; a name that is not among them is not known."""

    def __init__(
        self,
        numbers: Mapping[str, Any],
        place: Sequence[int],
        grid: Sequence[int],
        seen: dict[Site, set[bool] | None],
    ) -> None:
        self._known: dict[str, Any] = dict(numbers)
        self._place = place
        self._grid = grid
        self._seen = seen

    def run(self, statements: Sequence[ast.stmt]) -> bool:
        """Whether the block goes on behind them."""
        for node in statements:
            if isinstance(node, ast.Return):
                return False
            if isinstance(node, ast.If):
                if not self._branch(node):
                    return False
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self._bind(node.targets[0].id, node.value)
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                name = ast.Name(node.target.id, ast.Load())
                self._bind(node.target.id, ast.BinOp(name, node.op, node.value))
            else:
                self._forget([node])
        return True

    def _branch(self, node: ast.If) -> bool:
        site = site_of(node)
        assert site is not None
        try:
            way = bool(self._value(node.test))
        except (_Unknown, ValueError):
            self._seen[site] = None
            self._forget([*node.body, *node.orelse])
            return True
        ways = self._seen.setdefault(site, set())
        if ways is not None:
            ways.add(way)
        return self.run(node.body if way else node.orelse)

    def _bind(self, name: str, value: ast.expr) -> None:
        try:
            self._known[name] = self._value(value)
        except (_Unknown, ValueError):
            self._known.pop(name, None)

    def _forget(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            for name in _stored_in(statement):
                self._known.pop(name, None)

    def _value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return node.value
        if isinstance(node, ast.Name) and node.id in self._known:
            return self._known[node.id]
        if isinstance(node, ast.BinOp):
            return self._operation(node.op, self._value(node.left), self._value(node.right))
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            left, right = self._value(node.left), self._value(node.comparators[0])
            return self._operation(node.ops[0], left, right)
        if isinstance(node, ast.BoolOp):
            values = [bool(self._value(value)) for value in node.values]
            return all(values) if isinstance(node.op, ast.And) else any(values)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return not self._value(node.operand)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self._value(node.operand)
        if isinstance(node, ast.Call):
            return self._called(node)
        raise _Unknown(type(node).__name__)

    def _operation(self, operator: ast.AST, left: Any, right: Any) -> Any:
        if isinstance(operator, ast.FloorDiv | ast.Mod):
            if np.any(np.equal(right, 0)):
                raise _Unknown("division")
            # Triton rounds towards zero.
            quotient = np.sign(left) * np.sign(right) * (np.abs(left) // np.abs(right))
            return quotient if isinstance(operator, ast.FloorDiv) else left - quotient * right
        function = _OPERATORS.get(type(operator))
        if function is None:
            raise _Unknown(type(operator).__name__)
        return function(left, right)

    def _called(self, node: ast.Call) -> Any:
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        of_module = isinstance(function, ast.Name) or (
            isinstance(function, ast.Attribute)
            and isinstance(function.value, ast.Name)
            and function.value.id in ("tl", "triton")
        )
        if name in _SAME:
            if not of_module and isinstance(function, ast.Attribute):
                return self._value(function.value)
            return self._value(node.args[0]) if node.args else 0
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        values = [self._value(argument) for argument in given]
        if name in ("program_id", "num_programs") and len(values) == 1:
            at = self._place if name == "program_id" else self._grid
            outside = 0 if name == "program_id" else 1
            return at[values[0]] if values[0] < len(at) else outside
        if name == "arange" and len(values) == 2:
            return np.arange(*values, dtype=np.int64)
        if name == "cdiv" and len(values) == 2:
            return self._operation(ast.FloorDiv(), values[0] + values[1] - 1, values[1])
        if name in ("min", "max") and of_module and len(values) == 2 and np.ndim(values[0]) == 1:
            return int(np.min(values[0]) if name == "min" else np.max(values[0]))
        if name in ("minimum", "maximum") and len(values) == 2:
            return (np.minimum if name == "minimum" else np.maximum)(*values)
        raise _Unknown(name)
