"""The strict output order: which sections come in which order, and what is testing code."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from warpwright.source.program import ParsedProgram, parse_program
from warpwright.source.sections import read_top_level
from warpwright.types.program import TopLevel

SECTIONS = ("imports", "kernels", "wrappers", "model")
"""The order that requests ask for. Docstring and constants have no place of their own."""

_TEST_NAMES = ("get_inputs", "get_init_inputs", "test", "benchmark", "main", "check", "verify")


@dataclass(frozen=True, slots=True)
class TestingCode:
    """A top-level statement that runs or tests the program. `kind` is one of
    "if __name__", "problem inputs", "test function", "print", "runs at import"."""

    __test__ = False  # not a test, whatever pytest thinks of the name

    kind: str
    name: str | None
    line: int


@dataclass(frozen=True, slots=True)
class SectionOrder:
    """Facts about the order; the gate decides what they mean.

    `sections`: the sections in the order of their first statement. `misplaced`: statements
    that stand after one of a later section. `missing`: sections with no statement.
    """

    sections: tuple[str, ...]
    misplaced: tuple[TopLevel, ...]
    missing: tuple[str, ...]
    testing: tuple[TestingCode, ...]
    model_classes: tuple[str, ...]


def section_order(source: str) -> SectionOrder:
    """The sections of a program as they stand. Raises `InputError` if it cannot be read."""
    program = parse_program(source)
    statements = read_top_level(program)
    highest = 0
    misplaced: list[TopLevel] = []
    for statement in statements:
        if statement.section not in SECTIONS:
            continue
        rank = SECTIONS.index(statement.section)
        if rank < highest:
            misplaced.append(statement)
        highest = max(highest, rank)
    found = tuple(dict.fromkeys(statement.section for statement in statements))
    return SectionOrder(
        sections=found,
        misplaced=tuple(misplaced),
        missing=tuple(section for section in SECTIONS if section not in found),
        testing=_testing(program, statements),
        model_classes=tuple(s.name for s in statements if s.section == "model" and s.name),
    )


def _testing(program: ParsedProgram, statements: tuple[TopLevel, ...]) -> tuple[TestingCode, ...]:
    found: list[TestingCode] = []
    for node, statement in zip(program.tree.body, statements, strict=True):
        kind = _testing_kind(node, statement)
        if kind is not None:
            found.append(TestingCode(kind, statement.name, statement.line))
    return tuple(found)


def _testing_kind(node: ast.stmt, statement: TopLevel) -> str | None:
    if isinstance(node, ast.If) and "__name__" in _names(node.test):
        return "if __name__"
    if statement.section == "wrappers" and statement.name is not None:
        if statement.name in _TEST_NAMES[:2]:
            return "problem inputs"
        is_test = statement.name in _TEST_NAMES or statement.name.startswith(("test_", "bench"))
        return "test function" if is_test else None
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return "print" if "print" in _names(node.value.func) else "runs at import"
    runs = (ast.For, ast.While, ast.With, ast.Try, ast.If, ast.Assert, ast.Delete, ast.AugAssign)
    if isinstance(node, runs) and statement.section != "imports":
        return "runs at import"
    return None


def _names(node: ast.AST) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
