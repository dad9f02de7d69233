"""Rewrites change copies: what the reader holds of a text must stay as it was read."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator

import pytest

from warpwright.program.parsed import ParsedProgram, parse_program
from warpwright.program.syntax import syntax_tree


@pytest.fixture(scope="module", autouse=True)
def held_programs_stay() -> Iterator[None]:
    yield
    for program in [found for found in gc.get_objects() if type(found) is ParsedProgram]:
        fresh = ast.dump(syntax_tree(program.source), include_attributes=True)
        assert ast.dump(program.written, include_attributes=True) == fresh, program.source
        assert _plain(program) == _plain(_read_anew(program.source)), program.source


def _plain(program: ParsedProgram) -> str:
    return ast.dump(program.tree, include_attributes=True)


def _read_anew(source: str) -> ParsedProgram:
    """The program of the same text with one more line, which is no text that is held."""
    return parse_program(f"{source}\n#")
