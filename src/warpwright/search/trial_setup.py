"""How much is measured for a question, and where finished work is kept."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from warpwright.bench.statistics.budget import NORMAL, Budget
from warpwright.sandbox.deadline import Deadline
from warpwright.store.ledger import Ledger, Session
from warpwright.types.measurement import MeasuredGpu


@dataclass
class TrialSetup:
    """How much is measured, where, and where finished work is kept.

    `state` is a directory: the ledger, and Triton's caches while a question is open. `conclude`
    ends the questions that this setup opened: call it once their answers are safe. `deadline` is
    the one that all steps of a question share; `begin` begins it.
    """

    state: Path
    budget: Budget = NORMAL
    device: str = "cuda"
    deadline: Deadline = field(init=False)
    _sessions: list[Session] = field(default_factory=list)
    _caches: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> Deadline:
        """Begin a question: all its steps share this deadline."""
        self.deadline = Deadline(self.budget.wall_s, "--effort")
        return self.deadline

    def caches(self, question: str) -> Path:
        """The directory of a question's Triton caches."""
        directory = self.state / "triton" / question[:32]
        self._caches.append(directory)
        return directory

    def session(self, question: str, gpu: MeasuredGpu | None) -> Session:
        """The ledger's session for a question on this very card, with its driver."""
        where = "" if gpu is None else f" on {gpu.name} {gpu.uuid}, driver {gpu.driver}"
        session = Ledger(self.state).session(f"{question}{where}")
        self._sessions.append(session)
        return session

    def conclude(self) -> None:
        for session in self._sessions:
            session.close()
        for caches in self._caches:
            shutil.rmtree(caches, ignore_errors=True)
        self._sessions.clear()
        self._caches.clear()
