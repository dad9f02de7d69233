"""One line that says what became of a program's config lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from warpwright.types.answer import ConfigPlan, Fate
from warpwright.types.calls import KernelCalls


def what_changed(plans: Sequence[ConfigPlan], calls: Sequence[KernelCalls]) -> str:
    """How many configs went, each kind by its name, and how many came."""
    parts = []
    for plan, call in zip(plans, calls, strict=True):
        if plan.left_alone or not plan.choices:
            continue
        own = [choice for choice in plan.choices if not choice.proposed]
        fates = Counter(choice.fate for choice in own if not choice.kept)
        told = [_told(fate, count, plan) for fate in Fate if (count := fates.get(fate, 0))]
        if other := fates.get(None, 0):
            told.append(f"{other} gone (see its reason)")
        new = sum(choice.kept for choice in plan.choices if choice.proposed)
        parts.append(
            f"{call.name}: {len(own)} → {len(plan.kept)} configs "
            f"({', '.join([*told, f'{new} new'])})"
        )
    return "; ".join(parts)


def _told(fate: Fate, count: int, plan: ConfigPlan) -> str:
    if fate is Fate.LIMIT:
        limit = "" if plan.limit is None else f" of {plan.limit}"
        return f"{count} left out by the request's limit{limit}"
    one = {
        Fate.WRONG: "wrong gone",
        Fate.EQUAL: "equal binary gone" if count == 1 else "equal binaries gone",
        Fate.IMPOSSIBLE: "that cannot run gone",
        Fate.PRUNED: "that the program's own pruning never tries here gone",
        Fate.SLOWER: "measured to be slower gone",
    }
    return f"{count} {one[fate]}"
