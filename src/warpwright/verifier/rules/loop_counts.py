"""Whether a candidate's loops run as often as its parent's, or do as much in fewer steps.

In the tuning stage a loop that stops early is refused by reading, with the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from warpwright.program.loop_texts import TripCount
from warpwright.program.memory_accesses import kernel_node
from warpwright.types.config import MetaValue
from warpwright.verifier.rules.always_true import Unbounded, span_of
from warpwright.verifier.rules.elements_read import elements_read
from warpwright.verifier.rules.finding import OBEYED, RuleFinding, RuleReading, merged, violated
from warpwright.verifier.rules.rule_context import KernelPair
from warpwright.verifier.rules.variants import Variant

RULE = "stage.semantics"


def loops_lost(reading: RuleReading, pair: KernelPair, variant: Variant) -> RuleFinding:
    """Loops answer each other in order, where there are as many as before.

    Fewer steps that read as much, with more lanes each, are told: comparing outputs decides.
    """
    before, after = variant.before, variant.after
    if len(before.trips) != len(after.trips):
        return OBEYED
    old_texts = Counter(trip.text or trip.written for trip in before.trips)
    new_texts = Counter(trip.text or trip.written for trip in after.trips)
    if old_texts == new_texts:
        return OBEYED
    runs = [
        (_times(before.trips, r.values), _times(after.trips, r.child_values)) for r in variant.ran
    ]
    known = [(old, new) for old, new in runs if old is not None and new is not None]
    if runs and len(known) == len(runs) and all(old == new for old, new in known):
        return OBEYED  # as often, in another order or written otherwise
    fewer = next(((old, new) for old, new in known if new < old), None)
    if fewer is not None and _reads_as_much(reading, pair, variant):
        note = (
            f"the loops of {pair.child.name} run {fewer[1]} times instead of {fewer[0]}, and read"
        )
        return RuleFinding(notes=(f"{note} as many elements: comparing outputs decides",))
    if fewer is not None:
        expected = f"the loops of {pair.child.name} run {fewer[0]} times, as in the parent"
        found = f"loop bound changed: {fewer[1]} times"
        return violated(RULE, after.trips[0].line, expected, found)
    findings = []
    for old, new in zip(before.trips, after.trips, strict=True):
        if _is_other_bound(old, new):
            expected = f"the loop of {pair.child.name} as it was: {old.written}"
            found = f"loop bound changed: {new.written}"
            findings.append(violated(RULE, new.line, expected, found))
    return merged(findings)


def _reads_as_much(reading: RuleReading, pair: KernelPair, variant: Variant) -> bool:
    """Whether a block's loads of each pointer come to as many elements as before, in each run."""
    context = reading.context
    old = kernel_node(context.parent.source, pair.parent.name, variant.parent)
    new = kernel_node(context.child.source, pair.child.name, variant.child)
    if old is None or new is None:
        return False
    for ran in variant.ran:
        before = elements_read(old, ran.values)
        after = elements_read(new, ran.child_values)
        if not before or after is None:
            return False
        if any(after.get(pointer, 0) < count for pointer, count in before.items()):
            return False
    return True


def _times(trips: Sequence[TripCount], values: Mapping[str, MetaValue]) -> int | None:
    """How often a nest of loops runs its inside with these arguments; None: not to be told."""
    total = 1
    for trip in trips:
        try:
            low, high = span_of(trip.text or "", values)
        except Unbounded:
            return None
        if low != high:
            return None
        total *= max(0, low)
    return total


def _is_other_bound(old: TripCount, new: TripCount) -> bool:
    """The bound differs and uses nothing new, so that it cannot be another name for it."""
    if old.text is not None and new.text is not None:
        return old.text != new.text and new.names <= old.names
    if old.text is None and new.text is None:
        return old.written != new.written and new.names <= old.names
    return False
