"""accumulate: a product is added inside the dot, not after it.

    acc += tl.dot(a, b)    →    acc = tl.dot(a, b, acc=acc)

Applies to a name that the kernel starts as `tl.zeros(…, dtype=tl.float32)` and adds dots to.
Refuses a dot that has an accumulator or another output type, and a name that starts otherwise.
Claim: the same sum in another order (mostly the compiler makes the same instructions of both).
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from warpwright.proposers.rewrites.common.kernel_text import KernelText, kernel_text
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite, that_apply
from warpwright.proposers.rewrites.common.splice import Splice, inserted_after, spliced, start_of
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.program import ProgramView

NAME = "accumulate"


def find(view: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move a kernel that adds dots to an accumulator."""
    moves = (Move(NAME, call.name, (), Claim.SAME_SUM) for call in calls)
    return tuple(that_apply(view.source, moves, apply))


def apply(source: str, move: Move) -> str:
    """The source with every such sum in the dot. Raises DoesNotApply where there is none."""
    kernel = kernel_text(source, move.kernel)
    splices: list[Splice] = []
    for node in ast.walk(kernel.node):
        if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
            splices += _splices(kernel, node)
    if not splices:
        raise DoesNotApply(f"{move.kernel} adds no dot to a float32 accumulator")
    return spliced(source, splices)


def _splices(kernel: KernelText, node: ast.AugAssign) -> list[Splice]:
    target, call = node.target, node.value
    if not isinstance(target, ast.Name) or not isinstance(call, ast.Call):
        return []
    named = {keyword.arg for keyword in call.keywords}
    plain = kernel.called(call) == "dot" and len(call.args) == 2
    if not plain or named & {"acc", "out_dtype", None} or not _starts_at_zero(kernel, target.id):
        return []
    last = [*call.args, *(keyword.value for keyword in call.keywords)][-1]
    head = Splice(start_of(node), start_of(call), f"{target.id} = ")
    return [head, inserted_after(last, f", acc={target.id}")]


def _starts_at_zero(kernel: KernelText, name: str) -> bool:
    """Whether every plain assignment of the name makes it float32 zeros."""
    values = [
        node.value
        for node in ast.walk(kernel.node)
        if isinstance(node, ast.Assign)
        and any(isinstance(t, ast.Name) and t.id == name for t in node.targets)
    ]
    zeros = [value for value in values if _is_zeros(kernel, value)]
    return bool(zeros) and isinstance(values[0], ast.Call) and values[0] in zeros


def _is_zeros(kernel: KernelText, node: ast.expr) -> bool:
    if not isinstance(node, ast.Call) or kernel.called(node) != "zeros":
        return False
    types = [*node.args[1:], *(k.value for k in node.keywords if k.arg == "dtype")]
    return len(types) == 1 and kernel.path(types[0]) == "float32"


REWRITES = (
    Rewrite(
        NAME,
        find,
        apply,
        "the sum is passed to `tl.dot` as its accumulator instead of being added to it",
        place=80,
    ),
)
