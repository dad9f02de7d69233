"""Bytes and text of a document to numbered lines, and fenced code blocks.

Here stand the limits on what is read at all: size, encoding, NUL characters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from warpwright.errors import InputError, Place
from warpwright.formats.python_text import is_python

MAX_DOCUMENT_BYTES = 8 * 1024**2
"""Larger documents are refused before anything is read from them (8 MiB)."""

MAX_DOCUMENT_LINES = 100_000
"""Documents of more lines are refused, too."""

_MAX_FENCE_CANDIDATES = 8
_MAX_TRIAL_CHARS = 128 * 1024
_FENCE = re.compile(r" {0,3}(?P<ticks>`{3,})[ \t]*(?P<info>[^`\s]*)[^`]*")
_CLOSING = re.compile(r" {0,3}(?P<ticks>`{3,})[ \t]*")
_BRACKET_HEADING = re.compile(r"\[[A-Z][A-Z _-]{2,60}\].{0,3}")


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its end, and its 1-based number in the document."""

    text: str
    number: int


@dataclass(frozen=True, slots=True)
class Fence:
    """The opening line of a code block."""

    ticks: int
    info: str

    def is_closed_by(self, text: str) -> bool:
        found = _CLOSING.fullmatch(text)
        return found is not None and len(found["ticks"]) >= self.ticks


def _check_size(size: int, unit: str, document: str | None) -> None:
    if size > MAX_DOCUMENT_BYTES:
        raise InputError(
            "the document is too large",
            place=Place(document),
            expected=f"at most {MAX_DOCUMENT_BYTES:,} {unit}",
            got=f"{size:,} {unit}",
            hint="a request holds one program and its profile; is this the right file?",
        )


def decode_document(data: bytes, document: str | None = None) -> str:
    """UTF-8 bytes, with or without a byte order mark, as text.

    Raises `InputError` for more than `MAX_DOCUMENT_BYTES` and for bytes that are no UTF-8 text.
    """
    _check_size(len(data), "bytes", document)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            "the document is not text",
            place=Place(document, line=line),
            expected="UTF-8 text",
            got=f"byte 0x{data[error.start]:02x} at offset {error.start:,}",
            hint="save the document as UTF-8",
        ) from error


def document_text(text: str, document: str | None = None) -> str:
    """The text with line ends as newlines and without a byte order mark.

    Raises `InputError` for an empty or too large document, and for NUL characters.
    """
    _check_size(len(text), "characters", document)
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(
            "the document is not text: it has a NUL character",
            place=Place(document, line=line),
            expected="text",
            hint="is this the right file?",
        )
    if not text.strip():
        raise InputError("the document is empty", place=Place(document), expected="text")
    return text


def document_lines(text: str, document: str | None = None) -> tuple[Line, ...]:
    """The lines of a document; the same errors as `document_text`."""
    text = document_text(text, document)
    count = text.count("\n") + 1
    if count > MAX_DOCUMENT_LINES:
        raise InputError(
            "the document is too large",
            place=Place(document),
            expected=f"at most {MAX_DOCUMENT_LINES:,} lines",
            got=f"{count:,} lines",
            hint="a request holds one program and its profile; is this the right file?",
        )
    lines = text.split("\n")
    return tuple(Line(line, number) for number, line in enumerate(lines, 1))


def fence_of(text: str) -> Fence | None:
    """The fence that a line opens; None where it opens none."""
    found = _FENCE.fullmatch(text)
    return None if found is None else Fence(len(found["ticks"]), found["info"].lower())


def _content(lines: Sequence[Line], start: int, end: int) -> str:
    return "\n".join(line.text for line in lines[start + 1 : end])


def _ends_in_a_string(source: str) -> bool:
    """Whether a triple-quoted string is open where the source ends, most likely."""
    return source.count('"""') % 2 == 1 or source.count("'''") % 2 == 1


def fence_end(lines: Sequence[Line], start: int) -> int | None:
    """Index of the line that closes the block which opens at `start`; None: it never closes.

    A docstring may hold a line that looks like a closing fence: where the first such line leaves
    a string open, the first later one that leaves valid Python counts, if there is any.
    """
    fence = fence_of(lines[start].text)
    if fence is None:
        return None
    first: int | None = None
    candidates = 0
    for index in range(start + 1, len(lines)):
        text = lines[index].text
        if first is not None and _BRACKET_HEADING.fullmatch(text.strip()):
            break
        if not fence.is_closed_by(text):
            continue
        content = _content(lines, start, index)
        if first is None:
            first = index
            if len(content) > _MAX_TRIAL_CHARS or not _ends_in_a_string(content):
                break
        elif len(content) <= _MAX_TRIAL_CHARS and is_python(content):
            return index
        candidates += 1
        if candidates >= _MAX_FENCE_CANDIDATES:
            break
    return first


def fenced(content: str, info: str = "") -> str:
    """The content, its last line without an end, as a block whose fence no line can close."""
    longest = max((len(run) for run in re.findall(r"`{3,}", content)), default=2)
    ticks = "`" * (longest + 1)
    return f"{ticks}{info}\n{content}\n{ticks}"
