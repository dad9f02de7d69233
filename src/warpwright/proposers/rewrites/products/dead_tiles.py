"""The *triangle* move: blocks of which the program keeps no element add nothing up.

Before, a product of which one triangle is kept:

    for k in range(0, N, BLOCK_K):
        …
        acc += tl.dot(a, b)
    acc = tl.where(rows[:, None] <= columns[None, :], acc, 0.0)

After, with `rows = first_row + tl.arange(0, BLOCK_M)` and `columns = first_column + …`:

    stop = tl.where(first_row <= first_column + (BLOCK_N - 1), N, 0)
    for k in range(0, stop, BLOCK_K):
        …

About half of the blocks of a square result then do no step of the loop: whatever they would add up,
`tl.where` replaces all of it.

Applies to a loop over a range in the kernel's own body, and the first statement behind it that
reads what the loop leaves: `x = tl.where(condition, x, constant)`. One comparison of the condition,
of sums of scalars and `tl.arange`, has to fail for every lane of such blocks. Refuses loops that
leave more than that one name, and whatever may do more than load and compute.

Claim: bit-equal. Steps of a block that has a kept element stay, those of a masked operand among
them: zero times infinity is NaN, in the parent too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import suppress

from warpwright.program.parsing import lines_of
from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    kernel_text,
    loaded_names,
    stored_names,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite, that_apply
from warpwright.proposers.rewrites.common.splice import Splice, replaced, spliced
from warpwright.proposers.rewrites.common.statement_text import margin_of, parsed
from warpwright.proposers.rewrites.digits.read_digits import axis_of
from warpwright.proposers.rewrites.outer.liveness import live_after
from warpwright.proposers.rewrites.outer.nests import free_name
from warpwright.proposers.rewrites.products.polynomials import Numbers, Polynomial, plus
from warpwright.proposers.rewrites.repack.values import Values
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.program import ProgramView

NAME = "triangle"
_EFFECTS = ("store", "atomic", "device_", "debug", "static_print", "inline_asm", "associative")
_PLAIN = frozenset({"range", "min", "max"})
_SIGNS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: "<", ast.GtE: "<="}


def find(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move for each kernel that has such a loop."""
    moves = (Move(NAME, call.name, (), Claim.BIT_EQUAL) for call in calls)
    return tuple(that_apply(program.source, moves, apply))


def apply(source: str, move: Move) -> str:
    """The program with one loop that ends at once in such blocks. Raises DoesNotApply."""
    kernel = kernel_text(source, move.kernel)
    reason = DoesNotApply(f"{move.kernel} has no loop of which a part is kept")
    for place, loop in enumerate(kernel.node.body):
        if isinstance(loop, ast.For):
            try:
                return _shortened(source, kernel, loop, kernel.node.body[place + 1 :])
            except DoesNotApply as error:
                reason = error
    raise reason


def _shortened(source: str, kernel: KernelText, loop: ast.For, behind: Sequence[ast.stmt]) -> str:
    header = loop.iter
    if not isinstance(header, ast.Call) or kernel.called(header) != "range" or header.keywords:
        raise DoesNotApply("the loop is over no plain range")
    if loop.orelse or lines_of(source)[loop.lineno - 1][: loop.col_offset].strip():
        raise DoesNotApply("the loop is written in an unusual way")
    _refuse_effects(kernel, loop)
    kept, where = _kept(kernel, loop, behind)
    test = _test(kernel, loop, where, kept.args[0])
    if any(name in stored_names([loop]) for name in loaded_names([kept.args[2]])):
        raise DoesNotApply("what replaces the sum is of the loop, too")
    taken = {node.id for node in ast.walk(kernel.node) if isinstance(node, ast.Name)}
    taken |= {parameter.arg for parameter in kernel.parameters}
    stop = header.args[min(len(header.args) - 1, 1)]
    start = header.args[0] if len(header.args) > 1 else ast.Constant(0)
    if any(ast.unparse(node) == test for node in ast.walk(kernel.node)):
        raise DoesNotApply("the loop ends at once in such blocks already")
    name, margin = free_name("stop", taken), margin_of(source, loop)
    ends = f"{ast.unparse(stop)}, {ast.unparse(start)}"
    text = (
        f"{margin}# A block of which nothing is kept below adds nothing up.\n"
        f"{margin}{name} = {kernel.builtin('where')}({test}, {ends})\n"
    )
    return spliced(source, [Splice((loop.lineno, 0), (loop.lineno, 0), text), replaced(stop, name)])


