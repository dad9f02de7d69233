"""The one way in which a rewrite says that it does not apply."""

from __future__ import annotations


class DoesNotApply(Exception):  # noqa: N818 - a refusal is an answer here, not an error
    """A rewrite cannot be made there; `reason` says why, for a person."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
