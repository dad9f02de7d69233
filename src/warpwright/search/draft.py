"""From chosen configs to a program that passed the verifier: emitted, and held to its verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from warpwright.program.edit.strict_order import in_strict_order
from warpwright.proposers.configs.emit import emit_plans
from warpwright.proposers.configs.plan import rules_of
from warpwright.proposers.configs.requested import with_own_list, without_new
from warpwright.search.moves import UNVERIFIED, Moved, not_as_claimed
from warpwright.store.run_context import RunContext
from warpwright.types.answer import ConfigPlan, Fate
from warpwright.types.candidate import Candidate, Move
from warpwright.types.config import Config
from warpwright.types.request import Request
from warpwright.types.study import Study
from warpwright.types.verdict import EditLimits, Status, Verdict
from warpwright.verifier.verify import Verification, VerifyContext, verify

ATTEMPTS = 5  # two for configs that fail, two for lists that rules refuse, and the last
DROPS_SHARE = 0.12  # of the time limit: what verifying takes that only own configs are kept
WRONG_OUTPUT = "refused: its output is wrong (see accuracy)"

Failing = dict[str, set[Config]]
Confirm = Callable[[tuple[ConfigPlan, ...], str], Callable[[Verdict], tuple[Verdict, Failing]]]
"""Plans and program → checks that have begun; verdict so far → the one with theirs, what failed."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A program that passed the verifier; or why the parent stays (`keep`), with the plans."""

    plans: tuple[ConfigPlan, ...]
    program: str = ""
    gate: Verdict | None = None
    keep: str | None = None


def draft(
    request: Request,
    study: Study,
    run_context: RunContext,
    plans: tuple[ConfigPlan, ...],
    confirm: Confirm | None = None,
    wrong: Mapping[str, set[Config]] | None = None,
    limits: EditLimits | None = None,
    moved: Moved | None = None,
) -> Draft:
    """Emit the plans and put the program before the verifier, again without configs that fail.

    `confirm` begins to check it where it really runs, beside the interpreter; what comes of that
    counts where the rest passed. `wrong`: kernel → configs that were shown to be wrong already.
    `limits`: on what edits may change beside the stage's own. `moved`: a program that moves made of
    the request's; the plans are then for its configs.
    """
    context = VerifyContext(study, run_context, study.problem, limits=limits or EditLimits())
    rejected: Failing = {kernel: set(configs) for kernel, configs in (wrong or {}).items()}
    plans = _without_all(plans, rejected)
    refused: str | None = None
    base = study if moved is None else moved.study
    for _ in range(ATTEMPTS):
        program = emit_plans(base.view.source, list(zip(plans, base.calls, strict=True)))
        if program == request.program:
            if not (rejected or refused) and (
                own := _verdict(request, request.program, context).failing
            ):
                rejected, plans = own, _without_all(plans, own)
                continue
            return Draft(plans, keep=refused or _nothing(plans))
        program = in_strict_order(program)
        moves = () if moved is None else moved.candidate.moves
        # New configs leave time to the program without them, should they not be verified by then.
        own_bench = (
            run_context
            if moved is not None or _only_drops(plans)
            else run_context.leaving(DROPS_SHARE)
        )
        this = replace(context, wrong=rejected, run_context=own_bench)
        confirmed = None if confirm is None else confirm(plans, program)
        found = _verdict(request, program, this, moves)
        if found.accuracy.differing:
            return Draft(plans, keep=own_outputs_differ(found.accuracy.differing))
        if moved is not None and (differing := not_as_claimed(moved.candidate, found, plans)):
            return Draft(plans, keep=f"the candidate was refused: {differing}")
        gate, failing = found.gate, found.failing
        if (copied := _wrong_in_the_copy_alone(request, context, failing)) is not None:
            return Draft(plans, keep=copied)
        if not failing and confirmed is not None and gate.status is not Status.FAIL:
            gate, failing = confirmed(gate)
        if not failing and gate.status is Status.FAIL:
            refused = refused or _refusal(gate)
            if (simpler := _simpler(request, plans)) is not None:
                plans = simpler
                continue
        in_time = found.accuracy.result.in_time
        if not failing and not in_time and moved is not None:
            return Draft(plans, keep=UNVERIFIED)
        if not failing and not in_time and refused is None:
            # Binaries that the program has already need no check; new ones do.
            refused = UNVERIFIED
            fewer = tuple(without_new(plan, rules_of(request)) for plan in plans)
            if fewer != plans:
                plans = fewer
                continue
        if not failing:
            break
        for kernel, configs in failing.items():
            rejected.setdefault(kernel, set()).update(configs)
        plans = _without_all(plans, rejected)
    else:
        return Draft(plans, keep=refused or "configs kept failing accuracy (see there)")
    plans = tuple(_with_wrong_told(plan) for plan in plans)
    if gate.status is Status.FAIL:
        return Draft(plans, keep=refused or _refusal(gate))
    if not in_time and not _only_drops(plans):
        return Draft(plans, keep=UNVERIFIED)
    return Draft(plans, program, gate)


