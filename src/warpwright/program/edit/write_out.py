"""Launches through `**options` with each option written out, so that one of them can be edited.

    k[grid](x, n, **cfg)   →   k[grid](x, n, BLOCK=cfg["BLOCK"], num_warps=cfg["num_warps"])

Only names have to be known; each value is still looked up where it was.
"""

from __future__ import annotations

import ast

from warpwright.program.edit.config_text import quote_of
from warpwright.program.edit.texts import TextChange, end_of, with_changes
from warpwright.program.launches import LaunchNode, find_launches
from warpwright.program.parsed import parse_program
from warpwright.program.parsing import segment_of, text_of
from warpwright.program.splats import Splats

_CLOSED = (ast.Name, ast.Attribute, ast.Subscript, ast.Call)


def written_out(source: str, kernel: str) -> str:
    """The source whose launches of a kernel pass their options by name. A mapping of which the
    names are not known stays."""
    program = parse_program(source)
    quote = quote_of(source)
    changes: list[TextChange] = []
    for launch in find_launches(program):
        if launch.kernel != kernel:
            continue
        splats = Splats(program, launch.function)
        for keyword in launch.call.keywords:
            if keyword.arg is None:
                text = _options(source, splats, launch, keyword.value, quote)
                start = keyword.lineno, keyword.col_offset
                changes += [] if text is None else [TextChange(start, end_of(keyword.value), text)]
    return with_changes(source, changes)


def _options(
    source: str, splats: Splats, launch: LaunchNode, mapping: ast.expr, quote: str
) -> str | None:
    names = splats.names(mapping)
    if not names or not all(name.isidentifier() for name in names):
        return None
    if len(names) > len(set(names) - {k.arg for k in launch.call.keywords}):
        return None  # given twice: left to whoever reads the launch
    if isinstance(mapping, ast.Dict) and all(isinstance(k, ast.Constant) for k in mapping.keys):
        texts = [segment_of(source, value) for value in mapping.values]
        return ", ".join(f"{n}={text}" for n, text in zip(names, texts, strict=True))
    constants = splats.constants(mapping)
    if constants is not None:
        if not _looks_up(launch, mapping):
            return ", ".join(f"{name}={text_of(value)}" for name, value in constants.items())
        if _writes(launch, {text_of(value) for value in constants.values()}):
            return None  # which of both means the option is not told
    text = segment_of(source, mapping)
    text = text if isinstance(mapping, _CLOSED) else f"({text})"
    return ", ".join(f"{name}={text}[{quote}{name}{quote}]" for name in names)


def _looks_up(launch: LaunchNode, mapping: ast.expr) -> bool:
    """Whether the host code around a launch takes options out of its mapping by name."""
    scope = launch.call if launch.function is None else launch.function.node
    return any(
        isinstance(node, ast.Subscript) and text_of(node.value) == text_of(mapping)
        for node in ast.walk(scope)
    )


def _writes(launch: LaunchNode, numbers: set[str]) -> bool:
    """Whether the grid of a launch has one of these numbers in it."""
    nodes = (*launch.definitions, *([] if launch.grid is None else [launch.grid]))
    return any(
        isinstance(node, ast.Constant) and text_of(node) in numbers
        for one in nodes
        for node in ast.walk(one)
    )
