"""A candidate before the verifier: what its configs compile to, and every check on it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

from warpwright.program.difference.difference import difference
from warpwright.types.compiled import Compiled, CompileResult, Occupancy, Unlaunchable
from warpwright.types.config import Config
from warpwright.types.launch_trace import Trace
from warpwright.types.program import ProgramView
from warpwright.types.request import Request
from warpwright.types.study import ConfigStudy, KernelStudy, Study
from warpwright.types.verdict import Verdict
from warpwright.verifier.checks.checks import judge
from warpwright.verifier.rules.launch_configs import launch_configs
from warpwright.verifier.rules.rule_context import CompileEvidence, ConfigKey, RuleContext


def evidence_of(
    view: ProgramView,
    kernels: Mapping[str, KernelStudy],
    wrong: Mapping[str, AbstractSet[Config]] | None = None,
) -> CompileEvidence:
    """Compile evidence in the verifier's terms, one entry a kernel and config as written.

    Where a config was compiled for several specialisation classes, the entry is the first
    class's, with an identity over all of them: equal only if equal in each. `wrong`: kernel →
    configs whose output was shown to be wrong.
    """
    results: dict[ConfigKey, CompileResult] = {}
    occupancies: dict[ConfigKey, Occupancy] = {}
    never: dict[ConfigKey, Unlaunchable] = {}
    for kernel in view.launched_kernels:
        study = kernels.get(kernel.name)
        if study is None:
            continue
        for config, key in _keys(view, study):
            if not config.compiled:
                continue
            first = config.compiled[0]
            results[key] = _with_identity(first.result, config)
            if first.occupancy is not None:
                occupancies[key] = first.occupancy
            if first.unlaunchable and not config.launchable:
                never[key] = first.unlaunchable[0]
    reasons = {
        (kernel, config): "its output is wrong"
        for kernel, configs in (wrong or {}).items()
        for config in configs
    }
    return CompileEvidence(results, occupancies, never, reasons)


def _keys(view: ProgramView, study: KernelStudy) -> list[tuple[ConfigStudy, ConfigKey]]:
    """Each studied config with the key under which the verifier looks it up."""
    kernel = view.kernel(study.kernel)
    if kernel is None:
        return []
    pairs = [(config, (study.kernel, config.config)) for config in study.configs]
    if kernel.autotune is not None:
        return pairs
    # Without autotune the verifier's key holds the tile parameters that the launch passes.
    names = frozenset(p.name for p in kernel.parameters if p.is_constexpr)
    for launched in launch_configs(view, kernel, names) or ():
        for config in study.configs:
            options = (config.config.num_warps, config.config.num_stages)
            if options == (launched.num_warps, launched.num_stages):
                pairs.append((config, (study.kernel, launched.key)))
    return pairs


def _with_identity(result: CompileResult, config: ConfigStudy) -> CompileResult:
    if not isinstance(result, Compiled) or config.identity is None:
        return result
    joined = hashlib.sha256("".join(config.identity).encode()).hexdigest()
    return replace(result, cubin_sha256=joined)


def active_configs(study: Study) -> dict[str, frozenset[Config]]:
    """Kernel → the configs that may have been active; kernels with nothing known are left out."""
    return {
        kernel.kernel: frozenset(config.config for config in kernel.active)
        for kernel in study.kernels
        if kernel.active
    }


def with_built_lists(view: ProgramView, kernels: Mapping[str, KernelStudy]) -> ProgramView:
    """The view with the config lists that code builds as the trace found them.

    A list that can be read stays as written, also where the tuner prunes it.
    """
    known = []
    for kernel in view.kernels:
        study, autotune = kernels.get(kernel.name), kernel.autotune
        if autotune is not None and autotune.configs is None and study and study.configs:
            configs = tuple(replace(c.config, line=autotune.line) for c in study.configs)
            built = replace(autotune, configs=configs, traced=True)
            kernel = replace(kernel, autotune=built)
        known.append(kernel)
    return replace(view, kernels=tuple(known))


def rule_context(
    request: Request,
    parent: Study,
    child: ProgramView,
    child_kernels: Mapping[str, KernelStudy],
    exhausted: frozenset[str],
    wrong: Mapping[str, AbstractSet[Config]],
    trace: Trace | None = None,
) -> RuleContext:
    """All that the pure checks of a candidate read."""
    parents = {kernel.kernel: kernel for kernel in parent.kernels}
    view, child = with_built_lists(parent.view, parents), with_built_lists(child, child_kernels)
    return RuleContext(
        stage=request.stage,
        parent=view,
        child=child,
        edits=difference(parent.view.source, child.source),
        output_rules=request.output_rules,
        sheet=parent.gpu.sheet,
        profile=request.profile,
        active=active_configs(parent),
        parent_evidence=evidence_of(view, parents, wrong),
        child_evidence=evidence_of(child, child_kernels),
        exhausted=exhausted,
        parent_trace=parent.trace,
        child_trace=trace,
    )


def judge_candidate(
    request: Request,
    parent: Study,
    child: ProgramView,
    child_kernels: Mapping[str, KernelStudy],
    exhausted: frozenset[str] = frozenset(),
    wrong: Mapping[str, AbstractSet[Config]] | None = None,
    trace: Trace | None = None,
) -> Verdict:
    """Format, names, rules and integrity of a candidate. Accuracy is added by the caller.

    `exhausted`: kernels for which the rules allow no further distinct config. `wrong`: kernel →
    configs of the parent whose output was shown to be wrong; they need not stay. `trace`: the
    candidate's on the problem's inputs.
    """
    context = rule_context(request, parent, child, child_kernels, exhausted, wrong or {}, trace)
    return judge(context)
