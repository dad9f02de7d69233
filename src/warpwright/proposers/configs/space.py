"""The space of configs of a kernel: which sizes of its tiles are worth trying, with which warps.

A tile size is an axis where the text shows that another value computes the same: blocks of the grid
or steps of a loop run over it (`program.tiles`), the host's grid follows it by rounding up, and
nothing else in host code depends on it. Values come from `data/tiles.toml`, less what the stage's
rules leave out, what the problem is too small for, and what one block cannot hold.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace

from warpwright.analysis.findings import stages_do_nothing
from warpwright.program.parsed import parse_program
from warpwright.program.tiles.tile_parameters import TileParameter, TileReading, read_tiles
from warpwright.proposers.configs.constraints import TuningRules
from warpwright.proposers.configs.tile_grids import (
    covered,
    followed_by_grids,
    passed_as_number,
    with_partners,
)
from warpwright.proposers.configs.tile_limits import TileLimits, passed_size
from warpwright.proposers.configs.tile_roles import TileUse, tile_use
from warpwright.types.calls import KernelCalls
from warpwright.types.config import Config
from warpwright.types.config_space import STAGES, WARPS, Axis, ConfigSpace
from warpwright.types.gpu import GpuSheet
from warpwright.types.program import ProgramView
from warpwright.types.study import KernelStudy


@dataclass(frozen=True, slots=True)
class TileSpace:
    """A space, and what its tiles are: for who orders the points of it."""

    space: ConfigSpace
    use: TileUse
    limits: TileLimits


def config_space(
    kernel: KernelStudy,
    call: KernelCalls,
    view: ProgramView,
    rules: TuningRules,
    sheet: GpuSheet | None = None,
) -> ConfigSpace | str:
    """The space of configs of a kernel, or why there is none. See `tile_space`."""
    found = tile_space(kernel, call, view, rules, sheet)
    return found if isinstance(found, str) else found.space


def tile_space(
    kernel: KernelStudy,
    call: KernelCalls,
    view: ProgramView,
    rules: TuningRules,
    sheet: GpuSheet | None = None,
) -> TileSpace | str:
    """The space of configs of a kernel with what its tiles are, or why there is none.

    `call`: its launches as traced; `sheet`: the GPU, whose shared memory bounds a tile. The start
    is the config that may be active, with the sizes that the launches pass among its own.
    """
    if rules.frozen:
        return "the stage's rules leave BLOCK sizes as they are"
    if not call.launches:
        return "its launches are not known"
    if call.source.heuristics:
        return "heuristics work out further constants from its sizes"
    node = next(
        (k.node for k in parse_program(view.source).kernels if k.node.name == call.name), None
    )
    if node is None:
        return "its source is not read"
    reading = read_tiles(node)
    values = _values(kernel, call, reading)
    tiles = {name: tile for name, tile in reading.tiles.items() if name in values}
    tiles = with_partners(view, call.name, tiles)
    if not tiles:
        return _why_none(reading)
    # A size that host code works out may be smaller for other inputs: what is right for this one's
    # divisors alone would then not divide it.
    tuned = kernel.usual.meta_dict
    tiles = {
        name: tile
        for name, tile in tiles.items()
        if tile.no_growth is None or name in tuned or passed_as_number(view, call.name, name)
    }
    if not tiles:
        return "its sizes are worked out by host code, and lanes beyond the end would count"
    tiles, why = followed_by_grids(view, call, reading, tiles)
    if not tiles:
        return why
    use = tile_use(node, tiles, call)
    passed = {n: values[n] for n in tiles if n not in kernel.usual.meta_dict}
    start = replace(
        kernel.usual, meta=(*kernel.usual.meta, *passed.items()), explicit=(), line=None, place=None
    )
    limits = TileLimits.of(use, call, start, sheet)
    extents = covered(view, call, node, tiles, values)
    axes = [_tile_axis(view, call, rules, use, tile, values[n], extents.get(n))
            for n, tile in tiles.items()]  # fmt: skip
    axes = [axis for axis in axes if len(axis.values) > 1]
    if not axes:
        return "no other size of its tiles is allowed"
    axes += [_warps_axis(use, rules, start), _stages_axis(kernel, node, use, rules, start)]
    space = ConfigSpace(start, tuple(axes), limits.allow)
    return TileSpace(space, use, limits)


def _why_none(reading: TileReading) -> str:
    told = [f"{n}: {why}" for n, why in reading.refused.items() if "no lanes" not in why]
    return "; ".join(told) or "it has no tile sizes among its constants"


def _values(kernel: KernelStudy, call: KernelCalls, reading: TileReading) -> dict[str, int]:
    """Sizes of tiles as they are: of the config that may be active, else as all launches pass."""
    found: dict[str, int] = {}
    meta = kernel.usual.meta_dict
    for name in reading.tiles:
        passed = [passed_size(launch, name) for launch in call.launches]
        given = [meta.get(name)] if name in meta else passed
        sizes = {size for size in given if type(size) is int}
        if len(sizes) == 1 and None not in given:
            (size,) = sizes
            if isinstance(size, int) and size > 0 and size & (size - 1) == 0:
                found[name] = size
    return found


def _tile_axis(
    view: ProgramView,
    call: KernelCalls,
    rules: TuningRules,
    use: TileUse,
    tile: TileParameter,
    own: int,
    extent: int | None,
) -> Axis:
    """The values of one tile size, its own among them."""
    role = use.roles[tile.name]
    sizes = use.table.sizes.get(role, ())
    end = None if extent is None else 1 << max(0, extent - 1).bit_length()
    values = {
        size
        for size in sizes
        if (end is None or size <= end)
        and (tile.no_growth is None or size <= own)
        and rules.block_allowed(tile.name, size, view, call.source)
    }
    return Axis(tile.name, tuple(sorted({*values, own})))


def _warps_axis(use: TileUse, rules: TuningRules, start: Config) -> Axis:
    values = [w for w in use.table.warps if rules.warps is None or w in rules.warps]
    return Axis(WARPS, tuple(sorted({*values, start.num_warps})))


def _stages_axis(
    kernel: KernelStudy, node: ast.FunctionDef, use: TileUse, rules: TuningRules, start: Config
) -> Axis:
    """Numbers of stages; one where nothing is pipelined, none above the parent's where the rules
    want a reason for more."""
    loops = any(isinstance(inner, (ast.For, ast.While)) for inner in ast.walk(node))
    if not loops or stages_do_nothing(kernel):
        return Axis(STAGES, (start.num_stages,))
    values = [s for s in use.table.stages if rules.stages is None or s in rules.stages]
    most = max(config.config.num_stages for config in kernel.configs)
    if not rules.more_stages:
        values = [s for s in values if s <= most]
    return Axis(STAGES, tuple(sorted({*values, start.num_stages})))
