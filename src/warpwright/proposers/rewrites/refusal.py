"""How a rewrite says that it cannot be made here."""

from __future__ import annotations


class DoesNotApply(Exception):  # noqa: N818
    """The rewrite is not made: `reason` says why, in words for a user."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
