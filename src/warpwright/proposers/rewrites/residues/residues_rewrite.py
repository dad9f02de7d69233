"""The *residues* move: a block's outputs are of one residue class, and taps of others are skipped.

Before, a transposed convolution of stride S tries every tap for every output; of S taps in a row
one meets an input:

    offs = pid * BLOCK + tl.arange(0, BLOCK)
    for k in range(K):
        t = offs + P - k
        i = t // S
        x = tl.load(x_ptr + i, mask=(t % S == 0) & (i >= 0) & (i < L), other=0.0)
        acc += x * tl.load(w_ptr + k)

After, S blocks share their outputs so that each has those of one rest by S, and asks of each tap
whether it is one of its own:

    offs = pid * BLOCK + tl.arange(0, BLOCK)
    offs_block = pid
    offs_class0 = offs_block % S
    offs_mixed = offs_block // S >= tl.num_programs(0) // S
    offs = tl.where(
        offs_mixed,
        offs,
        offs_block // S * S * BLOCK
        + tl.arange(0, BLOCK) * S
        + offs_class0,
    )
    for k in range(K):
        t = offs + P - k
        i = t // S
        if offs_mixed | ((offs_class0 + P - k) % S == 0):
            …

In two and three dimensions the outputs of an image come class by class, those of one rest along
each axis (`class_order.py`). Grid and launch stay: the new order is one of the lanes that are
launched, whatever their number; units that they do not fill keep theirs. Blocks with lanes of
several classes run as before.

Applies to loops that take terms on to totals which `zero_terms.py` shows to be zero where the rest
is not. The rest may be that of a number of the block: then there is nothing to reorder. Refuses
where another order of lanes might show (`free_lanes.py`).

Claim: the same sum. What is left out are products with zero. Where a weight is not finite they
were NaN, which the operator does not give; and a total of -0.0 became 0.0.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from warpwright.program.nodes import names_in
from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    argument_values,
    kernel_text,
    kernels_of,
    loaded_names,
    stored_names,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite
from warpwright.proposers.rewrites.common.statement_text import parsed
from warpwright.proposers.rewrites.common.two_branches import may_branch_at_run_time
from warpwright.proposers.rewrites.common.value_axes import Shape, shapes_before
from warpwright.proposers.rewrites.digits.extent import Extent
from warpwright.proposers.rewrites.residues.block_tests import BlockTest, ConditionReader
from warpwright.proposers.rewrites.residues.class_order import ClassOrder, axes_of, product
from warpwright.proposers.rewrites.residues.conditional_lines import ConditionalLines
from warpwright.proposers.rewrites.residues.free_lanes import check_free_lanes, number_and_axis
from warpwright.proposers.rewrites.residues.substitution import values_before
from warpwright.proposers.rewrites.residues.zero_terms import from_first_load, zero_unless
from warpwright.proposers.rewrites.scalarise.flat_index import (
    FlatIndex,
    IndexDigit,
    Sizes,
    flat_indices,
)
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.program import ProgramView

NAME = "residues"
BLOCKS_A_CLASS = 2
"""Blocks that the outputs of one class in a unit must fill at least: about one of them is mixed."""
_TOLD = "# A block computes outputs of one residue class, where there are enough of it."
_TOLD_TAPS = "# Taps of other residue classes add nothing."


@dataclass(slots=True)
class _Plan:
    """What a move changes in a kernel."""

    kernel: KernelText
    wanted: tuple[str, ...] | None
    sizes: Sizes
    indices: tuple[FlatIndex, ...]
    tests: list[tuple[ast.For, list[BlockTest]]] = field(default_factory=list)
    orders: dict[str, ClassOrder] = field(default_factory=dict)
    digits: dict[str, set[IndexDigit]] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)

    def refuse(self) -> DoesNotApply:
        return DoesNotApply(self.reasons[-1] if self.reasons else "no term is zero by a rest")


def find(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move for each kernel with such taps, for the sizes that are more than one somewhere."""
    moves = []
    for call, kernel in kernels_of(program.source, calls):
        with suppress(DoesNotApply):
            values = argument_values(call)
            every = _plan(kernel, None)
            sizes = {test.residue.size for _, tests in every.tests for test in tests}
            wanted = tuple(s for s in sorted(sizes) if _most(every.sizes, s, values) > 1)
            plan = _plan(kernel, wanted)
            scalar = any(not test.digits for _, tests in plan.tests for test in tests)
            if scalar or any(_fills(order, call, values) for order in plan.orders.values()):
                move = Move(NAME, call.name, (("sizes", wanted),), Claim.SAME_SUM)
                apply(program.source, move)
                moves.append(move)
    return tuple(moves)


