"""Rounds of new configs while there is time: a search over each kernel's space, told all times.

What earlier runs measured on the same card is known to the search from the start, and the best of
it is tried first; everything that is measured is kept for later runs.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from warpwright.program.syntax import syntax_tree
from warpwright.program.view import read_program
from warpwright.proposers.configs.plan import look_at_more, tuning_space
from warpwright.search.config_search import ConfigSearch
from warpwright.store.cache import toolchain_versions
from warpwright.store.measured_points import MeasuredPoint, MeasuredPoints
from warpwright.store.run_context import RunContext
from warpwright.types.answer import ConfigPlan
from warpwright.types.calls import KernelCalls
from warpwright.types.config import Config
from warpwright.types.config_space import ConfigSpace
from warpwright.types.measurement import MeasuredGpu
from warpwright.types.request import Request
from warpwright.types.study import KernelStudy, Study
from warpwright.types.trial import ConfigTrial

ROUND = 8  # configs of a kernel that compile side by side
KNOWN_TRIED = 4  # of what earlier runs measured, the fastest


@dataclass
class _Searched:
    """One kernel's search, and what is known of its configs by their binaries."""

    kernel: KernelStudy
    call: KernelCalls
    search: ConfigSearch
    left: int  # configs that may still be asked for
    known_best: tuple[Config, ...]
    binaries: dict[Hashable, Config]


class ConfigRounds:
    """Plans of further configs, a round at a time.

    `plans` and `candidates` are those that the first round was measured by, a kernel each; they
    grow with each round. `most`: new configs a kernel in all.
    """

    def __init__(
        self,
        request: Request,
        study: Study,
        run_context: RunContext,
        proposed: tuple[tuple[ConfigPlan, ...], Mapping[str, KernelStudy]],
        most: int,
        points: KnownPoints,
    ) -> None:
        self._request, self._study, self._run_context = request, study, run_context
        self.plans, self.candidates = list(proposed[0]), dict(proposed[1])
        self._points = points
        self._searched: dict[str, _Searched] = {}
        for kernel, call, plan in zip(study.kernels, study.calls, self.plans, strict=True):
            space = tuning_space(request, study, kernel, call)
            if plan.left_alone is None and isinstance(space, ConfigSpace):
                tried = sum(choice.proposed for choice in plan.choices)
                self._searched[kernel.kernel] = _begun(kernel, call, space, most - tried, points)

    def ask(self, trials: Sequence[ConfigTrial]) -> tuple[ConfigPlan, ...]:
        """Plans of the next configs, after all trials so far; none when no kernel has more."""
        self.keep(trials)
        found = False
        plans = []
        for place, plan in enumerate(self.plans):
            more = self._more(plan, [t for t in trials if t.kernel == plan.kernel])
            if more is not None:
                found = True
                self.plans[place] = replace(plan, choices=(*plan.choices, *more.choices))
            plans.append(ConfigPlan(plan.kernel, ()) if more is None else more)
        return tuple(plans) if found else ()

    def keep(self, trials: Sequence[ConfigTrial]) -> None:
        """Keep all trials for later runs."""
        self._points.keep(trials)

    def _more(self, plan: ConfigPlan, trials: Sequence[ConfigTrial]) -> ConfigPlan | None:
        """A plan of new configs of one kernel that were not tried, or None without any."""
        searched = self._searched.get(plan.kernel)
        if searched is None:
            return None
        self._tell(searched, trials)
        tried = {choice.config for choice in plan.choices}
        while searched.left > 0:
            asked = searched.known_best or searched.search.ask(min(ROUND, searched.left))
            searched.known_best = ()
            wanted = tuple(config for config in asked if config not in tried)
            searched.left -= len(wanted)
            if not asked:
                return None
            if wanted and (more := self._looked_at(searched, plan, wanted)) is not None:
                return more
        return None

    def _looked_at(
        self, searched: _Searched, plan: ConfigPlan, wanted: Sequence[Config]
    ) -> ConfigPlan | None:
        """A plan of those that can run and run what no other does; the search is told of others."""
        more, new = look_at_more(
            self._request, self._study, searched.kernel, searched.call, wanted,
            self._run_context, plan.alone,
        )  # fmt: skip
        before = self.candidates[plan.kernel]
        self.candidates[plan.kernel] = replace(before, configs=(*before.configs, *new.configs))
        kept = []
        for choice in more.choices:
            if not choice.proposed:
                continue
            study = new.config(choice.config)
            binary = None if study is None else study.identity
            if choice.kept and (binary is None or binary not in searched.binaries):
                kept.append(choice)
                if binary is not None:
                    searched.binaries[binary] = choice.config
            else:
                searched.search.tell(choice.config, None)
        return replace(more, choices=tuple(kept)) if kept else None

    def _tell(self, searched: _Searched, trials: Sequence[ConfigTrial]) -> None:
        for trial in trials:
            if searched.search.has(trial.config):
                searched.search.tell(trial.config, None if trial.failure else trial.time_us)


def _begun(
    kernel: KernelStudy, call: KernelCalls, space: ConfigSpace, left: int, points: KnownPoints
) -> _Searched:
    known = {config: point.time_us for config, point in points.of(kernel.kernel).items()}
    timed = sorted((us, str(config), config) for config, us in known.items() if us is not None)
    best = tuple(config for _, _, config in timed[:KNOWN_TRIED] if kernel.config(config) is None)
    binaries: dict[Hashable, Config] = {
        one.identity: one.config for one in kernel.configs if one.identity is not None
    }
    return _Searched(kernel, call, ConfigSearch(space, known=known), left, best[:left], binaries)


class KnownPoints:
    """Points of one program on one card, a kernel at a time."""

    def __init__(self, points: MeasuredPoints, gpu: MeasuredGpu | None, study: Study) -> None:
        self._points = points
        card = None if gpu is None else [gpu.name, gpu.uuid, gpu.driver]
        self._common = [
            _without_lists(study.view.source),
            repr(study.problem),
            card,
            dict(toolchain_versions()),
        ]

    def of(self, kernel: str) -> dict[Config, MeasuredPoint]:
        return self._points.of(self._place(kernel))

    def keep(self, trials: Sequence[ConfigTrial]) -> None:
        """Keep what was timed, and what was wrong; not what there was no time for."""
        by_kernel: dict[str, dict[Config, MeasuredPoint]] = {}
        for trial in trials:
            if trial.wrong or (trial.time_us is not None and trial.failure is None):
                point = MeasuredPoint(None if trial.wrong else trial.time_us, trial.failure)
                by_kernel.setdefault(trial.kernel, {})[trial.config] = point
        for kernel, points in by_kernel.items():
            self._points.keep(self._place(kernel), points)

    def _place(self, kernel: str) -> str:
        text = json.dumps([kernel, *self._common], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _without_lists(source: str) -> str:
    """A program without its lists of configs, comments and layout: what a pinned config runs."""
    tuned = {kernel.name for kernel in read_program(source).kernels}
    told = []
    for statement in syntax_tree(source).body:
        if isinstance(statement, ast.FunctionDef) and statement.name in tuned:
            told.append(ast.dump(statement.args))
            told += [ast.dump(line) for line in statement.body]
        else:
            told.append(ast.dump(statement))
    return hashlib.sha256("\n".join(told).encode()).hexdigest()
