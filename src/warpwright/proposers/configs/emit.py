"""From a chosen config list to a program: the smallest edit that puts it there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from warpwright.program.view import read_program
from warpwright.proposers.configs.tile_limits import passed_size
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.config_list import apply_configs, configs_move
from warpwright.proposers.rewrites.pin import PIN, apply_pin, pin_move
from warpwright.types.answer import ConfigPlan
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.config import Config
from warpwright.types.launch_trace import ScalarArgument, TensorArgument
from warpwright.types.program import Kernel, ProgramView
from warpwright.verifier.rules.autotune import changed_by_running, is_tuned


def emit_plans(source: str, plans: Sequence[tuple[ConfigPlan, KernelCalls]]) -> str:
    """The program with the config list of each plan; unchanged where a plan changes nothing."""
    for move in moves_of(plans, source):
        source = apply_pin(source, move) if move.name == PIN else apply_configs(source, move)
    return source


def moves_of(plans: Sequence[tuple[ConfigPlan, KernelCalls]], source: str) -> tuple[Move, ...]:
    """The plans as moves, to be replayed on the parent, which is `source`; none where a plan
    changes nothing."""
    return tuple(
        _move(plan, calls, source)
        for plan, calls in plans
        if not plan.left_alone and not _changes_nothing(plan, calls)
    )


def _move(plan: ConfigPlan, calls: KernelCalls, source: str) -> Move:
    """One config for a kernel without autotune is passed by its launches: no tuner is needed."""
    kept = with_passed_sizes(calls, plan.kept)
    if calls.source.autotune is not None:
        return configs_move(calls.name, kept, (), _claim(kept, calls.configs))
    if len(kept) == 1:
        return pin_move(calls.name, kept[0])
    restored, _ = to_restore(read_program(source), calls)
    return configs_move(calls.name, kept, tuning_key(calls), _claim(kept, kept[:1]), restored)


def to_restore(view: ProgramView, calls: KernelCalls) -> tuple[tuple[str, ...], str | None]:
    """Arguments that a new tuner has to put back after each try, and what it cannot put back.

    Every config that it tries runs on the live tensors, so a kernel that adds to what is there, or
    reads what it writes, would compute something else. (Whether zeroing is right depends on what
    the host put there, so values are restored.)
    """
    names = {parameter.name for parameter in calls.source.parameters}
    found = dict(changed_by_running(view, calls.source, calls.launches))
    lacking = [why for name, why in found.items() if not _is_tensor(name, names, calls)]
    return tuple(name for name in found if name in names), next(iter(lacking), None)


def _is_tensor(name: str, names: Collection[str], calls: KernelCalls) -> bool:
    given = [launch.arguments.get(name) for launch in calls.launches]
    return name in names and all(isinstance(one, TensorArgument) for one in given)


def _claim(kept: Sequence[Config], own: Sequence[Config]) -> Claim:
    """Another tile adds up in another order; warps and stages leave every sum as it is."""
    new = {config.meta for config in kept} - {config.meta for config in own}
    return Claim.SAME_SUM if new else Claim.BIT_EQUAL


def with_passed_sizes(calls: KernelCalls, configs: Sequence[Config]) -> tuple[Config, ...]:
    """The configs with the sizes that some of them set set in all: as the launches pass them."""
    names = {name for config in configs for name in config.meta_dict}
    found = []
    for config in configs:
        passed = {
            name: size
            for name in names - config.meta_dict.keys()
            for launch in calls.launches[:1]
            if (size := passed_size(launch, name)) is not None
        }
        meta = (*config.meta, *passed.items())
        found.append(replace(config, meta=meta) if passed else config)
    return tuple(dict.fromkeys(found))


def _changes_nothing(plan: ConfigPlan, calls: KernelCalls) -> bool:
    # A list of which nothing is left cannot be written; the verdict tells what is wrong.
    autotune = calls.source.autotune
    listed = calls.configs if autotune is None or autotune.configs is None else autotune.configs
    return set(plan.kept) == set(listed) or not plan.kept


def tuning_key(calls: KernelCalls) -> tuple[str, ...]:
    """Arguments that a new autotune is keyed on: the whole numbers the kernel is called with.

    They are the sizes and strides; when one changes, another config may be best.
    """
    for launch in calls.launches:
        names = [
            name
            for name, argument in launch.arguments.items()
            if isinstance(argument, ScalarArgument) and argument.type.startswith(("i", "u"))
        ]
        return tuple(names)
    pointers = pointer_parameters(calls.source)
    return tuple(
        p.name for p in calls.source.parameters if not p.is_constexpr and p.name not in pointers
    )


def pointer_parameters(kernel: Kernel) -> frozenset[str]:
    """Parameters that stand in the address of a load, store or atomic."""
    addresses = [
        op.arguments[0] for op in kernel.operations if op.arguments and _touches_memory(op.name)
    ]
    return frozenset(
        p.name for p in kernel.parameters if any(p.name in address for address in addresses)
    )


def _touches_memory(name: str) -> bool:
    return name in ("load", "store") or name.startswith("atomic")


def reason_to_leave_alone(view: ProgramView, calls: KernelCalls) -> str | None:
    """Why a kernel's configs must not or cannot be changed, or None."""
    return _not_to_be_tuned(view, calls) or _not_editable(view, calls)


def _not_editable(view: ProgramView, calls: KernelCalls) -> str | None:
    """Why no list can be written where the kernel stands: the edit itself is tried."""
    if not calls.configs:
        return None
    autotune = calls.source.autotune
    own = {parameter.name for parameter in calls.source.parameters}
    for config in (autotune.configs or ()) if autotune is not None else ():
        if strange := sorted(config.meta_dict.keys() - own):
            return (
                f"its configs set {', '.join(strange)}, which is no parameter of it: what that "
                "does is not known here"
            )
    tuned = calls.source.autotune is not None
    if not tuned and not any(site.kernel == calls.name for site in view.launches):
        return "no launch of it is found by reading, so what its launches pass is not known"
    key = () if tuned else tuning_key(calls)
    try:
        apply_configs(view.source, configs_move(calls.name, calls.configs, key))
    except DoesNotApply as refused:
        return refused.reason
    return None


def _not_to_be_tuned(view: ProgramView, calls: KernelCalls) -> str | None:
    """Why a kernel must not begin to be tuned, or None: what a try changes cannot be put back."""
    if is_tuned(calls.source):
        return None
    _, lacking = to_restore(view, calls)
    if calls.source.autotune is not None:  # (whose list alone is edited)
        lacking = next((why for _, why in changed_by_running(view, calls.source)), None)
    if lacking is None:
        return None
    return f"{lacking}, and tuning would run it several times on the live output"


def reason_to_stand_alone(view: ProgramView, calls: KernelCalls) -> str | None:
    """Why a kernel without autotune may have one other config and no tuner; None where it may not
    have that either, or may be tuned."""
    reason = reason_to_leave_alone(view, calls)
    if reason is None or calls.source.autotune is not None or len(calls.configs) != 1:
        return None
    if not any(site.kernel == calls.name for site in view.launches):
        return None
    try:
        apply_pin(view.source, pin_move(calls.name, calls.configs[0]))
    except DoesNotApply:
        return None
    return reason