def apply(source: str, move: Move) -> str:
    """The program with taps left out, and lanes in the order of classes. Raises DoesNotApply."""
    wanted = move.argument("sizes")
    assert isinstance(wanted, tuple)
    return _written(_plan(kernel_text(source, move.kernel), tuple(map(str, wanted))))


def _plan(kernel: KernelText, wanted: tuple[str, ...] | None) -> _Plan:
    """What is to be changed; `wanted`: the sizes whose rests are asked for (None: all)."""
    sizes = Sizes(kernel)
    own = (i for i in flat_indices(kernel, sizes) if i.body is kernel.node.body)
    plan = _Plan(kernel, wanted, sizes, tuple(own))
    for statement in kernel.node.body:
        outside = None
        for loop, around in _loops([statement], ()):
            if outside is None:
                outside = values_before(kernel, plan.indices, statement)
            asked = {
                (test.residue.value, test.residue.size)
                for other, tests in plan.tests
                for test in tests
                if other in around
            }
            tests = [
                test
                for test in _tests(plan, loop, outside)
                if (test.residue.value, test.residue.size) not in asked
            ]
            if tests:
                plan.tests.append((loop, tests))
    _order(plan)
    return plan


def _loops(
    body: Sequence[ast.stmt], around: tuple[ast.stmt, ...]
) -> Iterator[tuple[ast.For, tuple[ast.stmt, ...]]]:
    """All `for` loops with what they stand in, outer ones first."""
    for node in body:
        if isinstance(node, ast.For):
            yield node, around
        for block in ("body", "orelse"):
            yield from _loops(getattr(node, block, []), (*around, node))


def _tests(plan: _Plan, loop: ast.For, outside: Mapping[str, ast.expr]) -> list[BlockTest]:
    """What may be asked at the beginning of a loop's steps."""
    if loop.orelse or set(stored_names(loop.body)) & set(stored_names([loop.target])):
        return []
    try:
        residues = zero_unless(plan.kernel, loop, plan.sizes, outside)
    except DoesNotApply as refusal:
        plan.reasons.append(str(refusal))
        return []
    shapes = shapes_before(plan.kernel.node, loop)
    shapes |= dict.fromkeys(stored_names([loop.target]), Shape.SCALAR)
    reader = ConditionReader(plan.indices, plan.sizes, shapes)
    for value in outside.values():
        if (part := reader.digit(value)) is not None:
            plan.digits.setdefault(part[0], set()).add(part[1])
    tests = []
    for residue in sorted(residues, key=lambda one: (one.value, one.size)):
        if plan.wanted is not None and residue.size not in plan.wanted:
            continue
        test = reader.test(residue)
        if not names_in(parsed(residue.size)) <= plan.kernel.constants:
            plan.reasons.append(f"{residue.size} is no compile-time constant")
        elif not may_branch_at_run_time(loop.body):
            plan.reasons.append("what the loop does cannot stand under a condition at run time")
        elif test is not None:
            tests.append(test)
    return tests


def _order(plan: _Plan) -> None:
    """The new orders of lanes; tests whose digits get none go. Raises DoesNotApply for none."""
    for index in plan.indices:
        try:
            order = _order_of(plan, index)
        except DoesNotApply as refusal:
            plan.reasons.append(str(refusal))
            continue
        if order is not None:
            plan.orders[index.name] = order
    kept = [
        (loop, [test for test in tests if {name for name, _ in test.digits} <= {*plan.orders}])
        for loop, tests in plan.tests
    ]
    plan.tests = [(loop, tests) for loop, tests in kept if tests]
    if not plan.tests:
        raise plan.refuse()


