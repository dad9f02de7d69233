"""Which ways a kernel's branches go in a launch, told from its arguments alone.

Every integer of a block is followed as the range of values that it has over all blocks and lanes:
`tl.arange(0, B)` is 0 … B-1, a program's number is 0 … grid-1. A test whose operands are known
has one outcome, or both where the ranges overlap. What loads give is unknown.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from warpwright.program.branch_sites import Outcome, Site, site_of
from warpwright.program.values_behind import values_behind

Number = int | float


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`, both included; one value where they are equal."""

    low: Number
    high: Number

    @property
    def single(self) -> bool:
        return self.low == self.high


BOTH = Range(0, 1)
Value = Range | None
Ways = frozenset[bool]
DEPTH = 4  # of functions that call functions
# Names of methods and functions that leave the values of their first operand as they are.
SAME_VALUES = frozenset({
    "to", "broadcast_to", "reshape", "view", "expand_dims", "trans", "multiple_of",
    "max_contiguous", "max_constancy", "int", "cast", "ravel", "flip", "permute", "constexpr",
})  # fmt: skip


def _corners(function: Callable[[Number, Number], Number]) -> Callable[[Range, Range], Range]:
    def apply(a: Range, b: Range) -> Range:
        values = [function(x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
        return Range(min(values), max(values))

    return apply


def _divided(a: Range, b: Range) -> Value:
    if b.low <= 0 <= b.high:
        return None
    return _corners(lambda x, y: x // y)(a, b)


def _remainder(a: Range, b: Range) -> Value:
    if b.low <= 0 or a.low < 0:
        return None
    if a.single and b.single:
        return Range(a.low % b.low, a.low % b.low)
    return a if a.high < b.low else Range(0, b.high - 1)


OPERATORS: dict[type[ast.operator], Callable[[Range, Range], Value]] = {
    ast.Add: _corners(lambda x, y: x + y),
    ast.Sub: _corners(lambda x, y: x - y),
    ast.Mult: _corners(lambda x, y: x * y),
    ast.FloorDiv: _divided,
    ast.Mod: _remainder,
}


@dataclass(slots=True)
class RangeReading:
    """What a launch does: `outcomes` of its branches, `undecided` tests, `trips` of its loops.

    `comparisons`: as outcomes, of kind "compare": which ways they go for some lane of some block;
    of kind "tie": that both sides of one behind a branch are equal at an end of their ranges, where
    `<` and `<=` are told apart.
    `trips`: loop's line → the most trips it has in a block, None where not known. `steps`: how
    often the innermost body runs in one block.
    """

    outcomes: set[Outcome] = field(default_factory=set)
    undecided: set[Outcome] = field(default_factory=set)
    comparisons: set[Outcome] = field(default_factory=set)
    trips: dict[int, int | None] = field(default_factory=dict)
    steps: int = 1


def read_ranges(
    kernel: str,
    functions: Mapping[str, ast.FunctionDef],
    values: Mapping[str, object],
    grid: Sequence[int],
    constants: Mapping[str, object],
) -> RangeReading:
    """Follow a kernel whose parameters have `values`, launched on `grid`.

    `functions`: the program's by name (those that the kernel calls are followed); `constants`: the
    module's numbers. Tensors and unknown parameters are left out of `values`.
    """
    known = {n: _constant(v) for n, v in {**constants, **values}.items()}
    reading = RangeReading()
    follower = _Follower(functions, grid, reading, known)
    follower.block(functions[kernel].body, 1)
    return reading


def _constant(value: object) -> Value:
    return Range(value, value) if isinstance(value, (bool, int, float)) else None


@cache
def _behind_branches(function: ast.FunctionDef) -> frozenset[ast.Compare]:
    """The comparisons by which a function's branches are taken, of names on the way too."""
    tests = (node.test for node in ast.walk(function) if isinstance(node, ast.If))
    values = (value for test in tests for _, value in values_behind(function, test))
    nodes = (node for value in values for node in ast.walk(value))
    return frozenset(node for node in nodes if isinstance(node, ast.Compare))


def _tie(node: ast.Compare, operands: Sequence[Value]) -> bool:
    """Whether an order is asked for of two values, one of which ends where the other begins."""
    pairs = zip(node.ops, operands, operands[1:], strict=False)
    return any(
        left is not None
        and right is not None
        and isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE)
        and (left.high == right.low or left.low == right.high)
        for operator, left, right in pairs
    )


class _Follower:
    def __init__(
        self,
        functions: Mapping[str, ast.FunctionDef],
        grid: Sequence[int],
        reading: RangeReading,
        known: dict[str, Value],
        depth: int = 0,
    ) -> None:
        self._functions = functions
        self._grid = grid
        self._reading = reading
        self._known = known
        self._depth = depth
        self._returned: list[Value] = []
        self._behind_branches = frozenset().union(*map(_behind_branches, functions.values()))

    def block(self, statements: Sequence[ast.stmt], runs: int) -> None:
        for statement in statements:
            self._statement(statement, runs)

    def _statement(self, node: ast.stmt, runs: int) -> None:
        if isinstance(node, ast.Assign):
            value = self.value(node.value)
            for target in node.targets:
                self._bind(target, value)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            self._bind(node.target, self.value(node.value))
        elif isinstance(node, ast.AugAssign):
            name = ast.Name(node.target.id) if isinstance(node.target, ast.Name) else None
            whole = None if name is None else ast.BinOp(name, node.op, node.value)
            self._bind(node.target, None if whole is None else self.value(whole))
        elif isinstance(node, ast.If):
            self._branch(node, runs)
        elif isinstance(node, ast.For):
            self._loop(node, runs)
        elif isinstance(node, ast.While):
            self._while(node, runs)
        elif isinstance(node, ast.Return):
            self._returned.append(None if node.value is None else self.value(node.value))
        elif isinstance(node, ast.With):
            self.block(node.body, runs)
        elif isinstance(node, ast.Expr):
            self.value(node.value)

    def _bind(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Name):
            self._known[target.id] = value
        elif isinstance(target, (ast.Tuple, ast.List)):
            for item in target.elts:
                self._bind(item, None)

    def _note(self, site: Site | None, ways: Ways) -> None:
        assert site is not None
        for way in ways:
            self._reading.outcomes.add(site.outcome(way))
        if not ways:
            self._reading.undecided |= {site.outcome(True), site.outcome(False)}

    def _branch(self, node: ast.If, runs: int) -> None:
        ways = _ways(self.value(node.test))
        self._note(site_of(node), ways)
        before = dict(self._known)
        ends = []
        for way, body in ((True, node.body), (False, node.orelse)):
            if way in ways or not ways:
                self._known = dict(before)
                self.block(body, runs)
                ends.append(self._known)
        self._known = ends[0] if len(ends) == 1 else _joined(*ends)

    def _loop(self, node: ast.For, runs: int) -> None:
        index, trips = self._iterated(node.iter)
        self._reading.trips[node.lineno] = trips
        site = site_of(node)
        assert site is not None
        if trips is None:
            self._reading.undecided.add(site.outcome(True))
        elif trips > 0:
            self._reading.outcomes.add(site.outcome(True))
        if trips == 0:
            return
        self._forget_assigned(node.body)
        self._bind(node.target, index)
        inner = runs * (trips or 1)
        self._reading.steps = max(self._reading.steps, inner)
        self.block(node.body, inner)
        self._forget_assigned(node.body)

    def _while(self, node: ast.While, runs: int) -> None:
        self._forget_assigned(node.body)
        self._note(site_of(node), _ways(self.value(node.test)))
        self._reading.trips[node.lineno] = None
        self.block(node.body, runs)
        self._forget_assigned(node.body)

    def _forget_assigned(self, body: Sequence[ast.stmt]) -> None:
        """What a loop changes may have any value in its next step."""
        for statement in body:
            for name in _assigned(statement):
                self._known[name] = None

    def _iterated(self, node: ast.expr) -> tuple[Value, int | None]:
        """Range of a loop's index, and the most trips of any block."""
        if not isinstance(node, ast.Call) or _name(node.func) not in ("range", "static_range"):
            return None, None
        bounds = [self.value(argument) for argument in node.args]
        if not bounds or any(bound is None for bound in bounds):
            return None, None
        start, stop, step = Range(0, 0), bounds[0], Range(1, 1)
        if len(bounds) > 1:
            start, stop = bounds[0], bounds[1]  # type: ignore[assignment]
        if len(bounds) > 2:
            step = bounds[2]  # type: ignore[assignment]
        assert stop is not None
        if step.low <= 0:
            return None, None
        trips = max(0, -(-int(stop.high - start.low) // int(step.low)))
        last = stop.high - 1
        if start.single and step.single:
            last = start.low + (trips - 1) * step.low
        return Range(start.low, max(start.low, last)), trips

    def value(self, node: ast.expr) -> Value:
        """The range of an expression; every choice inside it is noted."""
        try:
            return self._evaluate(node)
        except (TypeError, ArithmeticError, ValueError):
            return None

    def _evaluate(self, node: ast.expr) -> Value:
        if isinstance(node, ast.Constant):
            return _constant(node.value)
        if isinstance(node, ast.Name):
            return self._known.get(node.id)
        if isinstance(node, ast.BinOp):
            return self._operation(node)
        if isinstance(node, ast.UnaryOp):
            return self._unary(node)
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        if isinstance(node, ast.BoolOp):
            values = [self.value(item) for item in node.values]
            return _all_of(values) if isinstance(node.op, ast.And) else _any_of(values)
        if isinstance(node, ast.IfExp):
            ways = _ways(self.value(node.test))
            self._note(site_of(node), ways)
            sides = [self.value(side) for way, side in ((True, node.body), (False, node.orelse))
                     if way in ways or not ways]  # fmt: skip
            return sides[0] if len(sides) == 1 else _hull(sides)
        if isinstance(node, ast.Subscript):
            return self.value(node.value)
        if isinstance(node, ast.Call):
            return self._call(node)
        return None

    def _operation(self, node: ast.BinOp) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        if isinstance(node.op, ast.BitAnd):
            return _all_of([left, right]) if _are_truths(left, right) else None
        if isinstance(node.op, ast.BitOr):
            return _any_of([left, right]) if _are_truths(left, right) else None
        operator = OPERATORS.get(type(node.op))
        return None if operator is None or left is None or right is None else operator(left, right)

    def _unary(self, node: ast.UnaryOp) -> Value:
        value = self.value(node.operand)
        if isinstance(node.op, ast.Not):
            return _truth({not way for way in _ways(value)})
        if isinstance(node.op, ast.USub) and value is not None:
            return Range(-value.high, -value.low)
        return None

    def _comparison(self, node: ast.Compare) -> Value:
        operands = [self.value(item) for item in (node.left, *node.comparators)]
        parts = [
            _compared(operator, left, right)
            for operator, left, right in zip(node.ops, operands, operands[1:], strict=False)
        ]
        result = _all_of(parts)
        for way in _ways(result):
            self._reading.comparisons.add((node.lineno, "compare", _text(node), way))
        if node in self._behind_branches and _tie(node, operands):
            self._reading.comparisons.add((node.lineno, "tie", _text(node), True))
        return result

    def _call(self, node: ast.Call) -> Value:
        name = _name(node.func)
        arguments = [self.value(argument) for argument in node.args]
        for keyword in node.keywords:
            self.value(keyword.value)
        site = site_of(node)
        if site is not None:
            return self._chosen(site, arguments)
        if name == "arange" and len(arguments) == 2:
            start, end = arguments
            return None if start is None or end is None else Range(start.low, end.high - 1)
        if name in ("program_id", "num_programs"):
            axis = 0 if not arguments or arguments[0] is None else int(arguments[0].low)
            count = self._grid[axis] if axis < len(self._grid) else 1
            return Range(0, count - 1) if name == "program_id" else Range(count, count)
        if name == "cdiv" and len(arguments) == 2 and None not in arguments:
            a, b = arguments
            assert a is not None and b is not None
            return _divided(Range(a.low + b.low - 1, a.high + b.high - 1), b)
        if isinstance(node.func, ast.Name) and name in self._functions and self._depth < DEPTH:
            return self._inner(self._functions[name], node, arguments)
        if name in SAME_VALUES:
            if arguments and not _of_value(node.func):
                return arguments[0]
            return self.value(node.func.value) if isinstance(node.func, ast.Attribute) else None
        return None

    def _chosen(self, site: Site, arguments: list[Value]) -> Value:
        first, second = arguments
        if first is None or second is None:
            self._note(site, frozenset())
            return None
        smaller = site.kind == "min"
        if first.low < second.high:
            self._reading.outcomes.add(site.outcome(smaller))
        if first.high > second.low:
            self._reading.outcomes.add(site.outcome(not smaller))
        pick = min if smaller else max
        return Range(pick(first.low, second.low), pick(first.high, second.high))

    def _inner(self, function: ast.FunctionDef, call: ast.Call, arguments: list[Value]) -> Value:
        """A function of the program that a kernel calls."""
        names = [argument.arg for argument in function.args.args]
        known = dict(zip(names, arguments, strict=False))
        defaults = function.args.defaults
        for name, default in zip(names[len(names) - len(defaults) :], defaults, strict=True):
            known.setdefault(name, self.value(default))
        known |= {k.arg: self.value(k.value) for k in call.keywords if k.arg is not None}
        inner = _Follower(
            self._functions, self._grid, self._reading, {**self._known, **known}, self._depth + 1
        )
        inner.block(function.body, 1)
        return inner._returned[0] if len(inner._returned) == 1 else None


@cache
def _assigned(statement: ast.stmt) -> frozenset[str]:
    return frozenset(
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )


@cache
def _text(node: ast.expr) -> str:
    return ast.unparse(node)


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _of_value(function: ast.expr) -> bool:
    """`x.to(...)` is of a value, `tl.view(...)` of the language."""
    return not (
        isinstance(function, ast.Name)
        or (
            isinstance(function, ast.Attribute)
            and isinstance(function.value, ast.Name)
            and function.value.id in ("tl", "triton", "language")
        )
    )


def _joined(first: dict[str, Value], second: dict[str, Value]) -> dict[str, Value]:
    return {name: _hull([first[name], second[name]]) for name in first.keys() & second.keys()}


def _hull(values: Sequence[Value]) -> Value:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return Range(min(v.low for v in known), max(v.high for v in known))


def _ways(value: Value) -> Ways:
    """Truths that a value may have; none where nothing is known."""
    if value is None:
        return frozenset()
    if value.low == value.high == 0:
        return frozenset({False})
    return frozenset({True, False} if value.low <= 0 <= value.high else {True})


def _truth(ways: set[bool] | Ways) -> Value:
    return Range(int(min(ways)), int(max(ways))) if ways else None


def _are_truths(left: Value, right: Value) -> bool:
    return all(v is None or (v.low >= 0 and v.high <= 1) for v in (left, right))


def _all_of(values: Sequence[Value]) -> Value:
    if any(_ways(value) == {False} for value in values):
        return Range(0, 0)
    if any(value is None for value in values):
        return None
    return Range(1, 1) if all(_ways(value) == {True} for value in values) else BOTH


def _any_of(values: Sequence[Value]) -> Value:
    if any(_ways(value) == {True} for value in values):
        return Range(1, 1)
    if any(value is None for value in values):
        return None
    return Range(0, 0) if all(_ways(value) == {False} for value in values) else BOTH


def _compared(operator: ast.cmpop, left: Value, right: Value) -> Value:
    if left is None or right is None:
        return None
    if isinstance(operator, (ast.Gt, ast.GtE)):
        swapped = ast.Lt() if isinstance(operator, ast.Gt) else ast.LtE()
        return _compared(swapped, right, left)
    if isinstance(operator, (ast.Lt, ast.LtE)):
        strict = isinstance(operator, ast.Lt)
        always = left.high < right.low if strict else left.high <= right.low
        never = left.low >= right.high if strict else left.low > right.high
        return Range(1, 1) if always else Range(0, 0) if never else BOTH
    if isinstance(operator, (ast.Eq, ast.NotEq, ast.Is, ast.IsNot)):
        apart = left.high < right.low or right.high < left.low
        same = left.single and right.single and not apart
        equal: Value = Range(1, 1) if same else Range(0, 0) if apart else BOTH
        if isinstance(operator, (ast.NotEq, ast.IsNot)):
            return _truth({not way for way in _ways(equal)})
        return equal
    return None
