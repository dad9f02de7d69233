"""How long work tells what it is doing. Listeners print, or write a journal, or both."""

from __future__ import annotations

from typing import Any, Protocol


class Listener(Protocol):
    """Called at each step: `name` is for programs, `text` for people, the rest is detail."""

    def __call__(self, name: str, text: str, **detail: Any) -> None: ...


def silent(name: str, text: str, **detail: Any) -> None:
    """A listener that ignores everything."""
