"""Configs that a request asks for by name, and plans that are left with little else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from warpwright.proposers.configs.constraints import TuningRules, asked_for
from warpwright.types.answer import ConfigChoice, ConfigPlan, Fate
from warpwright.types.config import Config
from warpwright.types.study import ConfigStudy

OWN_LIST = "original: stays, since a changed list breaks a rule of the stage"
REFUSED_TOGETHER = "left out: the list with the new configs breaks a rule of the stage"


def asked_twin(
    originals: Sequence[ConfigChoice], asked: Sequence[ConfigStudy]
) -> ConfigStudy | None:
    """A config that the rules ask for by name and that is the binary of an original that stays."""
    binaries = {c.study.identity for c in originals if c.kept and c.study} - {None}
    return next((study for study in asked if study.identity in binaries), None)


def in_its_twins_place(choices: Sequence[ConfigChoice], asked: ConfigStudy) -> list[ConfigChoice]:
    """The list with the config that is asked for instead of the original that is its binary."""
    twin = next(
        (c.config for c in choices if c.kept and c.study and c.study.identity == asked.identity),
        None,
    )
    if twin is None:
        return list(choices)
    told = {
        twin: f"the same binary as {asked.config}, which the request asks for by name",
        asked.config: f"asked for by the request, and the same binary as {twin}: takes its place",
    }
    return [
        replace(
            c,
            kept=c.config == asked.config,
            reason=told[c.config],
            fate=None if c.config == asked.config else Fate.EQUAL,
        )
        if c.config in told
        else c
        for c in choices
    ]


def making_room(
    originals: Sequence[Config], faster: Sequence[Config], rules: TuningRules
) -> dict[Config, str]:
    """Originals that give their places to configs that were measured to be faster, with the reason.

    `originals`: the fastest first. Only where the rules let originals go; the fastest stays, and
    one that they ask for by name unless a faster one is that.
    """
    if rules.count_max is None or rules.originals_stay or not faster:
        return {}
    staying = list(originals[: max(1, rules.count_max - len(faster))])
    named = [config for config in originals if asked_for(config, rules)]
    if named and not any(asked_for(config, rules) for config in (*staying, *faster)):
        staying = [*staying[: max(1, len(staying) - 1)], named[0]]
    reason = f"gives its place to a faster one: the request allows {rules.count_max} configs"
    return {config: reason for config in originals if config not in staying}


def without_new(plan: ConfigPlan, rules: TuningRules) -> ConfigPlan:
    """The plan with no new configs but those that the rules ask for by name.

    What is left only drops configs that are equal binaries, cannot run, or have no place; where
    it drops none, the list is that of the parent.
    """
    left = [
        replace(choice, kept=False, reason=REFUSED_TOGETHER)
        if choice.kept and choice.proposed and not asked_for(choice.config, rules)
        else choice
        for choice in plan.choices
    ]
    asked = {c.study.identity for c in left if c.kept and c.proposed and c.study} - {None}
    lost = [c for c in left if not c.kept and not c.proposed]
    if any(c.study is None or c.study.identity not in asked for c in lost):
        return replace(plan, choices=tuple(left))
    parents = tuple(
        replace(
            choice,
            kept=not choice.proposed,
            reason=REFUSED_TOGETHER if choice.proposed else "original: stays, alone",
        )
        if choice.kept is choice.proposed
        else choice
        for choice in left
    )
    return replace(plan, choices=parents)


def with_own_list(plan: ConfigPlan) -> ConfigPlan:
    """The plan with the list that the program came with, but for configs whose output is wrong and
    those that are the binary of one."""
    wrong = {c.study.identity for c in plan.choices if c.fate is Fate.WRONG and c.study} - {None}

    def as_it_came(choice: ConfigChoice) -> ConfigChoice:
        if choice.proposed:
            return replace(choice, kept=False, reason=REFUSED_TOGETHER) if choice.kept else choice
        is_wrong = choice.fate is Fate.WRONG or (choice.study and choice.study.identity in wrong)
        if choice.kept or is_wrong:
            return choice
        return replace(choice, kept=True, reason=OWN_LIST, fate=None)

    return replace(plan, choices=tuple(map(as_it_came, plan.choices)))