def _simpler(request: Request, plans: tuple[ConfigPlan, ...]) -> tuple[ConfigPlan, ...] | None:
    """The plans without new configs, or else with the lists that the program came with: of those
    the rules ask nothing. None where they are these already."""
    for simpler in (
        tuple(without_new(plan, rules_of(request)) for plan in plans),
        tuple(with_own_list(plan) for plan in plans),
    ):
        if simpler != plans:
            return simpler
    return None


def _verdict(
    request: Request, program: str, context: VerifyContext, moves: tuple[Move, ...] = ()
) -> Verification:
    return verify(Candidate(request.program, program, moves), request, context)


def _only_drops(plans: Sequence[ConfigPlan]) -> bool:
    """Whether every config that stays is the program's own: then so is each binary."""
    return not any(choice.kept and choice.proposed for plan in plans for choice in plan.choices)


def own_outputs_differ(which: Sequence[str]) -> str:
    """Why the parent stays where some of its own configs differ and no reference decides."""
    return (
        "the program's own configs give different outputs, or it never gives the same twice "
        f"({'; '.join(which[:3])}). Nothing tells which is right: give the problem with its Model"
    )


def _nothing(plans: Sequence[ConfigPlan]) -> str:
    """Why plans that change nothing change nothing: what became of the new configs."""
    plain = "nothing better can be shown"
    for plan in plans:
        own = [choice for choice in plan.choices if not choice.proposed]
        if own and all(choice.reason == WRONG_OUTPUT for choice in own):
            return f"{plan.kernel}: the program's output is wrong with each of its configs"
    if alone := [plan for plan in plans if plan.left_alone]:
        plain = f"{plain}: {alone[0].kernel}: {alone[0].left_alone}"
    new = [choice for plan in plans for choice in plan.choices if choice.proposed]
    if not new:
        return plain
    return f"{plain}: of {len(new)} new configs none is of use ({new[0].config}: {new[0].reason})"


def _refusal(gate: Verdict) -> str:
    broken = "; ".join(str(violation) for violation in gate.violations[:3])
    return f"the candidate was refused: {broken}"


def _wrong_in_the_copy_alone(
    request: Request, context: VerifyContext, failing: Failing
) -> str | None:
    """An original that is wrong in the program as emitted and not in the program as it came: then
    the edit is at fault, and nothing is said of the parent. None where there is no such config."""
    kernels = context.parent.kernels
    own = {kernel.kernel: {c.config for c in kernel.configs} for kernel in kernels}
    suspects = {kernel: configs & own.get(kernel, set()) for kernel, configs in failing.items()}
    if not any(suspects.values()):
        return None
    wrong = _verdict(request, request.program, context).failing
    for kernel, configs in suspects.items():
        for config in sorted(configs - wrong.get(kernel, set()), key=str):
            return (
                f"the program as it was written anew gives a wrong output with {config} of "
                f"{kernel}, and the program as it came does not: the fault is of this edit"
            )
    return None


def _without_all(
    plans: tuple[ConfigPlan, ...], rejected: Mapping[str, set[Config]]
) -> tuple[ConfigPlan, ...]:
    return tuple(_without(plan, rejected.get(plan.kernel, set())) for plan in plans)


def _without(plan: ConfigPlan, rejected: set[Config]) -> ConfigPlan:
    choices = tuple(
        replace(choice, kept=False, reason=WRONG_OUTPUT, fate=Fate.WRONG)
        if choice.config in rejected and choice.kept
        else choice
        for choice in plan.choices
    )
    return replace(plan, choices=choices)


def _with_wrong_told(plan: ConfigPlan) -> ConfigPlan:
    """Originals that compute something wrong are a conflict: the rules ask to keep them."""
    wrong = [c.config for c in plan.choices if not c.proposed and c.reason == WRONG_OUTPUT]
    if not wrong:
        return plan
    told = (
        f"{plan.kernel}: the program's own {'; '.join(map(str, wrong))} computes something else "
        "than the reference; the rules ask to keep originals, and a wrong one is not handed out"
    )
    return replace(plan, conflicts=(*plan.conflicts, told))
