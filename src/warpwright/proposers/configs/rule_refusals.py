"""New configs that a rule of the stage refuses once it is known what they compile to.

The proposer keeps to the rules on numbers (`proposers.configs.constraints`). Rules with a
condition, on registers, spills or stalls, are decided by the verifier on compiled configs. It is
asked here, before anything is chosen or measured: a config that it would refuse at the end takes
nobody's place, costs no time on the card, and does not take the whole list down with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from warpwright.program.view import read_program
from warpwright.proposers.configs.emit import emit_plans
from warpwright.types.answer import ConfigChoice, ConfigPlan
from warpwright.types.calls import KernelCalls
from warpwright.types.config import Config
from warpwright.types.request import Request
from warpwright.types.study import ConfigStudy, KernelStudy, Study
from warpwright.verifier.checks.candidate_checks import judge_candidate


def refused_by_rules(
    request: Request, study: Study, calls: KernelCalls, new: KernelStudy, *, alone: bool = False
) -> dict[Config, str]:
    """Which of a kernel's new configs break a rule, each with the first that it breaks.

    `new`: the kernel with its new configs alone, compiled. Those that can never run are left out.
    `alone`: only one of them may stand, so each is asked about by itself.
    """
    tried = [config for config in new.configs if config.launchable]
    return _refused(request, study, calls, new, tried, alone=alone)


def refused_before_compiling(
    request: Request, study: Study, calls: KernelCalls, configs: Sequence[Config], *, alone: bool
) -> dict[Config, str]:
    """The same of configs that are not compiled yet, by the rules that reading decides."""
    new = KernelStudy(calls.name, calls.autotuned, tuple(ConfigStudy(c, ()) for c in configs))
    return _refused(request, study, calls, new, new.configs, alone=alone)


def _refused(
    request: Request,
    study: Study,
    calls: KernelCalls,
    new: KernelStudy,
    tried: Sequence[ConfigStudy],
    *,
    alone: bool,
) -> dict[Config, str]:
    if not tried:
        return {}
    if not alone:
        return _refused_together(request, study, calls, new, [c.config for c in tried])
    refused: dict[Config, str] = {}
    for config in tried:
        only = ConfigPlan(new.kernel, (ConfigChoice(config.config, True, True, ""),))
        child = read_program(emit_plans(study.view.source, [(only, calls)]))
        own = {kernel.kernel: kernel for kernel in study.kernels}
        own[new.kernel] = replace(new, configs=(config,))
        for violation in judge_candidate(request, study, child, own).violations:
            refused.setdefault(
                config.config, f"breaks {violation.rule}: expected {violation.expected}"
            )
    return refused


def _refused_together(
    request: Request,
    study: Study,
    calls: KernelCalls,
    new: KernelStudy,
    tried: Sequence[Config],
) -> dict[Config, str]:
    """By one list of all of them: a violation is told with the line of its config."""
    own = {kernel.kernel: kernel for kernel in study.kernels}
    kernel = own[new.kernel]
    listed = dict.fromkeys([*(config.config for config in kernel.configs), *tried])
    plan = ConfigPlan(
        new.kernel, tuple(ConfigChoice(config, config in tried, True, "") for config in listed)
    )
    program = emit_plans(study.view.source, [(plan, calls)])
    if program == study.view.source:
        return {}
    child = read_program(program)
    own[new.kernel] = replace(kernel, configs=(*kernel.configs, *new.configs))
    gate = judge_candidate(request, study, child, own)
    written = child.kernel(new.kernel)
    tune = None if written is None else written.autotune
    lines = {config.line: config for config in (tune.configs or () if tune is not None else ())}
    refused: dict[Config, str] = {}
    for violation in gate.violations:
        config = lines.get(violation.line)
        if config is not None and config in tried:
            refused.setdefault(config, f"breaks {violation.rule}: expected {violation.expected}")
    return refused


def with_refused(plan: ConfigPlan, new: KernelStudy, refused: dict[Config, str]) -> ConfigPlan:
    """The plan, which was chosen without them, with the refused configs told at its end."""
    told = tuple(
        ConfigChoice(study.config, True, False, refused[study.config], study)
        for study in new.configs
        if study.config in refused
    )
    return replace(plan, choices=(*plan.choices, *told))
