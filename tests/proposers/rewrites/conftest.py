"""Rewrites change copies: what the reader holds of a text must stay as it was read."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Iterator

import pytest

from warpwright.program import parsed
from warpwright.program.parsed import ParsedProgram


@pytest.fixture(scope="module", autouse=True)
def held_programs_stay() -> Iterator[None]:
    """Each program that a module's tests read is as it was when it was read, at their end."""
    as_read: list[tuple[ParsedProgram, bytes]] = []
    original = parsed._read.__wrapped__

    @functools.lru_cache(maxsize=parsed.KEPT)
    def read(source: str) -> ParsedProgram:
        program = original(source)
        as_read.append((program, _content(program)))
        return program

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsed, "_read", read)
        yield
    for program, content in as_read:
        assert _content(program) == content, program.source


def _content(program: ParsedProgram) -> bytes:
    """All that its trees hold, positions too."""
    return pickle.dumps((program.written, program.tree))
