"""What every step of a run is given: where results are kept, who is told, and until when."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from warpwright.sandbox.deadline import Deadline
from warpwright.store.cache import ResultCache
from warpwright.types.progress import Listener, silent


@dataclass(frozen=True, slots=True)
class RunContext:
    """What work is done with: where results are kept, who is told, how many children run, how long.

    Without a `deadline` each job has its own limits alone. `binaries`: a directory in which what is
    compiled stays for processes that will run it, by program (`store.binaries`). `known`: verdicts
    of this run by what was asked (`verifier.verify`), so that nobody asks twice.
    """

    cache: ResultCache | None = None
    listener: Listener = silent
    workers: int | None = None
    deadline: Deadline | None = None
    binaries: Path | None = None
    known: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_measured(self) -> bool:
        """Whether a GPU will run what is compiled, and judges its outputs at full size."""
        return self.binaries is not None

    def leaving(self, share: float) -> RunContext:
        """The same, for work that is to leave so much of the whole time (0 to 1) to others."""
        if self.deadline is None:
            return self
        return replace(self, deadline=self.deadline.leaving(share))

    def has_left(self, share: float) -> bool:
        """Whether so much of the whole time is left."""
        return self.deadline is None or self.deadline.left_share >= share

    def off_the_clock(self) -> AbstractContextManager[None]:
        """Time in this block does not count: what a GPU measures has a budget of its own."""
        return nullcontext() if self.deadline is None else self.deadline.paused()