def _order_of(plan: _Plan, index: FlatIndex) -> ClassOrder | None:
    """An index's order for the digits that are asked for; None where there are none."""
    digits: dict[IndexDigit, Extent] = {}
    for _, tests in plan.tests:
        for test in tests:
            size = plan.sizes.of(parsed(test.residue.size))
            assert size is not None
            for name, digit in test.digits:
                if name == index.name and digits.setdefault(digit, size) != size:
                    raise DoesNotApply("a digit has classes of two sizes")
    if not digits:
        return None
    axes = axes_of(digits, sorted(plan.digits.get(index.name, ()), key=str))
    every = [index.lanes, *(a.classes for a in axes), *(a.size for a in axes if a.size)]
    if left := {name for extent in every for name in extent.names} - plan.kernel.constants:
        raise DoesNotApply(f"{min(left)} is no compile-time constant")
    number, axis = number_and_axis(plan.kernel, index, plan.sizes)
    check_free_lanes(plan.kernel, index)
    return ClassOrder(plan.kernel, index, axes, axis, number)


def _written(plan: _Plan) -> str:
    kernel = plan.kernel
    used = {*stored_names([kernel.node]), *loaded_names([kernel.node])}
    used |= {parameter.arg for parameter in kernel.parameters}
    lines = ConditionalLines(kernel.source)
    for order in plan.orders.values():
        if taken := used & order.new_names:
            raise DoesNotApply(f"{min(taken)} has a meaning already")
        lines.insert_after(order.index.statement, [_TOLD, *order.lines()])
    told = [_TOLD_TAPS]
    for loop, tests in plan.tests:
        texts = [_asked(plan, loop, test) for test in tests]
        whole = " & ".join(f"({text})" for text in texts) if len(texts) > 1 else texts[0]
        lines.put_under(from_first_load(kernel, loop), [*told, f"if {whole}:"])
        told = []
    return lines.text()


def _asked(plan: _Plan, loop: ast.For, test: BlockTest) -> str:
    """The condition under which a step of the loop may add something to a block."""
    shapes = shapes_before(plan.kernel.node, loop)
    shapes |= dict.fromkeys(stored_names([loop.target]), Shape.SCALAR)
    reader = ConditionReader(plan.indices, plan.sizes, shapes)
    classes = {(name, digit): plan.orders[name].class_of(digit) for name, digit in test.digits}
    text = reader.text(test, classes)
    others = sorted({plan.orders[name].mixed for name, _ in test.digits})
    if not test.residue.exact:
        size = ast.unparse(parsed(f"({test.residue.size})"))
        others.append(f"({size} & {size} - 1 != 0)")
    return " | ".join([*others, f"({text})"]) if others else text


def _most(sizes: Sizes, size: str, values: Mapping[str, frozenset[int]]) -> int:
    """The largest traced value of a size; 0 where there is none."""
    extent = sizes.of(parsed(size))
    return 0 if extent is None else _value(extent, values)


def _value(extent: Extent, values: Mapping[str, frozenset[int]]) -> int:
    return extent.value({name: max(given) for name, given in values.items()}) or 0


def _fills(order: ClassOrder, call: KernelCalls, values: Mapping[str, frozenset[int]]) -> bool:
    """Whether the outputs of a class fill blocks, in a launch under one of its configs."""
    lanes = order.index.lanes.value({name: min(given) for name, given in values.items()}) or 0
    classes = _value(product([axis.classes for axis in order.axes]), values)
    bounded = [axis.size for axis in order.axes if axis.size is not None]
    fewest = 1 if order.in_rows_of_blocks else BLOCKS_A_CLASS
    for launch in call.launches:
        for traced in launch.configs:
            grid = traced.grid
            outputs = lanes * (grid[order.grid_axis] if len(grid) > order.grid_axis else 1)
            if len(bounded) == len(order.axes):
                outputs = min(outputs, _value(product(bounded), values))
            if lanes and classes > 1 and outputs // classes >= fewest * lanes:
                return True
    return False


REWRITES = (
    Rewrite(
        NAME,
        find,
        apply,
        "a block computes outputs of one residue class of {sizes}, and skips the taps of others",
        place=64,
        worth=1.5,
        then=("unroll",),
    ),
)
