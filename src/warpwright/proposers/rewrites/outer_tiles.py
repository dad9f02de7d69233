"""The body of a sum of outer products, written on lanes of terms.

Every value that depends on the loop variable that becomes lanes gets an axis more: the left operand
is [rows, terms] (or [terms, rows]), the right one [terms, columns].
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from warpwright.proposers.rewrites.nests import Nest
from warpwright.proposers.rewrites.refusal import DoesNotApply
from warpwright.proposers.rewrites.shapes import Shape, assign, new_axes, shape_of, shapes_before

FIRST, LAST = "[:, None]", "[None, :]"
_LOADED_AS = ("to", "cast")


class TiledBody:
    """Writes the loop of `nest` anew. `terms_first`: the left operand is [terms, rows]."""

    def __init__(
        self, nest: Nest, function: ast.FunctionDef, tl: str, width: int, terms_first: bool
    ) -> None:
        self._nest, self._tl, self._width = nest, tl, width
        self._shapes = shapes_before(function, nest.statement)
        for loop in nest.loops:
            self._shapes[loop.variable] = Shape.SCALAR
        for statement in nest.assignments:
            assign(statement, self._shapes)
        self._left, self._right = self._operands()
        self._row_axis, self._left_term_axis = (LAST, FIRST) if terms_first else (FIRST, LAST)
        self._terms_first = terms_first
        taken = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
        taken |= {argument.arg for argument in function.args.args}
        self._step, self._term, self._inside = (
            _free(name, taken) for name in ("step", "term", "inside")
        )

    def by(self, lanes: str) -> str:
        """The loop with one variable as lanes; a step's other variables are scalars."""
        nest, width = self._nest, self._width
        loops = [loop.variable for loop in nest.loops]
        if lanes not in loops:
            raise DoesNotApply(f"there is no loop over {lanes}")
        counts = [
            f"({nest.extent(name)}) // {width}" if name == lanes else f"({nest.extent(name)})"
            for name in loops
        ]
        lines = []
        for name, value in self._decoded(loops, counts, self._step):
            if name == lanes:
                value = f"({value}) * {width} + {self._tl}.arange(0, {width})"
            lines.append(f"{name} = {value}")
        return self._loop(" * ".join(counts), lines, {lanes}, None)

    def flat(self) -> str:
        """The loop with all variables decoded from one index of lanes, the last step masked."""
        nest, width = self._nest, self._width
        loops = [loop.variable for loop in nest.loops]
        extents = [f"({nest.extent(name)})" for name in loops]
        total = " * ".join(extents)
        lines = [
            f"{self._term} = {self._step} * {width} + {self._tl}.arange(0, {width})",
            f"{self._inside} = {self._term} < {total}",
        ]
        decoded = self._decoded(loops, extents, self._term)
        lines += [f"{name} = {value}" for name, value in decoded]
        steps = f"{self._tl}.cdiv({total}, {width})"
        return self._loop(steps, lines, set(loops), self._inside)

    def _decoded(
        self, loops: Sequence[str], counts: Sequence[str], index: str
    ) -> list[tuple[str, str]]:
        """Each variable's value from an index in which the innermost one varies fastest."""
        values: list[tuple[str, str]] = []
        below: list[str] = []
        for number in reversed(range(len(loops))):
            value = index if not below else f"{index} // ({' * '.join(below)})"
            if number:
                value = f"{value} % {counts[number]}"
            values.append((loops[number], value))
            below.append(counts[number])
        return values[::-1]

    def _operands(self) -> tuple[str, str]:
        """The names of the row and of the column operand, whichever is written first."""
        found: dict[Shape, str] = {}
        for node in (self._nest.left, self._nest.right):
            name = node.value if isinstance(node, ast.Subscript) else node
            if isinstance(name, ast.Name):
                found[shape_of(node, self._shapes)] = name.id
        if set(found) != {Shape.COLUMN, Shape.ROW}:
            raise DoesNotApply("the sum is not of a column times a row")
        return found[Shape.COLUMN], found[Shape.ROW]

    def _loop(self, steps: str, head: Sequence[str], lanes: set[str], inside: str | None) -> str:
        writer = _Statements(self, lanes, inside)
        body = [*head, *(writer.statement(a) for a in self._nest.assignments)]
        for name in (self._left, self._right):
            if name not in writer.tiles:
                raise DoesNotApply(f"{name} does not depend on the loop that becomes lanes")
        acc, tl = self._nest.accumulator, self._tl
        left = f"{tl}.trans({self._left})" if self._terms_first else self._left
        body.append(f'{acc} = {tl}.dot({left}, {self._right}, {acc}, input_precision="tf32x3")')
        inner = "\n".join(f"    {line}" for line in body)
        return f"for {self._step} in range(0, {steps}):\n{inner}\n"

    def side_of(self, name: str) -> str | None:
        """Which operand needs a name: "left", "right", None for neither. Refuses both."""
        needs = [side for side in ("left", "right") if name in self._needed(side)]
        if len(needs) > 1:
            raise DoesNotApply(f"both operands are made from {name}")
        return needs[0] if needs else None

    def _needed(self, side: str) -> set[str]:
        wanted = {self._left if side == "left" else self._right}
        for statement in reversed(self._nest.assignments):
            target = statement.targets[0]
            if isinstance(target, ast.Name) and target.id in wanted:
                read = (n.id for n in ast.walk(statement.value) if isinstance(n, ast.Name))
                wanted.update(read)
        return wanted

    def axes(self, side: str) -> tuple[str, str]:
        """(subscript of the operand's own axis, subscript of the terms)."""
        return (self._row_axis, self._left_term_axis) if side == "left" else (LAST, FIRST)

    @property
    def shapes(self) -> dict[str, Shape]:
        return self._shapes


