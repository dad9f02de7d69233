"""Taking out of a kernel's launches what its configs are about to set."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import partial
from itertools import takewhile

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from warpwright.errors import InputError, Place
from warpwright.program.edit.config_text import quote_of
from warpwright.program.edit.host_tiles import (
    FixedTile,
    PassedTiles,
    check_nothing_else_follows,
    grid_changes,
    grids_of_others,
    other_kernels,
    plain_grids,
)
from warpwright.program.edit.texts import TextChange, end_of, with_changes
from warpwright.program.edit.tree import Change, parse_tree, replace_nodes
from warpwright.program.launches import LaunchNode, find_launches
from warpwright.program.nodes import names_in
from warpwright.program.parsed import ParsedProgram, parse_program
from warpwright.program.parsing import SECTION, lines_of, text_of

OPTIONS = ("num_warps", "num_stages", "num_ctas")
"""Every config sets these, with Triton's defaults where it does not say them."""


def free_launches(
    source: str, program: ParsedProgram, kernel: str, names: set[str], sets_registers: bool
) -> str:
    """The source whose launches of `kernel` pass none of `names` and none of the options.

    `names`: meta-parameters that the configs set. `sets_registers`: they set `maxnreg` too.
    Raises `InputError` where a launch may hide them in `*args` or `**kwargs`, or where
    host code uses the value of a meta-parameter beyond the grid.
    """
    source = grids_over_meta(source, program, kernel, names)
    program = parse_program(source)
    parameters = _parameters(program, kernel)
    taken = names | set(OPTIONS) | ({"maxnreg"} if sets_registers else set())
    tree = parse_tree(source)
    nodes = _nodes_by_place(tree)
    changes: dict[cst.CSTNode, Change] = {}
    for launch in (launch for launch in find_launches(program) if launch.kernel == kernel):
        if others := other_kernels(program, launch):
            raise _refusal(launch, f"a launch of this kernel alone, not of {', '.join(others)} too")
        call = nodes.get(("Call", *_place(source, launch.call)))
        if call is None:
            raise _refusal(launch, "a launch that stands in plain sight")
        passed = _passed(launch, parameters, names)
        if set(passed) & taken:
            changes[call] = partial(_without, parameters=parameters, taken=taken)
    return replace_nodes(tree, changes).code


def _parameters(program: ParsedProgram, kernel: str) -> list[str]:
    node = next(k.node for k in program.kernels if k.node.name == kernel)
    return [argument.arg for argument in [*node.args.posonlyargs, *node.args.args]]


def _passed(launch: LaunchNode, parameters: list[str], names: set[str]) -> dict[str, ast.expr]:
    """Arguments of a launch by name, options included.

    From `*args` on positions say nothing. Those of `names` must then be passed by keyword.
    """
    found: dict[str, ast.expr] = {}
    counted = _counted(isinstance(argument, ast.Starred) for argument in launch.call.args)
    for index, argument in enumerate(launch.call.args[:counted]):
        if index >= len(parameters):
            raise _refusal(launch, "positional arguments that can be counted")
        found[parameters[index]] = argument
    positional = set(found)
    for keyword in launch.call.keywords:
        if keyword.arg is None:
            raise _refusal(launch, "keyword arguments that are written out")
        found[keyword.arg] = keyword.value
    unpacked = counted < len(launch.call.args)
    if unpacked and (names & positional or names - found.keys()):
        raise _refusal(launch, "positional arguments that can be counted")
    return found


def passed_arguments(
    program: ParsedProgram, launch: LaunchNode, names: set[str]
) -> dict[str, ast.expr]:
    """Arguments of a launch by name, options included. Raises `InputError` where `names` may be
    hidden in what is unpacked."""
    return _passed(launch, _parameters(program, launch.kernel), names)


def _counted(starred: Iterable[bool]) -> int:
    """How many arguments stand before the first unpacked one."""
    return sum(1 for _ in takewhile(lambda star: not star, starred))


