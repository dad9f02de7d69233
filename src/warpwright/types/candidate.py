"""A candidate: a program, its parent, and the moves between them.

Whatever changes a program is a move: a frozen value that names what is done where. The list of
moves of a candidate can be replayed on its parent and gives the same text again, so a record
needs to hold nothing else.
"""

from __future__ import annotations

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

    def argument(self, name: str) -> MoveValue:
        """The argument of that name. Raises KeyError."""
        return dict(self.arguments)[name]


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
