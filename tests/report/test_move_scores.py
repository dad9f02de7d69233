"""Scores of moves: what each added beside the list without it, by GPU and kind of kernel."""

from __future__ import annotations

from typing import Any

from warpwright.report.move_scores import move_scores
from warpwright.types.evidence import Origin


def move(name: str, kernel: str = "k", **arguments: object) -> dict[str, Any]:
    return {"name": name, "kernel": kernel, "arguments": arguments, "claim": "bit-equal"}


def timed(gain_pct: float | None, *moves: dict[str, Any]) -> dict[str, Any]:
    return {"moves": list(moves), "gain_pct": gain_pct, "failure": None}


def counted(instructions: float | None, *moves: dict[str, Any]) -> dict[str, Any]:
    after = None if instructions is None else {"instructions": instructions}
    return {"moves": list(moves), "before": {"instructions": 1000.0}, "after": after}


def answer(kind: str | None = "reduction", **fields: Any) -> dict[str, Any]:
    study = {"gpu": {"name": "RTX 4090"}, "kernels": [{"kernel": "k", "kind": kind}]}
    return {"schema_name": "warpwright.answer", "study": study, "program": "", **fields}


LISTS = [timed(10.0, move("a")), timed(21.0, move("a"), move("b")), timed(None, move("c"))]
MEASURED = answer(
    moves=[move("a"), move("b")], trial={"gpu": {"name": "Some Card"}, "moves": LISTS}
)


def test_a_list_is_scored_by_its_last_move_beside_the_list_without_it() -> None:
    a, b, c = move_scores([MEASURED])
    assert (a.move, a.gpu, a.kernel_kind, a.origin) == (
        "a", "Some Card", "reduction", Origin.MEASURED,
    )  # fmt: skip
    assert (a.tried, a.accepted) == (1, 1)
    assert [round(gain, 6) for gain in a.gains_pct] == [10.0]
    assert [round(gain, 6) for gain in b.gains_pct] == [10.0]
    assert (c.tried, c.accepted, c.gains_pct) == (1, 0, ())


def test_what_was_predicted_stands_apart() -> None:
    predicted = answer(
        moves=[], moves_counted=[counted(800.0, move("a")), counted(None, move("b"))]
    )
    scores = move_scores([MEASURED, predicted, predicted])
    (a,) = [one for one in scores if one.move == "a" and one.origin is Origin.PREDICTED]
    assert (a.gpu, a.tried, a.accepted, a.gains_pct) == ("RTX 4090", 2, 0, (25.0, 25.0))


def test_the_stages_of_a_walk_count_and_other_records_do_not() -> None:
    walk = {"schema_name": "warpwright.walk", "stages": [{"answer": MEASURED}, {"answer": None}]}
    other = {"schema_name": "warpwright.check"}
    assert move_scores([walk, other]) == move_scores([MEASURED])


def test_the_kind_of_an_old_record_is_read_off_its_program() -> None:
    program = (
        "import triton\nimport triton.language as tl\n\n\n@triton.jit\ndef k(x_ptr, y_ptr):\n"
        "    tl.store(y_ptr, tl.load(x_ptr))\n"
    )
    old = answer(None, program=program, moves=[], moves_counted=[counted(500.0, move("a"))])
    (a,) = move_scores([old])
    assert a.kernel_kind == "element-wise"
