"""An access without its mask in one branch of an `if`, whose other branch has it with the mask.

    if first + BLOCK <= n:
        x = tl.load(p + i)                        the mask holds here, the test says so
    else:
        x = tl.load(p + i, mask=i < n)            what the parent does

No work is lost where the test implies the mask. Reading does not decide that: comparing outputs
does, which runs both branches or leaves the candidate not verified (`outputs/branches.py`), and
sees what is read or written outside of a tensor. What reading asks for: the kernel with the other
branch in place masks the access as the parent does, and the test is about something that the mask
is about; a test that is always true, or about a type, knows nothing of sizes.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from warpwright.program.branch_paths import branches_around, is_in, with_branch
from warpwright.program.memory_accesses import Access, memory_of
from warpwright.program.values_behind import names_behind

_DEEPEST = 6
_MODULES = frozenset({"tl", "triton"})


def guard_of(
    node: ast.FunctionDef, access: Access, masks: Sequence[frozenset[str]], depth: int = 0
) -> ast.expr | None:
    """The test of the `if` that stands for an access's mask in a kernel; None where none does.

    `masks`: those of the parent. What the other branch has may not be one of them less some parts.
    """
    if depth > _DEEPEST:
        return None
    for branch, holds in branches_around(node, access.line):
        other = branch.orelse if holds else branch.body
        if not other:
            continue
        beside = with_branch(node, branch, not holds)
        about = names_behind(node, branch.test) - _MODULES
        same = [
            each
            for each in memory_of(beside).accesses
            if (each.kind, each.pointer) == (access.kind, access.pointer)
            and is_in(other, each.line)
        ]
        if same and all(_is_masked(beside, each, masks, about, depth) for each in same):
            return branch.test
    return None


def _is_masked(
    node: ast.FunctionDef,
    access: Access,
    masks: Sequence[frozenset[str]],
    about: frozenset[str],
    depth: int,
) -> bool:
    """Whether an access of the other branch has its mask, which the test could be about, or stands
    under a test of its own."""
    if access.mask_node is None or access.mask is None:
        return guard_of(node, access, masks, depth + 1) is not None
    return not parts_lost(masks, access.mask) and bool(about & names_behind(node, access.mask_node))


def parts_lost(old: Sequence[frozenset[str]], new: frozenset[str]) -> frozenset[str]:
    """The parts that a mask lost, if it is one of the old ones less some parts."""
    if any(new >= mask for mask in old):
        return frozenset()
    larger = [mask for mask in old if new < mask]
    return min((mask - new for mask in larger), key=len, default=frozenset())
