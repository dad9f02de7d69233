"""The body of a sum of outer products, written on lanes of terms.

Every value that depends on the loop variable that becomes lanes gets an axis more: the left operand
is [rows, terms] (or [terms, rows]), the right one [terms, columns].
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from warpwright.program.nodes import clone
from warpwright.proposers.rewrites.common.kernel_text import KernelText
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.statement_text import INDENT, indented, laid_out, parsed
from warpwright.proposers.rewrites.common.value_axes import Shape, new_axes, shape_of
from warpwright.proposers.rewrites.outer.arithmetic import (
    number,
    product,
    quotient,
    remainder,
    total,
)
from warpwright.proposers.rewrites.outer.nests import Nest, NestStep, free_name
from warpwright.proposers.rewrites.outer.outer_axes import FIRST, LAST, Axes, also_masked, checked

Line = tuple[int, list[str]]
"""Lines of the new loop, and the line of the old one that they come from."""


class TiledBody:
    """Writes the loop of `nest` anew, in at most `columns` columns.

    `shapes`: the forms of all names, those of the nest included. `terms_first`: the left operand is
    loaded as [terms, rows]. `comments`: those of the old loop that the new one keeps, with lines.
    """

    def __init__(
        self,
        nest: Nest,
        kernel: KernelText,
        shapes: dict[str, Shape],
        width: int,
        columns: int,
        *,
        terms_first: bool,
        comments: Sequence[tuple[int, str]] = (),
    ) -> None:
        self._nest, self._kernel, self._width = nest, kernel, width
        self._shapes, self._columns, self._comments = shapes, columns - len(INDENT), comments
        self._terms_first = terms_first
        self._left, self._right = _operands(nest, shapes)
        taken = {node.id for node in ast.walk(kernel.node) if isinstance(node, ast.Name)}
        taken |= {parameter.arg for parameter in kernel.parameters} | nest.own
        self._step, self._term, self._inside = (
            free_name(name, taken) for name in ("step", "term", "inside")
        )

    def by(self, lanes: str) -> list[str]:
        """The loop with one variable as lanes; a step's other variables are scalars."""
        counts = [
            quotient(loop.extent, number(self._width)) if loop.variable == lanes else loop.extent
            for loop in self._nest.loops
        ]
        head: list[str] = []
        for name, value in self._decoded(counts, self._step):
            if name == lanes:
                first = product([value, number(self._width)])
                first = number(0) if ast.unparse(value) == "0" else first
                value = total(first, self._arange())
            head += laid_out(f"{name} = ", value, "", self._columns)
        return self._loop(product(counts), head, {lanes}, None)

    def flat(self) -> list[str]:
        """The loop with all variables decoded from one index of lanes, the last step masked."""
        extents = [loop.extent for loop in self._nest.loops]
        whole, width = product(extents), number(self._width)
        first = product([ast.Name(self._step), width])
        head = laid_out(f"{self._term} = ", total(first, self._arange()), "", self._columns)
        head += [f"{self._inside} = {self._term} < {ast.unparse(whole)}"]
        for name, value in self._decoded(extents, self._term):
            head += laid_out(f"{name} = ", value, "", self._columns)
        cdiv = parsed(self._kernel.builtin("cdiv"))
        lanes = {loop.variable for loop in self._nest.loops}
        return self._loop(ast.Call(cdiv, [whole, width], []), head, lanes, self._inside)

    def _arange(self) -> ast.expr:
        arange = f"{self._kernel.builtin('arange')}(0, {self._width})"
        return parsed(arange)

    def _decoded(self, counts: Sequence[ast.expr], index: str) -> list[tuple[str, ast.expr]]:
        """Each variable's value from an index in which the innermost one varies fastest."""
        values: list[tuple[str, ast.expr]] = []
        for place, loop in enumerate(self._nest.loops):
            below = counts[place + 1 :]
            value = quotient(ast.Name(index), product(below)) if below else ast.Name(index)
            values.append((loop.variable, remainder(value, counts[place]) if place else value))
        return values

    def _loop(
        self, steps: ast.expr, head: list[str], lanes: set[str], inside: str | None
    ) -> list[str]:
        writer = _Writer(self, lanes, inside)
        body: list[Line] = [(self._nest.statement.lineno, head)]
        for step in self._nest.steps:
            name, value = writer.rewritten(step)
            body.append((step.line, laid_out(f"{name} = ", value, "", self._columns)))
        for name in (self._left, self._right):
            if name not in writer.tiles:
                raise DoesNotApply(f"{name} does not depend on the loop that becomes lanes")
        body.append((self._nest.statement.end_lineno or 0, self._dot()))
        lines = indented(_commented(body, self._comments), INDENT)
        return [f"for {self._step} in range(0, {ast.unparse(steps)}):", *lines]

    def _dot(self) -> list[str]:
        acc, builtin = self._nest.accumulator, self._kernel.builtin
        left = f"{builtin('trans')}({self._left})" if self._terms_first else self._left
        call = f'{builtin("dot")}({left}, {self._right}, {acc}, input_precision="tf32x3")'
        line = f"{acc} = {call}"
        if len(line) <= self._columns:
            return [line]
        return laid_out(f"{acc} = ", parsed(call), "", self._columns)

    def side_of(self, name: str) -> str:
        """Which operand needs a name, "left" or "right". Refuses both, and neither."""
        needs = [side for side in ("left", "right") if name in self._needed(side)]
        if len(needs) == 2:
            raise DoesNotApply(f"both operands are made from {name}")
        if not needs:
            raise DoesNotApply(f"{name} is no part of an operand")
        return needs[0]

    def _needed(self, side: str) -> set[str]:
        wanted = {self._left if side == "left" else self._right}
        for step in reversed(self._nest.steps):
            if step.name in wanted:
                wanted |= step.reads
        return wanted

    def axes(self, side: str) -> tuple[str, str]:
        """(subscript of the operand's own axis, subscript of the terms)."""
        return (LAST, FIRST) if side == "right" or self._terms_first else (FIRST, LAST)

    def is_operand(self, name: str) -> bool:
        return name in (self._left, self._right)

    @property
    def shapes(self) -> dict[str, Shape]:
        return self._shapes


