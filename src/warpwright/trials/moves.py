"""Programs that moves made, each beside the parent: who is worth tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from warpwright.moving import move_candidates, refined, with_moves
from warpwright.trials.entrants import Entrant, usual_pins
from warpwright.trials.measured import settle_chosen
from warpwright.trials.screening import Screening
from warpwright.trials.setup import Table, card
from warpwright.types.candidate import Candidate
from warpwright.types.config import Config
from warpwright.types.study import Study
from warpwright.types.trial import LEAST_GAIN_PCT, ConfigTrial, MovesTrial
from warpwright.types.verdict import EditLimits


def measure_moves(
    table: Table, study: Study, candidates: Sequence[Candidate]
) -> tuple[MovesTrial, ...]:
    """Screen each candidate with the configs that the parent's tuners took. One trial each.

    Raises ParentFailedError.
    """
    if not candidates:
        return ()
    with Screening(table) as screening:
        screening.start()
        chosen = settle_chosen(table, screening.chosen)
        programs = "1 program" if len(candidates) == 1 else f"{len(candidates)} programs"
        told = f"measuring {programs} by moves beside the parent on "
        table.tell("screen", told + card(table.bench.gpu))
        entrants = [_entrant(study, candidate, chosen) for candidate in candidates]
        trials = screening.run(entrants)
    return tuple(_trial(c, trial) for c, trial in zip(candidates, trials, strict=True))


def search_moves(
    table: Table, study: Study, limits: EditLimits
) -> tuple[list[Candidate], list[MovesTrial]]:
    """Every list of moves that was tried, and what timing it showed.

    First the chains that the rewrites propose. Then, on the fastest of them (or on the parent,
    where none is faster), each refinement alone, and at last together those that each gained.
    Raises ParentFailedError.
    """
    candidates = list(move_candidates(study, limits))
    trials = list(measure_moves(table, study, candidates))
    parent = Candidate(study.view.source, study.view.source)
    order = by_gain(trials)
    base, base_pct = parent, 0.0
    if order:
        base, base_pct = candidates[order[0]], trials[order[0]].gain_pct or 0.0
    singles = refined(base, study, limits)
    measured = measure_moves(table, study, singles)
    candidates += singles
    trials += measured
    least_pct = (100 + base_pct) * (1 + LEAST_GAIN_PCT / 100) - 100
    helpful = [
        single.moves[-1]
        for single, trial in zip(singles, measured, strict=True)
        if trial.failure is None and (trial.gain_pct or 0.0) >= least_pct
    ]
    if len(helpful) > 1:
        together = with_moves(base, helpful)
        candidates.append(together)
        trials += measure_moves(table, study, [together])
    return candidates, trials


def by_gain(trials: Sequence[MovesTrial]) -> list[int]:
    """The places of those that are worth following, the fastest first."""
    gains = {
        place: trial.gain_pct or 0.0
        for place, trial in enumerate(trials)
        if trial.is_worth_following
    }
    return sorted(gains, key=lambda place: -gains[place])


def _entrant(study: Study, candidate: Candidate, chosen: Mapping[str, Config]) -> Entrant:
    pins = usual_pins(study, chosen)
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
