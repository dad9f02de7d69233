"""One other config for a kernel that is not tuned: its launches pass other numbers."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from warpwright.errors import InputError, Place
from warpwright.program.edit.host_tiles import (
    FixedTile,
    PassedTiles,
    check_grids_follow,
    check_nothing_else_follows,
    grid_changes,
    grids_of_others,
)
from warpwright.program.edit.launch_options import passed_arguments
from warpwright.program.edit.texts import TextChange, end_of, instead_of, with_changes
from warpwright.program.edit.write_out import written_out
from warpwright.program.launches import LaunchNode, find_launches
from warpwright.program.parsed import ParsedProgram, parse_program
from warpwright.program.parsing import SECTION, text_of
from warpwright.types.config import Config

_DEFAULTS = {"num_warps": 4, "num_stages": 3, "num_ctas": 1}


def pin_launches(source: str, kernel: str, config: Config) -> str:
    """The source whose launches of a kernel pass the sizes, warps and stages of a config.

        k[(cdiv(n, BLOCK),)](x, n, BLOCK=BLOCK)   →   k[(cdiv(n, 512),)](x, n, BLOCK=512, num_warps=8)

    Raises `InputError` where a launch may hide them in `*args` or `**kwargs`, does not pass one of
    them, or where host code needs a size for more than grids.
    """  # noqa: E501
    source = written_out(source, kernel)
    program = parse_program(source)
    launches = [launch for launch in find_launches(program) if launch.kernel == kernel]
    changes: list[TextChange] = []
    for launch in launches:
        try:
            changes += _pinned(program, launch, config)
        except FixedTile as refused:
            raise _refusal(launch, str(refused)) from refused
    edited = with_changes(source, changes)
    _check(edited, kernel, config, len(launches))
    return edited


def _pinned(program: ParsedProgram, launch: LaunchNode, config: Config) -> list[TextChange]:
    names = set(config.meta_dict)
    passed = passed_arguments(program, launch, names)
    if missing := sorted(names - passed.keys()):
        raise FixedTile(f"{', '.join(missing)} passed by the launch")
    given = {
        name: passed[name] for name in names if text_of(passed[name]) != str(config.meta_dict[name])
    }
    changes = [instead_of(node, str(config.meta_dict[name])) for name, node in given.items()]
    if given:
        check_nothing_else_follows(PassedTiles(program, launch, given))
        changes += _grid(program, launch, config, given, passed)
    return [*changes, *_options(launch, passed, config)]


def _grid(
    program: ParsedProgram,
    launch: LaunchNode,
    config: Config,
    given: Mapping[str, ast.expr],
    passed: Mapping[str, ast.expr],
) -> list[TextChange]:
    """The changes of a launch's grid. What is passed by the same text (`64` for two sizes) is told
    apart, also where it keeps its value."""
    texts = {text_of(node) for node in given.values()}
    options = {*_DEFAULTS, "maxnreg"}
    alike = {n: node for n, node in passed.items() if n not in options and text_of(node) in texts}
    tiles = PassedTiles(program, launch, alike)
    changes = grid_changes(
        tiles, lambda name: str(config.meta_dict.get(name, text_of(passed[name])))
    )
    if changes and any(grids_of_others(tiles)):
        raise FixedTile("a grid of its own: another kernel is launched on it")
    check_grids_follow(tiles, given)
    return changes


def _options(
    launch: LaunchNode, passed: Mapping[str, ast.expr], config: Config
) -> list[TextChange]:
    """The launch options as keywords: those that stand there with other values, others behind."""
    changes = []
    added = []
    for name, default in _DEFAULTS.items():
        value = getattr(config, name)
        if name in passed:
            if text_of(passed[name]) != str(value):
                changes.append(instead_of(passed[name], str(value)))
        elif value != default:
            added.append(f", {name}={value}")
    if config.maxnreg is not None and "maxnreg" not in passed:
        added.append(f", maxnreg={config.maxnreg}")
    arguments = [*launch.call.args, *(keyword.value for keyword in launch.call.keywords)]
    if added and not arguments:
        raise FixedTile("a launch with arguments")
    if added:
        end = max(map(end_of, arguments))
        changes.append(TextChange(end, end, "".join(added)))
    return changes


def _check(edited: str, kernel: str, config: Config, count: int) -> None:
    """The launches read back as what was written: no edit leaves here unread."""
    program = parse_program(edited)
    launches = [launch for launch in find_launches(program) if launch.kernel == kernel]
    wanted = {n: str(v) for n, v in config.meta}
    wanted |= {n: str(getattr(config, n)) for n in _DEFAULTS}
    for launch in launches:
        passed = passed_arguments(program, launch, set(config.meta_dict))
        found = {n: str(d) for n, d in _DEFAULTS.items()}
        found |= {name: text_of(node) for name, node in passed.items() if name in wanted}
        if found != wanted:
            raise _refusal(launch, f"a launch that reads back as {wanted}")
    if len(launches) != count:
        raise InputError(f"the launches of {kernel} cannot be edited", place=Place(None, SECTION))


def _refusal(launch: LaunchNode, expected: str) -> InputError:
    return InputError(
        f"kernel {launch.kernel} cannot be launched with other numbers",
        place=Place(None, SECTION, launch.call.lineno),
        expected=expected,
        got=text_of(launch.call)[:200],
        hint="let the launch pass its arguments by name",
    )
