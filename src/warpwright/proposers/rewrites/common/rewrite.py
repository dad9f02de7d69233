"""What a rewrite says of itself: its two halves, its words, and when it is tried."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Move
from warpwright.types.program import ProgramView

Find = Callable[[ProgramView, Sequence[KernelCalls]], tuple[Move, ...]]
Apply = Callable[[str, Move], str]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One kind of move. A module of `proposers.rewrites` lists its own in `REWRITES`.

    `find` proposes moves on a program as it is launched; `apply` edits a text or raises
    DoesNotApply. `said`: what it did, for a person; `{name}` stands for an argument of the move.
    `makes_ready`: it makes others possible, so it is made before them wherever it is found.
    `alone`: it is tried as a way of its own, and after it, on what it gave, the rewrites named in
    `then`. `refines`: its single moves are tried one by one on what a way gave; with `helps_others`
    beside others too, where they gain nothing alone. `place`: ways are listed by it, then by name.
    `worth`: a rough guess at how many times as fast it makes programs that it helps, from those
    that were timed; it decides only who is timed first, since the time may end.
    `measured`: no count shows what it does, so it is tried on a GPU alone.
    `packs`: the host copies an operand in each call, which the moves name by their argument
    `operand`; with `unpacks` it no longer copies one, the kernel's parameter `pointer`.
    `float32_by`: it computes a product in strict float32 by so many products on the tensor cores,
    of values of that type as GPU sheets name it; whether that is faster is for a board's rates to
    say.
    """

    name: str
    find: Find
    apply: Apply
    said: str
    place: int = 1000
    worth: float = 1.0
    makes_ready: bool = False
    alone: bool = True
    then: tuple[str, ...] = ()
    refines: bool = False
    helps_others: bool = False
    measured: bool = False
    packs: bool = False
    unpacks: bool = False
    float32_by: tuple[str, int] | None = None


def that_apply(source: str, moves: Iterable[Move], apply: Apply) -> Iterator[Move]:
    """Those of the moves that can be made on the text, each tried by itself."""
    for move in moves:
        try:
            apply(source, move)
        except DoesNotApply:
            continue
        yield move
