"""What a program's host code was seen to do, while it was imported and called."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SeenOperator:
    """An ATen operator that a line of the program started. `kind`: "computes" or "copies"."""

    name: str  # e.g. "aten.mm"
    kind: str
    line: int
    count: int = 1


@dataclass(frozen=True, slots=True)
class SeenAction:
    """Something beside launches and tensors: a file opened, a text run as code, a thread."""

    what: str
    line: int


@dataclass(frozen=True, slots=True)
class HostBehaviour:
    """Of the import of a program, the making of its model, and two calls: on other data, and with
    other memory in use on the card.

    `replaced`: functions, classes and methods of torch, Triton and the standard library that are
    others afterwards. `same_output`: the second call returned memory of the first one's output.
    `second_call`: how its launches differ from the first one's; None where they do not. `ways_out`:
    names in the source that lead through torch or Triton to other modules, with their lines.
    """

    operators: tuple[SeenOperator, ...] = ()
    actions: tuple[SeenAction, ...] = ()
    replaced: tuple[str, ...] = ()
    same_output: bool = False
    second_call: str | None = None
    ways_out: tuple[tuple[str, int], ...] = ()
