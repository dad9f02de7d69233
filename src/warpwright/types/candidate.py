"""A candidate: a program, its parent, and the moves between them.

Whatever changes a program is a move: a frozen value that names what is done where. The list of
moves of a candidate can be replayed on its parent and gives the same text again, so a record
needs to hold nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

MoveValue = int | float | bool | str | None | tuple[int | float | bool | str | None, ...]


class Claim(StrEnum):
    """What a move says of the outputs. The verifier holds it to that."""

    BIT_EQUAL = "bit-equal"
    SAME_SUM = "the same sum in another order"
    OTHER_ARITHMETIC = "other arithmetic within the policy"


@dataclass(frozen=True, slots=True)
class Move:
    """One change: `name` is the rewrite that makes it, `kernel` where, `arguments` with what.

    Arguments are pairs in the order that the rewrite gives them, of plain values, so that equal
    moves are equal and a move can be written down as JSON.
    """

    name: str
    kernel: str
    arguments: tuple[tuple[str, MoveValue], ...] = ()
    claim: Claim = Claim.BIT_EQUAL

    def __str__(self) -> str:
        told = ", ".join(f"{name}={value}" for name, value in self.arguments)
        return f"{self.name}({self.kernel}{', ' if told else ''}{told})"

    @property
    def short(self) -> str:
        """The move without its kernel in a few words: long lists are counted."""
        return " ".join([self.name, *(_short(name, value) for name, value in self.arguments)])

    def argument(self, name: str) -> MoveValue:
        """The argument of that name. Raises KeyError."""
        return dict(self.arguments)[name]


LONGEST_LIST = 24
"""Characters of a list among a move's arguments that is still told where few words are wanted."""


def _short(name: str, value: MoveValue) -> str:
    if not isinstance(value, tuple):
        return f"{name}={value}"
    listed = ",".join(map(str, value))
    return f"{name}={listed}" if len(listed) <= LONGEST_LIST else f"{len(value)} {name}"


def programs_by_moves(count: int) -> str:
    """So many programs, for a sentence."""
    return f"{count} program{'s' if count != 1 else ''} by moves"


def moves_label(moves: Sequence[Move]) -> str:
    """A list of moves for a line or a cell of a table, each kernel told once a row of its moves."""
    rows: list[tuple[str, list[str]]] = []
    for move in moves:
        if not rows or rows[-1][0] != move.kernel:
            rows.append((move.kernel, []))
        rows[-1][1].append(move.short)
    return ", ".join(f"{' + '.join(told)} in {kernel}" for kernel, told in rows)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A program that may replace its parent. `moves` lead from `parent` to `program`, in order."""

    parent: str
    program: str
    moves: tuple[Move, ...] = field(default=())

    @property
    def claim(self) -> Claim:
        """The weakest claim among its moves: bit-equal only where each of them is."""
        order = list(Claim)
        return max((move.claim for move in self.moves), key=order.index, default=Claim.BIT_EQUAL)
