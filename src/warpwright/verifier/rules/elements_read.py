"""How many elements the loads of a kernel come to in one block: steps of the loops × lanes.

    for i in range(N):                      for first in range(0, N, 16):
        x = tl.load(p + i)        →             i = first + tl.arange(0, 16)
                                                x = tl.load(p + i, mask=i < N)

Both read N elements. A loop that runs fewer times, with as many lanes more, does the same work; one
that only runs fewer times has lost some.
"""

from __future__ import annotations

import ast
import math
from collections import Counter
from collections.abc import Mapping

from warpwright.program.dotted_names import dotted
from warpwright.program.loop_texts import TripCount, single_assignments, trip_counts
from warpwright.program.memory_accesses import Access, memory_of
from warpwright.program.values_behind import values_behind
from warpwright.types.config import MetaValue
from warpwright.verifier.rules.always_true import Unbounded, span_of

Values = Mapping[str, MetaValue]


def elements_read(node: ast.FunctionDef, values: Values) -> dict[str, int] | None:
    """Pointer → elements that its loads name in one block, masked ones too; None: not to be told.

    `values`: the launch's arguments by name. Loads whose pointer cannot be told are under "".
    """
    loops = sorted(
        (inner for inner in ast.walk(node) if isinstance(inner, ast.For | ast.While)),
        key=lambda loop: (loop.lineno, loop.col_offset),
    )
    trips = list(zip(loops, trip_counts(node, single_assignments(node)), strict=True))
    found: Counter[str] = Counter()
    try:
        for access in memory_of(node).accesses:
            if access.kind != "load":
                continue
            around = [
                trip
                for loop, trip in trips
                if loop.lineno < access.line <= (loop.end_lineno or loop.lineno)
            ]
            steps = math.prod(_runs(trip, values) for trip in around)
            found[access.pointer or ""] += steps * _lanes(node, access, values)
    except Unbounded:
        return None
    return dict(found)


def _runs(trip: TripCount, values: Values) -> int:
    low, high = span_of(trip.text or "", values)
    if low != high:
        raise Unbounded(trip.written)
    return max(0, low)


def _lanes(node: ast.FunctionDef, access: Access, values: Values) -> int:
    """The lanes of an address: the product of the vectors that it is worked out from, each of a
    name and length once."""
    if access.address_node is None:
        raise Unbounded(access.address)
    lengths: dict[tuple[str, str], int] = {}
    for name, value in values_behind(node, access.address_node):
        for call in ast.walk(value):
            if not isinstance(call, ast.Call) or len(call.args) != 2:
                continue
            if (dotted(call.func) or "").split(".")[-1] == "arange":
                length = f"{ast.unparse(call.args[1])} - ({ast.unparse(call.args[0])})"
                lengths[name, length] = _runs(TripCount(length, frozenset(), 0, length), values)
    return math.prod(lengths.values())
