"""The lines of a loop that takes a block of elements a step, from one that takes one."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from warpwright.program.nodes import clone
from warpwright.proposers.rewrites.common.kernel_text import KernelText, loaded_names
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.statement_text import INDENT, indented, laid_out, parsed
from warpwright.proposers.rewrites.common.value_axes import Shape, shape_of
from warpwright.proposers.rewrites.outer.nests import free_name
from warpwright.proposers.rewrites.outer.outer_axes import FIRST, LAST, Axes, also_masked, checked
from warpwright.proposers.rewrites.vectorize.block_steps import BlockBody, BlockStep, body_of
from warpwright.proposers.rewrites.vectorize.combining import Combiner, Terms
from warpwright.proposers.rewrites.vectorize.serial_loop import SerialLoop

Line = tuple[int, list[str]]
"""Lines of the new loop, and the line of the old one that they come from."""
_STORED_WITH = ("pointer", "value", "mask")
_HINTS_OF_A_STORE = frozenset({"cache_modifier", "eviction_policy"})
_SMALL = 64


@dataclass(frozen=True, slots=True)
class Plan:
    """What the new loop is made with: `block` elements a step; `types`: of each carried value its
    type as text and whether it has a fraction; `names`: new ones for those that others have too;
    `helpers`: the functions that scans of extremes are given; `taken`: names that are in use."""

    block: int
    types: Mapping[str, tuple[str, bool]]
    names: Mapping[str, str]
    helpers: dict[str, str]
    taken: set[str]


@dataclass(frozen=True, slots=True)
class _Value:
    """An expression for a block. `rows`: it has the lanes that the kernel had before; `varies`:
    it has the elements of the block, as its last axis."""

    node: ast.expr
    rows: bool
    varies: bool


class BlockLoop:
    """Writes `loop` anew, in at most `columns` columns. `shapes`: the forms of names before it.

    Values of one element become vectors of elements; vectors become tiles, elements last.
    """

    def __init__(
        self, loop: SerialLoop, kernel: KernelText, shapes: Mapping[str, Shape], plan: Plan,
        columns: int,
    ) -> None:  # fmt: skip
        self._loop, self._kernel, self._plan = loop, kernel, plan
        self._columns = columns - len(INDENT)
        self._shapes = dict(shapes)
        self._step, self._lane, self._inside = (
            free_name(name, plan.taken) for name in ("first", "lane", "inside")
        )
        self._variable = plan.names.get(loop.variable, loop.variable)
        self._shapes[self._variable] = Shape.SCALAR
        self._lanes, self._tiles = {self._variable}, set[str]()
        self._combiner = Combiner(kernel, self._lane, plan.block, plan.helpers)

    def lines(self, comments: Sequence[tuple[int, str]]) -> list[str]:
        """The new loop. Raises DoesNotApply where its body cannot be computed lane by lane."""
        body = body_of(self._loop, self._plan.names, self._plan.taken)
        written: list[Line] = [(self._loop.statement.lineno, self._head(body))]
        written += [(step.line, self._written(step)) for step in body.steps]
        last = self._loop.statement.end_lineno or 0
        for advanced in self._loop.advanced:
            amount = ast.unparse(_times(self._plan.block, advanced.amount))
            written.append((last, [f"{advanced.name} += {amount}"]))
        return [self._header(), *indented(_commented(written, comments), INDENT)]

    def _header(self) -> str:
        loop = self._loop
        bounds = [ast.unparse(loop.start), ast.unparse(loop.stop)]
        bounds.append(str(loop.step * self._plan.block))
        bounds += [f"{option.arg}={ast.unparse(option.value)}" for option in loop.options]
        called = self._kernel.builtin("range") if loop.options else "range"
        return f"for {self._step} in {called}({', '.join(bounds)}):"

    def _head(self, body: BlockBody) -> list[str]:
        """What all lines below need: the lanes, their elements, which of them are in the loop."""
        loop, arange = self._loop, self._kernel.builtin("arange")
        sign, size = ("-" if loop.step < 0 else "+"), abs(loop.step)
        lanes = self._lane if size == 1 else f"{size} * {self._lane}"
        order = ast.Gt() if loop.step < 0 else ast.Lt()
        inside = ast.Compare(ast.Name(self._variable), [order], [loop.stop])
        head = [
            f"{self._lane} = {arange}(0, {self._plan.block})",
            f"{self._variable} = {self._step} {sign} {lanes}",
            f"{self._inside} = {ast.unparse(inside)}",
        ]
        for advanced in loop.advanced:
            head.append(self._advanced(advanced.name, advanced.amount, body.lanes[advanced.name]))
        return head

    def _advanced(self, name: str, amount: ast.expr, lanes: str) -> str:
        """What each element of the block finds in a value that every step moves on."""
        shape = self._shapes.get(name, Shape.UNKNOWN)
        if shape not in (Shape.SCALAR, Shape.VECTOR):
            raise DoesNotApply(f"the form of {name} is not known")
        if shape_of(amount, self._shapes) is not Shape.SCALAR:
            raise DoesNotApply(f"{name} moves on by a vector")
        self._shapes[lanes] = shape
        (self._tiles if shape is Shape.VECTOR else self._lanes).add(lanes)
        count = self._lane
        small = isinstance(amount, ast.Constant) and type(amount.value) is int
        if not small or amount.value > _SMALL:  # type: ignore[attr-defined]
            count += f".to({self._kernel.builtin('int64')})"
        moved = ast.unparse(ast.BinOp(parsed(count), ast.Mult(), amount))
        if small and amount.value == 1:  # type: ignore[attr-defined]
            moved = count
        if shape is Shape.VECTOR:
            return f"{lanes} = {name}{FIRST} + ({moved}){LAST}"
        return f"{lanes} = {name} + {moved}"

    def _written(self, step: BlockStep) -> list[str]:
        if step.combined is not None:
            return self._combined(step)
        if step.name is None:
            return self._stored(step.value)
        value = self._of(step.value)
        self._shapes[step.name] = Shape.VECTOR if value.rows else Shape.SCALAR
        self._lanes.discard(step.name)
        self._tiles.discard(step.name)
        if value.varies:
            (self._tiles if value.rows else self._lanes).add(step.name)
        return laid_out(f"{step.name} = ", value.node, "", self._columns)

    def _combined(self, step: BlockStep) -> list[str]:
        """The terms of a block put together, and what its elements read of the value."""
        whole = step.combined
        assert whole is not None
        shape = self._shapes.get(whole.name, Shape.UNKNOWN)
        tile = shape is Shape.VECTOR
        term = self._of(whole.update.term)
        if shape not in (Shape.SCALAR, Shape.VECTOR) or term.rows is not tile or not term.varies:
            raise DoesNotApply(f"{whole.name} has another form than what it is combined with")
        if tile and whole.before is not None:
            raise DoesNotApply(f"the vector {whole.name} is read before it is combined")
        inside = self._also_inside(whole.update.only_if, tile=tile)
        for name in (whole.before, whole.after):
            if name is not None:
                self._shapes[name] = shape
                (self._tiles if tile else self._lanes).add(name)
        type_text, floating = self._plan.types[whole.name]
        terms = Terms(term.node, inside, type_text, floating, tile, whole.update.apart)
        return self._combiner.lines(whole, terms, self._plan.taken, self._columns)

    def _stored(self, call: ast.expr) -> list[str]:
        assert isinstance(call, ast.Call)
        parts = dict(zip(_STORED_WITH, call.args, strict=False))
        parts |= {str(k.arg): k.value for k in call.keywords if k.arg in _STORED_WITH}
        hints = [k for k in call.keywords if k.arg not in _STORED_WITH]
        plain = {k.arg for k in hints} <= _HINTS_OF_A_STORE and len(call.args) <= 3
        if not plain or not {"pointer", "value"} <= set(parts):
            raise DoesNotApply(f"{ast.unparse(call)} is no plain store")
        pointer, value = self._of(parts["pointer"]), self._of(parts["value"])
        if not pointer.varies:
            raise DoesNotApply("every step writes to the same place")
        if value.rows and not pointer.rows:
            raise DoesNotApply("a vector is stored at one address")
        mask = self._also_inside(parts.get("mask"), tile=pointer.rows)
        stored = self._spread(value, tile=pointer.rows)
        new = ast.Call(call.func, [pointer.node, stored], [ast.keyword("mask", mask), *hints])
        return laid_out("", new, "", self._columns)

    def _also_inside(self, condition: ast.expr | None, *, tile: bool) -> ast.expr:
        """A condition, for the elements that are in the loop."""
        inside = parsed(self._inside + (LAST if tile else ""))
        if condition is None:
            return inside
        value = self._of(condition)
        if value.rows and not tile:
            raise DoesNotApply(f"{ast.unparse(condition)} has another form than what it is for")
        return ast.BinOp(self._spread(value, tile=tile), ast.BitAnd(), inside)

    def _spread(self, value: _Value, *, tile: bool) -> ast.expr:
        """A value with the axes of a tile, where it has one axis of it."""
        if not tile or value.rows is value.varies:
            return value.node
        return parsed(f"({ast.unparse(value.node)}){FIRST if value.rows else LAST}")

    def _of(self, node: ast.expr) -> _Value:
        """An expression of one step as one of a block."""
        value = clone(node)
        changed = self._lanes | self._tiles
        checked(value, self._shapes, changed)
        shape = shape_of(value, self._shapes)
        if shape not in (Shape.SCALAR, Shape.VECTOR):
            raise DoesNotApply(f"the form of {ast.unparse(node)} is not known")
        rows = shape is Shape.VECTOR
        if not set(loaded_names([value])) & changed:
            return _Value(value, rows, False)
        if rows:
            value = Axes(self._shapes, self._tiles, self._lanes, FIRST, LAST).visit(value)
        also_masked(value, self._inside + (LAST if rows else ""), changed, cleared=False)
        return _Value(value, rows, True)


def _times(count: int, amount: ast.expr) -> ast.expr:
    if isinstance(amount, ast.Constant) and type(amount.value) is int:
        return ast.Constant(count * amount.value)
    return ast.BinOp(ast.Constant(count), ast.Mult(), amount)


def _commented(body: Sequence[Line], comments: Sequence[tuple[int, str]]) -> list[str]:
    """The lines, each comment before those that come from its line or a later one."""
    lines: list[str] = []
    rest = list(comments)
    for place, (line, written) in enumerate(body):
        while rest and (rest[0][0] <= line or place == len(body) - 1):
            lines.append(rest.pop(0)[1])
        lines += written
    return lines