class _Statements:
    """Rewrites the assignments in order. `lanes` are the variables that became vectors."""

    def __init__(self, body: TiledBody, lanes: set[str], inside: str | None) -> None:
        self._body, self._inside = body, inside
        self._lanes = set(lanes)  # vectors of terms
        self.tiles: set[str] = set()  # names that have both axes now

    def statement(self, statement: ast.Assign) -> str:
        target = statement.targets[0]
        assert isinstance(target, ast.Name)
        read = {node.id for node in ast.walk(statement.value) if isinstance(node, ast.Name)}
        if not read & (self._lanes | self.tiles):
            return self._as_it_was(statement, target.id)
        if shape_of(statement.value, self._body.shapes) is Shape.SCALAR:
            self._lanes.add(target.id)
            return ast.unparse(statement)
        side = self._body.side_of(target.id)
        if side is None:
            raise DoesNotApply(f"{target.id} is no part of an operand")
        self.tiles.add(target.id)
        value = _Axes(self, side, self._body).visit(_copy(statement.value))
        return f"{target.id} = {ast.unparse(value)}"

    def _as_it_was(self, statement: ast.Assign, name: str) -> str:
        shape = self._body.shapes.get(name, Shape.UNKNOWN)
        if shape is Shape.UNKNOWN:
            raise DoesNotApply(f"the form of {name} is not known")
        return ast.unparse(statement)

    def is_lanes(self, name: str) -> bool:
        return name in self._lanes

    @property
    def inside(self) -> str | None:
        return self._inside


class _Axes(ast.NodeTransformer):
    """Puts the axes of one operand's side on the names of an expression."""

    def __init__(self, statements: _Statements, side: str, body: TiledBody) -> None:
        self._statements, self._body = statements, body
        self._own, self._terms = body.axes(side)
        self._side = side

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self._statements.tiles:
            return node
        if self._statements.is_lanes(node.id):
            return _parsed(f"{node.id}{self._terms}")
        shape = self._body.shapes.get(node.id, Shape.SCALAR)
        if shape is Shape.SCALAR:
            return node
        if shape is Shape.VECTOR:
            return _parsed(f"{node.id}{self._own}")
        if shape is {FIRST: Shape.COLUMN, LAST: Shape.ROW}[self._own]:
            return node
        raise DoesNotApply(f"{node.id} has another form than its operand")

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        if new_axes(node) is None or not isinstance(node.value, ast.Name):
            raise DoesNotApply(f"{ast.unparse(node)} cannot be given another axis")
        return self.visit_Name(node.value)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if isinstance(node.value, ast.Name) and node.value.id == self._body._tl:
            return node
        node.value = self.visit(node.value)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if name == "arange":
            return _parsed(f"({ast.unparse(node)}){self._own}")
        if isinstance(node.func, ast.Attribute) and name in _LOADED_AS:
            node.func.value = self.visit(node.func.value)
            return node
        node.args = [self.visit(argument) for argument in node.args]
        for keyword in node.keywords:
            keyword.value = self.visit(keyword.value)
        if name == "load" and self._statements.inside is not None:
            _also_masked(node, f"{self._statements.inside}{self._terms}")
        return node


def _also_masked(load: ast.Call, inside: str) -> None:
    """The load with one mask more, and zero where it does not hold."""
    if len(load.args) > 1:
        raise DoesNotApply("a load has its mask by position")
    masks = [keyword for keyword in load.keywords if keyword.arg == "mask"]
    if masks:
        masks[0].value = _parsed(f"({ast.unparse(masks[0].value)}) & {inside}")
    else:
        load.keywords.append(ast.keyword("mask", _parsed(inside)))
    others = [keyword.value for keyword in load.keywords if keyword.arg == "other"]
    if not others:
        load.keywords.append(ast.keyword("other", ast.Constant(0.0)))
    elif ast.unparse(others[0]) not in ("0.0", "0"):
        raise DoesNotApply("a load gives masked lanes another value than zero")


def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _copy(node: ast.expr) -> ast.expr:
    return _parsed(ast.unparse(node))


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
