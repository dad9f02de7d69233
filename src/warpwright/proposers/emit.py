"""From a chosen config list to a program: the smallest edit that puts it there."""

from __future__ import annotations

from collections.abc import Sequence

from warpwright.source.edit import add_autotune, set_configs
from warpwright.types.answer import ConfigPlan
from warpwright.types.calls import KernelCalls
from warpwright.types.program import Kernel
from warpwright.types.trace import ScalarArgument, TensorArgument

ACCUMULATING = ("atomic_add", "atomic_max", "atomic_min", "atomic_and", "atomic_or",
                "atomic_xor", "atomic_xchg", "atomic_cas")  # fmt: skip


def emit_plans(source: str, plans: Sequence[tuple[ConfigPlan, KernelCalls]]) -> str:
    """The program with the config list of each plan; unchanged where a plan changes nothing."""
    for plan, calls in plans:
        if plan.left_alone or _changes_nothing(plan, calls):
            continue
        if calls.source.autotune is not None:
            source = set_configs(source, calls.name, plan.kept)
        else:
            source = add_autotune(source, calls.name, plan.kept, tuning_key(calls))
    return source


def _changes_nothing(plan: ConfigPlan, calls: KernelCalls) -> bool:
    return plan.kept == calls.configs


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


def reason_to_leave_alone(calls: KernelCalls) -> str | None:
    """Why autotune must not be added to a kernel, or None.

    Every config that the tuner tries runs on the live output, so a kernel that adds to what is
    there, or reads what it writes, would compute something else.
    """
    if calls.source.autotune is not None:
        return None
    if calls.source.operations_named(*ACCUMULATING):
        return "it uses atomics, and tuning would run it several times on the live output"
    loads = {_base(op.arguments) for op in calls.source.operations_named("load")}
    stores = {_base(op.arguments) for op in calls.source.operations_named("store")}
    both = sorted(name for name in loads & stores if name)
    if both:
        return f"it reads and writes {both[0]}, and tuning would run it several times on it"
    for launch in calls.launches:
        written = {n for n, a in launch.arguments.items() if n in stores}
        storages = [
            argument.storage
            for name, argument in launch.arguments.items()
            if isinstance(argument, TensorArgument) and (name in loads or name in written)
        ]
        if len(storages) != len(set(storages)) and written:
            return "it is launched in place: one tensor is read and written"
    return None


def _base(arguments: tuple[str, ...]) -> str:
    """The first name in an address: the pointer, in the usual `ptr + offsets`."""
    if not arguments:
        return ""
    text = arguments[0].strip("( ")
    name = ""
    for character in text:
        if not (character.isalnum() or character == "_"):
            break
        name += character
    return name
