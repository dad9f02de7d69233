"""Trials of screened configs, made from what the ledger keeps of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from warpwright.bench.statistics.family import screened_gain_pct
from warpwright.bench.statistics.samples import burst_median_us
from warpwright.bench.statistics.schedule import PARENT
from warpwright.search.open_trial import digest
from warpwright.search.pinned_programs import Entrant
from warpwright.types.measurement import Burst, BurstPair
from warpwright.types.trial import ConfigTrial
from warpwright.types.verdict import CheckResult

CANDIDATE = "candidate"
BURSTS = TypeAdapter(tuple[Burst, ...])
CHECK = TypeAdapter(CheckResult)


def kept_as(entrant: Entrant) -> str:
    """The item of the ledger that holds what screening an entrant came to."""
    return f"screen {entrant.name} in {digest(entrant.source)}"


def with_verdict(trial: ConfigTrial, result: Mapping[str, Any]) -> ConfigTrial:
    """A trial with the verdict on its outputs; one that is wrong, or does not run, has no time."""
    accuracy, failure = result.get("accuracy"), result.get("failure")
    return replace(
        trial,
        accuracy=None if accuracy is None else CHECK.validate_python(accuracy),
        failure=failure,
        wrong=bool(result.get("wrong")),
        time_us=trial.time_us if failure is None else None,
        gain_pct=trial.gain_pct if failure is None else None,
        bursts=trial.bursts if failure is None else (),
    )


def decoded(entrant: Entrant, result: Mapping[str, Any]) -> ConfigTrial:
    """The trial of an entrant from what was kept of it."""
    accuracy = result.get("accuracy")
    trial = ConfigTrial(
        entrant.kernel,
        entrant.config,
        entrant.proposed,
        accuracy=None if accuracy is None else CHECK.validate_python(accuracy),
        failure=result.get("failure"),
        wrong=bool(result.get("wrong")),
    )
    if "look_us" in result:
        look_us, parent_us = float(result["look_us"]), float(result["parent_us"])
        gain_pct = 100 * (parent_us / look_us - 1)
        return replace(trial, time_us=look_us, parent_us=parent_us, gain_pct=gain_pct)
    return _with_bursts(trial, BURSTS.validate_python(result.get("bursts", ())))


def with_more(trial: ConfigTrial, result: Mapping[str, Any]) -> ConfigTrial:
    """A trial with the bursts of one more screening, or with the failure that it met there."""
    if result.get("failure"):
        return replace(trial, failure=result["failure"], gain_pct=None)
    more = BURSTS.validate_python(result["bursts"])
    first = len(trial.bursts)
    later = tuple(replace(burst, order=first + burst.order) for burst in more)
    return _with_bursts(trial, (*trial.bursts, *later))


def _with_bursts(trial: ConfigTrial, bursts: tuple[Burst, ...]) -> ConfigTrial:
    if not bursts:
        return trial
    time_us, parent_us = (
        burst_median_us([burst for burst in bursts if burst.program == program])
        for program in (CANDIDATE, PARENT)
    )
    timed = replace(trial, time_us=time_us, parent_us=parent_us, bursts=bursts)
    return replace(timed, gain_pct=screened_gain_pct(pairs_of(timed)))


def pairs_of(trial: ConfigTrial) -> tuple[BurstPair, ...]:
    """The bursts of each round: a round is two bursts in a row, in either order."""
    ordered = sorted(trial.bursts, key=lambda burst: burst.order)
    rounds = zip(ordered[::2], ordered[1::2], strict=True)
    return tuple(
        BurstPair(one, other) if one.program == PARENT else BurstPair(other, one)
        for one, other in rounds
    )


def told(trial: ConfigTrial) -> str:
    """A trial in a few words."""
    if trial.failure is not None or trial.time_us is None or trial.gain_pct is None:
        return trial.failure or "not timed"
    look = "" if trial.bursts else " at a first look"
    return f"{trial.time_us:,.1f} µs{look}, {trial.gain_pct:+.1f} % beside the parent"
