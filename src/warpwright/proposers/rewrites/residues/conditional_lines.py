"""Statements of a program under conditions, and new ones between them; lines stay as they are."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from warpwright.program.parsing import lines_of
from warpwright.proposers.rewrites.common.statement_text import INDENT, indented, margin_of
from warpwright.proposers.rewrites.common.two_branches import check_own_lines


class ConditionalLines:
    """A program's lines with changes. All raise DoesNotApply where statements share a line."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._lines = lines_of(source)
        self._deeper = [0] * len(self._lines)
        self._before: dict[int, list[str]] = {}  # a line's number from 0 → what comes before it
        self._after: dict[int, list[str]] = {}

    def put_under(self, body: Sequence[ast.stmt], head: Sequence[str]) -> None:
        """A block under `if …:`, the last of the lines `head`. Outer blocks come first."""
        check_own_lines(self._lines, body)
        first, last = body[0].lineno - 1, body[-1].end_lineno or 0
        margin = margin_of(self._source, body[0]) + INDENT * self._deeper[first]
        self._before.setdefault(first, []).extend(indented(head, margin))
        for number in range(first, last):
            self._deeper[number] += 1

    def insert_after(self, statement: ast.stmt, new: Sequence[str]) -> None:
        check_own_lines(self._lines, [statement])
        last = (statement.end_lineno or statement.lineno) - 1
        margin = margin_of(self._source, statement) + INDENT * self._deeper[last]
        self._after.setdefault(last, []).extend(indented(new, margin))

    def text(self) -> str:
        found: list[str] = []
        for number, line in enumerate(self._lines):
            found += self._before.get(number, [])
            found.append(INDENT * self._deeper[number] + line if line.strip() else line)
            found += self._after.get(number, [])
        return "\n".join(found)