class _Writer:
    """Rewrites the steps of a nest in order. `lanes` are the variables that became vectors;
    `inside` tells, where it is needed, which lanes hold a term."""

    def __init__(self, body: TiledBody, lanes: set[str], inside: str | None) -> None:
        self._body, self._inside = body, inside
        self.lanes = set(lanes)  # vectors of terms
        self.tiles: set[str] = set()  # names that have both axes now

    def rewritten(self, step: NestStep) -> tuple[str, ast.expr]:
        shapes = self._body.shapes
        value = clone(step.value)
        changed = self.lanes | self.tiles
        checked(value, shapes, changed)
        if not step.reads & changed:
            return step.name, value
        shape = shape_of(step.value, shapes)
        if shape is Shape.SCALAR:
            self.lanes.add(step.name)
            if self._inside is not None:
                also_masked(value, self._inside, changed, cleared=False)
            return step.name, value
        side = self._body.side_of(step.name)
        if shape not in (Shape.VECTOR, Shape.COLUMN if side == "left" else Shape.ROW):
            raise DoesNotApply(f"{step.name} has another form than its operand")
        self.tiles.add(step.name)
        own, terms = self._body.axes(side)
        value = Axes(shapes, self.tiles, self.lanes, own, terms).visit(value)
        if self._inside is not None:
            value = self._cleared(step, value, f"{self._inside}{terms}", changed)
        return step.name, value

    def _cleared(self, step: NestStep, value: ast.expr, inside: str, changed: set[str]) -> ast.expr:
        """The value with its loads masked; an operand is zero in lanes that hold no term, whatever
        is computed of what was loaded: zero times infinity would not be zero."""
        operand = self._body.is_operand(step.name)
        if also_masked(value, inside, changed, cleared=operand) or not operand:
            return value
        where = self._body._kernel.builtin("where")
        return parsed(f"{where}({inside}, {ast.unparse(value)}, 0.0)")


def _operands(nest: Nest, shapes: dict[str, Shape]) -> tuple[str, str]:
    """The names of the column and of the row operand, whichever is written first."""
    names: dict[Shape, str] = {}
    for node in (nest.left, nest.right):
        name = node.value if isinstance(node, ast.Subscript) and new_axes(node) else node
        if isinstance(name, ast.Name):
            names[shape_of(node, shapes)] = name.id
    if set(names) != {Shape.COLUMN, Shape.ROW}:
        raise DoesNotApply("the sum is not of a column times a row")
    return names[Shape.COLUMN], names[Shape.ROW]


def _commented(body: Sequence[Line], comments: Sequence[tuple[int, str]]) -> list[str]:
    """The lines, each comment before those that come from its line or a later one."""
    lines: list[str] = []
    rest = list(comments)
    for place, (line, written) in enumerate(body):
        while rest and (rest[0][0] <= line or place == len(body) - 1):
            lines.append(rest.pop(0)[1])
        lines += written
    return lines
