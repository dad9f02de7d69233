"""All rewrites by name: what each proposes for a program, and how it edits the text.

A move is applied by its name alone, so a list of moves replays a program from its parent. None is
trusted: the verifier holds each candidate to its claim.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from warpwright.program.view import read_program
from warpwright.proposers.rewrites import accumulate, lanes, loops, turn
from warpwright.proposers.rewrites.apart import apart_rewrite as apart
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.digits import digits_rewrite as digits
from warpwright.proposers.rewrites.outer import outer
from warpwright.proposers.rewrites.repack import repack_rewrite as repack
from warpwright.proposers.rewrites.specialise import specialise
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Move
from warpwright.types.program import ProgramView

PACKS = (digits.PACK, repack.NAME)
"""Moves that have the host copy an operand, named by their argument `operand`, in each call."""
Find = Callable[[ProgramView, Sequence[KernelCalls]], tuple[Move, ...]]
Apply = Callable[[str, Move], str]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """`find` proposes moves on a program as it is launched; `apply` edits a text or refuses."""

    find: Find
    apply: Apply


REWRITES: Mapping[str, Rewrite] = {
    specialise.NAME: Rewrite(specialise.find, specialise.apply),
    loops.COUNT: Rewrite(loops.find_count, loops.apply_count),
    loops.ROLL: Rewrite(loops.find_roll, loops.apply_roll),
    loops.UNROLL: Rewrite(loops.find_unroll, loops.apply_unroll),
    accumulate.NAME: Rewrite(accumulate.find, accumulate.apply),
    digits.DIGITS: Rewrite(digits.find_digits_moves, digits.apply),
    digits.PACK: Rewrite(digits.find_pack_moves, digits.apply),
    repack.NAME: Rewrite(repack.find, repack.apply),
    apart.NAME: Rewrite(apart.find, apart.apply),
    lanes.NAME: Rewrite(lanes.find, lanes.apply),
    turn.NAME: Rewrite(turn.find, turn.apply),
    outer.ROWS_FIRST: Rewrite(outer.find_rows_first, outer.apply),
    outer.TERMS_FIRST: Rewrite(outer.find_terms_first, outer.apply),
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


FIRST = (specialise.NAME, loops.COUNT)
"""Moves that make others possible, made before them wherever they are found."""

BRANCHES: tuple[tuple[str, ...], ...] = (
    (digits.DIGITS,),
    (digits.PACK,),
    (digits.PACK, accumulate.NAME),
    (repack.NAME,),
    (repack.NAME, accumulate.NAME),
    (loops.UNROLL, turn.NAME),
    (loops.ROLL, turn.NAME),
    (turn.NAME,),
    (accumulate.NAME,),
    (apart.NAME,),
    (outer.ROWS_FIRST, apart.NAME),
    (outer.TERMS_FIRST,),
)
"""What may follow, each a way of its own."""


MOST_REFINEMENTS = 8
HELP_OTHERS = frozenset({apart.NAME})
"""Refinements that are tried beside others too where they gain nothing alone: on an H200, addresses
in parts gained 1 % on a convolution, its turned load 27 %, both 36 %."""


def chains(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[tuple[Move, ...], ...]:
    """Sequences of moves worth trying, shortest first, each found on the text of those before it.

    `calls` are the program's launches as traced; their values hold for every text of a chain. Each
    sequence can be replayed; those that give the same text are listed once.
    """
    texts: dict[str, tuple[Move, ...]] = {}
    source = program.source
    moves: list[Move] = []
    for name in FIRST:
        made = _everywhere(name, source, calls)
        if made:
            source, moves = replay(source, made), [*moves, *made]
            texts.setdefault(source, tuple(moves))
    for branch in BRANCHES:
        text, after = source, list(moves)
        for name in branch:
            made = _everywhere(name, text, calls)
            if not made:
                break
            text, after = replay(text, made), [*after, *made]
            texts.setdefault(text, tuple(after))
    return tuple(sorted(texts.values(), key=len))


def refinements(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """Single moves worth trying one by one on what a chain gave, and together where they help."""
    return (*apart.find(program, calls), *lanes.find(program, calls))[:MOST_REFINEMENTS]


def _everywhere(name: str, source: str, calls: Sequence[KernelCalls]) -> list[Move]:
    """One rewrite made wherever it is found: the first move of each place, replayable in order."""
    made: list[Move] = []
    refused: set[Move] = set()
    for _ in range(16):  # a program with more places of one kind than this gets the first ones
        for move in found(name, source, calls):
            if move in made or move in refused:
                continue
            try:
                source = apply_move(source, move)
            except DoesNotApply:
                refused.add(move)
                continue
            made.append(move)
            break
        else:
            break
    return made
