"""What a kernel's source tells of its parameters' types: pointer, integer or float.

A Triton kernel states no types; a call does. Without a call they are inferred from use: what
`tl.load` reads through is a pointer, what indexes, counts or is compared with an index is an
integer, what is combined with loaded values is a float.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class ParameterKind(StrEnum):
    POINTER = "pointer"
    INTEGER = "integer"
    FLOAT = "float"
    FLAG = "flag"  # a constexpr that only decides branches
    CONSTANT = "constant"  # any other constexpr
    DESCRIPTOR = "descriptor"


_THROUGH_POINTER = frozenset({
    "load", "store", "make_block_ptr", "make_tensor_descriptor", "atomic_add", "atomic_max",
    "atomic_min", "atomic_and", "atomic_or", "atomic_xor", "atomic_xchg", "atomic_cas",
})  # fmt: skip
_KEEPS_POINTER = frozenset({"multiple_of", "max_contiguous", "advance", "broadcast_to"})
_INTEGER_CALLS = frozenset({"program_id", "num_programs", "arange", "cdiv", "argmax", "argmin"})
_FLOAT_CALLS = frozenset({
    "load", "zeros", "full", "dot", "exp", "exp2", "log", "log2", "sqrt", "rsqrt", "sigmoid",
    "erf", "sin", "cos", "tanh", "fma", "softmax",
})  # fmt: skip
_SAME_TYPE_CALLS = frozenset({
    "where", "maximum", "minimum", "sum", "max", "min", "abs", "broadcast_to", "reshape", "trans",
    "expand_dims", "multiple_of", "max_contiguous", "clamp", "cumsum", "view", "ravel",
})  # fmt: skip
_FLOAT_NAMES = (
    "eps", "alpha", "beta", "scale", "scaling", "slope", "momentum", "min", "max", "min_val",
    "max_val", "lo", "hi", "inv_", "factor", "value", "threshold", "temperature", "subtract",
)  # fmt: skip


@dataclass
class _Body:
    """A kernel's parameters, and every expression that is assigned to each local name."""

    node: ast.FunctionDef
    parameters: tuple[str, ...]
    assigned: dict[str, list[ast.expr]] = field(default_factory=dict)
    integers: set[str] = field(default_factory=set)  # loop variables

    @classmethod
    def of(cls, node: ast.FunctionDef) -> _Body:
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        body = cls(node, tuple(argument.arg for argument in arguments))
        for statement in ast.walk(node):
            body._read(statement)
        return body

    def _read(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self._bind(target, node.value)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            self._bind(node.target, node.value)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            name = ast.Name(node.target.id, ast.Load())
            self._bind(node.target, ast.BinOp(name, node.op, node.value))
        elif isinstance(node, ast.For) and isinstance(node.target, ast.Name):
            self.integers.add(node.target.id)

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self.assigned.setdefault(target.id, []).append(value)
        elif isinstance(target, (ast.Tuple, ast.List)) and isinstance(value, (ast.Tuple, ast.List)):
            for one, part in zip(target.elts, value.elts, strict=False):
                self._bind(one, part)

    def calls(self) -> Iterator[ast.Call]:
        return (node for node in ast.walk(self.node) if isinstance(node, ast.Call))


def parameter_kinds(tree: ast.Module, kernel: str) -> Mapping[str, ParameterKind]:
    """The kind of each parameter of `kernel`, constexprs included, in order.

    Empty when the module has no function of that name. Helpers that the kernel calls are
    followed: a parameter that a helper loads through is a pointer.
    """
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    node = functions.get(kernel)
    return {} if node is None else _Inference(functions).kinds(node)


class _Inference:
    def __init__(self, functions: Mapping[str, ast.FunctionDef]) -> None:
        self._functions = functions
        self._done: dict[str, dict[str, ParameterKind]] = {}

    def kinds(self, node: ast.FunctionDef) -> dict[str, ParameterKind]:
        if node.name in self._done:
            return self._done[node.name]
        self._done[node.name] = {}  # a helper that calls itself
        body = _Body.of(node)
        found = _constexprs(node)
        for name in _pointers(body):
            found.setdefault(name, ParameterKind.POINTER)
        for name in _descriptors(body):
            found.setdefault(name, ParameterKind.DESCRIPTOR)
        for name, kind in self._from_helpers(body):
            found.setdefault(name, kind)
        numbers = _Numbers(body, found)
        for name in body.parameters:
            found.setdefault(name, numbers.kind(name))
        self._done[node.name] = {name: found[name] for name in body.parameters}
        return self._done[node.name]

    def _from_helpers(self, body: _Body) -> Iterator[tuple[str, ParameterKind]]:
        """Pointers and descriptors that this body hands on to a helper."""
        for call in body.calls():
            if not isinstance(call.func, ast.Name) or call.func.id not in self._functions:
                continue
            helper = self._functions[call.func.id]
            kinds = self.kinds(helper)
            given = dict(zip(kinds, call.args, strict=False))
            given |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
            for name, value in given.items():
                kind = kinds.get(name)
                if kind not in (ParameterKind.POINTER, ParameterKind.DESCRIPTOR):
                    continue
                base = _base(body, value, set())
                if base is not None:
                    yield base, kind


def _constexprs(node: ast.FunctionDef) -> dict[str, ParameterKind]:
    found = {}
    for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
        if argument.annotation is not None and "constexpr" in ast.unparse(argument.annotation):
            flag = _only_decides(node, argument.arg)
            found[argument.arg] = ParameterKind.FLAG if flag else ParameterKind.CONSTANT
    return found


def _only_decides(node: ast.FunctionDef, name: str) -> bool:
    """Whether every use of `name` is the truth of a condition."""
    truths: set[int] = set()
    for part in ast.walk(node):
        test = getattr(part, "test", None)
        if test is not None:
            _truths(test, truths)
    uses = [part for part in ast.walk(node) if isinstance(part, ast.Name) and part.id == name]
    return bool(uses) and all(id(use) in truths for use in uses)


def _truths(test: ast.expr, found: set[int]) -> None:
    if isinstance(test, ast.Name):
        found.add(id(test))
    elif isinstance(test, ast.BoolOp):
        for value in test.values:
            _truths(value, found)
    elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        _truths(test.operand, found)


def _called(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _pointers(body: _Body) -> Iterator[str]:
    for call in body.calls():
        if _called(call) not in _THROUGH_POINTER:
            continue
        target = next(iter(call.args), None)
        for keyword in call.keywords:
            if keyword.arg in ("pointer", "base"):
                target = keyword.value
        if target is not None:
            base = _base(body, target, set())
            if base is not None:
                yield base


def _descriptors(body: _Body) -> Iterator[str]:
    for call in body.calls():
        func = call.func
        if (
            isinstance(func, ast.Attribute)
            and func.attr in ("load", "store", "gather", "scatter")
            and isinstance(func.value, ast.Name)
            and func.value.id in body.parameters
        ):
            yield func.value.id


def _base(body: _Body, expression: ast.expr, seen: set[str]) -> str | None:
    """The parameter that a pointer expression starts from: its leftmost term that leads to one."""
    if isinstance(expression, ast.Name):
        if expression.id in body.assigned and expression.id not in seen:
            seen.add(expression.id)
            for value in body.assigned[expression.id]:
                found = _base(body, value, seen)
                if found is not None:
                    return found
        return expression.id if expression.id in body.parameters else None
    if isinstance(expression, ast.BinOp) and isinstance(expression.op, (ast.Add, ast.Sub)):
        left = _base(body, expression.left, seen)
        return left if left is not None else _base(body, expression.right, seen)
    if isinstance(expression, ast.Subscript):
        return _base(body, expression.value, seen)
    if isinstance(expression, ast.IfExp):
        return _base(body, expression.body, seen) or _base(body, expression.orelse, seen)
    if isinstance(expression, ast.Call):
        if isinstance(expression.func, ast.Attribute) and expression.func.attr == "to":
            return _base(body, expression.func.value, seen)
        if _called(expression) in _KEEPS_POINTER | {"make_block_ptr"} and expression.args:
            return _base(body, expression.args[0], seen)
    return None


class _Numbers:
    """Integer or float: evidence from every operation that a parameter takes part in."""

    def __init__(self, body: _Body, known: Mapping[str, ParameterKind]) -> None:
        self._body = body
        self._known = known
        self._integer: set[str] = set()
        self._float: set[str] = set()
        for _ in range(2):  # what the first round finds helps the second
            for node in ast.walk(body.node):
                self._look(node)

    def kind(self, name: str) -> ParameterKind:
        if name in self._integer:
            return ParameterKind.INTEGER
        if name in self._float:
            return ParameterKind.FLOAT
        annotation = self._annotation(name)
        if annotation is not None:
            return annotation
        lowered = name.lower()
        named = any(lowered == word or lowered.startswith(word) or lowered.endswith("_" + word)
                    for word in _FLOAT_NAMES)  # fmt: skip
        return ParameterKind.FLOAT if named else ParameterKind.INTEGER

    def _annotation(self, name: str) -> ParameterKind | None:
        for argument in self._body.node.args.args:
            if argument.arg == name and argument.annotation is not None:
                text = ast.unparse(argument.annotation)
                if "float" in text or "fp" in text:
                    return ParameterKind.FLOAT
                return ParameterKind.INTEGER if "int" in text else None
        return None

    def _look(self, node: ast.AST) -> None:
        if isinstance(node, ast.BinOp):
            if isinstance(node.op, (ast.FloorDiv, ast.Mod)):
                self._mark(node.left, "integer")
                self._mark(node.right, "integer")
            elif isinstance(node.op, (ast.Add, ast.Sub, ast.Mult)):
                self._unify(node.left, node.right)
        elif isinstance(node, ast.Compare):
            for other in node.comparators:
                self._unify(node.left, other)
        elif isinstance(node, ast.Call):
            name = _called(node)
            if name in ("range", "static_range", "cdiv", "arange"):
                for argument in node.args:
                    self._mark(argument, "integer")
            elif name in ("maximum", "minimum", "where", "clamp"):
                values = node.args[1:] if name == "where" else node.args
                for one in values:
                    for other in values:
                        self._unify(one, other)

    def _unify(self, left: ast.expr, right: ast.expr) -> None:
        for one, other in ((left, right), (right, left)):
            kind = self._type(other, set())
            if kind is not None:
                self._mark(one, "integer" if kind == "pointer" else kind)

    def _mark(self, expression: ast.expr, kind: str) -> None:
        if isinstance(expression, ast.Name):
            name = expression.id
            if name in self._body.parameters and name not in self._known:
                (self._integer if kind == "integer" else self._float).add(name)
            elif kind == "integer" and name not in self._body.parameters:
                for value in self._body.assigned.get(name, []):
                    if isinstance(value, ast.Name) and value.id != name:
                        self._mark(value, kind)
        elif isinstance(expression, ast.BinOp):
            if not isinstance(expression.op, ast.Div):
                self._mark(expression.left, kind)
                self._mark(expression.right, kind)
        elif isinstance(expression, ast.UnaryOp):
            self._mark(expression.operand, kind)
        elif isinstance(expression, ast.Subscript):
            self._mark(expression.value, kind)

    def _type(self, expression: ast.expr, seen: set[str]) -> str | None:
        """ "integer", "float", "pointer", or None where the expression does not tell."""
        if isinstance(expression, ast.Constant):
            return "float" if isinstance(expression.value, float) else None
        if isinstance(expression, ast.Name):
            return self._type_of_name(expression.id, seen)
        if isinstance(expression, ast.Subscript):
            return self._type(expression.value, seen)
        if isinstance(expression, ast.UnaryOp):
            return self._type(expression.operand, seen)
        if isinstance(expression, ast.BinOp):
            if isinstance(expression.op, ast.Div):
                return "float"
            if isinstance(expression.op, (ast.FloorDiv, ast.Mod)):
                return "integer"
            kinds = {self._type(expression.left, seen), self._type(expression.right, seen)}
            return next((kind for kind in ("pointer", "float", "integer") if kind in kinds), None)
        if isinstance(expression, ast.Call):
            return self._type_of_call(expression, seen)
        return None

    def _type_of_name(self, name: str, seen: set[str]) -> str | None:
        if name in self._body.integers:
            return "integer"
        if self._known.get(name) is ParameterKind.POINTER:
            return "pointer"
        if name in self._body.parameters:
            if name in self._integer:
                return "integer"
            return "float" if name in self._float else None
        if name in seen:
            return None
        seen.add(name)
        kinds = {self._type(value, seen) for value in self._body.assigned.get(name, [])}
        return next((kind for kind in ("pointer", "float", "integer") if kind in kinds), None)

    def _type_of_call(self, call: ast.Call, seen: set[str]) -> str | None:
        name = _called(call)
        if name == "to" and call.args:
            return "integer" if "int" in ast.unparse(call.args[0]) else "float"
        if name in _INTEGER_CALLS:
            return "integer"
        if name in _FLOAT_CALLS:
            return "float"
        if name in _SAME_TYPE_CALLS:
            values = call.args[1:] if name == "where" else call.args[:2]
            kinds = {self._type(value, seen) for value in values}
            return next((kind for kind in ("float", "integer") if kind in kinds), None)
        return None
