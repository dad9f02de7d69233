"""Changing a program's text in a test, so that a change that did not happen is an error."""

from __future__ import annotations


def replace_once(text: str, old: str, new: str) -> str:
    """`text` with `old`, which must stand there exactly once, replaced."""
    return replace_each(text, old, new, times=1)


def replace_each(text: str, old: str, new: str, *, times: int) -> str:
    """`text` with each `old` replaced; there must be exactly `times`."""
    found = text.count(old)
    assert found == times, f"{old!r} stands {found} times in the text, expected {times}"
    return text.replace(old, new)
