"""Model replies: the program in a text that may have fences, prose around it, or neither."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from warpwright.errors import InputError, Place
from warpwright.formats.documents import Line, document_lines, fence_end, fence_of
from warpwright.formats.python_text import is_python

_PYTHON = frozenset({"", "python", "py", "python3", "triton"})
_IMPORT = re.compile(r"(?:import [\w.]+(?: as \w+)?(?:, .*)?|from [\w.]+ import .+)\s*")
_CODE_LINE = re.compile(r"(?:@\w[\w.]*(?:\(.*)?|(?:def|class) \w+.*)\s*")
_STATEMENT = re.compile(
    r"\s*(?:@\w|(?:async )?def \w+\s*\(|class \w+\s*[(:]|import \w[\w.]*\s*$|return\b.*[\w)\]]$"
    r"|from \w[\w.]* import \w|[\w.\[\], ]*\w[\])]?\s*[-+*/|&]?=(?!=)\s*\S)"
)
_MODEL = re.compile(r"^class ModelNew\b", re.MULTILINE)
_TRITON = re.compile(r"^(?:import triton|from triton)\b|@triton\.jit", re.MULTILINE)
_MAX_TRIMS = 20


@dataclass(frozen=True, slots=True)
class Reply:
    """The program of a reply, and where it stood.

    `program` ends with a newline; `program_line` is the 1-based line of the reply on which it
    begins. `is_complete` is False where its code block never closes (a token limit, often).
    `blocks` counts the code blocks of the reply, `has_prose` says whether text stood around.
    """

    program: str
    program_line: int = 1
    is_fenced: bool = False
    is_complete: bool = True
    blocks: int = 0
    has_prose: bool = False


@dataclass(frozen=True, slots=True)
class _Block:
    info: str
    first_line: int
    content: str
    is_complete: bool

    @property
    def is_code(self) -> bool:
        return self.info in _PYTHON and _looks_like_code(self.content)

    def rank(self, order: int) -> tuple[bool, bool, bool, int]:
        """The program is the block with the model, then with Triton; of equals the last whole."""
        has_model, has_triton = (
            bool(_MODEL.search(self.content)),
            bool(_TRITON.search(self.content)),
        )
        return has_model, has_triton, self.is_complete, order


def _looks_like_code(text: str) -> bool:
    return any(_IMPORT.fullmatch(line) or _CODE_LINE.fullmatch(line) for line in text.split("\n"))


def _text(lines: Sequence[Line]) -> str:
    return "".join(line.text + "\n" for line in lines)


def _blocks(lines: Sequence[Line]) -> Iterator[_Block | Line]:
    """The code blocks of the reply, and the lines outside them."""
    index = 0
    while index < len(lines):
        fence = fence_of(lines[index].text)
        if fence is None:
            yield lines[index]
            index += 1
            continue
        end = fence_end(lines, index)
        stop = len(lines) if end is None else end
        content = _text(lines[index + 1 : stop])
        yield _Block(fence.info, lines[index].number + 1, content, end is not None)
        index = stop + 1


def _without_trailing_prose(lines: Sequence[Line]) -> Sequence[Line]:
    """The lines up to the last blank line before which they are Python; all, if none is.

    Only what reads as prose is cut off: a program with a syntax error must not lose its rest,
    or the error would go untold.
    """
    kept = list(lines)
    for _ in range(_MAX_TRIMS):
        if is_python(_text(kept)):
            return kept
        while kept and kept[-1].text.strip():
            kept.pop()
        rest = lines[len(kept) :]
        while kept and not kept[-1].text.strip():
            kept.pop()
        if not kept or not _is_prose(rest):
            break
    return lines


def _is_prose(lines: Sequence[Line]) -> bool:
    """Text that begins in the first column and has no line of code."""
    indented = bool(lines) and lines[0].text[:1].isspace()
    return not indented and not any(_STATEMENT.match(line.text) for line in lines)


def _bare_program(lines: Sequence[Line]) -> Reply | None:
    """A program without a fence: from its first import (or definition) on."""
    for pattern in (_IMPORT, _CODE_LINE):
        start = next((i for i, line in enumerate(lines) if pattern.fullmatch(line.text)), None)
        if start is not None:
            kept = _without_trailing_prose(lines[start:])
            around = [*lines[:start], *lines[start + len(kept) :]]
            return Reply(
                _text(kept).rstrip("\n") + "\n",
                lines[start].number,
                has_prose=any(line.text.strip() for line in around),
            )
    return None


def parse_reply(text: str, *, document: str | None = None) -> Reply:
    """The program that a reply gives.

    Of several code blocks it is the one that defines `ModelNew`, else one with Triton, and of
    equals the last that closes. A reply that is itself a program is taken whole. Raises
    `InputError` for a reply without code.
    """
    lines = document_lines(text, document)
    whole = _text(lines).rstrip("\n") + "\n"
    if _looks_like_code(whole) and is_python(whole):
        return Reply(whole)
    parts = list(_blocks(lines))
    blocks = [part for part in parts if isinstance(part, _Block)]
    outside = [part for part in parts if isinstance(part, Line)]
    code = [(block.rank(order), block) for order, block in enumerate(blocks) if block.is_code]
    if code:
        best = max(code, key=lambda ranked: ranked[0])[1]
        has_prose = any(line.text.strip() for line in outside)
        return Reply(best.content, best.first_line, True, best.is_complete, len(blocks), has_prose)
    bare = _bare_program(outside)
    if bare is not None:
        return bare
    raise InputError(
        "the reply has no code",
        place=Place(document or "reply"),
        expected="a program, alone or in a ```python block",
        got=f"{len(blocks)} code blocks without Python" if blocks else "text only",
    )
