"""Which burst runs when, and which bursts are compared."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from warpwright.bench.statistics.budget import Budget
from warpwright.types.measurement import Burst, BurstPair

PARENT = "parent"
"""The name under which the parent stands in a plan; no candidate may have it."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A place for a worker: one process for one program. `copy` tells the two parents apart."""

    group: int
    program: str
    copy: int = 0


@dataclass(frozen=True, slots=True)
class PlannedBurst:
    """A burst to run: the `order`-th of the plan, in a round of its group, of so many calls."""

    order: int
    round: int
    seat: Seat
    calls: int


@dataclass(frozen=True, slots=True)
class Pairs:
    """Bursts put together: by candidate, and the parent's two copies (A/A)."""

    candidates: Mapping[str, tuple[BurstPair, ...]]
    same: tuple[BurstPair, ...]


def plan_screening(
    budget: Budget, candidate: str, call_us: float, *, seed: int, first_order: int = 0
) -> tuple[PlannedBurst, ...]:
    """One candidate against the parent, one worker each. `call_us`: the parent's time a call."""
    _refuse_parent_name([candidate])
    seats = [Seat(0, PARENT), Seat(0, candidate)]
    calls = budget.screening_calls(call_us)
    shuffled = random.Random(seed)
    counts = dict.fromkeys(seats, calls)
    return tuple(interleave(counts, budget.screening_rounds, shuffled, first_order))


def plan_finalists(
    budget: Budget, finalists: Sequence[str], call_us: float, *, seed: int, first_order: int = 0
) -> tuple[PlannedBurst, ...]:
    """All finalists and two copies of the parent, group after group.

    A group's workers are needed only while its rounds run: it starts where `seat.group` changes.
    """
    _refuse_parent_name(finalists)
    shuffled = random.Random(seed)
    planned: list[PlannedBurst] = []
    for group in range(budget.groups):
        seats = [Seat(group, PARENT), Seat(group, PARENT, 1)]
        seats += [Seat(group, name) for name in finalists]
        start = first_order + len(planned)
        counts = dict.fromkeys(seats, budget.calls(call_us))
        planned += interleave(counts, budget.rounds, shuffled, start)
    return tuple(planned)


def _refuse_parent_name(candidates: Sequence[str]) -> None:
    if PARENT in candidates or len(set(candidates)) < len(candidates):
        raise ValueError(f"candidates need names of their own, not {PARENT!r}: {candidates}")


def interleave(
    calls: Mapping[Seat, int], rounds: int, shuffled: random.Random, first_order: int = 0
) -> Iterable[PlannedBurst]:
    """A burst of every seat in each round, of so many calls.

    In random order, every second round the reverse of the one before: what drifts steadily, and
    what favours an early place, weighs on every program alike.
    """
    order = first_order
    turn = list(calls)
    for number in range(rounds):
        if number % 2:
            turn.reverse()
        else:
            shuffled.shuffle(turn)
        for seat in turn:
            yield PlannedBurst(order, number, seat, calls[seat])
            order += 1


def pair_up(planned: Sequence[PlannedBurst], bursts: Iterable[Burst]) -> Pairs:
    """Pairs of bursts of one group and round, from what ran of a plan (matched by `order`).

    Each candidate is paired with every copy of the parent; a burst that never came (its worker
    died) leaves its pairs out.
    """
    by_order = {burst.order: burst for burst in bursts}
    rounds: defaultdict[tuple[int, int], dict[Seat, Burst]] = defaultdict(dict)
    for plan in planned:
        if plan.order in by_order:
            rounds[plan.seat.group, plan.round][plan.seat] = by_order[plan.order]
    candidates: defaultdict[str, list[BurstPair]] = defaultdict(list)
    same: list[BurstPair] = []
    for (group, _), ran in rounds.items():
        parents = [ran[seat] for copy in (0, 1) if (seat := Seat(group, PARENT, copy)) in ran]
        if len(parents) == 2:
            same.append(BurstPair(*parents))
        for seat, burst in ran.items():
            if seat.program != PARENT:
                candidates[seat.program] += (BurstPair(parent, burst) for parent in parents)
    return Pairs({name: tuple(pairs) for name, pairs in candidates.items()}, tuple(same))
