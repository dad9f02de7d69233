"""Loops that walk through one row: their levels, what they take on, and whether they only read."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from warpwright.program.parsing import lines_of
from warpwright.proposers.rewrites.common.kernel_text import KernelText
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.totals import taken_on
from warpwright.proposers.rewrites.common.two_branches import check_own_lines
from warpwright.proposers.rewrites.passes.resolved import Resolver, same

_OPTIONS = frozenset({
    "num_stages", "loop_unroll_factor", "flatten", "disallow_acc_multi_buffer", "warp_specialize",
})  # fmt: skip
"""What `tl.range` is told beside its bounds."""
_PYTHON = frozenset({"float", "int", "bool", "max", "min", "range", "len"})
_METHODS = frozenset({"to", "abs", "sum", "max", "min", "exp", "sqrt", "trans", "reshape", "cast"})
_EFFECTS = ("atomic", "store", "debug", "device", "inline_asm", "static", "extra.cuda")


@dataclass(frozen=True, slots=True)
class RowTotal:
    """`name` takes on the `kind` of `value` in each step: in `reduction` (None: lane by lane),
    which `between` names beforehand (None: it stands in `statement` itself)."""

    name: str
    kind: str
    value: ast.expr
    reduction: ast.Call | None
    statement: ast.stmt
    between: ast.Assign | None
    levels: tuple[ast.For, ...]


def row_totals(
    kernel: KernelText, resolver: Resolver, loop: ast.For, kind: str
) -> Iterator[RowTotal]:
    """What the loop, or loops right in it, take on as a sum or a maximum, in source order."""
    for levels, statement in _statements(loop, (loop,)):
        found = taken_on(kernel, statement)
        if found is None or found[1] != kind:
            continue
        name, _, step = found
        given, where = resolver.followed(step, statement)
        if (value := reduced(kernel, given, kind)) is None:
            yield RowTotal(name, kind, step, None, statement, None, levels)
            continue
        assert isinstance(given, ast.Call)
        between = where if isinstance(where, ast.Assign) and where is not statement else None
        yield RowTotal(name, kind, value, given, statement, between, levels)


def _statements(
    loop: ast.For, levels: tuple[ast.For, ...]
) -> Iterator[tuple[tuple[ast.For, ...], ast.stmt]]:
    """The statements that each step makes, with the loops around them."""
    for node in loop.body:
        if isinstance(node, ast.For):
            yield from _statements(node, (*levels, node))
        else:
            yield levels, node


def reduced(kernel: KernelText, node: ast.expr, kind: str) -> ast.expr | None:
    """What `tl.max(x, axis=0)` reduces, however it keeps its axis; None for anything else."""
    if not isinstance(node, ast.Call) or kernel.called(node) != kind or not node.args:
        return None
    told = [*node.args[1:], *(keyword.value for keyword in node.keywords)]
    plain = all(isinstance(one, ast.Constant | ast.UnaryOp) for one in told)
    known = {keyword.arg for keyword in node.keywords} <= {"axis", "keep_dims"}
    if not kernel.path(node.func) or not plain or not known or len(node.args) > 2:
        return None
    return node.args[0]


def check_alike(
    kernel: KernelText,
    first: tuple[Sequence[ast.For], Resolver],
    second: tuple[Sequence[ast.For], Resolver],
) -> None:
    """Raises DoesNotApply unless both nests take the same steps."""
    if len(first[0]) != len(second[0]):
        raise DoesNotApply("the loops are not nested alike")
    for one, other in zip(first[0], second[0], strict=True):
        texts = [_bounds(kernel, loop) for loop in (one, other)]
        pairs = zip(*texts, strict=True)
        if not all(same(first[1].of(a, one), second[1].of(b, other)) for a, b in pairs):
            raise DoesNotApply("the loops do not take the same steps")


def _bounds(kernel: KernelText, loop: ast.For) -> tuple[ast.expr, ast.expr, ast.expr]:
    call = loop.iter
    counted = isinstance(call, ast.Call) and kernel.called(call) in ("range", "static_range")
    if not counted or loop.orelse or not isinstance(loop.target, ast.Name):
        raise DoesNotApply("a loop counts no range")
    assert isinstance(call, ast.Call)
    if {k.arg for k in call.keywords} - _OPTIONS or not 1 <= len(call.args) <= 3:
        raise DoesNotApply("a loop names its bounds")
    start, step = ast.Constant(0), ast.Constant(1)
    given = [start, *call.args] if len(call.args) == 1 else list(call.args)
    return given[0], given[1], given[2] if len(given) == 3 else step


def check_reads_only(kernel: KernelText, statements: Sequence[ast.stmt]) -> None:
    """Raises DoesNotApply where statements may write to memory, or do what the move cannot read."""
    for node in (inner for root in statements for inner in ast.walk(root)):
        if isinstance(node, ast.Break | ast.Continue | ast.Return | ast.While):
            raise DoesNotApply(f"line {node.lineno} may leave the loops early")
        if not isinstance(node, ast.Call):
            continue
        name = kernel.called(node)
        plain = kernel.path(node.func) is not None or name in _PYTHON
        if isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS:
            plain = plain or kernel.program.aliases.path(node.func) is None
        acts = name != "static_range" and (name or "").startswith(_EFFECTS)
        if not plain or acts:
            raise DoesNotApply(f"{ast.unparse(node.func)} may do more than compute")


def check_computes_one(loops: Sequence[ast.For], total: RowTotal) -> None:
    """Raises DoesNotApply unless the nest makes plain assignments and that one total."""
    for depth, loop in enumerate(loops):
        inner = loops[depth + 1] if depth + 1 < len(loops) else None
        for node in loop.body:
            if node not in (inner, total.statement) and not isinstance(node, ast.Assign):
                raise DoesNotApply(f"line {node.lineno} does more than compute one sum")


def check_lines(kernel: KernelText, statements: Sequence[ast.stmt]) -> None:
    """Raises DoesNotApply where one of them shares a line with another statement."""
    lines = lines_of(kernel.source)
    for node in statements:
        check_own_lines(lines, [node])
