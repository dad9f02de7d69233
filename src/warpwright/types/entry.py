"""A program as its user has it: an entry point in files of their own, and its one joined text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """What is called: a function, an autograd function or a module of `file`.

    `name` is its name in that file. `backward`: called forward, then through `.backward()`.
    """

    file: Path
    name: str
    backward: bool = False

    def __str__(self) -> str:
        return f"{self.file}:{self.name}{'.backward' if self.backward else ''}"


@dataclass(frozen=True, slots=True)
class Piece:
    """One top-level statement of a user's file, and where it stands in the joined text.

    `first_line` to `last_line` (1-based, inclusive) are its lines in `file`, with decorators and
    the comments right above; `joined_line` is its first line in the joined text. Both texts have
    the same number of lines; they differ where a name had to change. `names`: what it binds there;
    `spelled`: a name of the joined text → how this statement's own file spells it.
    """

    file: Path
    first_line: int
    last_line: int
    joined_line: int
    text: str
    joined: str
    names: tuple[str, ...]
    spelled: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class JoinedProgram:
    """The statements of one or several files that an entry point needs, as one program text.

    `source` defines `ModelNew`, which calls the entry point. `files`: each file's text as it was
    read.
    """

    source: str
    entry: EntryPoint | None
    pieces: tuple[Piece, ...]
    files: Mapping[Path, str]

    def place_of(self, line: int) -> tuple[Path, int] | None:
        """File and line of a line of the joined text; None where it stands in no file."""
        for piece in self.pieces:
            last = piece.joined_line + piece.last_line - piece.first_line
            if piece.joined_line <= line <= last:
                return piece.file, piece.first_line + line - piece.joined_line
        return None
