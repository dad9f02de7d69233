"""Configs whose larger tile only adds masked elements to what a smaller tile does.

Where two configs launch the same grid and run every loop equally often, and grid or loops are
worked out from the tile, the smaller tile already covers everything: what the larger one has more
is masked out, or done twice. A grid that host code fixes, whatever the tile, says nothing of that.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence, Set

from warpwright.program.loop_trips import loop_trips
from warpwright.program.parsed import parse_program
from warpwright.types.config import Config
from warpwright.types.launch_trace import Launch, TracedConfig

Work = tuple[tuple[int, ...], tuple[int, ...]]
"""The grid of a launch, and how often each loop of its kernel runs."""


def padded_configs(
    source: str, kernel: str, launches: Sequence[Launch], grids: Sequence[str]
) -> Mapping[Config, frozenset[Config]]:
    """For each config of a kernel, those that it repeats with larger tiles that are padding.

    `launches` are the kernel's, traced at full size; `grids` the texts of their grids. A config
    appears only where every loop can be counted and nothing but tiles differs, none of them
    smaller. A tile is a name that `tl.arange` counts to, and that each grid or a loop's bounds use.
    """
    node = _function(source, kernel)
    if node is None or not launches or not grids:
        return {}
    tiles = {
        name
        for name in _tiles(node)
        if name in _loop_names(node) or all(_names(grid, name) for grid in grids)
    }
    work: dict[Config, list[Work]] = {}
    for launch in launches:
        for variant in launch.configs:
            done = _work(node, launch, variant)
            if done is None:
                return {}
            work.setdefault(variant.config, []).append(done)
    smaller = {large: frozenset(_smaller(large, work, tiles)) for large in work}
    return {large: found for large, found in smaller.items() if found}


def _function(source: str, name: str) -> ast.FunctionDef | None:
    found = (n for n in ast.walk(parse_program(source).written) if isinstance(n, ast.FunctionDef))
    return next((node for node in found if node.name == name), None)


def _tiles(node: ast.FunctionDef) -> frozenset[str]:
    """Names that stand alone as the end of a `tl.arange`."""
    return frozenset(
        call.args[1].id
        for call in ast.walk(node)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "arange"
        and len(call.args) == 2
        and isinstance(call.args[1], ast.Name)
    )


def _loop_names(node: ast.FunctionDef) -> frozenset[str]:
    """Names in the bounds and steps of `for` loops."""
    bounds = [loop.iter for loop in ast.walk(node) if isinstance(loop, ast.For)]
    return frozenset(
        name.id for bound in bounds for name in ast.walk(bound) if isinstance(name, ast.Name)
    )


def _names(text: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", text) is not None


def _work(node: ast.FunctionDef, launch: Launch, variant: TracedConfig) -> Work | None:
    """None where a loop cannot be counted."""
    arguments = {**launch.arguments, **variant.arguments}
    values = {name: getattr(argument, "value", None) for name, argument in arguments.items()}
    values |= {**variant.config.meta_dict, **variant.heuristic_values}
    trips = [loop.trips for loop in loop_trips(node, values)]
    known = tuple(count for count in trips if count is not None)
    return (variant.grid, known) if len(known) == len(trips) else None


def _smaller(
    large: Config, work: Mapping[Config, Sequence[Work]], tiles: Set[str]
) -> Iterable[Config]:
    for other in work:
        if work[other] == work[large] and _is_larger(large, other, tiles):
            yield other


def _is_larger(large: Config, small: Config, tiles: Set[str]) -> bool:
    ours, theirs = large.meta_dict, small.meta_dict
    differing = [name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)]
    pairs = [(ours.get(name), theirs.get(name)) for name in differing]
    return (
        bool(differing)
        and tiles >= set(differing)
        and all(isinstance(a, int) and isinstance(b, int) and a > b for a, b in pairs)
    )
