"""Every error that Warpwright raises on purpose.

    WarpwrightError
    ├── InputError           what the user gave is wrong: exit code 2
    │   └── BrokenProgramError   the program fails by itself when its host code runs
    ├── MissingToolError     this machine lacks a part (Triton, a GPU, ncu): exit code 3
    ├── SandboxError         a child process of ours misbehaved: exit code 4
    └── InternalError        a bug of ours: exit code 4

An *expected* failure (a candidate that does not compile, a rule that is broken, an
interpreter run that times out) is a value, never an exception; see `types.job` and
`types.verdict`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the user's input something is: a document, its section, a 1-based line."""

    document: str | None = None
    section: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        parts = [self.document or "input"]
        if self.line is not None:
            parts[0] += f":{self.line}"
        if self.section:
            parts.append(f"in {self.section}")
        return ", ".join(parts)


class WarpwrightError(Exception):
    """Base of all errors raised on purpose."""

    exit_code = 4


class InputError(WarpwrightError):
    """The user's input is wrong.

    Says what is wrong, where, what was expected, what was found, and what to do next.
    """

    exit_code = 2

    def __init__(
        self,
        what: str,
        *,
        place: Place | None = None,
        expected: str | None = None,
        got: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.what = what
        self.place = place or Place()
        self.expected = expected
        self.got = got
        self.hint = hint
        super().__init__(self.render())

    def render(self) -> str:
        """One error as text: first line says what and where, the rest is optional detail."""
        lines = [f"{self.place}: {self.what}"]
        if self.expected is not None:
            lines.append(f"  expected: {self.expected}")
        if self.got is not None:
            lines.append(f"  got:      {self.got}")
        if self.hint is not None:
            lines.append(f"  next:     {self.hint}")
        return "\n".join(lines)

    def moved(self, document: str | None, first_line: int) -> InputError:
        """The same error in `document`, whose line `first_line` is line 1 of what it speaks of."""
        line = self.place.line
        place = Place(document, self.place.section, None if line is None else line + first_line - 1)
        told = {"expected": self.expected, "got": self.got, "hint": self.hint}
        return type(self)(self.what, place=place, **told)

    def as_dict(self) -> dict[str, object]:
        """The error as JSON-ready fields, for `--json`."""
        return {
            "what": self.what,
            "document": self.place.document,
            "section": self.place.section,
            "line": self.place.line,
            "expected": self.expected,
            "got": self.got,
            "next": self.hint,
        }


class BrokenProgramError(InputError):
    """The request's program fails by itself when its host code runs, on a GPU too."""


class MissingToolError(WarpwrightError):
    """This machine lacks something the command needs; `hint` says how to get it."""

    exit_code = 3

    def __init__(self, what: str, *, hint: str) -> None:
        self.what = what
        self.hint = hint
        super().__init__(f"{what}\n  next:     {hint}")


class SandboxError(WarpwrightError):
    """Our own child-process machinery failed (not the code that ran in it)."""


class InternalError(WarpwrightError):
    """A bug of Warpwright's own."""