def _without(call: cst.CSTNode, *, parameters: list[str], taken: set[str]) -> cst.CSTNode:
    """The call without these arguments; positional ones after a gap become keywords."""
    assert isinstance(call, cst.Call)
    kept: list[cst.Arg] = []
    gap = False
    counted = _counted(argument.star == "*" for argument in call.args)
    for index, argument in enumerate(call.args):
        if argument.keyword is None and index >= counted:
            kept.append(argument)
            continue
        name = argument.keyword.value if argument.keyword else parameters[index]
        if name in taken:
            gap = gap or argument.keyword is None
            continue
        if gap and argument.keyword is None:
            equal = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
            argument = argument.with_changes(keyword=cst.Name(name), equal=equal)
        kept.append(argument)
    if kept and call.args and kept[-1] is not call.args[-1]:
        # What stands before the closing bracket stays as it was.
        last = call.args[-1]
        kept[-1] = kept[-1].with_changes(
            comma=last.comma, whitespace_after_arg=last.whitespace_after_arg
        )
    return call.with_changes(args=kept)


def grids_over_meta(source: str, program: ParsedProgram, kernel: str, names: set[str]) -> str:
    """The source in which the grids of a kernel's launches read these tile sizes from META.

    `(cdiv(n, B),)` → `lambda meta: (cdiv(n, meta['BLOCK']),)`. Raises `InputError` where host code
    needs the size for more than grids, or where a grid does not show how it follows.
    """
    parameters = _parameters(program, kernel)
    quote = quote_of(source)
    changes: list[TextChange] = []
    for launch in (launch for launch in find_launches(program) if launch.kernel == kernel):
        passed = _passed(launch, parameters, names)
        given = {name: value for name, value in passed.items() if name in names}
        if not given:
            continue
        tiles = PassedTiles(program, launch, given)
        try:
            check_nothing_else_follows(tiles)
            changes += _over_meta(tiles, quote)
        except FixedTile as refused:
            raise _refusal(launch, str(refused)) from refused
    return with_changes(source, changes)


def _over_meta(tiles: PassedTiles, quote: str) -> list[TextChange]:
    """The changes of one launch's grid; a plain tuple becomes a lambda."""
    meta = _meta_name(tiles)
    changes = grid_changes(tiles, lambda name: f"{meta}[{quote}{name}{quote}]")
    if changes and any(
        tiles.given.keys() - {k.arg for k in other.call.keywords}
        for other in grids_of_others(tiles)
    ):
        raise FixedTile("a grid of its own: another kernel is launched on it")
    for grid in plain_grids(tiles.launch) if changes else ():
        start, end = (grid.lineno, grid.col_offset), end_of(grid)
        if not isinstance(grid, ast.Tuple):
            raise FixedTile("a grid that is a tuple or a lambda")
        bare = start == (grid.elts[0].lineno, grid.elts[0].col_offset)
        changes.append(TextChange(start, start, f"lambda {meta}: {'(' if bare else ''}"))
        if bare:
            changes.append(TextChange(end, end, ")"))
    return changes


def _meta_name(tiles: PassedTiles) -> str:
    """The name of the grid's own argument; `meta`, or another that means nothing else there."""
    for node in (tiles.launch.grid, *tiles.launch.definitions):
        inner = node.value if isinstance(node, ast.Assign) else node
        if isinstance(inner, (ast.Lambda, ast.FunctionDef)) and inner.args.args:
            return inner.args.args[0].arg
    function = tiles.launch.function
    used = names_in(function.node if function is not None else tiles.program.tree)
    return next(name for name in ("meta", "META", "config", "tile") if name not in used)


def _nodes_by_place(tree: cst.Module) -> dict[tuple[str, int, int], cst.CSTNode]:
    """Calls, tuples and lambdas by kind, line and column (in characters)."""
    positions = MetadataWrapper(tree, unsafe_skip_copy=True).resolve(PositionProvider)
    found: dict[tuple[str, int, int], cst.CSTNode] = {}
    for node, place in positions.items():
        if isinstance(node, (cst.Call, cst.Tuple, cst.Lambda)):
            found[(type(node).__name__, place.start.line, place.start.column)] = node
    return found


def _place(source: str, node: ast.expr) -> tuple[int, int]:
    """Line and column in characters; `ast` counts columns in UTF-8 bytes.

    libcst places a tuple behind its bracket, at its first element.
    """
    if isinstance(node, ast.Tuple) and node.elts:
        return _place(source, node.elts[0])
    line = lines_of(source)[node.lineno - 1]
    return node.lineno, len(line.encode()[: node.col_offset].decode(errors="replace"))


def _refusal(launch: LaunchNode, expected: str) -> InputError:
    return InputError(
        f"autotune cannot be added to kernel {launch.kernel}: its launch would conflict",
        place=Place(None, SECTION, launch.call.lineno),
        expected=expected,
        got=text_of(launch.call)[:200],
        hint="let the launch pass its arguments by name and its grid be a lambda over meta",
    )
