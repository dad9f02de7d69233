"""Whether what a kernel computes depends on how its tiles cut what they cover.

A sum over a row does not: its parts are added up however they are cut. A scan of each block, or a
softmax of each block, does, and so does a result for each block.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from warpwright.program.nodes import names_in
from warpwright.program.tiles.tile_lanes import EXTREMES, SUMS, TileLanes, assigned, calls_in

_IN_ORDER = (
    "cumsum", "cumprod", "associative_scan", "sort", "flip", "histogram", "gather", "reshape",
    "view", "ravel", "interleave", "join", "split", "permute", "topk", "xor_sum", "rand", "randn",
)  # fmt: skip


def why_cut_matters(
    node: ast.FunctionDef, tile: str, *, by_blocks: bool, in_loop: bool, loops: list[ast.stmt]
) -> str | None:
    """Why another size of the tile may compute something else; None where it does not.

    `by_blocks`: blocks of the grid step over it; `in_loop`: loops do, which are `loops`.
    """
    lanes = TileLanes(node, tile)
    for call in calls_in(node):
        path = ast.unparse(call.func)
        name = path.split(".")[-1]
        method = isinstance(call.func, ast.Attribute) and not path.startswith("tl.")
        operands = (
            [call.func.value] if method and isinstance(call.func, ast.Attribute) else call.args
        )
        if name in _IN_ORDER and any(lanes.value(o) for o in operands):
            return f"`{ast.unparse(call)[:60]}` depends on where tiles begin"
    if by_blocks and not in_loop:
        for call in _reductions(node, lanes):
            if _over(call, lanes) and not _by_atomics(node, lanes):
                return f"`{ast.unparse(call)[:60]}` is of one block alone"
    for name, start in _starts_of_sums(node, lanes, loops):
        if not _is_zeros(start):
            return f"each lane of `{name}` starts at `{ast.unparse(start)[:60]}`"
    for loop in loops:
        for store in calls_in(loop):
            if ast.unparse(store.func) == "tl.store" and _stores_reduced(store, loop, lanes):
                return f"`{ast.unparse(store)[:60]}` stores what one step reduced"
    return None


def _reductions(node: ast.AST, lanes: TileLanes) -> Iterator[ast.Call]:
    for call in calls_in(node):
        if ast.unparse(call.func) in (*SUMS, *EXTREMES) and any(
            lanes.value(a) for a in call.args[:2]
        ):
            yield call


def _starts_of_sums(
    node: ast.FunctionDef, lanes: TileLanes, loops: list[ast.stmt]
) -> Iterator[tuple[str, ast.expr]]:
    """What the totals start at whose lanes are summed up: it counts once for each lane."""
    summed = {
        name
        for call in _reductions(node, lanes)
        if ast.unparse(call.func) in SUMS
        for argument in call.args[: 2 if ast.unparse(call.func) == "tl.dot" else 1]
        for name in names_in(argument)
    }
    carried = {name for loop in loops for name, _ in assigned(loop)} & summed
    inside = {id(value) for loop in loops for _, value in assigned(loop)}
    for name, value in assigned(node):
        if name in carried and id(value) not in inside:
            yield name, value


def _is_zeros(value: ast.expr) -> bool:
    """`tl.zeros(…)`, `tl.full(…, 0, …)` or 0, whatever it is cast to."""
    if isinstance(value, ast.Constant):
        return value.value == 0
    if not isinstance(value, ast.Call):
        return False
    path = ast.unparse(value.func)
    if path in ("tl.zeros", "tl.zeros_like"):
        return True
    if path == "tl.full":
        fills = [k.value for k in value.keywords if k.arg == "value"] or value.args[1:2]
        return bool(fills) and _is_zeros(fills[0])
    method = isinstance(value.func, ast.Attribute) and value.func.attr == "to"
    return method and isinstance(value.func, ast.Attribute) and _is_zeros(value.func.value)


def _over(call: ast.Call, lanes: TileLanes) -> bool:
    """Whether a reduction may go along the lanes of the tile."""
    places = _places(lanes)
    if ast.unparse(call.func) == "tl.dot":
        first, second = (lanes.value(a) for a in call.args[:2])
        return (first and 1 in places) and (second and 0 in places)
    if len(places) != 1:
        return True
    axis = next((k.value for k in call.keywords if k.arg == "axis"), None)
    if axis is None and len(call.args) > 1:
        axis = call.args[1]
    if not isinstance(axis, ast.Constant):
        return True
    return axis.value in places


def _places(lanes: TileLanes) -> set[int]:
    """Axes on which lanes of the tile stand in values of two and more axes."""
    found = set()
    for node in ast.walk(lanes.node):
        if isinstance(node, ast.Subscript) and lanes.index(node.value):
            parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            found |= {i for i, part in enumerate(parts) if isinstance(part, ast.Slice)}
    return found


def _by_atomics(node: ast.AST, lanes: TileLanes) -> bool:
    """Whether all that leaves the kernel is added up by atomics, none of it along the lanes."""
    writes = [
        call
        for call in calls_in(node)
        if ast.unparse(call.func) == "tl.store" or ast.unparse(call.func).startswith("tl.atomic")
    ]
    return bool(writes) and all(
        ast.unparse(call.func) == "tl.atomic_add" and not lanes.index(call.args[0])
        for call in writes
    )


def _stores_reduced(store: ast.Call, loop: ast.AST, lanes: TileLanes) -> bool:
    """Whether a store in a loop over tiles stores what was reduced in a step of the same loop."""
    reduced = set()
    for statement in ast.walk(loop):
        if isinstance(statement, ast.Assign) and any(_reductions(statement.value, lanes)):
            reduced |= {t.id for t in statement.targets if isinstance(t, ast.Name)}
    value = store.args[1] if len(store.args) > 1 else store
    direct = any(_reductions(value, lanes))
    return direct or any(isinstance(n, ast.Name) and n.id in reduced for n in ast.walk(value))
