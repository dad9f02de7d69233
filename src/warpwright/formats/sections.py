"""A request document cut into sections. Headings are the grammar.

Headings are lines outside code blocks: `# Title`, `[TITLE]`, `**Title**` or, for some, a plain
`TITLE:`. A heading nobody knows opens a section of its own, except inside the stage (there it is
a sub-heading) and inside an attempt (there it is text).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from warpwright.errors import InputError, Place
from warpwright.formats.documents import Line, fence_end, fence_of


class SectionKind(StrEnum):
    """What a section holds; the value is how messages call it."""

    PREAMBLE = "the first lines"
    GPU = "# Target GPU"
    STAGE = "[OPTIMIZATION STAGE]"
    PROBLEM = "[PROBLEM]"
    ATTEMPT = "## Previous Attempt"
    HISTORY = "## History"
    PROGRAM = "[CURRENT CODE]"
    METRICS = "[NCU PROFILING METRICS]"
    TASK = "**Task**"
    CONSTRAINTS = "API CONSTRAINTS"
    OUTPUT = "OUTPUT RULES"
    UNKNOWN = "an unknown section"


REPEATABLE = frozenset(
    {SectionKind.ATTEMPT, SectionKind.HISTORY, SectionKind.TASK, SectionKind.UNKNOWN}
    | {SectionKind.CONSTRAINTS}
)


@dataclass(frozen=True, slots=True)
class Section:
    """A section: its heading's line number, what stands on it after the title, its lines."""

    kind: SectionKind
    line: int
    title: str
    rest: str
    lines: tuple[Line, ...]


_MARKED = re.compile(
    r"(?:#{1,6}\s+(?P<hash>\S.*)"
    r"|\[(?P<bracket>[A-Za-z][^\[\]]{2,80})\](?P<after>.{0,3}|\s*:.*)"
    r"|\*\*(?P<bold>[^*]{2,80})\*\*\s*:?(?P<text>.*))"
)
_PLAIN = re.compile(r"(?P<plain>[A-Z][A-Za-z ]{2,60}(?:\([A-Za-z ]{1,40}\))?)\s*:(?P<text>.*)")
_TITLES: tuple[tuple[SectionKind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        (SectionKind.GPU, r"target gpu\b"),
        (SectionKind.STAGE, r"(?:current )?optimi[sz]ation stage\b"),
        (SectionKind.PROGRAM, r"current (?:code|program|kernel)\b"),
        (SectionKind.METRICS, r"(?:ncu|nsight)[\w ]*\bmetrics\b|profil(?:e|ing) metrics\b"),
        (SectionKind.PROBLEM, r"(?:original |pytorch )?(?:problem|reference)(?: \w+)?$"),
        (SectionKind.ATTEMPT, r"previous attempt\b"),
        (SectionKind.HISTORY, r"(?:\w+ )?history\b|previous attempts\b"),
        (SectionKind.TASK, r"task\b"),
        (SectionKind.CONSTRAINTS, r"(?:triton )?api constraints\b"),
        (SectionKind.OUTPUT, r"output (?:rules|format)\b"),
    )
)
_PLAIN_KINDS = frozenset({SectionKind.TASK, SectionKind.CONSTRAINTS, SectionKind.OUTPUT})
_BOLD_KINDS = _PLAIN_KINDS | {SectionKind.GPU, SectionKind.ATTEMPT}


@dataclass(frozen=True, slots=True)
class _Heading:
    kind: SectionKind
    title: str
    rest: str


def _kind_of(title: str) -> SectionKind:
    found = (kind for kind, pattern in _TITLES if pattern.match(title))
    return next(found, SectionKind.UNKNOWN)


