"""The one exception that says a rewrite does not apply."""


class DoesNotApply(Exception):  # noqa: N818
    """A rewrite refuses a program or a place in it; `reason` says why, in plain words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
