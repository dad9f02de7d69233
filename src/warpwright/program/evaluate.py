"""Values of simple expressions, worked out by reading: constants, arithmetic, comprehensions.

Nothing of the program is run. What is not simple is `Unreadable`, which callers turn into
"not known".
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from warpwright.program.resolve import Aliases

MAX_STEPS = 20_000
MAX_MAGNITUDE = 1 << 256
MAX_LENGTH = 4096

_BINARY: dict[type[ast.operator], Callable[[Any, Any], object]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
    ast.LShift: operator.lshift, ast.RShift: operator.rshift, ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_, ast.BitXor: operator.xor, ast.Pow: operator.pow,
}  # fmt: skip
_UNARY: dict[type[ast.unaryop], Callable[[Any], object]] = {
    ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_,
    ast.Invert: operator.invert,
}  # fmt: skip
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], object]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}  # fmt: skip
_BUILTINS: dict[str, Callable[..., object]] = {
    "min": min, "max": max, "int": int, "float": float, "bool": bool, "str": str, "len": len,
    "abs": abs, "range": range, "list": list, "tuple": tuple, "zip": zip, "dict": dict,
    "enumerate": enumerate, "sorted": sorted, "reversed": reversed, "sum": sum,
}  # fmt: skip


_Element = TypeVar("_Element")


@dataclass(frozen=True, slots=True)
class FunctionName:
    """A function of the module, by its name: as a value it is itself and nothing else."""

    name: str


class Unreadable(Exception):  # noqa: N818
    """The value cannot be told without running the program."""


CallReader = Callable[[ast.Call, "Evaluator"], object]
"""Reads a call that the evaluator does not know; raises `Unreadable` when it cannot."""


class Evaluator:
    """Evaluates expressions over `names`: values already known, or expressions to evaluate."""

    def __init__(
        self, aliases: Aliases, names: Mapping[str, ast.expr], read_call: CallReader | None = None
    ) -> None:
        self._aliases = aliases
        self._names = names
        self._read_call = read_call
        self._local: dict[str, object] = {}
        self._open: set[str] = set()
        self._steps = 0

    def value(self, node: ast.expr) -> object:
        """The value of `node`. Raises `Unreadable`."""
        try:
            return self._evaluate(node)
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise Unreadable(str(error)) from None

    @property
    def local(self) -> Mapping[str, object]:
        """Names that the comprehension around what is being read has bound, with their values."""
        return self._local

    def _evaluate(self, node: ast.expr) -> object:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise Unreadable("too many steps")
        method = getattr(self, f"_{type(node).__name__}", None)
        if method is None:
            raise Unreadable(f"{type(node).__name__} is not a simple expression")
        result: object = method(node)
        return _bounded(result)

    def _Constant(self, node: ast.Constant) -> object:  # noqa: N802
        return node.value

    def _Name(self, node: ast.Name) -> object:  # noqa: N802
        if node.id in self._local:
            return self._local[node.id]
        if node.id in self._names and node.id not in self._open:
            self._open.add(node.id)
            outer, self._local = self._local, {}
            try:
                return self._evaluate(self._names[node.id])
            finally:
                self._open.discard(node.id)
                self._local = outer
        raise Unreadable(f"{node.id} has no value that reading shows")

    def _Tuple(self, node: ast.Tuple) -> object:  # noqa: N802
        return tuple(self._items(node.elts))

    def _List(self, node: ast.List) -> object:  # noqa: N802
        return self._items(node.elts)

    def _items(self, nodes: list[ast.expr]) -> list[object]:
        items: list[object] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                items.extend(self._sequence(node.value))
            else:
                items.append(self._evaluate(node))
        return items

    def _sequence(self, node: ast.expr) -> list[object]:
        value = self._evaluate(node)
        if isinstance(value, dict):
            return list(value)
        if not isinstance(value, (list, tuple, range, zip, enumerate, reversed)):
            raise Unreadable("not a sequence")
        items: list[object] = []
        for item in value:
            items.append(item)
            if len(items) > MAX_LENGTH:
                raise Unreadable("too long a sequence")
        return items

    def _Dict(self, node: ast.Dict) -> object:  # noqa: N802
        result: dict[object, object] = {}
        for key, item in zip(node.keys, node.values, strict=True):
            value = self._evaluate(item)
            if key is not None:
                result[self._evaluate(key)] = value
            elif isinstance(value, dict):
                result.update(value)
        return result

    def _UnaryOp(self, node: ast.UnaryOp) -> object:  # noqa: N802
        return _UNARY[type(node.op)](self._evaluate(node.operand))

    def _BinOp(self, node: ast.BinOp) -> object:  # noqa: N802
        left, right = self._evaluate(node.left), self._evaluate(node.right)
        if isinstance(node.op, (ast.Pow, ast.LShift)) and not (
            isinstance(right, int) and 0 <= right <= 128
        ):
            raise Unreadable("too large a power")
        if isinstance(node.op, ast.Mult) and not (_is_number(left) and _is_number(right)):
            raise Unreadable("repeats a sequence")
        return _BINARY[type(node.op)](left, right)

    def _BoolOp(self, node: ast.BoolOp) -> object:  # noqa: N802
        stops_at = isinstance(node.op, ast.Or)
        value: object = None
        for operand in node.values:
            value = self._evaluate(operand)
            if bool(value) is stops_at:
                break
        return value

    def _Compare(self, node: ast.Compare) -> object:  # noqa: N802
        left = self._evaluate(node.left)
        for op, comparator in zip(node.ops, node.comparators, strict=True):
            right = self._evaluate(comparator)
            if not _COMPARE[type(op)](left, right):
                return False
            left = right
        return True

    def _IfExp(self, node: ast.IfExp) -> object:  # noqa: N802
        return self._evaluate(node.body if self._evaluate(node.test) else node.orelse)

    def _Subscript(self, node: ast.Subscript) -> object:  # noqa: N802
        value: Any = self._evaluate(node.value)
        index: Any = self._evaluate(node.slice)
        if type(value) not in (list, tuple, dict, range):
            raise Unreadable("not a sequence or mapping")
        return value[index]

    def _ListComp(self, node: ast.ListComp) -> object:  # noqa: N802
        return self._comprehend(node.generators, lambda: self._evaluate(node.elt))

    def _GeneratorExp(self, node: ast.GeneratorExp) -> object:  # noqa: N802
        return self._comprehend(node.generators, lambda: self._evaluate(node.elt))

    def _DictComp(self, node: ast.DictComp) -> object:  # noqa: N802
        def pair() -> tuple[object, object]:
            return self._evaluate(node.key), self._evaluate(node.value)

        return dict(self._comprehend(node.generators, pair))

    def _comprehend(
        self, generators: list[ast.comprehension], element: Callable[[], _Element]
    ) -> list[_Element]:
        found: list[_Element] = []
        outer = dict(self._local)
        self._loop(generators, element, found)
        self._local = outer
        return found

    def _loop(
        self,
        generators: list[ast.comprehension],
        element: Callable[[], _Element],
        found: list[_Element],
    ) -> None:
        if not generators:
            found.append(element())
            return
        first, *rest = generators
        for item in self._sequence(first.iter):
            self._assign(first.target, item)
            if all(self._evaluate(test) for test in first.ifs):
                self._loop(rest, element, found)

    def _assign(self, target: ast.expr, value: object) -> None:
        if isinstance(target, ast.Name):
            self._local[target.id] = value
        elif isinstance(target, (ast.Tuple, ast.List)) and isinstance(value, (tuple, list)):
            for part, item in zip(target.elts, value, strict=True):
                self._assign(part, item)
        else:
            raise Unreadable("an unusual target")

    def _Call(self, node: ast.Call) -> object:  # noqa: N802
        if isinstance(node.func, ast.Name) and node.func.id in _BUILTINS:
            arguments = self._items(node.args)
            keywords = {k.arg: self._evaluate(k.value) for k in node.keywords if k.arg}
            return _BUILTINS[node.func.id](*arguments, **keywords)
        path = self._aliases.path(node.func)
        if path in ("triton.cdiv", "triton.language.cdiv") and len(node.args) == 2:
            left, right = (_integer(self._evaluate(a)) for a in node.args)
            return -(-left // right)
        if path == "triton.next_power_of_2" and len(node.args) == 1:
            return 1 << (_integer(self._evaluate(node.args[0])) - 1).bit_length()
        if path == "triton.language.constexpr" and len(node.args) == 1:
            return self._evaluate(node.args[0])
        if self._read_call is None:
            raise Unreadable("a call")
        return self._read_call(node, self)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float))


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise Unreadable("not an integer")
    return value


def _bounded(value: object) -> object:
    if isinstance(value, int) and abs(value) > MAX_MAGNITUDE:
        raise Unreadable("too large a number")
    if isinstance(value, (str, list, tuple, dict, range)) and len(value) > MAX_LENGTH:
        raise Unreadable("too long a value")
    return value


def single_assignments(body: Iterable[ast.stmt]) -> dict[str, ast.expr]:
    """Names that the statements (not nested blocks) assign exactly once, with their value."""
    body = list(body)
    found: dict[str, ast.expr] = {}
    repeated: set[str] = set()
    for node in (node for statement in body for node in outside_functions(statement)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            if node.id in found:
                repeated.add(node.id)
            found[node.id] = node
        changed = _changed_in_place(node)
        if changed is not None:
            repeated.add(changed)
    values: dict[str, ast.expr] = {}
    for statement in body:
        target, value = _simple_assignment(statement)
        if target is not None and value is not None and target not in repeated:
            values[target] = value
    return values


def _simple_assignment(statement: ast.stmt) -> tuple[str | None, ast.expr | None]:
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target: ast.expr = statement.targets[0]
    elif isinstance(statement, ast.AnnAssign):
        target = statement.target
    else:
        return None, None
    return (target.id, statement.value) if isinstance(target, ast.Name) else (None, None)


_MUTATORS = frozenset(
    ("append", "extend", "insert", "remove", "pop", "clear", "update", "sort", "setdefault")
)


def _changed_in_place(node: ast.AST) -> str | None:
    """The name whose list or mapping this node changes: `a.append(...)`, `a[i] = ...`."""
    target: ast.AST | None = None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        target = node.func.value if node.func.attr in _MUTATORS else None
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, (ast.Store, ast.Del)):
        target = node.value
    return target.id if isinstance(target, ast.Name) else None


def outside_functions(node: ast.AST) -> list[ast.AST]:
    """The node and everything under it that runs in the same scope."""
    found: list[ast.AST] = []
    stack = [node]
    while stack:
        current = stack.pop()
        found.append(current)
        if type(current) in _SCOPES:
            continue
        for name in current._fields:  # `ast.iter_child_nodes` takes twice as long
            value = getattr(current, name, None)
            if type(value) is list:
                stack.extend(item for item in value if isinstance(item, ast.AST))
            elif isinstance(value, ast.AST):
                stack.append(value)
    return found


_SCOPES = frozenset({ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda})
