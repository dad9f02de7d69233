"""The *online* move: the maximum of a row and the sum of its exponentials in one walk, not two.

Before, a row is read for its maximum, then again for the sum (and mostly once more, for what is
stored):

    for start in range(0, N, BLOCK):
        x = tl.load(x_ptr + start + lanes, mask=start + lanes < N, other=-float("inf"))
        top = tl.maximum(top, tl.max(x, axis=0))
    for start in range(0, N, BLOCK):
        x = tl.load(x_ptr + start + lanes, mask=start + lanes < N, other=-float("inf"))
        total += tl.sum(tl.exp(x - top), axis=0)

After, each lane keeps its greatest value so far, and the sum of its exponentials beside that, which
shrinks whenever a greater value comes:

    top_lanes = tl.full((BLOCK,), float("-inf"), dtype=tl.float32)
    total_lanes = tl.zeros((BLOCK,), dtype=tl.float32)
    for start in range(0, N, BLOCK):
        x = tl.load(…)
        top_gap = tl.where(x == top_lanes, 0.0, tl.abs(x - top_lanes))
        total_fade = tl.exp(-top_gap)
        total_lanes = tl.where(
            x > top_lanes, total_lanes * total_fade + 1.0, total_lanes + total_fade
        )
        top_lanes = tl.maximum(top_lanes, x)
    top = tl.maximum(top, tl.max(top_lanes, axis=0))
    total_lanes = tl.where(total_lanes == 0.0, 0.0, total_lanes * tl.exp(top_lanes - top))
    total += tl.sum(total_lanes, axis=0)

One exponential an element, as before (M. Milakov, N. Gimelshein, *Online normalizer calculation for
softmax*, 2018, have two). Nothing is asked of what is taken off (`top`): the lanes' sums are
brought to it by the second loop's own term, so a guard between the loops (`tl.where(top == …, 0.0,
top)`) does what it did.

Values that are no numbers come out as before. A NaN makes its lane's sum NaN and no lane's maximum.
`x == top_lanes` keeps minus infinity beside minus infinity from becoming NaN in the loop: a lane of
nothing else counts its elements, and behind the loop they are as many times `tl.exp(-inf - top)`,
nothing beside a finite maximum and NaN beside an infinite one, as each was before. A lane that took
no step stays zero.

*online-steps* keeps one maximum and one sum for all lanes, as both loops did: they meet in every
step, twice as before, and a step does less with each element. It is for blocks whose lanes have no
registers left for two values each, or would take them from other warps:

        top_new = tl.maximum(top_so_far, tl.max(x, axis=0))
        top_base = tl.where(top_new == float("-inf"), 0.0, top_new)
        total_so_far = (
            total_so_far * tl.exp(top_so_far - top_base)
            + tl.sum(tl.exp(x - top_base), axis=0)
        )
        total_so_far += tl.where(top_new == float("-inf"), 1.0, 0.0)
        top_so_far = top_new

Applies to two `for` loops of one block, or nests of them, that take the same steps; between their
names, both read one value (`resolved.py`). Refuses a second loop that does more than that one sum,
names of it that are read behind it, stores and functions of unknown kind from the first loop to the
second, and other types than float32.

Claim: other arithmetic. The maximum is the same; in the sum each term's exponential is rounded as
often as its lane's maximum grew behind it, and lanes are added up once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from warpwright.proposers.rewrites.common.kernel_text import (
    argument_values,
    kernel_text,
    kernels_of,
)
from warpwright.proposers.rewrites.common.lane_room import room_for_lanes
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite, that_apply
from warpwright.proposers.rewrites.common.splice import spliced
from warpwright.proposers.rewrites.common.statement_text import parsed
from warpwright.proposers.rewrites.common.step_count import trip_count
from warpwright.proposers.rewrites.outer.arithmetic import values
from warpwright.proposers.rewrites.passes.one_walk import walk_splices
from warpwright.proposers.rewrites.passes.row_walks import RowWalk, row_walks
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.launch_trace import DescriptorArgument, TensorArgument
from warpwright.types.program import ProgramView

NAME, STEPS = "online", "online-steps"
_WHOLE = ("int", "uint", "bool")


def find(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move for each such pair of loops of more than one step, where lanes have room."""
    return tuple(move for walk, call, move in _found(NAME, program, calls) if _fits(walk, call))


def find_steps(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """The same for pairs whose lanes meet in every step, as they do in both loops."""
    moves = [move for _, _, move in _found(STEPS, program, calls)]
    return tuple(that_apply(program.source, moves, apply))


def _found(
    name: str, program: ProgramView, calls: Sequence[KernelCalls]
) -> Iterator[tuple[RowWalk, KernelCalls, Move]]:
    for call, kernel in kernels_of(program.source, calls):
        for number, walk in enumerate(row_walks(kernel)):
            if _is_float32(call) and _takes_steps(walk, call):
                arguments = (("pair", number),)
                yield walk, call, Move(name, call.name, arguments, Claim.OTHER_ARITHMETIC)


def apply(source: str, move: Move) -> str:
    """The program with the pair as one loop. Raises DoesNotApply."""
    kernel = kernel_text(source, move.kernel)
    refusals: list[DoesNotApply] = []
    walks = list(row_walks(kernel, refusals))
    number = int(str(move.argument("pair")))
    if number >= len(walks):
        why = f": {refusals[0]}" if refusals else ""
        raise DoesNotApply(f"{move.kernel} has {len(walks)} such pairs of loops{why}")
    return spliced(source, walk_splices(kernel, walks[number], in_steps=move.name == STEPS))


def _is_float32(call: KernelCalls) -> bool:
    """Whether all tensors of all launches are float32 but for whole numbers (labels, lengths)."""
    arguments = [a for launch in call.launches for a in launch.arguments.values()]
    types = {a.dtype for a in arguments if isinstance(a, TensorArgument)}
    described = any(isinstance(a, DescriptorArgument) for a in arguments)
    return not described and all(t == "float32" or t.startswith(_WHOLE) for t in types)


def _takes_steps(walk: RowWalk, call: KernelCalls) -> bool:
    """Whether the loops may take more than one step."""
    sizes = {name: max(found) for name, found in argument_values(call).items()}
    return any(trip_count(loop, sizes) not in (0, 1) for loop in walk.top.levels)


def _fits(walk: RowWalk, call: KernelCalls) -> bool:
    """Whether two values a lane fit into registers.

    A side that no launch told, since another move added its constant, is left out.
    """
    known = argument_values(call)
    sides = [values(parsed(side), known) for side in walk.extents]
    return 2 * math.prod(min(side) for side in sides if side) <= room_for_lanes(call)


REWRITES = (
    Rewrite(
        NAME,
        find,
        apply,
        "the maximum of a row and the sum of its exponentials are found in one walk, not in two",
        place=77,
        worth=1.3,
        then=("partials",),
        refines=True,
    ),
    Rewrite(
        STEPS,
        find_steps,
        apply,
        "the maximum of a row and the sum of its exponentials are found in one walk, not in two; "
        "all lanes keep one maximum",
        place=76,
        worth=1.3,
        then=("partials",),
    ),
)
