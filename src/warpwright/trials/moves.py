"""Programs that moves made, each beside the parent: who is worth tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from warpwright.trials.entrants import Entrant, usual_pins
from warpwright.trials.measured import settle_chosen
from warpwright.trials.screening import Screening
from warpwright.trials.setup import Table, card
from warpwright.types.candidate import Candidate
from warpwright.types.config import Config
from warpwright.types.study import Study
from warpwright.types.trial import ConfigTrial, MovesTrial


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
