"""Whether the grid follows a tile size, and how much the tiles of a launch cover."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from warpwright.errors import InputError
from warpwright.program.edit.host_tiles import other_kernels, reading_of
from warpwright.program.edit.launch_options import grids_over_meta
from warpwright.program.grid_expressions import grid_extents
from warpwright.program.launches import find_launches
from warpwright.program.nodes import names_in
from warpwright.program.parsed import parse_program
from warpwright.program.ranges import read_ranges
from warpwright.program.tiles.tile_parameters import TileParameter, TileReading
from warpwright.program.view import read_program
from warpwright.types.calls import KernelCalls
from warpwright.types.launch_trace import ConstantArgument, Launch, ScalarArgument
from warpwright.types.program import ProgramView
from warpwright.verifier.rules.launch_configs import local_constants


def followed_by_grids(
    view: ProgramView, call: KernelCalls, reading: TileReading, tiles: Mapping[str, TileParameter]
) -> tuple[dict[str, TileParameter], str]:
    """Tiles whose size every grid of the kernel follows, and why the others are none."""
    why: list[str] = []
    kept: list[str] = []
    for name in tiles:  # one by one, since one that is refused does not tell of the others
        try:
            grids_over_meta(view.source, parse_program(view.source), call.name, {*kept, name})
        except InputError as error:
            why.append(f"{name}: host code needs {error.expected}")
            continue
        kept.append(name)
    changed = grids_over_meta(view.source, parse_program(view.source), call.name, set(kept))
    grids = _grids(read_program(changed), call.name)
    if not grids or any(grid is None for grid in grids):
        return {}, "; ".join([*why, "its grid cannot be read"])
    found = dict(tiles)
    for name in tiles:
        if name not in kept:
            found.pop(name)
            continue
        faults = (_grid_fault(grid, reading, tiles[name]) for grid in grids if grid is not None)
        fault = next((f for f in faults if f is not None), None)
        if fault is not None:
            why.append(f"{name}: {fault}")
            found.pop(name)
    return found, "; ".join(why)


def with_partners(
    view: ProgramView, kernel: str, tiles: Mapping[str, TileParameter]
) -> dict[str, TileParameter]:
    """The tiles that are also tiles of every other kernel that the same calls launch."""
    program = parse_program(view.source)
    found = dict(tiles)
    for launch in find_launches(program):
        for other in other_kernels(program, launch) if launch.kernel == kernel else ():
            theirs = reading_of(program, other)
            for name in list(found):
                tile = theirs.tiles.get(name)
                if tile is None or tile.axes != found[name].axes or _numbers_differ(theirs, tile):
                    del found[name]
                elif tile.no_growth is not None:
                    found[name] = tile
    return found


def passed_as_number(view: ProgramView, kernel: str, name: str) -> bool:
    """Whether every launch passes a number for a constant, by itself or by a name for it."""
    source = view.kernel(kernel)
    sites = [site for site in view.launches if site.kernel == kernel]
    for site in sites if source is not None else ():
        assert source is not None
        node = site.passed_to(source).get(name)
        written: object = node.value if isinstance(node, ast.Constant) else None
        if isinstance(node, ast.Name):
            written = local_constants(view, site.function).get(node.id)
        if not isinstance(written, int):
            return False
    return bool(sites)


def _numbers_differ(reading: TileReading, tile: TileParameter) -> bool:
    """Whether numbers of blocks along the tile's axes are used for more than tiles."""
    return any(axis in reading.numbers for axis in tile.axes)


def _grids(view: ProgramView, kernel: str) -> list[tuple[ast.expr, ...] | None]:
    return [
        grid_extents(site, local_constants(view, site.function))
        for site in view.launches
        if site.kernel == kernel
    ]


def _grid_fault(
    grid: tuple[ast.expr, ...], reading: TileReading, tile: TileParameter
) -> str | None:
    """Why a grid does not follow the size of a tile; None where it does."""
    for axis, extent in enumerate(grid):
        factors = list(_factors(extent))
        own = [f for f in factors if tile.name in names_in(f)]
        if axis not in tile.axes:
            if own:
                return f"the grid takes it along axis {axis}, where no block steps over it"
            continue
        if len(own) != 1 or not _rounds_up(own[0], tile.name):
            return f"the grid does not divide by it, rounding up, along axis {axis}"
        uses = reading.numbers.get(axis)
        others = [f for f in factors if not any(_rounds_up(f, name) for name in reading.tiles)]
        if uses is not None and (uses.raw or (uses.quotient and not others)):
            return f"the number of a block along axis {axis} is used for more than its tiles"
    if any(axis >= len(grid) for axis in tile.axes):
        return "the grid has fewer axes than the kernel reads"
    return None


def _factors(node: ast.expr) -> list[ast.expr]:
    """The factors of an extent; `max(1, n)` is n, since no grid is empty."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "max" and len(node.args) == 2:
        one, other = sorted(node.args, key=lambda a: not isinstance(a, ast.Constant))
        if isinstance(one, ast.Constant) and one.value == 1:
            return _factors(other)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return [*_factors(node.left), *_factors(node.right)]
    return [node]


def _rounds_up(node: ast.expr, name: str) -> bool:
    """`cdiv(n, B)` in the canonical form."""
    return (
        isinstance(node, ast.Call)
        and ast.unparse(node.func) == "cdiv"
        and isinstance(node.args[1], ast.Name)
        and node.args[1].id == name
        and name not in names_in(node.args[0])
    )


def covered(
    view: ProgramView,
    call: KernelCalls,
    node: ast.FunctionDef,
    tiles: Mapping[str, TileParameter],
    values: Mapping[str, int],
) -> dict[str, int]:
    """About how much each tile covers, in elements: no larger tile than that has a use."""
    found: dict[str, int] = {}
    grids = _grids(view, call.name)
    for launch in call.launches:
        traced = launch.configs[0]
        for name, tile in tiles.items():
            sizes = []
            for axis in tile.axes:
                alone = all(
                    len(_factors(g[axis])) == 1 for g in grids if g is not None and len(g) > axis
                )
                if alone and axis < len(traced.grid):
                    sizes.append(traced.grid[axis] * values[name])
            if not tile.axes and (trips := _trips(launch, node, name, values)) is not None:
                sizes.append(trips * values[name])
            if sizes:
                found[name] = max(found.get(name, 1), *sizes)
    return found


def _trips(
    launch: Launch, node: ast.FunctionDef, name: str, values: Mapping[str, int]
) -> int | None:
    """How often the loop over a tile runs at the most, None where that is not known."""
    known: dict[str, object] = {
        n: a.value
        for n, a in launch.arguments.items()
        if isinstance(a, (ScalarArgument, ConstantArgument))
    }
    traced = launch.configs[0]
    ranges = read_ranges(
        node.name,
        {node.name: node},
        {**known, **traced.config.meta_dict, **values},
        traced.grid,
        {},
    )
    loops = [
        loop.lineno
        for loop in ast.walk(node)
        if isinstance(loop, ast.For) and name in names_in(loop.iter)
    ]
    trips = [ranges.trips.get(line) for line in loops]
    known_trips = [t for t in trips if t is not None]
    return max(known_trips) if known_trips and len(known_trips) == len(trips) else None
