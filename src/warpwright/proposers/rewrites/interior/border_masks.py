"""What a block must know of itself for the masks of its loads to be true throughout.

Goes through a kernel's statements and keeps of each name the bounds of its number, or the
conditions under which it is true for every lane and step.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from warpwright.program.kernel_assignments import called_name
from warpwright.proposers.rewrites.common.kernel_text import KernelText, stored_names
from warpwright.proposers.rewrites.common.splice import Splice, end_of, replaced, start_of
from warpwright.proposers.rewrites.common.value_axes import (
    HINTS,
    Shape,
    new_axes,
    shape_of,
    shapes_before,
)
from warpwright.proposers.rewrites.interior.bounds import (
    IndexBounds,
    between,
    combined,
    conditions,
    last_step,
    one,
    simple,
)

_LOOPS = ("range", "static_range")
_OF_A_BLOCK = ("program_id", "num_programs")
_WHOLE = frozenset({*_OF_A_BLOCK, "arange", "minimum", "maximum", "cdiv"})
_MASK_AT = {"load": 1, "store": 2}


@dataclass(frozen=True, slots=True)
class Holds:
    """What is true for every lane and step where all `conditions` are."""

    conditions: tuple[str, ...]


Value = IndexBounds | Holds | None


@dataclass
class MaskReader:
    """`start`: the place of the first statement that is to be changed. What it needs of `values`
    at that place are names that nothing behind it assigns."""

    kernel: KernelText
    start: int
    values: dict[str, Value] = field(default_factory=dict)
    asked: dict[str, None] = field(default_factory=dict)
    splices: list[Splice] = field(default_factory=list)
    changed: set[int] = field(default_factory=set)
    in_loops: int = 0
    _place: int = 0
    _depth: int = 0

    def read(self) -> None:
        body = self.kernel.node.body
        self._stored = stored_names(body)
        self._parameters = {p.arg for p in self.kernel.parameters} - set(self._stored)
        self._shapes = shapes_before(self.kernel.node, body[self.start])
        self._assigned = _assignments(body)
        self._before(body[: self.start])
        later = set(stored_names(body[self.start :]))
        for name in set(self._stored):
            if name in later:
                self.values[name] = None
            elif self.values.get(name) is None:
                self.values[name] = self._as_it_is(name)
        for place in range(self.start, len(body)):
            self._place = place
            self._statement(body[place])

    # --- before the statements ------------------------------------------------------------------

    def _before(self, body: Sequence[ast.stmt]) -> None:
        for node in body:
            name = _name_of(node)
            if name is None or self._stored.count(name) != 1:
                continue
            value = self._value(node.value)  # type: ignore[attr-defined]
            scalar = self._shapes.get(name) is Shape.SCALAR
            if isinstance(value, IndexBounds) and value.is_one_number and scalar:
                value = one(ast.Name(name, ast.Load()))
            self.values[name] = value if value is not None else self._as_it_is(name)

    def _as_it_is(self, name: str) -> Value:
        """A name that has one value at the statements: a number, or the ends of a vector."""
        shape = self._shapes.get(name)
        node = ast.Name(name, ast.Load())
        if shape is Shape.SCALAR:
            return one(node)
        if shape is not Shape.VECTOR or not self._is_index(node, frozenset()):
            return None
        ends = [
            ast.parse(f"{self.kernel.builtin(end)}({name}, 0)", mode="eval").body
            for end in ("min", "max")
        ]
        return between(ends[0], ends[1])

    def _is_index(self, node: ast.expr, seen: frozenset[str]) -> bool:
        """Whether whole numbers alone make a value: of those no lane fails to compare (NaN)."""
        if isinstance(node, ast.Name):
            given = self._assigned.get(node.id, [])
            if node.id in self._parameters or node.id in seen:
                return True
            seen |= {node.id}
            return bool(given) and all(
                value is not None and self._is_index(value, seen) for value in given
            )
        if isinstance(node, ast.Constant):
            return type(node.value) is int
        if isinstance(node, ast.BinOp):
            whole = isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.FloorDiv | ast.Mod)
            sides = (node.left, node.right)
            return whole and all(self._is_index(side, seen) for side in sides)
        if isinstance(node, ast.Call):
            called = self.kernel.called(node)
            if called in _WHOLE:
                return all(self._is_index(argument, seen) for argument in node.args)
            return called in HINTS and self._is_index(node.args[0], seen)
        return False

    # --- statements -------------------------------------------------------------------------------

    def _statement(self, node: ast.stmt) -> None:
        for inner in _own_expressions(node):
            self._accesses(inner)
        name = _name_of(node)
        if name is not None:
            self.values[name] = self._value(node.value)  # type: ignore[attr-defined]
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            before = ast.Name(node.target.id, ast.Load())
            self.values[node.target.id] = self._value(ast.BinOp(before, node.op, node.value))
        elif isinstance(node, ast.For | ast.While | ast.If):
            self._block(node)
        else:
            self._forget(node)

    def _block(self, node: ast.For | ast.While | ast.If) -> None:
        looped = not isinstance(node, ast.If)
        if looped:
            self._forget(node)
        if isinstance(node, ast.For) and isinstance(node.target, ast.Name):
            self.values[node.target.id] = self._steps(node.iter)
        kept = dict(self.values)
        self._depth += looped
        for body in (node.body, node.orelse):
            for statement in body:
                self._statement(statement)
            self.values = dict(kept)
        self._depth -= looped
        self._forget(node)

    def _forget(self, node: ast.stmt) -> None:
        for name in stored_names([node]):
            self.values[name] = None

    def _steps(self, node: ast.expr) -> Value:
        if not isinstance(node, ast.Call) or self.kernel.called(node) not in _LOOPS:
            return None
        given = [self._value(argument) for argument in node.args]
        numbers = [v.lows[0] for v in given if isinstance(v, IndexBounds) and v.is_one_number]
        if len(numbers) != len(given) or not 1 <= len(given) <= 3 or node.keywords:
            return None
        start = ast.Constant(0) if len(numbers) == 1 else numbers[0]
        stop = numbers[0] if len(numbers) == 1 else numbers[1]
        step = numbers[2] if len(numbers) == 3 else None
        last = last_step(start, stop, step)
        if step is None or self._is_above_zero(step):
            return between(start, last)
        both = (start, last)  # it may count down
        return IndexBounds(both, both)

    def _is_above_zero(self, step: ast.expr) -> bool:
        """Whether a step surely counts up: a number, or how many lanes there are."""
        if isinstance(step, ast.Constant):
            return type(step.value) is int and step.value > 0
        lanes = (
            ast.unparse(node.args[-1])
            for node in ast.walk(self.kernel.node)
            if isinstance(node, ast.Call) and self.kernel.called(node) == "arange" and node.args
        )
        return ast.unparse(step) in lanes

    # --- values -----------------------------------------------------------------------------------

    def _value(self, node: ast.expr) -> Value:
        if isinstance(node, ast.Name):
            if node.id in self.values:
                return self.values[node.id]
            return one(node) if node.id in self._parameters else None
        if isinstance(node, ast.Constant):
            return one(node) if type(node.value) is int else None
        if isinstance(node, ast.BinOp):
            return self._operation(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            value = self._value(node.operand)
            zero = one(ast.Constant(0))
            return combined(ast.Sub(), zero, value) if isinstance(value, IndexBounds) else None
        if isinstance(node, ast.Compare) and len(node.comparators) == 1:
            if (whole := self._divisible(node)) is not None:
                return whole
            left, right = self._value(node.left), self._value(node.comparators[0])
            if isinstance(left, IndexBounds) and isinstance(right, IndexBounds):
                found = conditions(node, left, right)
                return None if found is None else Holds(tuple(found))
            return None
        if isinstance(node, ast.Subscript) and new_axes(node) is not None:
            return self._value(node.value)
        return self._called(node) if isinstance(node, ast.Call) else None

    def _divisible(self, node: ast.Compare) -> Holds | None:
        """`x % S == 0`: true throughout where S is 1."""
        zero = node.comparators[0]
        left = node.left
        if not isinstance(node.ops[0], ast.Eq) or not isinstance(left, ast.BinOp):
            return None
        if (
            not isinstance(zero, ast.Constant)
            or zero.value != 0
            or not isinstance(left.op, ast.Mod)
        ):
            return None
        size = self._value(left.right)
        if not isinstance(size, IndexBounds) or not size.is_one_number:
            return None
        return Holds((f"{ast.unparse(size.lows[0])} == 1",))

    def _operation(self, node: ast.BinOp) -> Value:
        left, right = self._value(node.left), self._value(node.right)
        if isinstance(left, Holds) and isinstance(right, Holds):
            both = isinstance(node.op, ast.BitAnd)
            return Holds((*left.conditions, *right.conditions)) if both else None
        if isinstance(left, IndexBounds) and isinstance(right, IndexBounds):
            plain = isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.FloorDiv | ast.Mod)
            if isinstance(node.op, ast.FloorDiv) and not left.is_one_number:
                # What Python folds it rounds down, what Triton computes to zero.
                plain = not any(self._folds(end) for end in (*left.lows, *left.highs))
            return combined(node.op, left, right) if plain else None
        return None

    def _folds(self, node: ast.expr) -> bool:
        names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
        calls = any(isinstance(inner, ast.Call) for inner in ast.walk(node))
        return not calls and names <= self.kernel.constants

    def _called(self, node: ast.Call) -> Value:
        called = self.kernel.called(node)
        if called == "arange" and len(node.args) == 2:
            ends = [self._value(argument) for argument in node.args]
            if all(isinstance(end, IndexBounds) and end.is_one_number for end in ends):
                low, high = (end.lows[0] for end in ends)  # type: ignore[union-attr]
                return between(low, simple(ast.BinOp(high, ast.Sub(), ast.Constant(1))))
        if called in _OF_A_BLOCK:
            return one(node)
        if called in HINTS and node.args:
            return self._value(node.args[0])
        cast = called is None and called_name(node) == "to" and len(node.args) == 1
        if cast and self.kernel.path(node.args[0]) == "int32":
            of: ast.expr = node.func.value  # type: ignore[attr-defined]
            return self._value(of) if self._is_index(of, frozenset()) else None
        return None

    # --- loads and stores -------------------------------------------------------------------

    def _accesses(self, node: ast.expr) -> None:
        for call in ast.walk(node):
            if not isinstance(call, ast.Call):
                continue
            called = self.kernel.called(call) or ""
            if called in _MASK_AT and not self._is_nested(call):
                self._unmask(call, _MASK_AT[called])

    def _is_nested(self, call: ast.Call) -> bool:
        inside = (inner for part in call.args for inner in ast.walk(part))
        return any(self.kernel.called(inner) in _MASK_AT for inner in inside)

    def _unmask(self, call: ast.Call, at: int) -> None:
        """Takes the parts off a mask that hold throughout."""
        keyword = next((k for k in call.keywords if k.arg == "mask"), None)
        mask = keyword.value if keyword else call.args[at] if len(call.args) > at else None
        if mask is None or len(call.args) < at or self._spreads(call, mask):
            return
        parts = _parts(mask)
        values = [self._value(part) for part in parts]
        held = [value for value in values if isinstance(value, Holds)]
        rest = [p for p, value in zip(parts, values, strict=True) if not isinstance(value, Holds)]
        if not held:
            return
        for value in held:
            self.asked |= dict.fromkeys(value.conditions)
        self.changed.add(self._place)
        self.in_loops += self._depth > 0
        if rest:
            text = " & ".join(f"({ast.unparse(part)})" for part in rest)
            self.splices.append(replaced(mask, text if len(rest) > 1 else ast.unparse(rest[0])))
            return
        others = [k for k in call.keywords if k.arg not in ("mask", "other")]
        texts = [f"{k.arg}={ast.unparse(k.value)}" for k in others]
        source = self.kernel.source
        given = [ast.get_source_segment(source, part) or "" for part in call.args[:at]]
        name = ast.get_source_segment(source, call.func)
        new = f"{name}({', '.join([*given, *texts])})"
        self.splices.append(Splice(start_of(call), end_of(call), new))

    def _spreads(self, call: ast.Call, mask: ast.expr) -> bool:
        """Whether a mask may have lanes that the pointer has not, which it would take along."""
        statement = next(
            inner
            for inner in ast.walk(self.kernel.node.body[self._place])
            if isinstance(inner, ast.stmt)
            and any(call in ast.walk(own) for own in _own_expressions(inner))
        )
        shapes = shapes_before(self.kernel.node, statement)
        pointer, lanes = shape_of(call.args[0], shapes), shape_of(mask, shapes)
        return pointer is not Shape.UNKNOWN and lanes not in (pointer, Shape.SCALAR)


def _own_expressions(node: ast.stmt) -> list[ast.expr]:
    """The expressions of a statement that are not in a block of its own."""
    return [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]


def _assignments(body: Sequence[ast.stmt]) -> dict[str, list[ast.expr | None]]:
    """Every value that a name is given; None for one that is no expression of its own."""
    found: dict[str, list[ast.expr | None]] = {}
    for node in (inner for statement in body for inner in ast.walk(statement)):
        if not isinstance(node, ast.stmt):
            continue
        name = _name_of(node)
        if name is not None:
            found.setdefault(name, []).append(node.value)  # type: ignore[attr-defined]
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            one_more = ast.BinOp(ast.Constant(0), node.op, node.value)
            found.setdefault(node.target.id, []).append(one_more)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.For):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for other in stored_names(targets):
                found.setdefault(other, []).append(None)
    return found


def _name_of(node: ast.stmt) -> str | None:
    """The name that a plain assignment gives a value."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
        return target.id if isinstance(target, ast.Name) else None
    return None


def _parts(mask: ast.expr) -> list[ast.expr]:
    if isinstance(mask, ast.BinOp) and isinstance(mask.op, ast.BitAnd):
        return [*_parts(mask.left), *_parts(mask.right)]
    return [mask]
