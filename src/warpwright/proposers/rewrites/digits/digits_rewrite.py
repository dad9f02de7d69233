"""digits, pack: a reduction in another order of its index's digits.

    for k0 in range(0, K, BLOCK):              if C % BLOCK == 0:
        k = k0 + tl.arange(0, BLOCK)               for k0 in range(0, K, BLOCK):
        c = k // (R * S)                               c = k0 % C + tl.arange(0, BLOCK)
        r = k % (R * S) // S             →             s = k0 // C % S
        s = k % S                                      r = k0 // (C * S)
        …  r[:, None] …  k < K …                       …  r …
                                               else:
                                                   (the loop as it was)

`digits` applies to a loop in steps of a constant block over a product of compile-time sizes, whose
body takes the index apart by `//`, `%` or subtraction. One digit fills the lanes of a step, so the
others are scalars of it: what was worked out for each lane is worked out for each step, and a bound
check of a tile becomes one of a row. Conditions on sizes are compile-time, so one loop is compiled.
`pack` does the same and reads one small operand from a copy that the host permutes to that order
in each call, so that lanes run along memory; the copy is used only where the operand's sizes and
strides are those that the kernel takes for granted.

Both refuse loops with inner loops or branches, an index that is used in a way not understood,
values that no longer span the step, and, for `pack`, an operand whose address is no sum of digits.
Claim: the same sum in another order (bit-equal where the innermost digit fills the lanes already).
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import partial

from warpwright.proposers.rewrites.common.kernel_text import (
    argument_values,
    kernel_text,
    kernels_of,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite, that_apply
from warpwright.proposers.rewrites.digits.address import read_address
from warpwright.proposers.rewrites.digits.digit_loops import Reduction, for_loops, read_reduction
from warpwright.proposers.rewrites.digits.new_loop import NewLoop, Packing, with_loop
from warpwright.proposers.rewrites.digits.order import Order
from warpwright.proposers.rewrites.digits.pack import (
    Layout,
    host_tests,
    permutation_of,
    read_layout,
)
from warpwright.proposers.rewrites.digits.packed_host import offer_packed
from warpwright.proposers.rewrites.digits.read_digits import Reader
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move, MoveValue
from warpwright.types.launch_trace import TensorArgument
from warpwright.types.program import ProgramView

DIGITS, PACK = "digits", "pack"
SMALL_OPERAND = 4
"""A packed operand has at most a fourth of the elements of the launch's largest tensor."""


