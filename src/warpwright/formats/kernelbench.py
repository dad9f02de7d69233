"""KernelBench problem files, read without running them.

A problem file defines `Model` (the reference), `get_inputs` (its inputs) and, where the model's
constructor takes arguments, `get_init_inputs`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from warpwright.errors import InputError, Place
from warpwright.formats.documents import document_text
from warpwright.formats.python_text import parse_python
from warpwright.types.shapes import Problem

_LOOKS = {
    "Model": "class Model(nn.Module): with __init__ and forward, in plain PyTorch",
    "get_inputs": "def get_inputs(): return [torch.randn(16, 64), ...]  # forward's arguments",
    "get_init_inputs": "def get_init_inputs(): return [64, ...]  # Model's constructor arguments",
}


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Top-level statements, those inside `if` and `try` too."""
    waiting = list(reversed(body))
    while waiting:
        statement = waiting.pop()
        yield statement
        if isinstance(statement, ast.If | ast.Try):
            waiting += reversed([*statement.body, *statement.orelse])


def _bound_names(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Assign):
        yield from (target.id for target in statement.targets if isinstance(target, ast.Name))
    elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        yield statement.target.id
    elif isinstance(statement, ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in statement.names)


def _needs_arguments(model: ast.ClassDef) -> bool:
    """Whether the constructor has parameters without a default."""
    for statement in model.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            given = statement.args
            positional = len(given.posonlyargs) + len(given.args) - len(given.defaults)
            keyword_only = sum(default is None for default in given.kw_defaults)
            return positional > 1 or keyword_only > 0
    return False


def _lacks(name: str, place: Place, hint: str | None = None) -> InputError:
    return InputError(
        f"the problem file has no {name}",
        place=place,
        expected=_LOOKS[name],
        hint=hint or "add it to the problem file, at the top level",
    )


def stated_problem(source: str, origin: str) -> Problem:
    """The problem of a section that was read before; it may have inputs alone."""
    return Problem(source=source, origin=origin, has_model="Model" in _names(parse_python(source)))


def _names(tree: ast.Module) -> set[str]:
    return {name for statement in _statements(tree.body) for name in _bound_names(statement)}


def read_problem(
    source: str,
    *,
    document: str | None = None,
    section: str | None = None,
    first_line: int = 1,
    model_needed: bool = True,
) -> Problem:
    """The problem that a file or a `[PROBLEM]` section defines; nothing of it is run.

    `first_line` is the document's line on which the source begins; without `model_needed` it may
    have inputs alone. Raises `InputError` for text that is no Python, and where `Model`,
    `get_inputs` or a needed `get_init_inputs` is missing.
    """
    source = document_text(source, document)
    tree = parse_python(source, document=document, section=section, first_line=first_line)
    statements = list(_statements(tree.body))
    names = _names(tree)
    models = [s for s in statements if isinstance(s, ast.ClassDef) and s.name == "Model"]
    place = Place(document, section, first_line)
    if "Model" not in names and (model_needed or "get_inputs" not in names):
        looks_new = "ModelNew" in names
        raise _lacks(
            "Model",
            place,
            "this looks like a candidate program; the problem is the PyTorch file it replaces"
            if looks_new
            else None,
        )
    if models:
        place = Place(document, section, models[-1].lineno + first_line - 1)
    if "get_inputs" not in names:
        raise _lacks("get_inputs", place)
    if "get_init_inputs" not in names and any(map(_needs_arguments, models)):
        raise _lacks("get_init_inputs", place)
    origin = document or section or "problem file"
    return Problem(source=source, origin=origin, has_model="Model" in names)
