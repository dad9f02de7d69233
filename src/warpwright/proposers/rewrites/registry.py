"""All rewrites by name: what each proposes for a program, and how it edits the text.

They are found by their place: a module of this folder, or of a folder in it, lists what it adds in
`REWRITES`.

A move is applied by its name alone, so a list of moves replays a program from its parent. None is
trusted: the verifier holds each candidate to its claim.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Iterator, Mapping, Sequence

from warpwright.program.view import read_program
from warpwright.proposers import rewrites
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Move
from warpwright.types.program import ProgramView


def _listed() -> Iterator[Rewrite]:
    """The rewrites of every module of this folder."""
    for info in pkgutil.walk_packages(rewrites.__path__, f"{rewrites.__name__}."):
        if not info.ispkg and info.name != __name__:
            yield from getattr(importlib.import_module(info.name), "REWRITES", ())


REWRITES: Mapping[str, Rewrite] = {
    rewrite.name: rewrite for rewrite in sorted(_listed(), key=lambda r: (r.place, r.name))
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


PACKS = tuple(rewrite.name for rewrite in REWRITES.values() if rewrite.packs)
"""Moves that have the host copy an operand, named by their argument `operand`, in each call."""

MEASURED = frozenset(rewrite.name for rewrite in REWRITES.values() if rewrite.measured)
"""Moves of which no count shows what they do."""

UNPACKS = tuple(rewrite.name for rewrite in REWRITES.values() if rewrite.unpacks)
"""Moves that spare the host such a copy, of the kernel's parameter named by `pointer`."""

FLOAT32_BY = {
    rewrite.name: rewrite.float32_by for rewrite in REWRITES.values() if rewrite.float32_by
}
"""Moves that compute products in float32 by several products of another type: (type, how many)."""

FIRST = tuple(rewrite.name for rewrite in REWRITES.values() if rewrite.makes_ready)
"""Moves that make others possible, made before them wherever they are found."""

BRANCHES = tuple((r.name, *r.then) for r in REWRITES.values() if r.alone)
"""What may follow, each a way of its own; each beginning of a way is one too."""

MOST_REFINEMENTS = 10
HELP_OTHERS = frozenset(rewrite.name for rewrite in REWRITES.values() if rewrite.helps_others)
"""Refinements that are tried beside others too where they gain nothing alone."""


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


def worth(moves: Sequence[Move]) -> float:
    """How much faster the moves may make a program, by what each did for others; a rough guess."""
    names = dict.fromkeys(move.name for move in moves)
    return math.prod(REWRITES[name].worth for name in names if name in REWRITES)


def further(
    source: str, calls: Sequence[KernelCalls], names: Sequence[str]
) -> tuple[tuple[Move, ...], ...]:
    """Each of these rewrites made wherever it is found in a text, one list of moves a rewrite."""
    found_moves = (_everywhere(name, source, calls) for name in names)
    return tuple(tuple(moves) for moves in found_moves if moves)


def refinements(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """Single moves worth trying one by one on what a chain gave, and together where they help."""
    moves = (r.find(program, calls) for r in REWRITES.values() if r.refines)
    return tuple(move for found_moves in moves for move in found_moves)[:MOST_REFINEMENTS]


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
