"""Whether a tile may reach beyond the end of what it covers: all its accesses are bounded.

A load or store in the lanes of a tile is bounded where its mask compares the lanes with an end.
What a tile sums up must be zero in the lanes beyond the end, or those lanes would count.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from warpwright.program.nodes import names_in
from warpwright.program.tiles.tile_lanes import (
    EXTREMES,
    SUMS,
    TileLanes,
    assigned,
    calls_in,
    is_lanes,
)

DEEPEST = 12  # names that stand for names
_SAME_LANES = (
    "tl.multiple_of", "tl.max_contiguous", "tl.max_constancy", "tl.expand_dims", "tl.broadcast_to",
)  # fmt: skip
_ZERO_OF_ZERO = ("tl.abs", "tl.sqrt", "tl.trans", "tl.broadcast_to", "tl.reshape", "tl.expand_dims")


def why_unbounded(node: ast.FunctionDef, tile: str, *, in_loop: bool) -> str | None:
    """Why a larger tile of that name may be wrong where the kernel as it is is right; or None."""
    return _Bounds(node, tile).fault(in_loop)


class _Bounds:
    def __init__(self, node: ast.FunctionDef, tile: str) -> None:
        self.node = node
        self.tile = tile
        self.lanes = TileLanes(node, tile)
        self.parents = {id(c): p for p in ast.walk(node) for c in ast.iter_child_nodes(p)}
        self.narrowing = {  # `mask &= more` holds for no lane for which the mask did not
            id(n.value)
            for n in ast.walk(node)
            if isinstance(n, ast.AugAssign) and isinstance(n.op, ast.BitAnd)
        }

    def fault(self, in_loop: bool) -> str | None:
        stores_spread = True
        for call in calls_in(self.node):
            path = ast.unparse(call.func)
            writes = path == "tl.store" or path.startswith("tl.atomic")
            if not call.args or not (writes or path == "tl.load"):
                continue
            address = call.args[0]
            if writes:
                stores_spread = stores_spread and self.lanes.index(address)
            # What `index % size` gives is inside whatever the index is; twice stored it is not.
            spread = (
                self.lanes.index(address) if writes else self.lanes.index(address, wrapped=False)
            )
            if spread and not self._bounded(call, 2 if writes else 1):
                return f"no mask bounds its lanes in `{ast.unparse(call)[:60]}`"
        if in_loop or not stores_spread:
            for value in self._summed():
                if not self._counts_nothing(*value):
                    return f"lanes beyond the end would count in `{ast.unparse(value[1])[:60]}`"
        return None

    def _bounded(self, call: ast.Call, position: int) -> bool:
        if self._under_even_test(call):
            return True
        mask = next((k.value for k in call.keywords if k.arg == "mask"), None)
        if mask is None and len(call.args) > position:
            mask = call.args[position]
        if isinstance(mask, ast.Name) and any(
            map(self._is_bounding, self._narrowed(call, mask.id))
        ):
            return True
        return mask is not None and self._is_bounding(mask)

    def _narrowed(self, node: ast.AST, name: str) -> Iterator[ast.expr]:
        """What all holds where a mask does: the last value before, and those that it narrows."""
        while not isinstance(node, ast.stmt):
            node = self.parents[id(node)]
        parent = self.parents[id(node)]
        suites = (getattr(parent, field, None) for field in ("body", "orelse"))
        suite = next((s for s in suites if isinstance(s, list) and node in s), [])
        for before in reversed(suite[: suite.index(node)] if suite else []):
            stored = any(target == name for target, _ in assigned(before))
            if not stored:
                continue
            if isinstance(before, ast.AugAssign) and isinstance(before.op, ast.BitAnd):
                yield before.value
                continue
            if not isinstance(before, ast.Assign) or not isinstance(before.targets[0], ast.Name):
                return
            parts = _parts(before.value)
            yield from (part for part in parts if name not in names_in(part))
            if not any(isinstance(part, ast.Name) and part.id == name for part in parts):
                return

    def _is_bounding(self, mask: ast.expr, depth: int = 0) -> bool:
        """Whether a condition holds for no lane beyond an end, whichever way it was assigned."""
        if depth > DEEPEST:
            return False
        if isinstance(mask, ast.Subscript):
            return self._is_bounding(mask.value, depth + 1)
        if isinstance(mask, ast.Attribute) and mask.attr == "T":
            return self._is_bounding(mask.value, depth + 1)
        if isinstance(mask, ast.Name):
            values = self.lanes.values.get(mask.id, [])
            values = [v for v in values if id(v) not in self.narrowing]
            return bool(values) and all(self._is_bounding(v, depth + 1) for v in values)
        if isinstance(mask, ast.BinOp) and isinstance(mask.op, ast.BitAnd):
            return any(self._is_bounding(s, depth + 1) for s in (mask.left, mask.right))
        if isinstance(mask, ast.BoolOp) and isinstance(mask.op, ast.And):
            return any(self._is_bounding(v, depth + 1) for v in mask.values)
        return isinstance(mask, ast.Compare) and self._is_bound(mask)

    def _is_bound(self, node: ast.Compare) -> bool:
        """`lanes < end`, with an end that no lanes take part in."""
        if len(node.ops) != 1:
            return False
        left, right = node.left, node.comparators[0]
        if isinstance(node.ops[0], (ast.Gt, ast.GtE)):
            left, right = right, left
        elif not isinstance(node.ops[0], (ast.Lt, ast.LtE)):
            return False
        bounds = not self.lanes.of_any(right) and self.lanes.index(left, wrapped=False)
        return bounds and self._grows(left, frozenset())

    def _grows(self, node: ast.expr, seen: frozenset[str]) -> bool:
        """Whether an index is larger the further a lane lies; a remainder (`lanes % 8`) is not."""
        if isinstance(node, ast.Name):
            values = [v for v in self.lanes.values.get(node.id, []) if self.lanes.index(v)]
            inner = seen | {node.id}
            return node.id in seen or (bool(values) and all(self._grows(v, inner) for v in values))
        if isinstance(node, ast.Subscript):
            return self._grows(node.value, seen)
        if isinstance(node, ast.Call):
            if is_lanes(node, self.tile):
                return True
            method = isinstance(node.func, ast.Attribute) and node.func.attr == "to"
            if method and isinstance(node.func, ast.Attribute):
                return self._grows(node.func.value, seen)
            return ast.unparse(node.func) in _SAME_LANES and self._grows(node.args[0], seen)
        if not isinstance(node, ast.BinOp):
            return False
        sides = [s for s in (node.left, node.right) if self.lanes.index(s)]
        if not all(self._grows(side, seen) for side in sides):
            return False
        if isinstance(node.op, ast.Add):
            return bool(sides)
        if isinstance(node.op, ast.Mult):
            below_zero = any(isinstance(n, ast.USub | ast.Sub) for n in ast.walk(node))
            return len(sides) == 1 and not below_zero
        divides = isinstance(node.op, ast.Sub | ast.FloorDiv | ast.RShift)
        return divides and sides == [node.left]

    def _under_even_test(self, node: ast.AST) -> bool:
        """In the branch that `if K % B == 0:` takes where tiles of this size fill all of it."""
        child, parent = node, self.parents.get(id(node))
        while parent is not None:
            if isinstance(parent, ast.If) and any(child is s for s in parent.body):
                tests = parent.test.values if isinstance(parent.test, ast.BoolOp) else [parent.test]
                if not isinstance(getattr(parent.test, "op", None), ast.Or) and any(
                    self._is_even(test) for test in tests
                ):
                    return True
            child, parent = parent, self.parents.get(id(parent))
        return False

    def _is_even(self, test: ast.expr) -> bool:
        return (
            isinstance(test, ast.Compare)
            and isinstance(test.ops[0], ast.Eq)
            and isinstance(test.left, ast.BinOp)
            and isinstance(test.left.op, ast.Mod)
            and isinstance(test.left.right, ast.Name)
            and test.left.right.id == self.tile
            and isinstance(test.comparators[0], ast.Constant)
            and test.comparators[0].value == 0
        )

    def _summed(self) -> Iterator[tuple[str, ast.expr]]:
        """What is reduced or added up over steps in the lanes of the tile, with how."""
        for node in ast.walk(self.node):
            if isinstance(node, ast.Call):
                path = ast.unparse(node.func)
                if path in (*SUMS, *EXTREMES):
                    for argument in node.args[: 2 if path == "tl.dot" else 1]:
                        if self.lanes.value(argument):
                            yield path, argument
            elif isinstance(node, ast.AugAssign) and isinstance(node.op, (ast.Add, ast.Sub)):
                is_address = (
                    isinstance(node.target, ast.Name) and node.target.id in self.lanes.indices
                )
                inner = [n for n in ast.walk(node.value) if isinstance(n, ast.Call)]
                reduced = any(ast.unparse(n.func) in SUMS for n in inner)
                if not is_address and not reduced and self.lanes.value(node.value):
                    yield "tl.sum", node.value

    def _counts_nothing(self, how: str, value: ast.expr) -> bool:
        if how in SUMS:
            return self._is_zero(value)
        sign = {"tl.max": "-", "tl.min": "+"}.get(how)
        return sign is not None and self._is_infinite(value, sign, 0)

    def _is_zero(self, node: ast.expr, depth: int = 0) -> bool:
        """Whether a value is zero in lanes beyond the end, as loads with `other=0` make it."""
        if depth > DEEPEST:
            return False
        again = depth + 1
        if isinstance(node, ast.Name):
            values = self.lanes.values.get(node.id, [])
            return bool(values) and all(self._is_zero(v, again) for v in values)
        if isinstance(node, ast.Constant):
            return node.value == 0 and node.value is not False
        if isinstance(node, ast.Compare):
            return self._is_bounding(node)
        if isinstance(node, ast.Subscript):
            return self._is_zero(node.value, again)
        if isinstance(node, ast.UnaryOp):
            return isinstance(node.op, ast.USub) and self._is_zero(node.operand, again)
        if isinstance(node, ast.BinOp):
            left, right = self._is_zero(node.left, again), self._is_zero(node.right, again)
            if isinstance(node.op, ast.Mult):  # zero times what is not finite is no zero
                return (left and (right or not self.lanes.value(node.right))) or (
                    right and not self.lanes.value(node.left)
                )
            if isinstance(node.op, (ast.Add, ast.Sub)):
                return left and right
            by_one_number = not self.lanes.value(node.right)
            return isinstance(node.op, ast.Div) and left and by_one_number
        return isinstance(node, ast.Call) and self._is_zero_call(node, again)

    def _is_zero_call(self, node: ast.Call, depth: int) -> bool:
        path = ast.unparse(node.func)
        if path == "tl.zeros":
            return True
        if path in ("tl.load", "tl.where"):
            return self._filled(node, _is_zero_constant)
        if path in ("tl.exp", "tl.exp2", "tl.math.exp", "tl.math.exp2"):
            return self._is_infinite(node.args[0], "-", depth)
        if path in ("tl.maximum", "tl.minimum", "tl.fma"):
            return all(self._is_zero(a, depth) for a in node.args)
        if path in _ZERO_OF_ZERO and node.args:
            return self._is_zero(node.args[0], depth)
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("to", "trans", "reshape"):
            return self._is_zero(node.func.value, depth)
        return False

    def _filled(self, node: ast.Call, is_filler: Callable[[ast.expr], bool]) -> bool:
        """A load or `tl.where` that gives such a value beyond the end."""
        if ast.unparse(node.func) == "tl.where":
            return (
                len(node.args) == 3 and self._is_bounding(node.args[0]) and is_filler(node.args[2])
            )
        other = next((k.value for k in node.keywords if k.arg == "other"), None)
        if other is None and len(node.args) > 2:
            other = node.args[2]
        if other is None:
            return self._under_even_test(node)
        return is_filler(other)

    def _is_infinite(self, node: ast.expr, sign: str, depth: int) -> bool:
        """Whether a value is an infinity of that sign in lanes beyond the end."""
        if depth > DEEPEST:
            return False
        again = depth + 1
        if isinstance(node, ast.Name):
            values = self.lanes.values.get(node.id, [])
            return bool(values) and all(self._is_infinite(v, sign, again) for v in values)
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
            return self._is_infinite(node.left, sign, again)
        if not isinstance(node, ast.Call):
            return False
        if isinstance(node.func, ast.Attribute) and node.func.attr == "to":
            return self._is_infinite(node.func.value, sign, again)
        if ast.unparse(node.func) in ("tl.load", "tl.where"):
            return self._filled(node, lambda other: _is_infinity(other, sign))
        return False


def _parts(mask: ast.expr) -> list[ast.expr]:
    if isinstance(mask, ast.BinOp) and isinstance(mask.op, ast.BitAnd):
        return [*_parts(mask.left), *_parts(mask.right)]
    return [mask]


def _is_zero_constant(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 0


def _is_infinity(node: ast.expr, sign: str) -> bool:
    text = ast.unparse(node).replace(" ", "").replace('"', "'")
    plus = text in ("float('inf')", "float('+inf')", "math.inf")
    minus = text in ("-float('inf')", "float('-inf')", "-math.inf")
    return minus if sign == "-" else plus
