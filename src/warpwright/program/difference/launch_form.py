"""A launch in normal form: arguments by parameter, options, and its grid as one tuple."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Set
from dataclasses import dataclass

from warpwright.program.launches import MODULE, LaunchNode, find_launches, grid_values
from warpwright.program.nodes import clone, rounded_up
from warpwright.program.normal_form import Definitions, Position, body_lines, position_of
from warpwright.program.parsed import ParsedProgram
from warpwright.program.parsing import text_of
from warpwright.types.program import Kernel

_META = "meta"


@dataclass(frozen=True, slots=True)
class LaunchForm:
    """A launch in normal form: arguments by parameter, options, grids."""

    node: LaunchNode
    kernel: Kernel
    definitions: Definitions

    @property
    def where(self) -> str:
        return self.node.function.name if self.node.function else MODULE

    @property
    def line(self) -> int:
        return self.node.call.lineno

    def bound(self) -> tuple[dict[str, ast.expr], dict[str, ast.expr]]:
        """(arguments by parameter, launch options by name)."""
        names = [parameter.name for parameter in self.kernel.parameters]
        arguments: dict[str, ast.expr] = {}
        for index, argument in enumerate(self.node.arguments):
            starred = isinstance(argument, ast.Starred)
            name = names[index] if index < len(names) and not starred else f"*{index}"
            arguments[name] = argument
        options: dict[str, ast.expr] = {}
        for keyword in self.node.keywords:
            name = keyword.arg or "**"
            if name == "grid" and name not in names:
                continue
            (arguments if name in names or name == "**" else options)[name] = keyword.value
        return arguments, options

    @property
    def place(self) -> Position:
        return position_of(self.node.call)

    def resolved(self, node: ast.expr) -> str:
        return text_of(self.definitions.expand(node, self.place))

    @property
    def constants(self) -> set[str]:
        """The kernel's compile-time parameters."""
        return {p.name for p in self.kernel.parameters if p.is_constexpr}

    def grids(self, constants: Set[str] | None = None) -> set[str]:
        """Each grid this launch can have, as one canonical tuple over `meta[...]`.

        Local names are resolved, parameter names of lambdas do not count, and a local that is
        passed as one of the compile-time parameters (`constants`: those that count) reads as
        `meta["THAT"]`.
        """
        constants = self.constants if constants is None else constants
        fixed: dict[str, ast.expr] = {}
        for name, value in self.bound()[0].items():
            if name in constants and isinstance(value, ast.Name):
                fixed[value.id] = _meta(name)
        return {self._grid(value, fixed) for value in grid_values(self.node)}

    def _grid(self, value: ast.AST, fixed: Mapping[str, ast.expr]) -> str:
        if isinstance(value, ast.FunctionDef) and _is_straight(value):
            inner = value.body[-1].value  # type: ignore[attr-defined]
            local = Definitions(value, value.body)
            body = local.expand(inner, position_of(value.body[-1]))
            return self._grid(ast.Lambda(value.args, body), fixed)
        if isinstance(value, (ast.FunctionDef, ast.AsyncFunctionDef)):
            function = clone(value)
            function.name = "grid"
            return "\n".join(f"{line.depth} {line.text}" for line in body_lines([function]))
        names = dict(fixed)
        if isinstance(value, ast.Lambda):
            for argument in value.args.args:
                names[argument.arg] = ast.Name(_META, ast.Load())
            value = value.body
        assert isinstance(value, ast.expr)
        expanded = _GridForm().visit(self.definitions.expand(value, self.place, names))
        if isinstance(expanded, ast.Tuple) and len(expanded.elts) > 1:
            # Trailing ones launch the same blocks.
            while len(expanded.elts) > 1 and text_of(expanded.elts[-1]) == "1":
                expanded.elts.pop()
        return text_of(expanded)


def _is_straight(function: ast.FunctionDef) -> bool:
    """A body of assignments and one `return` at its end."""
    *before, last = function.body
    is_return = isinstance(last, ast.Return) and last.value is not None
    return is_return and all(isinstance(s, (ast.Assign, ast.AnnAssign)) for s in before)


class _GridForm(ast.NodeTransformer):
    """`tl.cdiv`, `tr.cdiv` and `(a + b - 1) // b` → `triton.cdiv(a, b)`."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        called = text_of(node.func)
        if called.split(".")[-1] == "cdiv" and len(node.args) == 2:
            return _cdiv(node.args[0], node.args[1])
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        whole = rounded_up(node)
        return node if whole is None else _cdiv(whole, node.right)


def _cdiv(left: ast.expr, right: ast.expr) -> ast.Call:
    function = ast.Attribute(ast.Name("triton", ast.Load()), "cdiv", ast.Load())
    return ast.Call(function, [left, right], [])


def _meta(name: str) -> ast.Subscript:
    return ast.Subscript(ast.Name(_META, ast.Load()), ast.Constant(name), ast.Load())


def launches_of(program: ParsedProgram, kernels: Mapping[str, Kernel]) -> list[LaunchForm]:
    """The launches of a program whose kernel is known."""
    found: list[LaunchForm] = []
    for node in find_launches(program):
        kernel = kernels.get(node.kernel)
        if kernel is not None:
            function = node.function.node if node.function else None
            body = function.body if function else program.tree.body
            found.append(LaunchForm(node, kernel, Definitions(function, body)))
    return found
