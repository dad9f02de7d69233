"""What a kernel's body assigns to each name, and which function a call names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from warpwright.program.dotted_names import program_of


@dataclass
class KernelAssignments:
    """A kernel's parameters, and every expression that is assigned to each local name."""

    node: ast.FunctionDef
    parameters: tuple[str, ...]
    assigned: dict[str, list[ast.expr]] = field(default_factory=dict)
    integers: set[str] = field(default_factory=set)  # loop variables

    @classmethod
    def of(cls, node: ast.FunctionDef) -> KernelAssignments:
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


def called_name(call: ast.Call) -> str:
    """The last part of the function's name; empty where it has none."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def lane_counts(source: str, kernel: str) -> dict[str, int]:
    """How many lanes each `arange` of a kernel has, as text with the line of the first one; a local
    name that is assigned once is written as what it holds."""
    program = program_of(source)
    found: dict[str, int] = {}
    for node in program.kernels if program is not None else ():
        if node.node.name == kernel:
            body = KernelAssignments.of(node.node)
            for call in body.calls():
                if called_name(call) == "arange" and len(call.args) > 1:
                    found.setdefault(_held(call.args[1], body), call.lineno)
    return found


def _held(node: ast.expr, body: KernelAssignments) -> str:
    values = body.assigned.get(node.id, []) if isinstance(node, ast.Name) else []
    return ast.unparse(values[0] if len(values) == 1 else node)
