"""Which programs by moves are worth timing: not one that runs what another runs already, nor one
that cannot be launched.

Compiled for the card without touching it, side by side, under those pins alone that would be timed.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from warpwright.compiler.compile_pool import usable_workers
from warpwright.search.moves import Pins, config_under, run_by, study_moved
from warpwright.search.pinned_programs import Entrant
from warpwright.store.run_context import RunContext
from warpwright.types.candidate import Candidate, moves_label
from warpwright.types.config import Config
from warpwright.types.progress import silent
from warpwright.types.study import Study

PARENT = "the program as it came"


class Sieve:
    """Knows what the programs that it saw run; the parent from the start."""

    def __init__(self, study: Study, run_context: RunContext) -> None:
        self._study, self._run_context = study, replace(run_context, listener=silent)
        self._seen: dict[Hashable, str] = {}

    def study_ahead(self, candidates: Sequence[Candidate], pins: Pins) -> None:
        """Trace and compile them under pins that may be those of `reasons`, which then finds what
        was kept of it. Nothing is compared."""
        if self._run_context.cache is not None:
            self._studies(candidates, tuple(dict.fromkeys(pins.values())))

    def reasons(
        self, candidates: Sequence[Candidate], pins: Sequence[Pins]
    ) -> list[list[str | None]]:
        """Why each candidate need not be timed under each of the pins; None where it is to be.

        Of several that run the same the first stays. What cannot be traced or compiled here in time
        is to be timed: the card tells.
        """
        for one in pins:
            self._keep(run_by(self._study, one), PARENT)
        configs = tuple(dict.fromkeys(config for one in pins for config in one.values()))
        studies = self._studies(candidates, configs)
        return [
            [self._reason(candidate, study, one) for one in pins]
            for candidate, study in zip(candidates, studies, strict=True)
        ]

    def _studies(
        self, candidates: Sequence[Candidate], configs: Sequence[Config]
    ) -> list[Study | str]:
        """The study of each under these configs, side by side; or why there is none."""
        side_by_side = usable_workers()
        each = max(1, side_by_side // max(1, len(candidates)))
        run_context = replace(self._run_context, workers=each)

        def studied(candidate: Candidate) -> Study | str:
            if not candidate.moves:
                return self._study
            return study_moved(candidate, self._study, run_context, configs)

        with ThreadPoolExecutor(max_workers=side_by_side) as pool:
            return list(pool.map(studied, candidates))

    def _reason(self, candidate: Candidate, study: Study | str, pins: Pins) -> str | None:
        if isinstance(study, str):
            return None
        for kernel in study.kernels:
            config = config_under(kernel, pins)
            if config is not None and config.ruled_out:
                where = study.gpu.sheet.name
                return f"{kernel.kernel} cannot be launched on {where} with {config.config}"
        found = run_by(study, pins)
        if found in self._seen and found is not None:
            return f"compiles to the same code as {self._seen[found]}"
        self._keep(found, moves_label(candidate.moves) or PARENT)
        return None

    def _keep(self, found: Hashable | None, name: str) -> None:
        if found is not None:
            self._seen.setdefault(found, name)


def compile_texts(entrants: Sequence[Entrant], study: Study, run_context: RunContext) -> None:
    """Compile what entrants run that is not the studied text itself, side by side, so that their
    workers find the binaries. What cannot be compiled here is left to them."""
    source = study.view.source
    texts = {one.source: tuple(one.pins.values()) for one in entrants if one.source != source}
    if run_context.binaries is None or not texts:
        return
    side_by_side = min(usable_workers(), len(texts))
    each = max(1, usable_workers() // side_by_side)
    quiet = replace(run_context, listener=silent, workers=each)

    def compiled(text: str) -> None:
        study_moved(Candidate(source, text), study, quiet, texts[text])

    with ThreadPoolExecutor(max_workers=side_by_side) as pool:
        list(pool.map(compiled, texts))