def _refuse_effects(kernel: KernelText, loop: ast.For) -> None:
    for node in ast.walk(loop):
        if isinstance(node, ast.Return | ast.While | ast.Break | ast.Assert | ast.Expr):
            raise DoesNotApply("the loop does more than add up")
        if not isinstance(node, ast.Call):
            continue
        called, method = kernel.called(node), isinstance(node.func, ast.Attribute)
        own = isinstance(node.func, ast.Name) and node.func.id not in _PLAIN
        if own or (called or "").startswith(_EFFECTS) or (called is None and not method):
            raise DoesNotApply(f"{ast.unparse(node.func)} may do more than compute")


def _kept(
    kernel: KernelText, loop: ast.For, behind: Sequence[ast.stmt]
) -> tuple[ast.Call, ast.stmt]:
    """`tl.where(condition, x, constant)` that is given back to `x`, all that the loop leaves."""
    left = live_after(kernel.node, loop) & frozenset(stored_names([loop]))
    if len(left) != 1:
        raise DoesNotApply("the loop leaves more than one name")
    name = next(iter(left))
    for statement in behind:
        if name not in loaded_names([statement]) + stored_names([statement]):
            continue
        value = statement.value if isinstance(statement, ast.Assign) else None
        if not isinstance(value, ast.Call) or kernel.called(value) != "where":
            break
        targets = [ast.unparse(target) for target in getattr(statement, "targets", [])]
        whole = len(value.args) == 3 and not value.keywords
        if not whole or targets != [name] or ast.unparse(value.args[1]) != name:
            break
        if name not in loaded_names([value.args[0], value.args[2]]):
            return value, statement
        break
    raise DoesNotApply(f"{name} is read behind the loop as a whole")


def _test(kernel: KernelText, loop: ast.For, where: ast.stmt, condition: ast.expr) -> str:
    """A comparison of scalars that holds wherever some lane of the condition may."""
    values = Values(kernel, where, "")
    numbers = Numbers(values, scalars_kept=True)
    before = {
        name
        for statement in kernel.node.body
        if statement.lineno < loop.lineno
        for name in stored_names([statement])
    } | values.parameters
    for compare, axis in _comparisons(values, condition, None):
        sign = _SIGNS.get(type(compare.ops[0])) if len(compare.ops) == 1 else None
        small, large = compare.left, compare.comparators[0]
        if isinstance(compare.ops[0], ast.Gt | ast.GtE):
            small, large = large, small
        with suppress(DoesNotApply):
            difference = plus(numbers.read(small, axis), numbers.read(large, axis), -1)
            words = {word for product in difference for word in product}
            axes = {word[-1] for word in words & numbers.lanes.keys()}
            if sign and axes == {"0", "1"} and words - numbers.lanes.keys() <= before:
                return _least(difference, numbers, sign)
    raise DoesNotApply("no comparison of the condition is of rows and columns by sums")


def _comparisons(
    values: Values, node: ast.expr, axis: tuple[str, ...] | None
) -> Iterator[tuple[ast.Compare, tuple[str, ...] | None]]:
    """The comparisons that all hold where a condition does."""
    if isinstance(node, ast.Compare):
        yield node, axis
    elif isinstance(node, ast.Name) and node.id in values.definitions:
        yield from _comparisons(values, values.definitions[node.id], axis)
    elif isinstance(node, ast.Subscript) and axis is None and axis_of(node.slice) is not None:
        yield from _comparisons(values, node.value, axis_of(node.slice))
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd):
        yield from _comparisons(values, node.left, axis)
        yield from _comparisons(values, node.right, axis)


def _least(difference: Polynomial, numbers: Numbers, sign: str) -> str:
    """`difference < 0` (or `<=`) for its least lane, with what is taken away on the right."""
    sides: dict[bool, list[str]] = {True: [], False: []}
    for product, count in sorted(difference.items()):
        lanes = [word for word in product if word in numbers.lanes]
        if not lanes:
            plain = [*product, *([str(abs(count))] if abs(count) != 1 or not product else [])]
            sides[count > 0].append(" * ".join(plain))
            continue
        if len(product) != 1:
            raise DoesNotApply("lanes are multiplied by a size")
        if count < 0:
            times = "" if count == -1 else f" * {-count}"
            sides[False].append(f"({numbers.lanes[lanes[0]]} - 1){times}")
    left, right = (" + ".join(sides[side]) or "0" for side in (True, False))
    return ast.unparse(parsed(f"{left} {sign} {right}"))


REWRITES = (
    Rewrite(
        NAME,
        find,
        apply,
        "blocks of which the program keeps no element do no step of their loop",
        place=22,
        worth=1.3,
        makes_ready=True,
        alone=False,
    ),
)
