"""Which compile-time sizes of a kernel are tiles: its blocks or its loops step over them.

A tile may take another power of two and the kernel still covers what it covered: every lane of
`tl.arange(0, BLOCK)` stands behind a multiple of BLOCK, which a number of the block or a counter of
a loop runs through. A block that holds a whole row, `tl.arange(0, C)` with nothing that steps, is
none. All is read off the text, by name and by assignment; what is not of a known form is refused
with the reason.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from warpwright.program.loop_texts import inlined, single_assignments
from warpwright.program.nodes import names_in, rounded_up
from warpwright.program.tiles.tile_bounds import why_unbounded
from warpwright.program.tiles.tile_cuts import why_cut_matters

_SHAPED = ("tl.zeros", "tl.full", "tl.broadcast_to", "tl.zeros_like")
_HINTS = ("tl.multiple_of", "tl.max_contiguous", "tl.max_constancy")
_RANGES = ("range", "tl.range", "tl.static_range")
_CDIV = ("tl.cdiv", "triton.cdiv", "cdiv")


@dataclass(frozen=True, slots=True)
class TileParameter:
    """A size that may change. `axes`: those of the grid whose blocks step over it.

    `in_loop`: a loop steps over it. `no_growth`: why only a divisor of the parent's size is right
    wherever the parent is. None where every access in its lanes is bounded, and what it sums up is
    zero beyond the end, so that a tile may reach further beyond it than the parent's does.
    """

    name: str
    axes: tuple[int, ...]
    in_loop: bool
    no_growth: str | None


@dataclass(frozen=True, slots=True)
class NumberUses:
    """How the numbers of blocks along one axis of the grid are used beside stepping over tiles.

    `raw`: the number itself, or a remainder of it. `quotient`: the number divided.
    """

    raw: bool = False
    quotient: bool = False


@dataclass(frozen=True, slots=True)
class TileReading:
    """Tile parameters, why the others are none, and other uses of numbers of blocks by axis."""

    tiles: Mapping[str, TileParameter]
    refused: Mapping[str, str]
    numbers: Mapping[int, NumberUses]


def read_tiles(node: ast.FunctionDef) -> TileReading:
    """The tiles among the `tl.constexpr` parameters of a kernel in the plain spelling."""
    kernel = _Kernel(node)
    tiles: dict[str, TileParameter] = {}
    refused: dict[str, str] = {}
    for name in kernel.constants:
        found = kernel.tile(name)
        if isinstance(found, str):
            refused[name] = found
        else:
            tiles[name] = found
    return TileReading(tiles, refused, kernel.number_uses(tiles))


class _Refused(Exception):  # noqa: N818 - as DoesNotApply: an answer, no error
    """This parameter is no tile that may change; the text says why."""


class _Kernel:
    def __init__(self, node: ast.FunctionDef) -> None:
        self.node = node
        self.single = single_assignments(node)
        self.parents = {id(c): p for p in ast.walk(node) for c in ast.iter_child_nodes(p)}
        self.constants = [
            a.arg
            for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            if a.annotation is not None and ast.unparse(a.annotation).endswith("constexpr")
        ]
        self.assigned = _assignments(node)
        self.numbers = self._block_numbers()

    def parent(self, node: ast.AST) -> ast.AST | None:
        return self.parents.get(id(node))

    def uses(self, name: str) -> list[ast.Name]:
        return [
            n
            for statement in self.node.body
            for n in ast.walk(statement)
            if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)
        ]

    # ---- numbers of blocks

    def _block_numbers(self) -> dict[str, frozenset[int]]:
        """Names that hold a number of blocks or blocks' numbers → the axes that they come from."""
        found: dict[str, frozenset[int]] = {}
        for _ in range(8):
            before = dict(found)
            for name, values in self.assigned.items():
                axes = [self._axes_of(value, found) for value in values]
                if values and all(a is not None for a in axes):
                    found[name] = frozenset().union(*(a for a in axes if a is not None))
            if found == before:
                break
        return {name: axes for name, axes in found.items() if axes}

    def _axes_of(
        self, node: ast.expr | None, known: Mapping[str, frozenset[int]]
    ) -> frozenset[int] | None:
        """Axes of the grid in an expression of blocks' numbers and counts alone; None for another.

        Counts of blocks and plain numbers have none of them.
        """
        if isinstance(node, ast.Name):
            if node.id in known:
                return known[node.id]
            return frozenset() if node.id in self.constants or self._is_count(node) else None
        if isinstance(node, ast.Constant):
            return frozenset() if isinstance(node.value, int) else None
        if isinstance(node, ast.Call):
            path = ast.unparse(node.func)
            if path == "tl.program_id":
                return frozenset({_axis(node)})
            if path in _CDIV or path == "tl.num_programs":
                return frozenset()
            if path in ("min", "tl.minimum", "max", "tl.maximum"):
                return _union(self._axes_of(a, known) for a in node.args)
            if isinstance(node.func, ast.Attribute) and node.func.attr == "to":
                return self._axes_of(node.func.value, known)
            return None
        if isinstance(node, ast.BinOp):
            if rounded_up(node) is not None:
                return frozenset()
            if any(n in self.constants for n in names_in(node) - known.keys()) and isinstance(
                node.op, ast.Mult
            ):
                sides = (node.left, node.right)
                if any(isinstance(s, ast.Name) and self._steps_by(s.id) for s in sides):
                    return None  # a multiple of a tile is an index, no number of a block
            return _union((self._axes_of(node.left, known), self._axes_of(node.right, known)))
        return None

    def _steps_by(self, name: str) -> bool:
        """Whether lanes are counted up to this constant."""
        return any(self._is_lanes(use) for use in self.uses(name))

    def _is_count(self, node: ast.Name) -> bool:
        value = self.single.get(node.id)
        if value is None:
            return False
        if isinstance(value, ast.Call):
            return ast.unparse(value.func) in _CDIV
        if not isinstance(value, ast.BinOp):
            return False
        return rounded_up(value) is not None or (
            isinstance(value.op, ast.Mult)
            and all(self._counts(side) for side in (value.left, value.right))
        )

    def _counts(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Name):
            return node.id in self.constants or self._is_count(node)
        return isinstance(node, ast.Constant)

    def number_uses(self, tiles: Mapping[str, TileParameter]) -> dict[int, NumberUses]:
        """What else the numbers of blocks are used for, by axis."""
        found: dict[int, NumberUses] = {}
        for name, axes in self.numbers.items():
            loose = [use for use in self.uses(name) if not self._is_inner(use, tiles)]
            if not loose:
                continue
            divided = all(_is_quotient(value) for value in self.assigned[name])
            for axis in axes:
                old = found.get(axis, NumberUses())
                found[axis] = NumberUses(old.raw or not divided, old.quotient or divided)
        for call in self._calls("tl.program_id"):
            parent = self.parent(call)
            named = isinstance(parent, (ast.Assign, ast.AnnAssign))
            inner = isinstance(parent, ast.BinOp) and self._factor(call, tiles)
            if not named and not inner and not self._defines_number(call):
                found[_axis(call)] = NumberUses(raw=True, quotient=True)
        return found

    def _calls(self, path: str) -> Iterator[ast.Call]:
        for n in ast.walk(self.node):
            if isinstance(n, ast.Call) and ast.unparse(n.func) == path:
                yield n

    def _is_inner(self, use: ast.AST, tiles: Mapping[str, TileParameter]) -> bool:
        """A use that makes another number of a block, steps over a tile, or compares."""
        return self._factor(use, tiles) or self._defines_number(use)

    def _factor(self, use: ast.AST, tiles: Mapping[str, TileParameter]) -> bool:
        parent = self.parent(use)
        if not isinstance(parent, ast.BinOp) or not isinstance(parent.op, ast.Mult):
            return False
        other = parent.right if parent.left is use else parent.left
        return isinstance(other, ast.Name) and other.id in tiles

    def _defines_number(self, use: ast.AST) -> bool:
        node: ast.AST | None = use
        while node is not None and not isinstance(node, ast.stmt):
            node = self.parent(node)
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            return isinstance(target, ast.Name) and target.id in self.numbers
        return False

    # ---- one parameter

    def tile(self, name: str) -> TileParameter | str:
        uses = self.uses(name)
        if not any(self._is_lanes(use) for use in uses):
            return "no lanes are counted up to it"
        try:
            axes, in_loop = self._steps(name, uses)
            if not axes and not in_loop:
                return "nothing steps over it: its block holds a whole row"
            counters = self._counters(name)
            for use in uses:
                if self._is_lanes(use):
                    self._check_lanes(use, name, counters)
        except _Refused as refused:
            return str(refused)
        loops: list[ast.stmt] = [loop for loop in self._loops() if self._loop_steps(loop, name)]
        cut = why_cut_matters(self.node, name, by_blocks=bool(axes), in_loop=in_loop, loops=loops)
        if cut is not None:
            return cut
        unbounded = why_unbounded(self.node, name, in_loop=in_loop)
        return TileParameter(name, tuple(sorted(axes)), in_loop, unbounded)

    def _is_lanes(self, use: ast.AST) -> bool:
        call = self.parent(use)
        return (
            isinstance(call, ast.Call)
            and ast.unparse(call.func) == "tl.arange"
            and len(call.args) == 2
            and call.args[1] is use
            and isinstance(call.args[0], ast.Constant)
            and call.args[0].value == 0
        )

    def _steps(self, name: str, uses: list[ast.Name]) -> tuple[set[int], bool]:
        """Axes of the grid and loops that step over it. Raises _Refused for another use."""
        axes: set[int] = set()
        in_loop = False
        for use in uses:
            parent = self.parent(use)
            if self._is_lanes(use) or self._in_shape(use) or self._is_hint(parent):
                continue
            if isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Mult):
                other = parent.right if parent.left is use else parent.left
                axes |= self._stepped_axes(other, name, parent)
                continue
            if self._is_rounding(use) or self._is_remainder_test(use):
                continue
            if self._is_step_of_a_loop(use) or self._is_advance(use, name):
                in_loop = True
                continue
            raise _Refused(f"it is used as `{ast.unparse(parent or use)[:60]}`")
        in_loop = in_loop or any(self._loop_steps(loop, name) for loop in self._loops())
        return axes, in_loop

    def _in_shape(self, use: ast.AST) -> bool:
        parent = self.parent(use)
        call = self.parent(parent) if isinstance(parent, (ast.Tuple, ast.List)) else parent
        return isinstance(call, ast.Call) and ast.unparse(call.func) in _SHAPED

    def _is_hint(self, parent: ast.AST | None) -> bool:
        call = self.parent(parent) if isinstance(parent, (ast.Tuple, ast.List)) else parent
        return isinstance(call, ast.Call) and ast.unparse(call.func) in _HINTS

    def _stepped_axes(self, other: ast.expr, name: str, product: ast.BinOp) -> set[int]:
        """Axes of what a tile is multiplied with: none for the counter of a loop over it."""
        found = self._axes_of(other, self.numbers)
        if found:
            return set(found)
        if isinstance(other, ast.Name) and other.id in self._block_counters(name):
            return set()
        if self._is_advance(product, name):
            return set()
        raise _Refused(f"it is used as `{ast.unparse(product)[:60]}`")

    def _is_rounding(self, use: ast.AST) -> bool:
        """In `tl.cdiv(K, B)`, `(K + B - 1) // B`."""
        parent = self.parent(use)
        if isinstance(parent, ast.Call) and ast.unparse(parent.func) in _CDIV:
            return parent.args[-1] is use
        node: ast.AST | None = use
        for _ in range(3):
            node = self.parent(node) if node is not None else None
            if isinstance(node, ast.BinOp) and rounded_up(node) is not None:
                return isinstance(node.right, ast.Name) and node.right.id == getattr(use, "id", "")
        return False

    def _is_remainder_test(self, use: ast.AST) -> bool:
        """In the test of `if K % B == 0:`, whose two branches are read as they are."""
        parent = self.parent(use)
        modulo = isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Mod)
        if not modulo or not isinstance(parent, ast.BinOp) or parent.right is not use:
            return False
        compare = self.parent(parent)
        return isinstance(compare, ast.Compare) and isinstance(
            self.parent(compare), (ast.If, ast.BoolOp)
        )

    def _loops(self) -> list[ast.For | ast.While]:
        return [n for n in ast.walk(self.node) if isinstance(n, (ast.For, ast.While))]

    def _is_step_of_a_loop(self, use: ast.AST) -> bool:
        call = self.parent(use)
        return (
            isinstance(call, ast.Call)
            and ast.unparse(call.func) in _RANGES
            and len(call.args) == 3
            and call.args[2] is use
        )

    def _loop_steps(self, loop: ast.For | ast.While, name: str) -> bool:
        """Whether a loop runs from 0 over tiles of this size: by index, by count or by `while`."""
        if isinstance(loop, ast.While):
            return self._while_counter(loop, name) is not None
        call = loop.iter
        if not isinstance(call, ast.Call) or ast.unparse(call.func) not in _RANGES:
            return False
        if len(call.args) == 3:
            step = call.args[2]
            return isinstance(step, ast.Name) and step.id == name
        return _starts_at_zero(call) and self._is_count_of(call.args[-1], name)

    def _is_count_of(self, node: ast.expr, name: str) -> bool:
        value = inlined(node, self.single)
        if isinstance(value, ast.Call) and ast.unparse(value.func) in _CDIV:
            divisor: ast.expr = value.args[-1]
        elif isinstance(value, ast.BinOp) and rounded_up(value) is not None:
            divisor = value.right
        else:
            return False
        return isinstance(divisor, ast.Name) and divisor.id == name

    def _while_counter(self, loop: ast.While, name: str) -> str | None:
        test = loop.test
        if not (
            isinstance(test, ast.Compare)
            and len(test.ops) == 1
            and isinstance(test.ops[0], ast.Lt)
            and isinstance(test.left, ast.Name)
        ):
            return None
        for inner in ast.walk(loop):
            if (
                isinstance(inner, ast.AugAssign)
                and isinstance(inner.op, ast.Add)
                and isinstance(inner.target, ast.Name)
                and inner.target.id == test.left.id
                and isinstance(inner.value, ast.Name)
                and inner.value.id == name
            ):
                return test.left.id
        return None

    def _block_counters(self, name: str) -> set[str]:
        """Variables that count tiles of this size: `for k in range(tl.cdiv(K, B))`."""
        return {
            loop.target.id
            for loop in self._loops()
            if isinstance(loop, ast.For)
            and isinstance(loop.target, ast.Name)
            and isinstance(loop.iter, ast.Call)
            and len(loop.iter.args) < 3
            and self._loop_steps(loop, name)
        }

    def _counters(self, name: str) -> set[str]:
        """Names that are a multiple of the tile: indices of loops over it, `pid * B` and such."""
        found = {
            loop.target.id
            for loop in self._loops()
            if isinstance(loop, ast.For)
            and isinstance(loop.target, ast.Name)
            and isinstance(loop.iter, ast.Call)
            and len(loop.iter.args) == 3
            and self._loop_steps(loop, name)
        }
        whiles = (self._while_counter(w, name) for w in self._loops() if isinstance(w, ast.While))
        found |= {counter for counter in whiles if counter is not None}
        for assigned, values in self.assigned.items():
            if values and all(v is not None and self._is_multiple(v, name) for v in values):
                found.add(assigned)
        return found

    def _is_multiple(self, node: ast.expr, name: str) -> bool:
        return (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Mult)
            and any(isinstance(s, ast.Name) and s.id == name for s in (node.left, node.right))
        )

    def _is_advance(self, use: ast.AST, name: str) -> bool:
        """In `pointers += B * stride` of a loop over tiles of this size."""
        node: ast.AST | None = use
        while node is not None and not isinstance(node, ast.stmt):
            if not isinstance(node, (ast.BinOp, ast.Name)):
                return False
            node = self.parent(node)
        statement = node
        loop = self.parent(node) if node is not None else None
        if not isinstance(loop, (ast.For, ast.While)) or not self._loop_steps(loop, name):
            return False
        if isinstance(statement, ast.AugAssign):
            return isinstance(statement.op, ast.Add) and _one_product(statement.value, name)
        return (
            isinstance(statement, ast.Assign)
            and isinstance(statement.value, ast.BinOp)
            and isinstance(statement.value.op, ast.Add)
            and isinstance(statement.value.left, ast.Name)
            and isinstance(statement.targets[0], ast.Name)
            and statement.value.left.id == statement.targets[0].id
            and _one_product(statement.value.right, name)
        )

    def _advanced(self, name: str) -> set[str]:
        """Pointers (and indices) that a loop over tiles moves on by one tile."""
        found = set()
        for use in self.uses(name):
            node: ast.AST | None = use
            while node is not None and not isinstance(node, ast.stmt):
                node = self.parent(node)
            if self._is_advance(use, name):
                if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                    found.add(node.target.id)
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    found.add(node.targets[0].id)
        return found

    def _check_lanes(self, use: ast.Name, name: str, counters: set[str]) -> None:
        """The lanes stand behind a multiple of the tile wherever they are used. Raises _Refused."""
        call = self.parent(use)
        assert isinstance(call, ast.Call)
        self._check_based(call, name, counters, 0)

    def _check_based(self, node: ast.AST, name: str, counters: set[str], depth: int) -> None:
        if depth > 6:
            raise _Refused("its lanes go through too many names")
        parent = self.parent(node)
        while isinstance(parent, (ast.BinOp, ast.Subscript, ast.Call, ast.Compare)):
            if isinstance(parent, ast.BinOp):
                if isinstance(parent.op, ast.Add) and self._has_step(parent, name, counters):
                    return
                if not isinstance(parent.op, (ast.Add, ast.Mult, ast.BitAnd)):
                    raise _Refused(f"its lanes are used as `{ast.unparse(parent)[:60]}`")
            elif isinstance(parent, ast.Compare):
                if self._has_step(parent, name, counters):
                    return
                raise _Refused(f"its lanes are compared in `{ast.unparse(parent)[:60]}`")
            elif isinstance(parent, ast.Call) and ast.unparse(parent.func) not in _HINTS:
                if self._in_advanced(parent, name):
                    return
                raise _Refused(f"nothing steps over its lanes in `{ast.unparse(parent)[:60]}`")
            node, parent = parent, self.parent(parent)
        if isinstance(parent, ast.Expr):
            return  # a hint for itself
        if isinstance(parent, ast.Assign) and len(parent.targets) == 1:
            target = parent.targets[0]
            if isinstance(target, ast.Name):
                if target.id in self._advanced(name):
                    return
                uses = self.uses(target.id)
                for inner in uses:
                    self._check_based(inner, name, counters, depth + 1)
                return
        raise _Refused("nothing steps over its lanes")

    def _in_advanced(self, call: ast.AST, name: str) -> bool:
        return any(inner in self._advanced(name) for inner in names_in(call))

    def _has_step(self, node: ast.AST, name: str, counters: set[str]) -> bool:
        """Whether a multiple of the tile is in a sum or a comparison, names looked through."""
        whole = inlined(node, self.single) if isinstance(node, ast.expr) else node
        if (names_in(node) | names_in(whole)) & counters:
            return True
        return any(isinstance(n, ast.BinOp) and self._is_multiple(n, name) for n in ast.walk(whole))


