"""The statements behind an index in two branches: with scalars, and as they were."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    loaded_names,
    stored_names,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.splice import Splice, replaced
from warpwright.proposers.rewrites.common.two_branches import (
    in_two_branches,
    may_branch_at_run_time,
)
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
    start, stop = _span(change)
    body = change.index.behind[start : stop + 1]
    later = stored_names(change.index.behind[: stop + 1])
    if changed := {*loaded_names([change.index.first])} & {*later}:
        raise DoesNotApply(f"{min(changed)} has another value behind {change.index.name}")
    if change.how == WITHIN and not may_branch_at_run_time(body):
        raise DoesNotApply("a return or a constant cannot stand under a condition at run time")
    renames = _renames(change, body) if change.how == WITHIN else {}
    splices = [s for place in range(start, stop + 1) for s in change.thin.edits.get(place, [])]
    before = [] if change.line is None else [change.line]
    return in_two_branches(
        source, body, _renamed(splices, body, renames), [*before, change.told], change.condition
    )


def _span(change: BlockChange) -> tuple[int, int]:
    """The places of the first and the last statement that must stand in both branches."""
    behind, thin = change.index.behind, change.thin
    touched = sorted({*thin.edits, *thin.readers})
    start, stop = touched[0], touched[-1]
    for place, node in enumerate(behind[:start]):
        if thin.thin & set(stored_names([node])):
            start = min(start, place)
    return start, stop


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
