"""The strict order of a program: imports, kernels, wrappers, the model; whole definitions moved."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from warpwright.program.edit.import_time import ImportTime, import_time
from warpwright.program.parsed import parse_program
from warpwright.program.strict_sections import read_top_level

if TYPE_CHECKING:
    import libcst as cst

_RANK = {"docstring": 0, "imports": 1, "kernels": 2, "wrappers": 3, "model": 4}


def in_strict_order(source: str) -> str:
    """The program with its definitions in the strict order; unchanged where it has that already.

        import torch                     import torch
        def wrap(x): ...                 @triton.jit
        @triton.jit                 →    def kernel(...): ...
        def kernel(...): ...             def wrap(x): ...
        class ModelNew: ...              class ModelNew: ...

    Whole top-level definitions move, each with its decorators and the comments right above it;
    nothing else changes, and definitions of one section keep their order. What a definition needs
    while the module is imported (a constant of a default, a hook of a decorator, a base class)
    stands before it, whatever its section. Nothing moves across a statement that is neither
    definition, import nor constant. The source comes back as it is where moving is not safe: a
    name bound twice, something changed in place, several statements on one line.
    """
    parts = _parts(source)
    order = _order(parts)
    if order is None or order == list(range(len(parts))):
        return source
    return _written(source, order) or source


def has_strict_order(source: str) -> bool:
    """Whether the order is as strict as what is needed at import allows: nothing could move."""
    parts = _parts(source)
    ranks = [part.rank for part in parts if part.rank is not None]
    if any(part.is_barrier for part in parts[:-1]) and ranks != sorted(ranks):
        return False
    return _order(parts) == list(range(len(parts)))


@dataclass(frozen=True, slots=True)
class _Part:
    """One top-level statement: its section, and what it binds and reads at import."""

    section: str
    names: ImportTime

    @property
    def rank(self) -> int | None:
        return _RANK.get(self.section)

    @property
    def is_barrier(self) -> bool:
        return self.rank is None and self.section != "constants"


def _parts(source: str) -> list[_Part]:
    program = parse_program(source)
    pairs = zip(read_top_level(program), program.tree.body, strict=True)
    return [_Part(item.section, import_time(node)) for item, node in pairs]


def _order(parts: Sequence[_Part]) -> list[int] | None:
    """Indices of the statements in their new order; None where nothing may be moved."""
    imported = {n for part in parts if part.section == "imports" for n in part.names.bound}
    bound = [n for part in parts if part.section != "imports" for n in sorted(part.names.bound)]
    bound += sorted(imported)
    if len(bound) != len(set(bound)) or any(part.names.changes for part in parts):
        return None
    needs = _needs(parts)
    order: list[int] = []
    segment: list[int] = []
    for index, part in enumerate(parts):
        if not part.is_barrier:
            segment.append(index)
            continue
        order += [*_sorted(parts, segment, needs), index]
        segment = []
    order += _sorted(parts, segment, needs)
    return order if len(order) == len(parts) and _all_met(order, needs) else None


def _needs(parts: Sequence[_Part]) -> dict[int, set[int]]:
    """Statement → those that must have run before it. A function that is named at import may be
    called then, so what its body reads is needed too. Constants that call something keep their
    order among each other."""
    binder = {name: index for index, part in enumerate(parts) for name in part.names.bound}
    needs: dict[int, set[int]] = {}
    calling: list[int] = []
    for index, part in enumerate(parts):
        found: set[int] = set()
        names = set(part.names.read)
        while names:
            at = binder.get(names.pop())
            if at is not None and at != index and at not in found:
                found.add(at)
                names |= parts[at].names.inner
        if part.section == "constants" and part.names.calls:
            found |= set(calling)
            calling.append(index)
        # What stood behind it did not run before it: it was only named in a body.
        needs[index] = {at for at in found if at < index}
    return needs


def _sorted(
    parts: Sequence[_Part], segment: Sequence[int], needs: Mapping[int, set[int]]
) -> list[int]:
    """By section, then as they stood; what is needed at import before what needs it. A constant
    goes with the definition that it stands before."""
    ranks = {at: rank for at in segment if (rank := parts[at].rank) is not None}
    _lower(ranks, needs, segment)
    following = max(_RANK.values())
    for index in reversed(segment):
        following = ranks.setdefault(index, following)
    _lower(ranks, needs, segment)
    return sorted(segment, key=lambda at: (ranks[at], at))


def _lower(ranks: dict[int, int], needs: Mapping[int, set[int]], segment: Sequence[int]) -> None:
    """What is needed comes no later than what needs it."""
    for index in reversed(segment):
        for other in needs[index] & ranks.keys():
            if index in ranks:
                ranks[other] = min(ranks[other], ranks[index])


def _all_met(order: Sequence[int], needs: Mapping[int, set[int]]) -> bool:
    place = {index: position for position, index in enumerate(order)}
    return all(place[other] < place[index] for index, found in needs.items() for other in found)


def _written(source: str, order: Sequence[int]) -> str | None:
    import libcst as cst  # reading an order needs none of it

    from warpwright.program.edit.tree import parse_tree

    definitions = (cst.FunctionDef, cst.ClassDef)
    tree = parse_tree(source)
    if len(tree.body) != len(order) or order[0] != 0:
        return None  # several statements on one line; comments at the head of the file stay there
    body = [tree.body[order[0]]]
    for before, index in pairwise(order):
        node = tree.body[index]
        assert isinstance(node, (cst.SimpleStatementLine, cst.BaseCompoundStatement))
        apart = isinstance(node, definitions) or isinstance(tree.body[before], definitions)
        body.append(_spaced(node) if apart and index != before + 1 else node)
    code = tree.with_changes(body=body).code
    return code if _definitions(code) == _definitions(source) else None


def _spaced(
    node: cst.SimpleStatementLine | cst.BaseCompoundStatement,
) -> cst.SimpleStatementLine | cst.BaseCompoundStatement:
    """Two empty lines above what stands beside another definition than before."""
    import libcst as cst

    lines = list(node.leading_lines)
    blank = next((i for i, line in enumerate(lines) if line.comment is not None), len(lines))
    missing = [cst.EmptyLine(indent=False)] * max(0, 2 - blank)
    return node.with_changes(leading_lines=[*missing, *lines])


def _definitions(source: str) -> list[str]:
    return sorted(ast.dump(node) for node in parse_program(source).tree.body)
