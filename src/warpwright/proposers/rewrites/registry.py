"""All rewrites by name: what each proposes for a program, and how it edits the text.

A move is applied by its name alone, so a list of moves replays a program from its parent. None is
trusted: the verifier holds each candidate to its claim.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from warpwright.proposers.rewrites import specialise
from warpwright.proposers.rewrites.digits import rewrite as digits
from warpwright.proposers.rewrites.refusal import DoesNotApply
from warpwright.source.view import read_program
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Move
from warpwright.types.program import ProgramView

Find = Callable[[ProgramView, Sequence[KernelCalls]], tuple[Move, ...]]
Apply = Callable[[str, Move], str]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """`find` proposes moves on a program as it is launched; `apply` edits a text or refuses."""

    find: Find
    apply: Apply


REWRITES: Mapping[str, Rewrite] = {
    specialise.NAME: Rewrite(specialise.find, specialise.apply),
    digits.DIGITS: Rewrite(digits.find_digits_moves, digits.apply),
    digits.PACK: Rewrite(digits.find_pack_moves, digits.apply),
}


def apply_move(source: str, move: Move) -> str:
    """The source with one move made. Raises DoesNotApply, also for a name that is no rewrite."""
    rewrite = REWRITES.get(move.name)
    if rewrite is None:
        raise DoesNotApply(f"no rewrite is named {move.name}")
    return rewrite.apply(source, move)


def replay(parent: str, moves: Sequence[Move]) -> str:
    """The parent with all moves made, in order. Raises DoesNotApply."""
    for move in moves:
        parent = apply_move(parent, move)
    return parent


def found(name: str, source: str, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """What one rewrite proposes for a text whose launches are those of `calls`."""
    return REWRITES[name].find(read_program(source), calls)
