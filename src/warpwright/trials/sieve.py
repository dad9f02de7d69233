"""Which programs by moves are worth timing: not one that runs what another runs already, nor one
that cannot be launched.

Compiled for the card without touching it, side by side, under those pins alone that would be timed.
"""

from __future__ import annotations

import ast
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from warpwright.moving import study_moved
from warpwright.sandbox.compile_pool import usable_workers
from warpwright.study import Workbench
from warpwright.syntax import syntax_tree
from warpwright.types.candidate import Candidate, moves_label
from warpwright.types.compiled import Compiled
from warpwright.types.config import Config
from warpwright.types.program import ProgramView
from warpwright.types.progress import silent
from warpwright.types.study import ConfigStudy, KernelStudy, Study
from warpwright.types.trace import Launch

Pins = Mapping[str, Config]  # the config that each tuned kernel is left

PARENT = "the program as it came"


class Sieve:
    """Knows what the programs that it saw run; the parent from the start."""

    def __init__(self, study: Study, bench: Workbench) -> None:
        self._study, self._bench = study, replace(bench, listener=silent)
        self._seen: dict[Hashable, str] = {}

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

        def studied(candidate: Candidate) -> Study | str:
            if not candidate.moves:
                return self._study
            return study_moved(candidate, self._study, self._bench, configs)

        with ThreadPoolExecutor(max_workers=usable_workers()) as pool:
            studies = list(pool.map(studied, candidates))
        return [
            [self._reason(candidate, study, one) for one in pins]
            for candidate, study in zip(candidates, studies, strict=True)
        ]

    def _reason(self, candidate: Candidate, study: Study | str, pins: Pins) -> str | None:
        if isinstance(study, str):
            return None
        for kernel in study.kernels:
            config = _config(kernel, pins)
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


def run_by(study: Study, pins: Pins) -> Hashable | None:
    """All that a forward pass runs under the pins: equal for programs that do the same.

    Binaries, grids and run-time arguments of each launch, and the host code. None where some of it
    is not known.
    """
    if study.trace is None:
        return None
    launches: list[tuple[int, Hashable]] = []
    for calls, kernel in zip(study.calls, study.kernels, strict=True):
        config = _config(kernel, pins)
        if config is None or config.identity is None:
            return None
        passed = {
            name
            for view in config.compiled
            if isinstance(view.result, Compiled)
            for name in view.result.parameters
        }
        for launch in calls.launches:
            told = _launched(launch, config, passed)
            if told is None:
                return None
            launches.append((launch.order, (kernel.kernel, config.identity, told)))
    if len(launches) != len(study.trace.launches):
        return None
    return (tuple(sorted(launches, key=lambda one: one[0])), _host_code(study.view))


def _host_code(view: ProgramView) -> str:
    """All of a program but its kernels, whose binaries tell more; without comments and layout."""
    kernels = {kernel.name for kernel in view.kernels}
    return "\n".join(
        ast.dump(statement)
        for statement in syntax_tree(view.source).body
        if not (isinstance(statement, ast.FunctionDef) and statement.name in kernels)
    )


def _launched(launch: Launch, config: ConfigStudy, passed: set[str]) -> Hashable | None:
    """A launch's grid and the arguments that its binary is given."""
    traced = next((one for one in launch.configs if one.config == config.config), None)
    if traced is None:
        return None
    arguments = {**launch.arguments, **traced.arguments}
    return (
        traced.grid,
        tuple((name, repr(arguments.get(name))) for name in sorted(passed)),
        tuple(sorted((name, repr(value)) for name, value in launch.options.items())),
    )


def _config(kernel: KernelStudy, pins: Pins) -> ConfigStudy | None:
    """The config that a kernel runs with under the pins."""
    if kernel.kernel in pins:
        return kernel.config(pins[kernel.kernel])
    return kernel.configs[0] if len(kernel.configs) == 1 else None
