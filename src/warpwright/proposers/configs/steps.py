"""Steps from a config to its neighbours, ordered by the causes that speak for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from warpwright.analysis.causes import cause_for, is_ruled_out
from warpwright.analysis.findings import stages_do_nothing
from warpwright.types.config import Config
from warpwright.types.study import ConfigStep, KernelStudy

SANE_WARPS = (1, 2, 4, 8, 16)


def steps_around(
    kernel: KernelStudy, bases: Sequence[Config], stage_step: int, warps: Sequence[int] | None
) -> tuple[Config, ...]:
    """Configs one step away from the bases: num_stages within `stage_step`, num_warps by 2.

    By the score of the cause that speaks for the step; steps that none speaks for last, stages
    before warps. A step that a cause rules out is not made. `warps`: the values allowed, None
    for any.
    """
    steps = [step for base in bases for step in _stage_steps(base, stage_step)]
    steps += [step for base in bases for step in _warp_steps(base, warps or SANE_WARPS)]
    allowed = [step for step in steps if not _changes_nothing(kernel, step[0])]
    ordered = sorted(allowed, key=lambda step: -_score(kernel, step[0]))
    return tuple(dict.fromkeys(config for _, config in ordered))


def _stage_steps(base: Config, step: int) -> list[tuple[ConfigStep, Config]]:
    return [
        (
            ConfigStep.MORE_STAGES if change > 0 else ConfigStep.FEWER_STAGES,
            replace(base, num_stages=base.num_stages + change, explicit=(), line=None),
        )
        for distance in range(1, step + 1)
        for change in (distance, -distance)
        if base.num_stages + change >= 1
    ]


def _warp_steps(base: Config, allowed: Sequence[int]) -> list[tuple[ConfigStep, Config]]:
    return [
        (move, replace(base, num_warps=warps, explicit=(), line=None))
        for move, warps in (
            (ConfigStep.MORE_WARPS, base.num_warps * 2),
            (ConfigStep.FEWER_WARPS, base.num_warps // 2),
        )
        if warps in allowed
    ]


def _changes_nothing(kernel: KernelStudy, move: ConfigStep) -> bool:
    stages = move in (ConfigStep.MORE_STAGES, ConfigStep.FEWER_STAGES)
    return is_ruled_out(kernel.causes, move) or (stages and stages_do_nothing(kernel))


def _score(kernel: KernelStudy, move: ConfigStep) -> float:
    """The score of the highest cause that speaks for a move; 0 where none does."""
    cause = cause_for(kernel.causes, move)
    return 0.0 if cause is None else cause.score


def moves_between(base: Config, config: Config) -> tuple[ConfigStep, ...]:
    """The moves that lead from one config to another with the same meta-parameters."""
    moves = []
    if config.num_warps != base.num_warps:
        more = config.num_warps > base.num_warps
        moves.append(ConfigStep.MORE_WARPS if more else ConfigStep.FEWER_WARPS)
    if config.num_stages != base.num_stages:
        more = config.num_stages > base.num_stages
        moves.append(ConfigStep.MORE_STAGES if more else ConfigStep.FEWER_STAGES)
    return tuple(moves)