def _assignments(node: ast.FunctionDef) -> dict[str, list[ast.expr | None]]:
    """Everything that each name is assigned; None for a value that is no plain expression."""
    found: dict[str, list[ast.expr | None]] = {}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Assign):
            for target in inner.targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append(inner.value)
                else:
                    for part in ast.walk(target):
                        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                            found.setdefault(part.id, []).append(None)
        elif isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
            found.setdefault(inner.target.id, []).append(inner.value)
        elif isinstance(inner, (ast.AugAssign, ast.For)) and isinstance(inner.target, ast.Name):
            found.setdefault(inner.target.id, []).append(None)
    return found


def _axis(call: ast.Call) -> int:
    values = [*call.args, *(k.value for k in call.keywords)]
    axis = values[0].value if values and isinstance(values[0], ast.Constant) else None
    return axis if isinstance(axis, int) else -1


def _union(
    parts: Iterator[frozenset[int] | None] | tuple[frozenset[int] | None, ...],
) -> frozenset[int] | None:
    found: frozenset[int] = frozenset()
    for part in parts:
        if part is None:
            return None
        found |= part
    return found


def _is_quotient(value: ast.expr | None) -> bool:
    return isinstance(value, ast.BinOp) and isinstance(value.op, ast.FloorDiv)


def _starts_at_zero(call: ast.Call) -> bool:
    first = call.args[0]
    return len(call.args) == 1 or (isinstance(first, ast.Constant) and first.value == 0)


def _one_product(value: ast.expr, name: str) -> bool:
    """`B`, `B * stride`, `stride * B`: the tile once, and nothing added."""
    if isinstance(value, ast.BinOp):
        if not isinstance(value.op, ast.Mult):
            return False
        sides = [value.left, value.right]
        return sum(name in names_in(side) for side in sides) == 1 and all(
            name not in names_in(side) or _one_product(side, name) for side in sides
        )
    return isinstance(value, ast.Name) and value.id == name
