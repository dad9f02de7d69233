"""Moves made one after another: any sequence of them keeps what the weakest of them claims.

A failure tells the moves with their arguments, which `registry.replay` makes again on the program,
and how few of them are enough. The program and the seed are the test's id. More seeds:
`benchmarks/move_sequences.py`.
"""

from __future__ import annotations

import pytest
from amounts import slow_but
from corpus import programs
from sequences import Drawn, draw, faults_of, first_at_fault
from texts import replace_once

from warpwright.proposers.rewrites.interior import interior_rewrite
from warpwright.proposers.rewrites.registry import replay
from warpwright.types.candidate import Claim, Move

PROGRAMS = programs()
JUDGED_QUICKLY = ("coarsen sums, seed 2", "interior, seed 0")
DRAWN_QUICKLY = tuple(f"{name}, seed 2" for name in list(PROGRAMS)[2::18])
# All of them take a quarter of an hour: the benchmark judges them.
JUDGED = dict.fromkeys([*JUDGED_QUICKLY, *(f"{name}, seed 0" for name in list(PROGRAMS)[::7])])
DRAWN = [*DRAWN_QUICKLY, *(f"{name}, seed 3" for name in list(PROGRAMS)[::4])]


@pytest.mark.triton
@pytest.mark.parametrize("drawn_as", slow_but(JUDGED_QUICKLY, JUDGED))
def test_a_sequence_keeps_what_its_moves_claim(drawn_as: str) -> None:
    drawn = draw(PROGRAMS[drawn_as.rpartition(",")[0]], drawn_as)
    faults = list(faults_of(drawn))
    assert not faults, first_at_fault(drawn, faults)


@pytest.mark.triton
@pytest.mark.parametrize("drawn_as", slow_but(DRAWN_QUICKLY, DRAWN))
def test_a_move_changes_any_text_or_refuses_it(drawn_as: str) -> None:
    """Of all moves that were found on some text of a sequence, made on all later ones."""
    program = PROGRAMS[drawn_as.rpartition(",")[0]]
    drawn = draw(program, drawn_as)
    assert replay(program.source, drawn.moves) == drawn.texts[-1], str(drawn)


@pytest.mark.triton
def test_a_text_that_is_not_what_its_moves_claim_is_told() -> None:
    program = PROGRAMS["interior"]
    moves = (Move(interior_rewrite.NAME, "smooth", (), Claim.BIT_EQUAL),)
    text = replace_once(program.source, "sum += x * tl", "sum += x * 1.0000001 * tl")
    faults = " ".join(faults_of(Drawn(program, (program.source, text), moves)))
    assert "replaying the moves gives another text" in faults
    assert "claim bit-equal outputs" in faults
