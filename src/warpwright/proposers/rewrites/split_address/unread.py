"""Assignments that nobody reads any more, taken out of a kernel."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

from warpwright.program.parsing import lines_of
from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    kernel_text,
    loaded_names,
    stored_names,
)
from warpwright.proposers.rewrites.common.splice import Splice, spliced, whole_lines

_EFFECTS = frozenset({
    "load", "store", "atomic_add", "atomic_cas", "atomic_max", "atomic_min", "atomic_xchg",
    "atomic_and", "atomic_or", "atomic_xor", "inline_asm_elementwise", "device_print",
    "device_assert", "static_print", "static_assert", "debug_barrier",
})  # fmt: skip


def without_unread(source: str, kernel: str, names: Collection[str]) -> str:
    """The source without the kernel's assignments to these names that nobody reads."""
    while True:
        text = kernel_text(source, kernel)
        node = next(_unread(text, names), None)
        if node is None:
            return source
        source = spliced(source, [_lines_out(lines_of(source), node)])


def _lines_out(lines: list[str], node: ast.Assign) -> Splice:
    """The statement's lines, and the empty one behind it where another one stands before it."""
    splice = whole_lines(node, node, "")
    line, _ = splice.end
    around = [lines[node.lineno - 2], lines[line - 1]] if line <= len(lines) else ["-"]
    doubled = not any(text.strip() for text in around)
    return Splice(splice.start, (line + 1, 0), "") if doubled else splice


def _unread(kernel: KernelText, names: Collection[str]) -> Iterator[ast.Assign]:
    read = set(loaded_names([kernel.node]))
    stored = stored_names([kernel.node])
    lines = lines_of(kernel.source)
    for block in _blocks(kernel.node):
        for index, node in enumerate(block):
            if not isinstance(node, ast.Assign) or len(node.targets) != 1 or len(block) == 1:
                continue
            target = node.targets[0]
            if not isinstance(target, ast.Name) or target.id not in names or target.id in read:
                continue
            called = [n for n in ast.walk(node.value) if isinstance(n, ast.Call)]
            effects = any(kernel.called(call) in (None, *_EFFECTS) for call in called)
            if stored.count(target.id) == 1 and not effects and _alone(lines, block, index):
                yield node


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for inner in ast.walk(node):
        for field in ("body", "orelse"):
            block = getattr(inner, field, None)
            if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                yield block


def _alone(lines: list[str], block: list[ast.stmt], index: int) -> bool:
    """Whether a statement shares no line with another."""
    node = block[index]
    before = lines[node.lineno - 1][: node.col_offset].strip()
    next_line = block[index + 1].lineno if index + 1 < len(block) else None
    return not before and (next_line is None or next_line > (node.end_lineno or node.lineno))
