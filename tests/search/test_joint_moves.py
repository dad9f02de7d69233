"""Which refinements are tried together, by what each gained alone."""

from __future__ import annotations

from warpwright.search.moves_measured import joint_moves
from warpwright.types.candidate import Candidate, Move
from warpwright.types.trial import MovesTrial

SPLIT = Move("split", "k", (("pointers", ("x_ptr",)),))
LOAD, STORE = (Move("lanes", "k", (("access", number),)) for number in (0, 1))


def _joined(gains: dict[Move, float | None], failing: Move | None = None) -> list[tuple[Move, ...]]:
    singles = [Candidate("", "", (move,)) for move in gains]
    trials = [
        MovesTrial((move,), gain_pct=gain, failure="it fails" if move == failing else None)
        for move, gain in gains.items()
    ]
    return joint_moves(singles, trials, 5.0)


def test_what_gains_alone_is_tried_together() -> None:
    assert _joined({LOAD: 20.0, STORE: 6.0}) == [(LOAD, STORE)]
    assert _joined({LOAD: 20.0, STORE: 4.0}) == []


def test_a_move_that_helps_others_is_tried_beside_them_although_it_gains_nothing_alone() -> None:
    assert _joined({SPLIT: 1.0, LOAD: 20.0, STORE: -30.0}) == [(SPLIT, LOAD)]
    assert _joined({SPLIT: 1.0, LOAD: 20.0, STORE: 30.0}) == [
        (LOAD, STORE),
        (SPLIT, STORE),
        (SPLIT, LOAD, STORE),
    ]


def test_a_move_that_helps_others_and_gains_alone_is_tried_once() -> None:
    assert _joined({SPLIT: 9.0, LOAD: 20.0}) == [(SPLIT, LOAD)]


def test_nothing_is_joined_where_nothing_gains_or_the_move_fails() -> None:
    assert _joined({SPLIT: 1.0, LOAD: 2.0, STORE: None}) == []
    assert _joined({SPLIT: 1.0, LOAD: 20.0}, failing=SPLIT) == []
