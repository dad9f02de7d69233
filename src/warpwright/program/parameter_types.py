"""What a kernel's source tells of its parameters' types: pointer, integer or float.

A Triton kernel states no types; a call does. Without a call they are inferred from use: what
`tl.load` reads through is a pointer, what indexes, counts or is compared with an index is an
integer, what is combined with loaded values is a float.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from warpwright.program.kernel_assignments import KernelAssignments, called_name
from warpwright.program.number_types import NumberTypes
from warpwright.types.parameters import ParameterKind

_THROUGH_POINTER = frozenset({
    "load", "store", "make_block_ptr", "make_tensor_descriptor", "atomic_add", "atomic_max",
    "atomic_min", "atomic_and", "atomic_or", "atomic_xor", "atomic_xchg", "atomic_cas",
})  # fmt: skip
_KEEPS_POINTER = frozenset({"multiple_of", "max_contiguous", "advance", "broadcast_to"})


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
        body = KernelAssignments.of(node)
        found = _constexprs(node)
        for name in _pointers(body):
            found.setdefault(name, ParameterKind.POINTER)
        for name in _descriptors(body):
            found.setdefault(name, ParameterKind.DESCRIPTOR)
        for name, kind in self._from_helpers(body):
            found.setdefault(name, kind)
        numbers = NumberTypes(body, found)
        for name in body.parameters:
            found.setdefault(name, numbers.kind(name))
        self._done[node.name] = {name: found[name] for name in body.parameters}
        return self._done[node.name]

    def _from_helpers(self, body: KernelAssignments) -> Iterator[tuple[str, ParameterKind]]:
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
    only_decide = _only_decide(node)
    found = {}
    for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
        if argument.annotation is not None and "constexpr" in ast.unparse(argument.annotation):
            flag = argument.arg in only_decide
            found[argument.arg] = ParameterKind.FLAG if flag else ParameterKind.CONSTANT
    return found


def _only_decide(node: ast.FunctionDef) -> set[str]:
    """The names of which every use is the truth of a condition."""
    truths: set[int] = set()
    uses: list[ast.Name] = []
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            uses.append(part)
        test = getattr(part, "test", None)
        if test is not None:
            _truths(test, truths)
    otherwise = {use.id for use in uses if id(use) not in truths}
    return {use.id for use in uses} - otherwise


def _truths(test: ast.expr, found: set[int]) -> None:
    if isinstance(test, ast.Name):
        found.add(id(test))
    elif isinstance(test, ast.BoolOp):
        for value in test.values:
            _truths(value, found)
    elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        _truths(test.operand, found)


def _pointers(body: KernelAssignments) -> Iterator[str]:
    for call in body.calls():
        if called_name(call) not in _THROUGH_POINTER:
            continue
        target = next(iter(call.args), None)
        for keyword in call.keywords:
            if keyword.arg in ("pointer", "base"):
                target = keyword.value
        if target is not None:
            base = _base(body, target, set())
            if base is not None:
                yield base


def _descriptors(body: KernelAssignments) -> Iterator[str]:
    for call in body.calls():
        func = call.func
        if (
            isinstance(func, ast.Attribute)
            and func.attr in ("load", "store", "gather", "scatter")
            and isinstance(func.value, ast.Name)
            and func.value.id in body.parameters
        ):
            yield func.value.id


def _base(body: KernelAssignments, expression: ast.expr, seen: set[str]) -> str | None:
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
        if called_name(expression) in _KEEPS_POINTER | {"make_block_ptr"} and expression.args:
            return _base(body, expression.args[0], seen)
    return None
