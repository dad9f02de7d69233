"""`difference`: what a candidate changed of its parent, as typed edits."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher

from warpwright.program.difference.host_difference import host_edits, launch_edits
from warpwright.program.difference.kernel_difference import (
    MAX_COMPARED,
    autotune_edits,
    body_edits,
    loop_edits,
    mask_edits,
    operation_edits,
    signature_edits,
)
from warpwright.program.difference.launch_form import launches_of
from warpwright.program.kernel_forms import KernelNode
from warpwright.program.normal_form import renamed_lines
from warpwright.program.parsed import ParsedProgram, parse_program
from warpwright.program.parsing import too_deep
from warpwright.program.view import view_of
from warpwright.types.edit import Edit, EditKind
from warpwright.types.program import ImportedModule, Kernel

RENAMED_LIKENESS = 0.6
"""A kernel gone and a kernel new are one kernel renamed if their bodies are this alike."""


def difference(parent: str, child: str) -> tuple[Edit, ...]:
    """The edits that turn `parent` into `child`, in the order imports, kernels, host code.

    Comments, layout, docstrings, parentheses, quotes, the order of functions and names of
    kernel-local variables do not count: a child that differs only in these gives one
    `COSMETIC` edit, an equal one none. Raises `InputError` if either cannot be read.
    """
    old = parse_program(parent)
    if parent == child:
        return ()
    new = parse_program(child)
    try:
        edits = [*_import_edits(old, new), *_program_edits(old, new)]
    except RecursionError:
        raise too_deep(None, 1, None) from None
    return tuple(edits or [Edit(EditKind.COSMETIC, "program")])


def _import_edits(old: ParsedProgram, new: ParsedProgram) -> Iterator[Edit]:
    before = {_import_text(item): item for item in view_of(old).imports}
    after = {_import_text(item): item for item in view_of(new).imports}
    for text, item in before.items():
        if text not in after:
            yield Edit(EditKind.IMPORT_REMOVED, item.module, text, None, item.line)
    for text, item in after.items():
        if text not in before:
            yield Edit(EditKind.IMPORT_ADDED, item.module, None, text, item.line)


def _import_text(item: ImportedModule) -> str:
    alias = f" as {item.alias}" if item.alias else ""
    if item.name is None:
        return f"import {item.module}{alias}"
    return f"from {item.module} import {item.name}{alias}"


def _program_edits(old: ParsedProgram, new: ParsedProgram) -> Iterator[Edit]:
    ours, theirs = _kernels(old), _kernels(new)
    pairs, gone, added = _match(old, new)
    for one, other in pairs:
        before, after = ours[one.node.name], theirs[other.node.name]
        yield from autotune_edits(before, after)
        yield from signature_edits(one, other, old, new)
        yield from body_edits(one, other)
        if not after.is_helper or not before.is_helper:
            yield from operation_edits(before, after, ours, theirs)
        yield from mask_edits(one, other, old, new)
        yield from loop_edits(one, other)
    for kernel in gone:
        name = kernel.node.name
        yield Edit(EditKind.KERNEL_REMOVED, name, name, None, kernel.node.lineno)
    for kernel in added:
        name = kernel.node.name
        yield Edit(EditKind.KERNEL_ADDED, name, None, name, kernel.node.lineno)
    renamed = {one.node.name: other.node.name for one, other in pairs}
    before_launches, after_launches = launches_of(old, ours), launches_of(new, theirs)
    yield from launch_edits(before_launches, after_launches, renamed)
    yield from host_edits(old, new, before_launches, after_launches)


def _kernels(program: ParsedProgram) -> dict[str, Kernel]:
    return {kernel.name: kernel for kernel in view_of(program).kernels}


def _match(
    old: ParsedProgram, new: ParsedProgram
) -> tuple[list[tuple[KernelNode, KernelNode]], list[KernelNode], list[KernelNode]]:
    """Kernels of one name are one; the rest is paired by likeness of bodies."""
    ours = {kernel.node.name: kernel for kernel in old.kernels}
    theirs = {kernel.node.name: kernel for kernel in new.kernels}
    pairs = [(ours[name], theirs[name]) for name in ours if name in theirs]
    gone = [kernel for name, kernel in ours.items() if name not in theirs]
    added = [kernel for name, kernel in theirs.items() if name not in ours]
    scored = sorted(
        (
            (_likeness(one, other), i, j)
            for i, one in enumerate(gone)
            for j, other in enumerate(added)
        ),
        reverse=True,
    )
    taken_old: set[int] = set()
    taken_new: set[int] = set()
    for score, i, j in scored:
        if score >= RENAMED_LIKENESS and i not in taken_old and j not in taken_new:
            taken_old.add(i)
            taken_new.add(j)
            pairs.append((gone[i], added[j]))
    rest = [kernel for i, kernel in enumerate(gone) if i not in taken_old]
    fresh = [kernel for j, kernel in enumerate(added) if j not in taken_new]
    return pairs, rest, fresh


def _likeness(one: KernelNode, other: KernelNode) -> float:
    before, after = renamed_lines(one.node), renamed_lines(other.node)
    if len(before) * len(after) > MAX_COMPARED:
        return 0.0
    return SequenceMatcher(None, before, after, autojunk=False).ratio()
