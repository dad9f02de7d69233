"""ModelNew of a program, made from the problem's Model: same constructor, another forward."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from warpwright.errors import InputError, Place
from warpwright.program.syntax import syntax_tree


def model_new(problem_source: str, module: str, call: str) -> tuple[list[str], str]:
    """The import lines that the model needs, and its text with what it needs beside it.

    `module` is the path of what holds the weight (and bias) in the model, "" for the model
    itself. `call` is an expression over `x`, `weight` and `bias`: what forward returns.
    Raises `InputError` where the problem has no class Model.
    """
    tree = syntax_tree(problem_source)
    model = _class_named(tree, "Model")
    if model is None:
        raise InputError(
            "the problem has no class Model",
            place=Place("the problem file"),
            expected="class Model(nn.Module)",
            got=", ".join(n.name for n in tree.body if isinstance(n, ast.ClassDef)) or "no class",
            hint="name the module that the program must replace Model",
        )
    _strip(model)
    holder = f"self.{module}" if module else "self"
    _replace_forward(model, holder, call)
    model.name = "ModelNew"
    for node in ast.walk(model):
        if isinstance(node, ast.Name) and node.id == "Model":
            node.id = "ModelNew"
    beside = _needed(tree, model)
    imports = [ast.unparse(n) for n in beside if isinstance(n, (ast.Import, ast.ImportFrom))]
    others = [n for n in beside if not isinstance(n, (ast.Import, ast.ImportFrom))]
    text = "\n\n\n".join(ast.unparse(ast.fix_missing_locations(n)) for n in [*others, model])
    return imports, _spaced(text)


def _class_named(tree: ast.Module, name: str) -> ast.ClassDef | None:
    found = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name]
    return found[-1] if found else None


def _strip(model: ast.ClassDef) -> None:
    """Without docstrings and annotations: they explain the problem, and may need imports."""
    for node in ast.walk(model):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            first = node.body[0]
            is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            if is_text and isinstance(first.value.value, str):  # type: ignore[attr-defined]
                node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None


def _replace_forward(model: ast.ClassDef, holder: str, call: str) -> None:
    """forward with another body, and no method besides it that the constructor does not use."""
    methods = {n.name: n for n in model.body if isinstance(n, ast.FunctionDef)}
    forward = methods["forward"]
    names = [argument.arg for argument in [*forward.args.posonlyargs, *forward.args.args]]
    image = names[1] if len(names) > 1 else "x"
    expression = call.format(x=image, weight=f"{holder}.weight", bias=f"{holder}.bias")
    forward.body = [syntax_tree(f"return {expression}").body[0]]
    forward.decorator_list = []
    kept = {"forward", *_used_methods(methods, "__init__")}
    model.body = [n for n in model.body if not isinstance(n, ast.FunctionDef) or n.name in kept]


def _used_methods(methods: dict[str, ast.FunctionDef], start: str) -> set[str]:
    used: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name not in methods or name in used:
            continue
        used.add(name)
        waiting += [n.attr for n in ast.walk(methods[name]) if isinstance(n, ast.Attribute)]
    return used


def _needed(tree: ast.Module, model: ast.ClassDef) -> list[ast.stmt]:
    """Statements of the problem that define what the model mentions, in their order."""
    defined: dict[str, ast.stmt] = {}
    for statement in tree.body:
        for name in _defines(statement):
            defined[name] = statement
    wanted: list[ast.stmt] = []
    waiting: list[ast.AST] = [model]
    while waiting:
        for node in ast.walk(waiting.pop()):
            found = defined.get(node.id) if isinstance(node, ast.Name) else None
            if found is not None and found not in (model, *wanted):
                wanted.append(found)
                waiting.append(found)
    return [statement for statement in tree.body if statement in wanted]


def _defines(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        for alias in statement.names:
            yield alias.asname or alias.name.split(".")[0]
    elif isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        yield statement.name
    elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            yield from (n.id for n in ast.walk(target) if isinstance(n, ast.Name))


def _spaced(text: str) -> str:
    return text.strip() + "\n"
