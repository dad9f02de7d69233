"""The sizes at which an index is taken apart, and between which of their multiples blocks lie."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from warpwright.proposers.rewrites.digits.extent import ONE, Extent
from warpwright.proposers.rewrites.scalarise.flat_index import (
    FlatIndex,
    IndexDigit,
    Sizes,
    digit_of,
)
from warpwright.types.calls import KernelCalls
from warpwright.types.launch_trace import ConstantArgument, ScalarArgument

DIVIDES = "divides"
WITHIN = "within"
FEWEST_BLOCKS = 3
"""Blocks to a row from which on a condition at run time is tried: two of three lie within one."""


def condition(index: FlatIndex, level: Extent, how: str, first: str) -> str:
    """What the new branch asks: at compile time of the sizes, or at run time of the block."""
    if how == DIVIDES:
        return f"{level.bracketed} % {index.lanes.bracketed} == 0"
    last = f"({first} + ({index.lanes} - 1))"
    return f"{first} // {level.bracketed} == {last} // {level.bracketed}"


def levels_of(index: FlatIndex, sizes: Sizes, call: KernelCalls) -> list[tuple[Extent, str]]:
    """Sizes between whose multiples all blocks lie, or most, the finest first."""
    given = list(_given(call))
    ranked = []
    for level in dict.fromkeys(places(index, sizes)):
        pairs = [
            (size, lanes)
            for known in given
            if (size := level.value(known)) is not None
            and (lanes := index.lanes.value(known)) is not None
        ]
        if pairs and len(pairs) == len(given):
            ranked.append((max(size for size, _ in pairs), level, pairs))
    ranked.sort(key=lambda entry: entry[0])
    levels = []
    for _, level, pairs in ranked:
        if all(size % lanes == 0 for size, lanes in pairs):
            levels.append((level, DIVIDES))
        elif all(size >= FEWEST_BLOCKS * lanes for size, lanes in pairs):
            levels.append((level, WITHIN))
    return levels


def places(index: FlatIndex, sizes: Sizes) -> Iterator[Extent]:
    """Every size at which the statements behind an index take it apart."""
    known = {index.name: IndexDigit(ONE, None)}
    for statement in index.behind:
        for node in ast.walk(statement):
            digit = digit_of(node, known, sizes) if isinstance(node, ast.BinOp) else None
            if digit is not None:
                yield from (size for size in (digit.low, digit.high) if size and size != ONE)
        for name, value in _assigned(statement):
            digit = digit_of(value, known, sizes)
            known.pop(name, None)
            if digit is not None:
                known[name] = digit


def finest(index: FlatIndex, sizes: Sizes) -> Extent:
    """The size that all others are multiples of, where there is one."""
    every = list(places(index, sizes))
    return next((s for s in every if all(other.over(s) is not None for other in every)), ONE)


def _assigned(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
        if isinstance(target, ast.Name):
            yield target.id, statement.value
    elif isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
        name = statement.target.id
        yield name, ast.BinOp(ast.Name(name, ast.Load()), statement.op, statement.value)


def _given(call: KernelCalls) -> Iterator[Mapping[str, int]]:
    """The whole numbers of every launch under every config."""
    for launch in call.launches:
        plain = {
            name: argument.value
            for name, argument in launch.arguments.items()
            if isinstance(argument, ScalarArgument | ConstantArgument)
            and type(argument.value) is int
        }
        for traced in launch.configs:
            more = {**traced.config.meta_dict, **traced.heuristic_values}
            yield {**plain, **{n: v for n, v in more.items() if type(v) is int}}
