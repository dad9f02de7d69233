"""Changing a text at the places of its syntax tree: all else stays byte for byte."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

Place = tuple[int, int]
"""Line from 1, column from 0 in bytes of UTF-8, as the `ast` module counts."""


@dataclass(frozen=True, slots=True)
class TextChange:
    """The text between two places (equal for an insertion) becomes `text`."""

    start: Place
    end: Place
    text: str


def instead_of(node: ast.expr, text: str) -> TextChange:
    """A change that puts a text in the place of a node."""
    return TextChange((node.lineno, node.col_offset), end_of(node), text)


def end_of(node: ast.expr) -> Place:
    """Where a node of a parsed text ends."""
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return node.end_lineno, node.end_col_offset


def with_changes(source: str, changes: Sequence[TextChange]) -> str:
    """The source with every change made; equal ones once. They must not overlap."""
    data = source.encode()
    starts = [0, *(match.end() for match in re.finditer(rb"\r\n|\r|\n", data))]

    def offset(place: Place) -> int:
        return starts[place[0] - 1] + place[1]

    ordered = sorted(dict.fromkeys(changes), key=lambda c: (c.start, c.end), reverse=True)
    for change in ordered:
        start, end = offset(change.start), offset(change.end)
        data = data[:start] + change.text.encode() + data[end:]
    return data.decode()
