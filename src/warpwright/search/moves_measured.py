"""Programs that moves made, each beside the parent: who is worth tuning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from warpwright.bench.statistics.budget import (
    LEFT_AFTER_CONFIGS,
    LEFT_AFTER_MOVES,
    LEFT_AFTER_OWN_CONFIGS,
    LEFT_AFTER_WAYS,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.registry import HELP_OTHERS, worth
from warpwright.sandbox.deadline import Deadline
from warpwright.search.configs_measured import settle_chosen
from warpwright.search.moves import Pins, beside, move_candidates, refined, with_moves
from warpwright.search.open_trial import card
from warpwright.search.pinned_programs import Entrant, usual_pins
from warpwright.search.same_code import Sieve
from warpwright.search.screening import Screening
from warpwright.store.run_context import RunContext
from warpwright.types.candidate import Candidate, Move, programs_by_moves
from warpwright.types.config import Config
from warpwright.types.study import ConfigStudy, KernelStudy, Study
from warpwright.types.trial import LEAST_GAIN_PCT, ConfigTrial, MovesTrial
from warpwright.types.verdict import EditLimits

BEST_CONFIGS = 3
"""Configs under which each refinement is timed: what helps under one may not under another."""


def chains_ahead(
    study: Study, run_context: RunContext, limits: EditLimits
) -> tuple[Candidate, ...]:
    """What `search_moves` begins with: made, and compiled for the configs that a profile names or
    that stand first. So much can be done before it is known what the parent's tuners take."""
    candidates = move_candidates(study, limits)
    if candidates:
        Sieve(study, run_context).study_ahead(candidates, usual_pins(study, {}))
    return candidates


def search_moves(
    screening: Screening,
    study: Study,
    candidates: Sequence[Candidate],
    run_context: RunContext,
    limits: EditLimits,
) -> tuple[list[Candidate], list[MovesTrial]]:
    """Every list of moves that was tried, and what timing it showed.

    First the chains that the rewrites propose (`candidates`), with the configs that the parent's
    tuners took. Then the fastest of them (the parent, where none is faster) with each of its
    configs, and on it each refinement alone under the best of those; at last those together that
    each gained, also with the moves that show their worth beside others only. What runs the same
    code as another is not timed. Outputs are judged of the fastest chain, and of the fastest of all
    in the end. When the time is over that it has, what was timed by then is all there is.
    `screening` has begun. Raises ParentFailedError.
    """
    return _Search(screening, study, run_context).run(list(candidates), limits)


class _Search:
    """The search on one screening, beside one worker that holds the parent."""

    def __init__(self, screening: Screening, study: Study, run_context: RunContext) -> None:
        self._table, self._study, self._screening = screening.table, study, screening
        self._deadline = self._table.leaving(LEFT_AFTER_MOVES)
        self._sieve = Sieve(study, replace(run_context, deadline=self._deadline))
        self._usual = usual_pins(study, settle_chosen(self._table, screening.chosen))
        self._fastest: list[tuple[Entrant, ConfigTrial]] = []  # of each candidate, as measured

    def run(
        self, candidates: list[Candidate], limits: EditLimits
    ) -> tuple[list[Candidate], list[MovesTrial]]:
        ways = self._table.leaving(LEFT_AFTER_WAYS)
        measured = self._measured(candidates, [self._usual], ways)
        trials = self._settled(measured, self._deadline)
        order = by_gain(trials)
        source = self._study.view.source
        base = candidates[order[0]] if order else Candidate(source, source)
        others = [candidates[place] for place in order[1:]]
        singles = [*beside(base, self._study, others, limits), *refined(base, self._study, limits)]
        if not singles:
            return candidates, trials
        seen_pct = trials[order[0]].gain_pct or 0.0 if order else 0.0
        best, base_pct = self._best_pins(base, seen_pct)
        self._sieve.reasons([base], best)  # what runs the base's code shows nothing new
        measured = self._measured(singles, best)
        least_pct = (100 + base_pct) * (1 + LEAST_GAIN_PCT / 100) - 100
        lists = joint_moves(singles, measured, least_pct, len(base.moves))
        together = [made for moves in lists if (made := _made(base, moves)) is not None]
        joined = self._measured(together, best)
        judging = self._table.leaving(LEFT_AFTER_CONFIGS)
        found = self._settled([*trials, *measured, *joined], judging)
        return [*candidates, *singles, *together], found

    def _settled(self, trials: Sequence[MovesTrial], deadline: Deadline) -> list[MovesTrial]:
        """The trials of all candidates so far, the fastest of them with the verdict on its outputs.
        One that is wrong fails, and the next is judged, while there is time."""
        entrants = [entrant for entrant, _ in self._fastest]
        measured = [trial for _, trial in self._fastest]
        found = self._screening.settle(
            entrants, measured, least_pct=LEAST_GAIN_PCT, deadline=deadline
        )
        self._fastest = list(zip(entrants, found, strict=True))
        return [
            replace(
                trial,
                failure=own.failure,
                time_us=own.time_us,
                gain_pct=own.gain_pct,
                bursts=own.bursts,
            )
            for trial, own in zip(trials, found, strict=True)
        ]

    def _best_pins(self, base: Candidate, seen_pct: float) -> tuple[list[Pins], float]:
        """The configs under which a program is fastest, and how much faster it is than the parent
        under the first of them (percent). `seen_pct`: the same under the parent's configs, which is
        all there is to know where nothing is tuned."""
        entrants = [
            Entrant(kernel.kernel, config.config, False, base.program, pins)
            for kernel in self._study.kernels
            if kernel.autotuned
            for config in distinct_configs(kernel)
            for pins in [{**self._usual, kernel.kernel: config.config}]
        ]
        trials = self._screening.run(entrants, self._table.leaving(LEFT_AFTER_OWN_CONFIGS))
        timed = [
            (trial.gain_pct, number)
            for number, trial in enumerate(trials)
            if trial.failure is None and trial.gain_pct is not None
        ]
        if not timed:
            return [self._usual], seen_pct
        order = sorted(timed, key=lambda entry: -entry[0])[:BEST_CONFIGS]
        return [entrants[number].pins for _, number in order], order[0][0]

    def _measured(
        self,
        candidates: Sequence[Candidate],
        pins: Sequence[Pins],
        deadline: Deadline | None = None,
    ) -> list[MovesTrial]:
        """A trial for each candidate: that of the pins under which it is fastest. `deadline`: in
        the place of the search's own."""
        if not candidates:
            return []
        tell = partial(self._table.tell, "screen")
        tell(f"comparing what {programs_by_moves(len(candidates))} would run")
        reasons = self._sieve.reasons(candidates, pins)
        places = [(i, j) for j in range(len(pins)) for i in range(len(candidates))]
        entrants = {(i, j): _entrant(candidates[i], pins[j]) for i, j in places}
        new = [place for place in places if reasons[place[0]][place[1]] is None]
        # What may gain most comes first, under the best config first: the time may end.
        new.sort(key=lambda place: (place[1], -worth(candidates[place[0]].moves)))
        deadline = deadline or self._deadline
        tell(self._intention(len(new), len(places), deadline))
        timed = self._screening.run([entrants[place] for place in new], deadline)
        trials = dict(zip(new, timed, strict=True))
        for i, j in places:
            if (reason := reasons[i][j]) is not None:
                trials[i, j] = _untimed(entrants[i, j], reason)
        fastest = [
            _fastest([(entrants[i, j], trials[i, j]) for j in range(len(pins))])
            for i in range(len(candidates))
        ]
        self._fastest += fastest
        return [
            _trial(candidate, trial)
            for candidate, (_, trial) in zip(candidates, fastest, strict=True)
        ]

    def _intention(self, count: int, of: int, deadline: Deadline) -> str:
        same = f" ({of - count} more are not worth it)" if count < of else ""
        return (
            f"measuring {programs_by_moves(count)} beside the parent on "
            f"{card(self._table.bench.gpu)}, {deadline.left_s:.0f} s at most{same}"
        )


