"""Of which type the value is that a loop hands from step to step, for how it starts."""

from __future__ import annotations

import ast

from warpwright.proposers.rewrites.common.kernel_text import KernelText, stored_names
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.vectorize.serial_loop import Carried, SerialLoop

_WITH_FRACTION = frozenset({"float32", "float64"})
_NUMBERS = frozenset({"float32", "float64", "int32", "int64"})


def type_of(kernel: KernelText, loop: SerialLoop, carried: Carried) -> tuple[str, bool]:
    """The type as the program writes it, and whether it has a fraction.

    Where the start does not say it, the value's own type at run time. Raises DoesNotApply for a
    plain number that an unrolled loop starts with, which takes the type of the first term, and
    for a value that a comparison keeps though it may be no number.
    """
    starts = _starts(kernel, loop.statement, carried.name)
    if not starts:
        raise DoesNotApply(f"{carried.name} has no value before the loop")
    types = {_type(kernel, start) for start in starts}
    literal = any(_is_number(start) for start in starts)
    if loop.unrolled and literal:
        raise DoesNotApply(f"{carried.name} starts as a number of no type")
    if carried.update.compared and not all(_is_plain_start(kernel, start) for start in starts):
        raise DoesNotApply(f"{carried.name} may start as no number, which a comparison keeps")
    if len(types) != 1 or None in types:
        return f"{carried.name}.dtype", False
    name = str(types.pop())
    return kernel.builtin(name), name in _WITH_FRACTION


def _starts(kernel: KernelText, statement: ast.For, name: str) -> list[ast.expr]:
    """What is assigned before the loop. A name that a loop around it carries has one type, so
    what is assigned behind it there says nothing new."""
    found = []
    for node in ast.walk(kernel.node):
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        if node.lineno < statement.lineno and name in stored_names([node]):
            if isinstance(node, ast.Assign) and not all(
                isinstance(target, ast.Name) for target in node.targets
            ):
                raise DoesNotApply(f"{name} is assigned together with others")
            found.append(node.value)
    return found


def _type(kernel: KernelText, start: ast.expr) -> str | None:
    """The type that a value starts with, `float32`; None where the text does not say it."""
    if _is_number(start):
        whole = all(
            type(node.value) is int for node in ast.walk(start) if isinstance(node, ast.Constant)
        )
        return "int32" if whole and not isinstance(start, ast.Call) else "float32"
    if not isinstance(start, ast.Call):
        return None
    owner = start.func.attr if isinstance(start.func, ast.Attribute) else ""
    called = kernel.called(start)
    if called in ("zeros", "full", "cast") or (called is None and owner == "to"):
        types = [*start.args, *(keyword.value for keyword in start.keywords)]
        named = {kernel.path(node) for node in types} & _NUMBERS
        return str(named.pop()) if len(named) == 1 else None
    return None


def _is_plain_start(kernel: KernelText, start: ast.expr) -> bool:
    """Whether the start is a number for sure."""
    if _is_number(start):
        return "nan" not in ast.unparse(start)
    return (
        isinstance(start, ast.Call)
        and kernel.called(start) in ("zeros", "full")
        and all(_is_number(argument) for argument in start.args[1:2])
        and "nan" not in ast.unparse(start)
    )


def _is_number(node: ast.expr) -> bool:
    """A plain number, or `float("-inf")`."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _is_number(node.operand)
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "float" and not node.keywords
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)
