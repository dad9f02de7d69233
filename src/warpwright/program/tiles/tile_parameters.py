"""Which compile-time sizes of a kernel are tiles: its blocks or its loops step over them.

A tile may take another power of two and the kernel still covers what it covered: every lane of
`tl.arange(0, BLOCK)` stands behind a multiple of BLOCK, which a number of the block or a counter of
a loop runs through. A block that holds a whole row, `tl.arange(0, C)` with nothing that steps, is
none. All is read off the text, by name and by assignment; what is not of a known form is refused
with the reason.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from warpwright.program.loop_texts import inlined
from warpwright.program.nodes import names_in, rounded_up
from warpwright.program.tiles.block_numbers import BlockNumbers, NumberUses
from warpwright.program.tiles.kernel_names import CDIV, KernelNames
from warpwright.program.tiles.tile_bounds import why_unbounded
from warpwright.program.tiles.tile_cuts import why_cut_matters
from warpwright.program.tiles.tile_steps import TileSteps

_SHAPED = ("tl.zeros", "tl.full", "tl.broadcast_to", "tl.zeros_like")
_HINTS = ("tl.multiple_of", "tl.max_contiguous", "tl.max_constancy")


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
    for name in kernel.names.constants:
        found = kernel.tile(name)
        if isinstance(found, str):
            refused[name] = found
        else:
            tiles[name] = found
    return TileReading(tiles, refused, kernel.numbers.other_uses(tiles))


class _Refused(Exception):  # noqa: N818 - as DoesNotApply: an answer, no error
    """This parameter is no tile that may change; the text says why."""


class _Kernel:
    def __init__(self, node: ast.FunctionDef) -> None:
        self.names = KernelNames(node)
        self.numbers = BlockNumbers(self.names)
        self.loops = TileSteps(self.names)

    def tile(self, name: str) -> TileParameter | str:
        uses = self.names.uses(name)
        if not any(self.names.is_lanes(use) for use in uses):
            return "no lanes are counted up to it"
        try:
            axes, in_loop = self._steps(name, uses)
            if not axes and not in_loop:
                return "nothing steps over it: its block holds a whole row"
            counters = self.loops.multiples(name)
            for use in uses:
                if self.names.is_lanes(use):
                    self._check_lanes(use, name, counters)
        except _Refused as refused:
            return str(refused)
        loops: list[ast.stmt] = [
            loop for loop in self.loops.loops() if self.loops.steps(loop, name)
        ]
        cut = why_cut_matters(
            self.names.node, name, by_blocks=bool(axes), in_loop=in_loop, loops=loops
        )
        if cut is not None:
            return cut
        unbounded = why_unbounded(self.names.node, name, in_loop=in_loop)
        return TileParameter(name, tuple(sorted(axes)), in_loop, unbounded)

    def _steps(self, name: str, uses: list[ast.Name]) -> tuple[set[int], bool]:
        """Axes of the grid and loops that step over it. Raises _Refused for another use."""
        axes: set[int] = set()
        in_loop = False
        for use in uses:
            parent = self.names.parent(use)
            if self.names.is_lanes(use) or self._in_shape(use) or self._is_hint(parent):
                continue
            if isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Mult):
                other = parent.right if parent.left is use else parent.left
                axes |= self._stepped_axes(other, name, parent)
                continue
            if self._is_rounding(use) or self._is_remainder_test(use):
                continue
            if self.loops.is_step(use) or self.loops.is_advance(use, name):
                in_loop = True
                continue
            raise _Refused(f"it is used as `{ast.unparse(parent or use)[:60]}`")
        in_loop = in_loop or any(self.loops.steps(loop, name) for loop in self.loops.loops())
        return axes, in_loop

    def _in_shape(self, use: ast.AST) -> bool:
        parent = self.names.parent(use)
        call = self.names.parent(parent) if isinstance(parent, (ast.Tuple, ast.List)) else parent
        return isinstance(call, ast.Call) and ast.unparse(call.func) in _SHAPED

    def _is_hint(self, parent: ast.AST | None) -> bool:
        call = self.names.parent(parent) if isinstance(parent, (ast.Tuple, ast.List)) else parent
        return isinstance(call, ast.Call) and ast.unparse(call.func) in _HINTS

    def _stepped_axes(self, other: ast.expr, name: str, product: ast.BinOp) -> set[int]:
        """Axes of what a tile is multiplied with: none for the counter of a loop over it."""
        found = self.numbers.axes_of(other)
        if found:
            return set(found)
        if isinstance(other, ast.Name) and other.id in self.loops.counters_of_tiles(name):
            return set()
        if self.loops.is_advance(product, name):
            return set()
        raise _Refused(f"it is used as `{ast.unparse(product)[:60]}`")

    def _is_rounding(self, use: ast.AST) -> bool:
        """In `tl.cdiv(K, B)`, `(K + B - 1) // B`."""
        parent = self.names.parent(use)
        if isinstance(parent, ast.Call) and ast.unparse(parent.func) in CDIV:
            return parent.args[-1] is use
        node: ast.AST | None = use
        for _ in range(3):
            node = self.names.parent(node) if node is not None else None
            if isinstance(node, ast.BinOp) and rounded_up(node) is not None:
                return isinstance(node.right, ast.Name) and node.right.id == getattr(use, "id", "")
        return False

    def _is_remainder_test(self, use: ast.AST) -> bool:
        """In the test of `if K % B == 0:`, whose two branches are read as they are."""
        parent = self.names.parent(use)
        modulo = isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Mod)
        if not modulo or not isinstance(parent, ast.BinOp) or parent.right is not use:
            return False
        compare = self.names.parent(parent)
        return isinstance(compare, ast.Compare) and isinstance(
            self.names.parent(compare), (ast.If, ast.BoolOp)
        )

    def _check_lanes(self, use: ast.Name, name: str, counters: set[str]) -> None:
        """The lanes stand behind a multiple of the tile wherever they are used. Raises _Refused."""
        call = self.names.parent(use)
        assert isinstance(call, ast.Call)
        self._check_based(call, name, counters, 0)

    def _check_based(self, node: ast.AST, name: str, counters: set[str], depth: int) -> None:
        if depth > 6:
            raise _Refused("its lanes go through too many names")
        parent = self.names.parent(node)
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
            node, parent = parent, self.names.parent(parent)
        if isinstance(parent, ast.Expr):
            return  # a hint for itself
        if isinstance(parent, ast.Assign) and len(parent.targets) == 1:
            target = parent.targets[0]
            if isinstance(target, ast.Name):
                if target.id in self.loops.advanced(name):
                    return
                uses = self.names.uses(target.id)
                for inner in uses:
                    self._check_based(inner, name, counters, depth + 1)
                return
        raise _Refused("nothing steps over its lanes")

    def _in_advanced(self, call: ast.AST, name: str) -> bool:
        return any(inner in self.loops.advanced(name) for inner in names_in(call))

    def _has_step(self, node: ast.AST, name: str, counters: set[str]) -> bool:
        """Whether a multiple of the tile is in a sum or a comparison, names looked through."""
        whole = inlined(node, self.names.single) if isinstance(node, ast.expr) else node
        if (names_in(node) | names_in(whole)) & counters:
            return True
        return any(
            isinstance(n, ast.BinOp) and self.loops.is_multiple(n, name) for n in ast.walk(whole)
        )