def distinct_configs(kernel: KernelStudy) -> tuple[ConfigStudy, ...]:
    """Those that can be launched, one for each binary: equal ones would take each other's places
    among the best."""
    found = {
        (config.config if config.identity is None else config.identity): config
        for config in reversed(kernel.configs)
        if config.launchable
    }
    return tuple(reversed(found.values()))


def _untimed(entrant: Entrant, reason: str) -> ConfigTrial:
    return ConfigTrial(entrant.kernel, entrant.config, True, failure=reason)


def _made(base: Candidate, moves: Sequence[Move]) -> Candidate | None:
    """The candidate with the moves made one after the other; None where one is in another's way."""
    try:
        return with_moves(base, moves)
    except DoesNotApply:
        return None


def joint_moves(
    singles: Sequence[Candidate], trials: Sequence[MovesTrial], least_pct: float, before: int = 0
) -> list[tuple[Move, ...]]:
    """Lists of moves worth trying together, of those whose trials alone are given; `before`: how
    many moves all of them begin with.

    All that gained at least `least_pct` beside the parent; and where one that helps others gained
    nothing alone, it with the best of those, and with all of them.
    """
    gains = {
        single.moves[before:]: trial.gain_pct or 0.0
        for single, trial in zip(singles, trials, strict=True)
        if trial.failure is None
    }
    helpful = [moves for moves, gain in gains.items() if gain >= least_pct]
    if not helpful:
        return []
    best = max(helpful, key=lambda moves: gains[moves])
    others = [m for m in gains if m not in helpful and m[-1].name in HELP_OTHERS]
    found = [helpful] if len(helpful) > 1 else []
    if others:
        found += [[*others, best], [*others, *helpful]]
    return list(dict.fromkeys(tuple(move for moves in row for move in moves) for row in found))


def _fastest(tried: Sequence[tuple[Entrant, ConfigTrial]]) -> tuple[Entrant, ConfigTrial]:
    """The fastest that worked; the first where none did."""
    worked = [one for one in tried if one[1].failure is None and one[1].gain_pct is not None]
    return max(worked, key=lambda one: one[1].gain_pct or 0.0, default=tried[0])


def by_gain(trials: Sequence[MovesTrial]) -> list[int]:
    """The places of those that are worth following, the fastest first."""
    gains = {
        place: trial.gain_pct or 0.0
        for place, trial in enumerate(trials)
        if trial.is_worth_following
    }
    return sorted(gains, key=lambda place: -gains[place])


def _entrant(candidate: Candidate, pins: Pins) -> Entrant:
    config = next(iter(pins.values()), Config())
    kernel = candidate.moves[0].kernel
    return Entrant(kernel, config, True, candidate.program, pins, moves=candidate.moves)


def _trial(candidate: Candidate, trial: ConfigTrial) -> MovesTrial:
    return MovesTrial(
        candidate.moves,
        time_us=trial.time_us,
        parent_us=trial.parent_us,
        gain_pct=trial.gain_pct,
        failure=trial.failure,
        bursts=trial.bursts,
    )
