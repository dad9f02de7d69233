"""Top-level statements and the section of the strict output order that each belongs to."""

from __future__ import annotations

import ast

from warpwright.program.parsed import ParsedProgram
from warpwright.program.parsing import text_of
from warpwright.program.resolve import Aliases
from warpwright.types.program import TopLevel


def read_top_level(program: ParsedProgram) -> tuple[TopLevel, ...]:
    """One entry per top-level statement; lines include decorators."""
    found: list[TopLevel] = []
    for index, node in enumerate(program.tree.body):
        section, name = _section(node, index == 0, program)
        decorators = getattr(node, "decorator_list", [])
        line = min([node.lineno, *(decorator.lineno for decorator in decorators)])
        found.append(TopLevel(section, name, line, node.end_lineno or node.lineno))
    return tuple(found)


def _section(node: ast.stmt, is_first: bool, program: ParsedProgram) -> tuple[str, str | None]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return ("kernels" if program.is_kernel(node) else "wrappers"), node.name
    if isinstance(node, ast.ClassDef):
        return ("model" if _is_module(node, program.aliases) else "wrappers"), node.name
    if isinstance(node, (ast.Import, ast.ImportFrom)) or _is_guarded_import(node):
        return "imports", None
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        is_text = isinstance(node.value.value, str)
        return ("docstring" if is_text and is_first else "other"), None
    if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        section = "kernels" if program.makes_kernel(node) else "constants"
        return section, text_of(targets[0])
    return "other", None


def _is_module(node: ast.ClassDef, aliases: Aliases) -> bool:
    """A model: derives from `nn.Module`, or carries the name that models have."""
    bases = [aliases.path(base) for base in node.bases]
    return "torch.nn.Module" in bases or node.name.startswith("Model")


def _is_guarded_import(node: ast.stmt) -> bool:
    """`try: import x / except ImportError: x = None`, and `if ...: import x`."""
    if not isinstance(node, (ast.Try, ast.If)):
        return False
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.Pass)
    statements = list(node.body) + list(node.orelse)
    for handler in getattr(node, "handlers", []):
        statements += handler.body
    has_import = any(isinstance(s, (ast.Import, ast.ImportFrom)) for s in statements)
    return has_import and all(isinstance(s, allowed) for s in statements)
