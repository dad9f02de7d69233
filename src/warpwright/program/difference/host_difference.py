"""Edits of host code: launches with their grids, wrappers, model, module level."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from warpwright.program.difference.kernel_difference import line_edits
from warpwright.program.difference.launch_form import LaunchForm
from warpwright.program.evaluate import outside_functions
from warpwright.program.launches import MODULE
from warpwright.program.nodes import clone
from warpwright.program.normal_form import NormalLine, body_lines, position_of
from warpwright.program.parsed import ParsedProgram
from warpwright.program.parsing import text_of
from warpwright.program.plain_spelling import FunctionNode
from warpwright.types.edit import Edit, EditKind


def launch_edits(
    old: list[LaunchForm], new: list[LaunchForm], renamed: Mapping[str, str]
) -> Iterator[Edit]:
    """Edits of grids, arguments and options. `renamed` maps a parent's kernel to the child's."""
    names = [renamed.get(launch.kernel.name, launch.kernel.name) for launch in old]
    for kernel in dict.fromkeys([*names, *(launch.kernel.name for launch in new)]):
        before = [launch for launch, name in zip(old, names, strict=True) if name == kernel]
        after = [launch for launch in new if launch.kernel.name == kernel]
        for one, other in zip(before, after, strict=False):
            yield from _grid_edits(one, other)
            yield from _argument_edits(one, other)
        for gone in before[len(after) :]:
            text = text_of(gone.node.call)
            yield Edit(EditKind.LAUNCH_ARGUMENTS, kernel, text, None, gone.line)
        for added in after[len(before) :]:
            text = text_of(added.node.call)
            yield Edit(EditKind.LAUNCH_ARGUMENTS, kernel, None, text, added.line)


def _grid_edits(one: LaunchForm, other: LaunchForm) -> Iterator[Edit]:
    # A size that became a compile-time parameter leaves the grid what it was.
    both = one.constants & other.constants
    before, after = one.grids(both), other.grids(both)
    if before != after:
        texts = (" or ".join(sorted(before)), " or ".join(sorted(after)))
        yield Edit(EditKind.GRID, other.kernel.name, *texts, other.line)


def _argument_edits(one: LaunchForm, other: LaunchForm) -> Iterator[Edit]:
    (old, old_options), (new, new_options) = one.bound(), other.bound()
    constants = {p.name for p in other.kernel.parameters if p.is_constexpr}
    yield from _value_edits(EditKind.LAUNCH_ARGUMENTS, one, other, old, new, constants)
    options = {*old_options, *new_options}
    yield from _value_edits(EditKind.LAUNCH_OPTIONS, one, other, old_options, new_options, options)


def _value_edits(
    kind: EditKind,
    one: LaunchForm,
    other: LaunchForm,
    old: Mapping[str, ast.expr],
    new: Mapping[str, ast.expr],
    followed: set[str],
) -> Iterator[Edit]:
    """Values that differ. Those in `followed` are compared by what their names stand for;
    of the rest, a change of what the name stands for is an edit of host code instead."""
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name), new.get(name)
        if before is None or after is None:
            texts = (_named(name, before), _named(name, after))
            yield Edit(kind, other.kernel.name, *texts, other.line)
            continue
        if name not in followed and text_of(before) == text_of(after):
            continue
        resolved = one.resolved(before), other.resolved(after)
        if resolved[0] != resolved[1]:
            # Show what differs: the resolved values where the written ones look equal.
            same = text_of(before) == text_of(after)
            shown = resolved if same else (text_of(before), text_of(after))
            texts = (f"{name}={shown[0]}", f"{name}={shown[1]}")
            yield Edit(kind, other.kernel.name, *texts, other.line)


def _named(name: str, value: ast.expr | None) -> str | None:
    return None if value is None else f"{name}={text_of(value)}"


def host_edits(
    old: ParsedProgram, new: ParsedProgram, before: list[LaunchForm], after: list[LaunchForm]
) -> Iterator[Edit]:
    """Edits of wrappers, classes and module level; launches and grids left out."""
    ours, theirs = _host_blocks(old, before), _host_blocks(new, after)
    for name in dict.fromkeys([*ours, *theirs]):
        kind = EditKind.MODEL if (ours.get(name) or theirs[name])[0] else EditKind.HOST_CODE
        one = ours.get(name, (False, []))[1]
        other = theirs.get(name, (False, []))[1]
        if [line.key for line in one] != [line.key for line in other]:
            yield from line_edits(kind, name, one, other)


def _host_blocks(
    program: ParsedProgram, launches: list[LaunchForm]
) -> dict[str, tuple[bool, list[NormalLine]]]:
    """Top-level function or class (or module level) → (is a class, its lines)."""
    hidden = _launch_statements(program, launches)
    constants = _config_constants(program)
    tree = clone(program.tree)  # a copy that may be changed
    _Hide(hidden).generic_visit(tree)
    blocks: dict[str, tuple[bool, list[NormalLine]]] = {}
    loose: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            blocks[node.name] = (False, body_lines([node]))
        elif isinstance(node, ast.ClassDef):
            blocks[node.name] = (True, body_lines([node]))
        elif not isinstance(node, (ast.Import, ast.ImportFrom)):
            target = node.targets[0] if isinstance(node, ast.Assign) else None
            if not (isinstance(target, ast.Name) and target.id in constants):
                loose.append(node)
    if loose:
        blocks[MODULE] = (False, body_lines(loose))
    return blocks


class _Hide(ast.NodeTransformer):
    """Removes statements that other edits speak of; a launch leaves a mark.

    Statements are told by their place, because the tree was copied.
    """

    def __init__(self, hidden: Mapping[tuple[int, int, type], str | None]) -> None:
        self._hidden = hidden

    def visit(self, node: ast.AST) -> ast.AST | None:
        if isinstance(node, ast.stmt):
            key = (*position_of(node), type(node))
            if key in self._hidden:
                mark = self._hidden[key]
                if mark is None:
                    return None
                return ast.copy_location(ast.Expr(ast.Name(mark, ast.Load())), node)
        return self.generic_visit(node)


def _launch_statements(
    program: ParsedProgram, launches: list[LaunchForm]
) -> dict[tuple[int, int, type], str | None]:
    """Statements that are launches (→ a mark), grids or serve only them (→ None)."""
    hidden: dict[tuple[int, int, type], str | None] = {}
    calls = {id(launch.node.call): launch for launch in launches}
    for node in ast.walk(program.tree):
        if isinstance(node, ast.Expr) and id(node.value) in calls:
            hidden[(*position_of(node), type(node))] = "launch"
    for launch in launches:
        for statement in launch.node.definitions:
            hidden[(*position_of(statement), type(statement))] = None
    for kernel in program.kernels:
        hidden[(*position_of(kernel.node), type(kernel.node))] = None
    for statement in program.tree.body:
        if program.makes_kernel(statement):  # edits of kernels tell of it
            hidden[(*position_of(statement), type(statement))] = None
    for function in {
        id(launch.node.function): launch.node.function for launch in launches
    }.values():
        if function is not None:
            _hide_servants(function.node, hidden)
    return hidden


def _hide_servants(function: FunctionNode, hidden: dict[tuple[int, int, type], str | None]) -> None:
    """Hides `name = value` where the name is read only by what is hidden already.

    Such names are resolved into the grid and the compile-time arguments, where a change of
    them shows. Only names that are assigned once, so that resolving them is exact.
    """
    while True:
        loads: dict[str, int] = {}
        stores: dict[str, list[ast.AST]] = {}
        visible: dict[str, int] = {}
        for statement in _simple_statements(function):
            is_hidden = (*position_of(statement), type(statement)) in hidden
            for node in ast.walk(statement):
                if not isinstance(node, ast.Name):
                    continue
                if isinstance(node.ctx, ast.Load):
                    loads[node.id] = loads.get(node.id, 0) + 1
                    visible[node.id] = visible.get(node.id, 0) + (not is_hidden)
                else:
                    stores.setdefault(node.id, []).append(statement)
        found = False
        for name, statements in stores.items():
            key = (*position_of(statements[0]), type(statements[0]))
            first = statements[0]
            is_plain = isinstance(first, ast.Assign) and all(
                isinstance(target, ast.Name) for target in first.targets
            )
            serves_only = visible.get(name, 0) == 0
            if loads.get(name, 0) == 0:  # read by nobody: no matter, unless making it does work
                serves_only = is_plain and not _calls_anything(first)
            if len(statements) == 1 and is_plain and key not in hidden and serves_only:
                hidden[key] = None
                found = True
        if not found:
            return


def _calls_anything(node: ast.AST) -> bool:
    """Whether the node calls more than arithmetic helpers."""
    harmless = {"cdiv", "min", "max", "int", "next_power_of_2", "len"}
    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call)]
    return any(text_of(call.func).split(".")[-1] not in harmless for call in calls)


def _simple_statements(function: FunctionNode) -> list[ast.AST]:
    """Simple statements, headers of compound ones, nested functions as a whole."""
    found: list[ast.AST] = []
    parts: list[ast.AST]
    for node in (node for statement in function.body for node in outside_functions(statement)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.append(node)
        elif isinstance(node, ast.stmt):
            inner = list(ast.iter_child_nodes(node))
            parts = [c for c in inner if not isinstance(c, (ast.stmt, ast.ExceptHandler))]
            found += parts if hasattr(node, "body") else (node,)
    return found


def _config_constants(program: ParsedProgram) -> set[str]:
    """Module-level names that only autotune decorators read: edits of configs tell of them."""
    in_decorators: set[str] = set()
    for kernel in program.kernels:
        for decorator in (*kernel.node.decorator_list, *kernel.tuners, *kernel.heuristics):
            in_decorators |= {n.id for n in ast.walk(decorator) if isinstance(n, ast.Name)}
    return in_decorators & set(program.constants)
