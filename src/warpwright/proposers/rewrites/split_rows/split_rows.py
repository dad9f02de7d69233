"""The *split-rows* move: several programs share the steps of a loop over a long row.

Before, 32 programs walk through a matrix of a million columns, on a GPU of 132 multiprocessors:

    acc = tl.zeros((ROWS,), dtype=tl.float32)
    for k in range(0, K, BLOCK):
        …
        acc += tl.sum(a * b[None, :], axis=1)
    tl.store(y_ptr + rows, acc, mask=rows < M)

    matvec[(triton.cdiv(M, ROWS),)](a, b, y, M, K, ROWS=64, BLOCK=128)

After, 16 programs do some steps each, and a second kernel adds up what they leave:

    part = tl.program_id(1)
    steps = tl.cdiv(K, BLOCK)
    each = tl.cdiv(steps, PARTS)
    first = tl.minimum(part * each, steps)
    acc = tl.zeros((ROWS,), dtype=tl.float32)
    for k in range(first * BLOCK, tl.minimum(first + each, steps) * BLOCK, BLOCK):
        …
    tl.store(acc_parts + (program * PARTS + part) * ROWS + tl.arange(0, ROWS), acc)

    def matvec_total(…):
        acc = tl.zeros((ROWS,), dtype=tl.float32)
        for part in tl.static_range(PARTS):
            acc += tl.load(acc_parts + …)
        tl.store(y_ptr + rows, acc, mask=rows < M)

    acc_parts = torch.empty((triton.cdiv(M, ROWS), 16, 64), device=a.device, dtype=torch.float32)
    matvec[(triton.cdiv(M, ROWS), 16)](…, acc_parts=acc_parts, PARTS=16)
    matvec_total[(triton.cdiv(M, ROWS),)](…, acc_parts=acc_parts, PARTS=16)

Applies to kernels with one loop, all of whose values that go from step to step are totals in
float32 (sums, maxima, minima) or pointers that each step moves on. What follows the loop is done by
the second kernel, from the totals, whatever it is. Parts are added in a fixed order: two runs give
the same bits. Refuses memory that is written before the loop ends, atomic operations, a loop behind
the loop, programs that ask how many they are, and grids of three axes. A tuner goes, since the host
has to know how large a part is: one of its configs stays, as numbers of the launch.

Claim: the same sum in another order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress

from warpwright.program.edit.config_text import ConfigStyle, write_config
from warpwright.program.loop_trips import loop_trips
from warpwright.proposers.rewrites.common.config_texts import ONE_LINE, read_config_text
from warpwright.proposers.rewrites.common.fixed_config import with_one_config
from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    argument_values,
    kernel_text,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite
from warpwright.proposers.rewrites.common.splice import spliced
from warpwright.proposers.rewrites.outer.float32 import all_float32
from warpwright.proposers.rewrites.split_rows.long_loop import read_loop
from warpwright.proposers.rewrites.split_rows.split_launch import rank_of, split_launches
from warpwright.proposers.rewrites.split_rows.two_kernels import TwoKernels
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move, MoveValue
from warpwright.types.launch_trace import TensorArgument
from warpwright.types.program import ProgramView

Arguments = tuple[tuple[str, MoveValue], ...]

NAME = "split-rows"
PROGRAMS = 512
"""So many programs fill a GPU with loads on their way."""
MOST, LEAST = 64, 2
"""Parts of a loop."""
STEPS = 8
"""So many steps are left for each part."""


def find(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move for each kernel of few programs with many steps."""
    moves = []
    for call in calls:
        with suppress(DoesNotApply):
            kernel = kernel_text(program.source, call.name)
            if not all_float32(call):
                continue
            parts, tensor = _parts(kernel, call), _tensor(call)
            if parts is None or tensor is None:
                continue
            arguments: Arguments = (("parts", parts), ("tensor", tensor), *_config(call))
            move = Move(NAME, call.name, arguments, Claim.SAME_SUM)
            apply(program.source, move)
            moves.append(move)
    return tuple(moves)


def apply(source: str, move: Move) -> str:
    """The program with two kernels and two launches for one. Raises DoesNotApply."""
    kernel = kernel_text(source, move.kernel)
    parts, tensor = int(str(move.argument("parts"))), str(move.argument("tensor"))
    chosen = dict(move.arguments).get("config")
    if chosen is not None:
        config = read_config_text(str(chosen))
        kernel = kernel_text(with_one_config(kernel, config), move.kernel)
    if len(kernel.node.decorator_list) != 1:
        raise DoesNotApply(f"the tiles of {move.kernel} are not the launch's own")
    two = TwoKernels(kernel, rank_of(kernel))
    text = two.source()
    launches = split_launches(kernel_text(text, move.kernel), two.names, two.totals, parts, tensor)
    return spliced(text, list(launches))


def _parts(kernel: KernelText, call: KernelCalls) -> int | None:
    """How many programs share a loop; None where there are enough, or few steps."""
    grids = [traced.grid for launch in call.launches for traced in launch.configs]
    if not grids:
        return None
    known = {name: min(found) for name, found in argument_values(call).items()}
    long = read_loop(kernel)
    trips = {one.line: one.trips for one in loop_trips(kernel.node, known)}
    steps = trips.get(long.loop.lineno)
    if steps is None:
        return None
    programs = max(map(math.prod, grids))
    parts = MOST
    while parts >= LEAST and (parts * programs > PROGRAMS or parts * STEPS > steps):
        parts //= 2
    return parts if parts >= LEAST else None


def _config(call: KernelCalls) -> Arguments:
    """Of a tuner's configs the first of those with the most programs, as its text."""
    if not call.autotuned:
        return ()
    traced = [one for launch in call.launches for one in launch.configs]
    most = max(one.blocks for one in traced)
    config = next(one.config for one in traced if one.blocks == most)
    return (("config", write_config(config, ConfigStyle("triton.Config", '"', ()), ONE_LINE)),)


def _tensor(call: KernelCalls) -> str | None:
    """A parameter that is a tensor in all launches."""
    for name, argument in call.launches[0].arguments.items():
        if isinstance(argument, TensorArgument) and all(
            isinstance(launch.arguments.get(name), TensorArgument) for launch in call.launches
        ):
            return name
    return None


REWRITES = (
    Rewrite(
        NAME,
        find,
        apply,
        "{parts} programs share the steps of a long loop, and a second kernel adds up their parts",
        place=108,
        worth=6.0,
    ),
)
