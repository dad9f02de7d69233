"""A cases file: the inputs on which an entry point is studied, checked and timed.

    import torch

    def prefill():
        return [torch.randn(4096, 8192, dtype=torch.float16), torch.ones(8192)]

    def decode():
        return {"x": torch.randn(16, 8192, dtype=torch.float16), "weight": torch.ones(8192)}

    CASES = {prefill: 1, decode: 20}     # how often each occurs; a list: equally often

    def reference(x, weight):            # optional, in plain PyTorch
        ...

Without `CASES`, each public function without parameters is a case. Nothing of it is run here.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from warpwright.entrypoints.harness import Signature, problem_text
from warpwright.entrypoints.join import Joiner
from warpwright.entrypoints.modules import Modules, SourceModule
from warpwright.errors import InputError, Place
from warpwright.types.input_cases import InputCase
from warpwright.types.shapes import Problem

LIST = "CASES"
REFERENCE = "reference"
_LOOKS = (
    "functions that return the arguments, such as: def large(): return [torch.randn(4096, 8192)]"
)


def read_cases(
    path: Path, signature: Signature, *, backward: bool = False, roots: Sequence[Path] = ()
) -> tuple[InputCase, ...]:
    """The cases of a file, the one with most weight first.

    Raises InputError for a file without cases, and for weights that are no positive numbers.
    """
    modules = Modules(path, roots)
    module = modules.read(path)
    weights = _weights(module)
    if not weights:
        raise InputError("the file has no case", place=Place(str(path)), expected=_LOOKS)
    found = [
        InputCase(name, weight, _problem(path, name, signature, backward, modules))
        for name, weight in weights.items()
    ]
    first, *others = sorted(found, key=lambda case: -case.weight)
    problems = tuple(case.problem for case in others)
    return (replace(first, problem=replace(first.problem, others=problems)), *others)


def _problem(
    path: Path, name: str, signature: Signature, backward: bool, modules: Modules
) -> Problem:
    joiner = Joiner(modules)
    module = modules.read(path)
    case = joiner.definition(path, name)
    reference = joiner.definition(path, REFERENCE) if REFERENCE in module.bound else None
    joined = joiner.join(None)
    text = joined.source + problem_text(
        joiner.names[case],
        signature,
        None if reference is None else joiner.names[reference],
        backward=backward,
    )
    return Problem(source=text, origin=f"{path}:{name}", has_model=reference is not None)


def _weights(module: SourceModule) -> dict[str, float]:
    """Name of each case → weight, as they stand in the file."""
    stated = [s for s in module.bound.get(LIST, []) if isinstance(s.nodes[-1], ast.Assign)]
    if not stated:
        return {
            node.name: 1.0
            for node in module.tree.body
            if isinstance(node, ast.FunctionDef)
            and not node.name.startswith("_")
            and node.name != REFERENCE
            and not (node.args.args or node.args.kwonlyargs or node.args.posonlyargs)
        }
    node = stated[-1].nodes[-1]
    assert isinstance(node, ast.Assign)
    value = node.value
    if isinstance(value, ast.List | ast.Tuple):
        return {_name(item, module): 1.0 for item in value.elts}
    if isinstance(value, ast.Dict):
        pairs = zip(value.keys, value.values, strict=True)
        return {_name(key, module): _weight(number, module) for key, number in pairs}
    raise _refused(module, value, "a list of functions, or a dict from functions to weights")


def _name(node: ast.expr | None, module: SourceModule) -> str:
    if isinstance(node, ast.Name) and node.id in module.bound:
        return node.id
    raise _refused(module, node, "the name of a function of this file")


def _weight(node: ast.expr, module: SourceModule) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and node.value > 0:
        return float(node.value)
    raise _refused(module, node, "a number above 0")


def _refused(module: SourceModule, node: ast.expr | None, expected: str) -> InputError:
    return InputError(
        f"{LIST} cannot be read",
        place=Place(str(module.path), line=None if node is None else node.lineno),
        expected=expected,
        got=None if node is None else ast.unparse(node)[:80],
    )
