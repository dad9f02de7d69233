"""Kernel files as text: their functions by name, and what each one needs."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources

from warpwright.program.parsed import parse_program


@dataclass(frozen=True, slots=True)
class Function:
    """One function of a kernel file, as it stands there, its decorators included."""

    name: str
    text: str
    is_kernel: bool
    mentions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Library:
    """The functions of a package of kernel files. Names are unique over all of its files."""

    functions: dict[str, Function]

    def needed(self, names: Sequence[str]) -> tuple[Function, ...]:
        """These functions and all they call, each after what it needs; kernels first."""
        ordered: dict[str, Function] = {}

        def visit(name: str) -> None:
            if name in ordered or name not in self.functions:
                return
            function = self.functions[name]
            for other in sorted(function.mentions - {name}):
                visit(other)
            ordered[name] = function

        for name in names:
            if name not in self.functions:
                raise KeyError(f"no kernel file has a function {name}")
            visit(name)
        return tuple(sorted(ordered.values(), key=lambda function: not function.is_kernel))


def read_library(package: str) -> Library:
    """All functions of the `.py` files of a package. The files are read, not imported."""
    functions: dict[str, Function] = {}
    for file in sorted(resources.files(package).iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".py"):
            continue
        for function in _functions(file.read_text(encoding="utf-8")):
            if function.name in functions:
                raise ValueError(f"two kernel files have a function {function.name}")
            functions[function.name] = function
    return Library(functions)


def _functions(source: str) -> Iterator[Function]:
    lines = source.splitlines()
    program = parse_program(source)
    for node in program.written.body:
        if not isinstance(node, ast.FunctionDef):
            continue
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        yield Function(
            node.name,
            "\n".join(lines[first - 1 : node.end_lineno]),
            program.is_kernel(node),
            frozenset(inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)),
        )
