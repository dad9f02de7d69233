"""Changing a program's text at the places of its syntax tree: all else stays byte for byte."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

Position = tuple[int, int]
"""Line from 1, column from 0 in bytes of UTF-8, as the `ast` module counts."""


@dataclass(frozen=True, slots=True)
class Splice:
    """The text between two places (equal for an insertion) becomes `text`."""

    start: Position
    end: Position
    text: str


def spliced(source: str, splices: Sequence[Splice]) -> str:
    """The source with every splice made. Splices must not overlap."""
    data = source.encode()
    starts = [0, *(match.end() for match in re.finditer(rb"\r\n|\r|\n", data))]

    def offset(place: Position) -> int:
        return starts[place[0] - 1] + place[1]

    for splice in sorted(splices, key=lambda s: (s.start, s.end), reverse=True):
        start, end = offset(splice.start), offset(splice.end)
        data = data[:start] + splice.text.encode() + data[end:]
    return data.decode()


def start_of(node: ast.expr | ast.stmt | ast.arg) -> Position:
    return node.lineno, node.col_offset


def end_of(node: ast.expr | ast.stmt | ast.arg) -> Position:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return node.end_lineno, node.end_col_offset


def replaced(node: ast.expr | ast.stmt | ast.arg, text: str) -> Splice:
    """The node's own text replaced."""
    return Splice(start_of(node), end_of(node), text)


def inserted_after(node: ast.expr | ast.stmt | ast.arg, text: str) -> Splice:
    return Splice(end_of(node), end_of(node), text)


def whole_lines(first: ast.stmt, last: ast.stmt, text: str) -> Splice:
    """All lines from `first` to `last`, indentation and end-of-line comments included.

    `text` ends with a line break.
    """
    assert last.end_lineno is not None
    return Splice((first.lineno, 0), (last.end_lineno + 1, 0), text)