def find_digits_moves(view: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """For each loop that can be reordered: the move, for each digit that may fill the lanes."""
    moves = []
    for call, reduction in _reductions(view, calls):
        for lanes in _lane_names(reduction, call):
            moves.append(_move(DIGITS, call.name, reduction, lanes))
    return tuple(that_apply(view.source, moves, apply))


def find_pack_moves(view: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """For each loop that can be reordered: the move with each operand that can be packed."""
    moves = []
    for call, reduction in _reductions(view, calls):
        for lanes in _lane_names(reduction, call):
            for operand, permutation in _operands(reduction, lanes, call):
                added = (("operand", operand), ("permutation", permutation))
                moves.append(_move(PACK, call.name, reduction, lanes, added))
    return tuple(that_apply(view.source, moves, apply))


def apply(source: str, move: Move) -> str:
    """The source with the loop reordered, and the operand packed. Raises DoesNotApply."""
    kernel = kernel_text(source, move.kernel)
    number = move.argument("loop")
    if not isinstance(number, int):
        raise DoesNotApply("the move names no loop")
    reduction = read_reduction(kernel, number)
    order = reduction.order(str(move.argument("lanes")))
    if move.name == DIGITS:
        return with_loop(source, NewLoop(reduction, order, None))
    packing = _packing(reduction, order, move)
    loop = NewLoop(reduction, order, packing)
    source = with_loop(source, loop)
    assert loop.layout is not None
    tests = partial(host_tests, packing.permutation, loop.layout, order)
    told = f"Permuted in each call to the order in which {move.kernel} sums."
    return offer_packed(source, move.kernel, packing, tests, told)


def _move(
    name: str,
    kernel: str,
    reduction: Reduction,
    lanes: str,
    added: tuple[tuple[str, MoveValue], ...] = (),
) -> Move:
    order = reduction.order(lanes)
    innermost = order.lanes == len(order.digits) - 1
    claim = Claim.BIT_EQUAL if innermost else Claim.SAME_SUM
    arguments: tuple[tuple[str, MoveValue], ...] = (("loop", reduction.number), ("lanes", lanes))
    return Move(name, kernel, (*arguments, *added), claim)


def _reductions(
    view: ProgramView, calls: Sequence[KernelCalls]
) -> list[tuple[KernelCalls, Reduction]]:
    found = []
    for call, kernel in kernels_of(view.source, calls):
        for number in range(len(for_loops(kernel))):
            try:
                found.append((call, read_reduction(kernel, number)))
            except DoesNotApply:
                continue
    return found


def _lane_names(reduction: Reduction, call: KernelCalls) -> list[str]:
    """Digits that some config's block divides, the largest first."""
    values = argument_values(call)
    sizes = {name: max(found) for name, found in values.items()}
    blocks = [
        block
        for value in values.get("".join(reduction.header.block.names), ())
        if (block := value * reduction.header.block.number)
    ] or [reduction.header.block.value(sizes) or 0]
    fitting: list[tuple[int, str]] = []
    for digit in reduction.digits:
        high, low = digit.high.value(sizes), digit.low.value(sizes)
        if high is None or not low or high % low:
            continue
        radix = high // low
        if any(block and radix % block == 0 for block in blocks):
            fitting.append((-radix, digit.name))
    return [name for _, name in sorted(fitting)]


def _operands(
    reduction: Reduction, lanes: str, call: KernelCalls
) -> list[tuple[str, tuple[int, ...]]]:
    """Small tensors whose address is a sum of digits, with their dimensions in the new order."""
    order = reduction.order(lanes)
    sizes = {name: max(found) for name, found in argument_values(call).items()}
    found: dict[str, tuple[int, ...]] = {}
    for pointer, layout in _layouts(reduction, order).items():
        tensors = [launch.arguments.get(pointer) for launch in call.launches]
        others = [
            elements(argument)
            for launch in call.launches
            for argument in launch.arguments.values()
            if isinstance(argument, TensorArgument)
        ]
        try:
            permutations = {
                permutation_of(tensor, layout, order, sizes)
                for tensor in tensors
                if isinstance(tensor, TensorArgument)
                and elements(tensor) * SMALL_OPERAND <= max(others)
            }
        except DoesNotApply:
            continue
        if len(permutations) == 1:
            permutation = permutations.pop()
            if permutation != tuple(sorted(permutation)):
                found[pointer] = permutation
    return list(found.items())


def elements(tensor: TensorArgument) -> int:
    count = 1
    for size in tensor.shape:
        count *= size
    return count


def _layouts(reduction: Reduction, order: Order) -> dict[str, Layout]:
    """Pointer → how its loads in the loop walk memory, where that can be read."""
    reader = reduction.reader()
    found: dict[str, Layout] = {}
    for statement in reduction.header.loop.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Call) and reduction.kernel.called(node) == "load" and node.args:
                try:
                    address = read_address(reader, node.args[0])
                    found[address.pointer] = read_layout(address, order)
                except DoesNotApply:
                    continue
        _note(reader, statement)
    return found


def _note(reader: Reader, statement: ast.stmt) -> None:
    """What an assignment of the loop tells of the index."""
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        reader.learn(statement.targets[0].id, reader.known(statement.value))


def _packing(reduction: Reduction, order: Order, move: Move) -> Packing:
    operand, permutation = move.argument("operand"), move.argument("permutation")
    if not isinstance(operand, str) or not isinstance(permutation, tuple):
        raise DoesNotApply("the move names no operand")
    numbers = tuple(int(str(number)) for number in permutation)
    if sorted(numbers) != list(range(len(numbers))) or len(numbers) < len(order.digits):
        raise DoesNotApply(f"{numbers} is no permutation of the operand's dimensions")
    stem = operand.removesuffix("_ptr").removesuffix("ptr") or operand
    taken = set(reduction.taken)

    def fresh(name: str) -> str:
        while name in taken:
            name += "_"
        taken.add(name)
        return name

    return Packing(
        operand,
        numbers,
        fresh(f"{stem}_packed_ptr"),
        fresh(f"{stem}_packed".upper()),
        fresh("k_packed"),
    )


REWRITES = (
    Rewrite(
        DIGITS,
        find_digits_moves,
        apply,
        "the loop over the reduction goes through its index in another order: `{lanes}` "
        "fills the lanes of a step, and all else that the index holds is one number for "
        "a step",
        place=30,
        worth=1.3,
    ),
    Rewrite(
        PACK,
        find_pack_moves,
        apply,
        "the loop over the reduction goes through its index with `{lanes}` in the lanes "
        "of a step, and the host permutes `{operand}` to that order in each call",
        place=40,
        worth=2.5,
        then=("accumulate",),
        packs=True,
    ),
)
