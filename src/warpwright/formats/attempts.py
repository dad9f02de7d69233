"""Earlier tries that a request tells of: `## Previous Attempt` and `## History` ⇄ `Attempt`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from warpwright.formats.documents import Fence, Line, fence_end, fence_of, fenced
from warpwright.formats.sections import Section, SectionKind
from warpwright.types.request import Attempt

HEADING = "## Previous Attempt"

_NAMES = r"(outcome|result|error(?: message| log)?|(?:previous |failed )?code)"
_LABEL = re.compile(
    rf"(?:#{{1,6}} +{_NAMES} *:?|\*\*{_NAMES}\*\* *:|\*\*{_NAMES} *:\*\*|{_NAMES} *:)(?P<text>.*)",
    re.IGNORECASE,
)
_BULLET = re.compile(r"(?:[-*•]|\d{1,3}[.)])\s+(?P<text>\S.*)")
_PROGRAM = re.compile(r"^\s*(?:import |from \w|@triton|def |class )", re.MULTILINE)


def _is_program(info: str, content: str) -> bool:
    return info in ("python", "py", "python3") or (not info and bool(_PROGRAM.search(content)))


def _joined(parts: Sequence[str]) -> str:
    return "\n".join(parts).strip("\n")


def _parse_attempt(lines: Sequence[Line], title: str) -> Attempt:
    """Plain text is the outcome, up to an `Error:` label; Python blocks are the code."""
    outcome, error, code = list[str](), list[str](), None
    target, index = outcome, 0
    endless = set[Fence]()  # nothing below closes these: not to be looked for again
    while index < len(lines):
        text = lines[index].text
        fence = fence_of(text)
        end = None if fence is None or fence in endless else fence_end(lines, index)
        if fence is not None and end is None:
            endless.add(fence)
        if fence is not None and end is not None:
            content = "\n".join(line.text for line in lines[index + 1 : end])
            if code is None and _is_program(fence.info, content):
                code = content + "\n"
            else:
                error.append(content)
            index = end + 1
            continue
        while (label := _LABEL.fullmatch(text.strip())) is not None:
            name = next(group for group in label.groups() if group is not None)
            target = error if name.lower().startswith("error") else outcome
            text = label["text"]
        if text.strip():
            target.append(text.strip())
        index += 1
    return Attempt(_joined(outcome) or title, code, _joined(error) or None)


def _parse_history(lines: Sequence[Line], title: str) -> tuple[Attempt, ...]:
    """One attempt a top-level bullet, with the lines below it; without bullets, one in all."""
    starts = [i for i, line in enumerate(lines) if _BULLET.fullmatch(line.text)]
    if not starts:
        has_text = any(line.text.strip() for line in lines)
        return (_parse_attempt(lines, title),) if has_text else ()
    before = [line for line in lines[: starts[0]] if line.text.strip()]
    attempts = [_parse_attempt(before, title)] if before else []
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        bullet = _BULLET.fullmatch(lines[start].text)
        first = Line(bullet["text"] if bullet else lines[start].text, lines[start].number)
        attempts.append(_parse_attempt([first, *lines[start + 1 : end]], title))
    return tuple(attempts)


def parse_attempts(section: Section) -> tuple[Attempt, ...]:
    """The attempts of one `## Previous Attempt` or `## History` section."""
    if section.kind is SectionKind.HISTORY:
        return _parse_history(section.lines, section.title)
    return (_parse_attempt(section.lines, section.title),)


def render_attempt(attempt: Attempt) -> str:
    """One attempt as a section of its own."""
    parts = [f"{HEADING}\nOutcome: {attempt.outcome}"]
    if attempt.code is not None:
        parts.append(fenced(attempt.code.removesuffix("\n"), "python"))
    if attempt.error is not None:
        parts.append("Error:\n" + fenced(attempt.error, "text"))
    return "\n\n".join(parts)