def _heading(text: str, inside: SectionKind) -> _Heading | None:
    """The heading that a line is, where it stands inside a section of this kind."""
    stripped = text.strip()
    if not stripped or len(stripped) > 2000:
        return None
    marked = _MARKED.fullmatch(stripped)
    if marked is None:
        plain = _PLAIN.fullmatch(stripped)
        kind = SectionKind.UNKNOWN if plain is None else _kind_of(plain["plain"].strip())
        if plain is None or kind not in _PLAIN_KINDS:
            return None
        return _Heading(kind, plain["plain"].strip(), plain["text"].strip())
    title = (marked["hash"] or marked["bracket"] or marked["bold"]).strip(" *:")
    kind = _kind_of(title)
    if marked["bold"] is not None:
        rest = (marked["text"] or "").strip()
        return _Heading(kind, title, rest) if kind in _BOLD_KINDS else None
    if kind is SectionKind.UNKNOWN:
        is_banner = marked["bracket"] is not None and title.isupper()
        if inside in (SectionKind.STAGE, SectionKind.ATTEMPT, SectionKind.HISTORY):
            return _Heading(kind, title, "") if is_banner else None
        return _Heading(kind, title, "") if is_banner or marked["hash"] else None
    return _Heading(kind, title, "")


def _unclosed(lines: Sequence[Line], start: int, kind: SectionKind, document: str | None) -> None:
    raise InputError(
        "the code block that opens here never closes: the document is truncated",
        place=Place(document, kind.value, lines[start].number),
        expected="a line of closing backticks",
        got=f"the end of the document after line {lines[-1].number}",
        hint="send the whole document",
    )


def _is_raw_code(kind: SectionKind, body: Sequence[Line]) -> bool:
    """Whether a problem is given without a fence: then `# ...` is a comment, no heading."""
    return kind is SectionKind.PROBLEM and any(
        line.text.strip() and fence_of(line.text) is None for line in body
    )


def _cut(lines: Sequence[Line], document: str | None) -> Iterator[Section]:
    opened, first, body = _Heading(SectionKind.PREAMBLE, "", ""), 1, list[Line]()
    index = 0
    while index < len(lines):
        line = lines[index]
        if fence_of(line.text) is not None:
            end = fence_end(lines, index)
            if end is None:
                _unclosed(lines, index, opened.kind, document)
            else:
                body += lines[index : end + 1]
                index = end + 1
                continue
        heading = _heading(line.text, opened.kind)
        if heading and line.text.lstrip()[0] == "#" and _is_raw_code(opened.kind, body):
            heading = None
        if heading is None:
            body.append(line)
        else:
            yield Section(opened.kind, first, opened.title, opened.rest, tuple(body))
            opened, first, body = heading, line.number, []
        index += 1
    yield Section(opened.kind, first, opened.title, opened.rest, tuple(body))


def _is_blank(section: Section) -> bool:
    return not section.rest and not any(line.text.strip() for line in section.lines)


def split_sections(lines: Sequence[Line], document: str | None = None) -> tuple[Section, ...]:
    """The sections in document order. A title above an empty section of its kind is one with it.

    Raises `InputError` for a code block that never closes, and for a section given twice.
    """
    sections: list[Section] = []
    for section in _cut(lines, document):
        previous = next((one for one in sections if one.kind is section.kind), None)
        if previous is not None and section.kind not in REPEATABLE:
            if not _is_blank(previous):
                raise InputError(
                    f"the section {section.kind} is given twice",
                    place=Place(document, section.kind.value, section.line),
                    expected="each section once",
                    got=f"another one at line {previous.line}",
                )
            sections.remove(previous)
        sections.append(section)
    return tuple(sections)


def required_section(
    sections: Sequence[Section], kind: SectionKind, document: str | None, hint: str
) -> Section:
    """The section of this kind. Raises `InputError` where the document has none."""
    found = next((section for section in sections if section.kind is kind), None)
    if found is not None:
        return found
    titles = {s.title.upper(): s for s in sections if s.kind is SectionKind.UNKNOWN}
    near = difflib.get_close_matches(kind.value.strip("[]# ").upper(), titles, n=1, cutoff=0.75)
    last = sections[-1] if sections else None
    raise InputError(
        f"the document has no section {kind}: it is truncated or no request",
        place=Place(document, line=titles[near[0]].line if near else None),
        expected=f"a line {kind}",
        got=(
            f"the unknown heading {titles[near[0]].title!r}"
            if near
            else f"the last section is {last.kind} at line {last.line}"
            if last is not None
            else "no sections"
        ),
        hint=hint,
    )
