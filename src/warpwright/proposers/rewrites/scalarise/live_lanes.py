"""Whether the lanes behind an index's end stay apart from all others in a kernel.

What such a lane computes is then of no concern: nobody reads it and it is not stored.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from warpwright.program.kernel_assignments import called_name
from warpwright.proposers.rewrites.common.kernel_text import KernelText, stored_names
from warpwright.proposers.rewrites.common.value_axes import is_elementwise
from warpwright.proposers.rewrites.scalarise.flat_index import Sizes

_ALLOWED = frozenset({
    "load", "store", "zeros", "full", "arange", "program_id", "num_programs", "cdiv", "range",
    "static_range", "tanh", "erf", "multiple_of", "max_contiguous", "float", "to", "dtype",
})  # fmt: skip


def lanes_are_independent(kernel: KernelText, sizes: Sizes, masks: Sequence[str]) -> bool:
    """Whether every store has one of `masks`, and no lane reads what another one computes.

    `masks`: conditions on the index, or names of them, as source.
    """
    known = dict.fromkeys([*stored_names([kernel.node]), *(p.arg for p in kernel.parameters)])
    loaded: set[str] = set()
    for node in ast.walk(kernel.node):
        if isinstance(node, ast.Call):
            name = kernel.called(node) or called_name(node)
            if name not in _ALLOWED and not is_elementwise(node, known):  # type: ignore[arg-type]
                return False
            if name == "store" and not _has(sizes, _argument(node, 2, "mask"), masks):
                return False
        elif isinstance(node, ast.Assign | ast.AugAssign) and _reads(kernel, node, loaded):
            loaded |= set(stored_names([node]))
    # Twice around, since a loop may carry what it loads to an earlier statement.
    for node in ast.walk(kernel.node):
        if isinstance(node, ast.Assign | ast.AugAssign) and _reads(kernel, node, loaded):
            loaded |= set(stored_names([node]))
    return not any(_reads(kernel, part, loaded) for part in _addresses(kernel))


def _argument(node: ast.Call, place: int, name: str) -> ast.expr | None:
    given = next((keyword.value for keyword in node.keywords if keyword.arg == name), None)
    return node.args[place] if given is None and len(node.args) > place else given


def _has(sizes: Sizes, mask: ast.expr | None, masks: Sequence[str], depth: int = 0) -> bool:
    """Whether one of `masks` is a part of a mask."""
    if mask is None or depth > 6:
        return False
    if ast.unparse(mask) in masks:
        return True
    if isinstance(mask, ast.BinOp) and isinstance(mask.op, ast.BitAnd):
        return any(_has(sizes, side, masks, depth + 1) for side in (mask.left, mask.right))
    if isinstance(mask, ast.Name):
        return _has(sizes, sizes.value(mask.id), masks, depth + 1)
    return False


def _reads(kernel: KernelText, node: ast.AST, loaded: set[str]) -> bool:
    """Whether something depends on what was loaded."""
    return any(
        kernel.called(inner) == "load"
        or (isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load) and inner.id in loaded)
        for inner in ast.walk(node)
    )


def _addresses(kernel: KernelText) -> list[ast.expr]:
    """Pointers and masks of all loads and stores."""
    found = []
    for node in ast.walk(kernel.node):
        if isinstance(node, ast.Call) and kernel.called(node) in ("load", "store"):
            mask = _argument(node, 1 + (kernel.called(node) == "store"), "mask")
            found += [part for part in (*node.args[:1], mask) if part is not None]
    return found
