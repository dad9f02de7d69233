"""Scores of moves, from the records of runs: how often tried, how often handed out, what it gained.

A list of moves is one for its last move: what that added is the list's gain beside the gain of the
list without it. Records are read as they are on disk; what an old one lacks is "unknown".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from warpwright.program.kernel_kind import kernel_kind
from warpwright.program.view import read_program
from warpwright.types.evidence import Origin
from warpwright.types.move_score import MoveScore

UNKNOWN = "unknown"
Record = Mapping[str, Any]
Key = tuple[str, str, str, Origin]  # move, kind of kernel, GPU, origin
Listed = tuple[str, ...]  # a list of moves, each as text


def move_scores(records: Iterable[Record]) -> tuple[MoveScore, ...]:
    """The scores of all moves in the records of answers and walks, by GPU, kind and move."""
    tried: defaultdict[Key, int] = defaultdict(int)
    accepted: defaultdict[Key, int] = defaultdict(int)
    gains: defaultdict[Key, list[float]] = defaultdict(list)
    for answer in answers_in(records):
        for key, was_accepted, added in _of_an_answer(answer):
            tried[key] += 1
            accepted[key] += was_accepted
            gains[key] += added
    found = [MoveScore(*key, tried[key], accepted[key], tuple(sorted(gains[key]))) for key in tried]
    return tuple(sorted(found, key=lambda one: (one.gpu, one.origin, one.kernel_kind, one.move)))


def answers_in(records: Iterable[Record]) -> Iterator[Record]:
    """The answers among the records: by themselves, or as stages of a walk."""
    for record in records:
        if record.get("schema_name") == "warpwright.answer":
            yield record
        elif record.get("schema_name") == "warpwright.walk":
            yield from (stage["answer"] for stage in record["stages"] if stage.get("answer"))


def _of_an_answer(answer: Record) -> Iterator[tuple[Key, bool, list[float]]]:
    """Each move on each kernel that the answer tried: its key, whether it was handed out, gains."""
    trial = answer.get("trial") or {}
    measured, counted = trial.get("moves") or [], answer.get("moves_counted") or []
    origin = Origin.MEASURED if measured else Origin.PREDICTED
    gpu = (trial.get("gpu") or {}).get("name") if measured else None
    gpu = gpu or answer["study"]["gpu"]["name"]
    kinds = _kinds(answer)
    handed_out = {(move["name"], move["kernel"]) for move in answer.get("moves") or []}
    ratios = {_listed(one["moves"]): _ratio(one) for one in (measured or counted)}
    added: dict[tuple[str, str], list[float]] = {}
    for one in measured or counted:
        for move in one["moves"]:
            added.setdefault((move["name"], move["kernel"]), [])
        gain = _added(_listed(one["moves"]), ratios)
        if gain is not None:
            added[one["moves"][-1]["name"], one["moves"][-1]["kernel"]].append(gain)
    for place, found in added.items():
        name, kernel = place
        yield (name, kinds.get(kernel, UNKNOWN), gpu, origin), place in handed_out, found


def _kinds(answer: Record) -> dict[str, str]:
    """What the study says of each kernel; of a record without that, what its program shows."""
    told = {k["kernel"]: k.get("kind") for k in answer["study"]["kernels"]}
    if all(told.values()):
        return {kernel: str(kind) for kernel, kind in told.items()}
    view = read_program(answer["program"])
    return {kernel.name: kernel_kind(kernel, view) for kernel in view.kernels}


def _listed(moves: Iterable[Record]) -> Listed:
    return tuple(f"{m['name']} {m['kernel']} {sorted(m['arguments'].items())}" for m in moves)


def _ratio(one: Record) -> float | None:
    """How many times as fast as the parent, by time or by executed instructions."""
    if "gain_pct" in one:
        gain = one["gain_pct"]
        return None if gain is None or one.get("failure") else 1 + gain / 100
    before, after = one["before"], one["after"] or {}
    first, second = before.get("instructions"), after.get("instructions")
    return first / second if first and second else None


def _added(listed: Listed, ratios: Mapping[Listed, float | None]) -> float | None:
    """What the last move of a list added, in percent; None where that is not known."""
    whole = ratios.get(listed)
    without = ratios.get(listed[:-1]) if len(listed) > 1 else 1.0
    return None if whole is None or not without else 100 * (whole / without - 1)
