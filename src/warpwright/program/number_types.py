"""Whether a kernel's parameter is an integer or a float, inferred from use."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from warpwright.program.kernel_assignments import KernelAssignments, called_name
from warpwright.types.parameters import ParameterKind

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


class NumberTypes:
    """Integer or float: evidence from every operation that a parameter takes part in."""

    def __init__(self, body: KernelAssignments, known: Mapping[str, ParameterKind]) -> None:
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
            name = called_name(node)
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
        name = called_name(call)
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
