"""What a kernel does with its tiles: which kind it is, and what each tile size counts."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from warpwright.data.tile_kinds import TileKind, TileRole, tile_kinds
from warpwright.program.tiles.tile_lanes import calls_in
from warpwright.program.tiles.tile_parameters import TileParameter
from warpwright.types.calls import KernelCalls
from warpwright.types.launch_trace import TensorArgument

_EXACT = ("'ieee'", '"ieee"')


@dataclass(frozen=True, slots=True)
class TileUse:
    """A kernel's kind by name, the role of each of its tiles, and what else counts lanes.

    `fixed`: names and numbers that `tl.arange` counts up to and that are no tiles.
    """

    kind: str
    roles: Mapping[str, TileRole]
    fixed: tuple[str | int, ...] = ()

    @property
    def table(self) -> TileKind:
        return tile_kinds()[self.kind]

    def named(self, role: TileRole) -> str | None:
        """The one tile of a role."""
        names = [name for name, own in self.roles.items() if own is role]
        return names[0] if len(names) == 1 else None


def tile_use(
    node: ast.FunctionDef, tiles: Mapping[str, TileParameter], calls: KernelCalls
) -> TileUse:
    """The kind of a kernel in the plain spelling, and the roles of its tiles."""
    fixed = _fixed_lanes(node, tiles)
    dots = [call for call in calls_in(node) if ast.unparse(call.func) == "tl.dot"]
    sums = _sum_tile(node)
    if dots or (sums is not None and any(name in tiles for name in sums)):
        kind = "outer" if not dots else "plain" if _is_exact(dots, calls) else "product"
        return TileUse(kind, _roles_of_sums(tiles, sums), fixed)
    roles = dict.fromkeys(tiles, TileRole.LANES)
    return TileUse("lanes" if len(tiles) == 1 else "plane", roles, fixed)


def _sum_tile(node: ast.FunctionDef) -> tuple[str, str] | None:
    """The sides of the first tile of two axes that starts as zeros."""
    for call in calls_in(node):
        if ast.unparse(call.func) != "tl.zeros" or not call.args:
            continue
        shape = call.args[0]
        if isinstance(shape, (ast.Tuple, ast.List)) and len(shape.elts) == 2:
            first, second = shape.elts
            return ast.unparse(first), ast.unparse(second)
    return None


def _roles_of_sums(
    tiles: Mapping[str, TileParameter], sums: Sequence[str] | None
) -> dict[str, TileRole]:
    roles: dict[str, TileRole] = {}
    for name, tile in tiles.items():
        if sums is not None and name in sums:
            roles[name] = (TileRole.ROWS, TileRole.COLUMNS)[list(sums).index(name)]
        elif tile.in_loop and not tile.axes:
            roles[name] = TileRole.DEPTH
        else:
            taken = TileRole.ROWS in roles.values()
            roles[name] = TileRole.COLUMNS if taken else TileRole.ROWS
    return roles


def _is_exact(dots: Sequence[ast.Call], calls: KernelCalls) -> bool:
    """Whether every product is of float32 on the plain multipliers."""
    types = {
        argument.dtype
        for launch in calls.launches
        for argument in launch.arguments.values()
        if isinstance(argument, TensorArgument)
    }
    if types & {"float16", "bfloat16"}:
        return False
    return all(
        any(
            (k.arg == "allow_tf32" and ast.unparse(k.value) == "False")
            or (k.arg == "input_precision" and ast.unparse(k.value) in _EXACT)
            for k in dot.keywords
        )
        for dot in dots
    )


def _fixed_lanes(
    node: ast.FunctionDef, tiles: Mapping[str, TileParameter]
) -> tuple[str | int, ...]:
    found: dict[str | int, None] = {}
    for call in calls_in(node):
        if ast.unparse(call.func) == "tl.arange" and len(call.args) == 2:
            end = call.args[1]
            if isinstance(end, ast.Name) and end.id not in tiles:
                found[end.id] = None
            elif isinstance(end, ast.Constant) and isinstance(end.value, int):
                found[end.value] = None
    return tuple(found)
