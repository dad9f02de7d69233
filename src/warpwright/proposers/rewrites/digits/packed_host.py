"""The host's half of a packed operand: the copy in each call, and the launch that passes it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from warpwright.program.parsing import lines_of
from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    kernel_text,
    launch_arguments,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.splice import Splice, end_of, inserted_after, spliced

HostTests = Callable[[str, Mapping[str, str]], Sequence[str]]
"""The tensor's name and what the launch passes for each parameter → comparisons, as source."""


class Packed(Protocol):
    """What the kernel calls the packed operand."""

    @property
    def operand(self) -> str: ...
    @property
    def permutation(self) -> tuple[int, ...]: ...
    @property
    def pointer(self) -> str: ...
    @property
    def flag(self) -> str: ...


def offer_packed(source: str, name: str, packing: Packed, tests: HostTests, told: str) -> str:
    """The source with the two parameters, and every launch passing the copy and whether it fits.

    `told` is the comment above the copy. Raises DoesNotApply where a launch's arguments cannot
    be told.
    """
    kernel = kernel_text(source, name)
    splices = [_parameters(kernel, packing)]
    launches = launch_arguments(kernel.program, name)
    if not launches:
        raise DoesNotApply(f"no launch of {name} is in the program")
    for call, arguments in launches:
        splices += _launch(source, kernel, call, arguments, packing, tests, told)
    return spliced(source, splices)


def _parameters(kernel: KernelText, packing: Packed) -> Splice:
    arguments = kernel.node.args
    if arguments.vararg or arguments.kwarg or arguments.kwonlyargs:
        raise DoesNotApply(f"{kernel.node.name} takes more than plain parameters")
    constexpr = kernel.builtin("constexpr")
    last = arguments.args[-1]
    if arguments.defaults:
        text = f", {packing.pointer}=None, {packing.flag}: {constexpr} = False"
        return inserted_after_default(arguments.defaults[-1], text)
    lines = lines_of(kernel.source)
    first = arguments.args[0]
    alone = last.lineno != first.lineno and not lines[last.lineno - 1][: last.col_offset].strip()
    added = [packing.pointer, f"{packing.flag}: {constexpr}"]
    if alone:
        margin = "\n" + " " * last.col_offset
        return inserted_after(last, "," + ",".join(margin + word for word in added))
    return inserted_after(last, "".join(f", {word}" for word in added))


def inserted_after_default(node: ast.expr, text: str) -> Splice:
    return Splice(end_of(node), end_of(node), text)


def _launch(
    source: str,
    kernel: KernelText,
    call: ast.Call,
    arguments: dict[str, ast.expr],
    packing: Packed,
    tests: HostTests,
    told: str,
) -> list[Splice]:
    operand = arguments.get(packing.operand)
    if operand is None or not _is_plain(operand):
        raise DoesNotApply(f"the launch does not pass {packing.operand} by a name")
    tensor = ast.unparse(operand)
    words = {
        name: text if isinstance(value, ast.Name) else f"({text})"
        for name, value in arguments.items()
        if (text := ast.unparse(value))
    }
    statement = _statement_of(kernel, call)
    margin = lines_of(source)[statement.lineno - 1][: statement.col_offset]
    if margin.strip():
        raise DoesNotApply("the launch does not start its line")
    copy = _fresh(kernel, f"{tensor.split('.')[-1]}_packed")
    fits = _fresh(kernel, f"{copy}_fits")
    made = ", ".join(map(str, packing.permutation))
    lines = [
        f"# {told}",
        f"{copy} = {tensor}.permute({made}).contiguous()",
        *_check_lines(fits, tests(tensor, words)),
    ]
    before = Splice(
        (statement.lineno, 0), (statement.lineno, 0), "".join(f"{margin}{x}\n" for x in lines)
    )
    last = [*call.args, *(keyword.value for keyword in call.keywords)][-1]
    added = [f"{packing.pointer}={copy}", f"{packing.flag}={fits}"]
    text = lines_of(source)[last.lineno - 1]
    first = min(
        (*call.args, *(k.value for k in call.keywords)), key=lambda a: (a.lineno, a.col_offset)
    )
    if first.lineno != last.lineno and last.end_lineno != call.end_lineno:
        indent = "\n" + text[: len(text) - len(text.lstrip())]
        return [before, inserted_after(last, "," + ",".join(indent + word for word in added))]
    return [before, inserted_after(last, "".join(f", {word}" for word in added))]


def _check_lines(fits: str, tests: Sequence[str]) -> list[str]:
    """`fits = (…)`: one comparison a line."""
    rest = [f"    and {test}" for test in tests[1:]]
    return [f"{fits} = (", f"    {tests[0]}", *rest, ")"]


def _is_plain(node: ast.expr) -> bool:
    if isinstance(node, ast.Attribute):
        return _is_plain(node.value)
    return isinstance(node, ast.Name)


def _statement_of(kernel: KernelText, call: ast.Call) -> ast.stmt:
    """The innermost statement that holds the call."""
    found: ast.stmt | None = None
    for node in ast.walk(kernel.program.tree):
        if isinstance(node, ast.stmt) and any(inner is call for inner in ast.walk(node)):
            found = node  # walks from the outside in
    if not isinstance(found, (ast.Expr, ast.Assign, ast.Return)):
        raise DoesNotApply("the launch does not stand in a statement of its own")
    return found


def _fresh(kernel: KernelText, name: str) -> str:
    words = {node.id for node in ast.walk(kernel.program.tree) if isinstance(node, ast.Name)}
    while name in words:
        name += "_"
    return name
