"""The statements behind an index in two branches: with scalars, and as they were."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from warpwright.program.parsing import lines_of
from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    loaded_names,
    stored_names,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.splice import Splice, replaced, spliced
from warpwright.proposers.rewrites.common.statement_text import INDENT, indented, margin_of
from warpwright.proposers.rewrites.digits.extent import Extent
from warpwright.proposers.rewrites.scalarise.flat_index import FlatIndex
from warpwright.proposers.rewrites.scalarise.levels import WITHIN, condition
from warpwright.proposers.rewrites.scalarise.thin_values import ThinValues


@dataclass(frozen=True, slots=True)
class BlockChange:
    kernel: KernelText
    index: FlatIndex
    level: Extent
    how: str
    first: str
    line: str | None
    thin: ThinValues

    @property
    def condition(self) -> str:
        return condition(self.index, self.level, self.how, self.first)

    @property
    def told(self) -> str:
        return f"# Where a block crosses no multiple of {self.level}, its quotients are one number."


def written(source: str, change: BlockChange) -> str:
    """The statements that change under a condition, with those between them; else as before."""
    behind = change.index.behind
    start, stop = _span(change)
    _check_span(change, behind[start : stop + 1])
    head, tail = behind[start].lineno - 1, behind[stop].end_lineno or 0
    lines = lines_of(source)
    for node in (behind[start], behind[stop]):
        if lines[node.lineno - 1][: node.col_offset].strip():
            raise DoesNotApply("statements share a line")
    renames = _renames(change, behind[start : stop + 1]) if change.how == WITHIN else {}
    splices = [s for place in range(start, stop + 1) for s in change.thin.edits.get(place, [])]
    splices = _renamed(splices, behind[start : stop + 1], renames)
    rest = len(lines) - tail
    edited = lines_of(spliced(source, splices))
    margin = margin_of(source, behind[start])
    new = _dedented(edited[head : len(edited) - rest])
    old = _dedented(lines[head:tail])
    block = [] if change.line is None else [change.line]
    block += [change.told, f"if {change.condition}:", *indented(new, INDENT)]
    block += ["else:", *indented(old, INDENT)]
    return "\n".join([*lines[:head], *indented(block, margin), *lines[tail:]])


def _dedented(lines: Sequence[str]) -> list[str]:
    return textwrap.dedent("\n".join(lines)).split("\n")


def _span(change: BlockChange) -> tuple[int, int]:
    """The places of the first and the last statement that must stand in both branches."""
    behind, thin = change.index.behind, change.thin
    touched = sorted({*thin.edits, *thin.readers})
    start, stop = touched[0], touched[-1]
    for place, node in enumerate(behind[:start]):
        if thin.thin & set(stored_names([node])):
            start = min(start, place)
    return start, stop


def _check_span(change: BlockChange, body: Sequence[ast.stmt]) -> None:
    """Raises DoesNotApply where statements cannot stand in a branch."""
    nodes = [inner for node in body for inner in ast.walk(node)]
    if change.how == WITHIN and any(isinstance(n, ast.Return | ast.AnnAssign) for n in nodes):
        raise DoesNotApply("a return or a constant cannot stand under a condition at run time")
    if any(isinstance(n, ast.Constant) and isinstance(n.value, str) and "\n" in n.value
           for n in nodes):  # fmt: skip
        raise DoesNotApply("a text of several lines stands among the statements")


def _renames(change: BlockChange, body: Sequence[ast.stmt]) -> Mapping[str, str]:
    """Names that are scalars in the new branch and vectors in the other, with their new ones."""
    inside = set(stored_names(body))
    every = {*stored_names([change.kernel.node]), *loaded_names([change.kernel.node])}
    every |= {parameter.arg for parameter in change.kernel.parameters}
    renames = {}
    for name in sorted(change.thin.thin & inside):
        new = f"block_{name}"
        if new in every:
            raise DoesNotApply(f"{new} has a meaning already")
        renames[name] = new
    return renames


def _renamed(
    splices: Sequence[Splice], body: Sequence[ast.stmt], renames: Mapping[str, str]
) -> list[Splice]:
    """The edits with all names of the body renamed, in what they write too."""
    found = [
        Splice(s.start, s.end, _renamed_text(s.text, renames)) if renames else s for s in splices
    ]
    covered = [(s.start, s.end) for s in splices if s.start != s.end]
    for node in body:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and inner.id in renames:
                at = (inner.lineno, inner.col_offset)
                if not any(start <= at < end for start, end in covered):
                    found.append(replaced(inner, renames[inner.id]))
    return found


def _renamed_text(text: str, renames: Mapping[str, str]) -> str:
    """Names in a piece of source; it need not be a whole expression."""
    words = _words(text)
    return "".join(renames.get(word, word) for word in words)


def _words(text: str) -> Iterator[str]:
    """A text in names and everything between them."""
    word = ""
    for letter in text:
        if (letter.isalnum() or letter == "_") == (word[-1:].isalnum() or word[-1:] == "_"):
            word += letter
        else:
            yield word
            word = letter
    yield word
