"""What a candidate may not do to a kernel: lose work, drop masks, run fewer iterations.

In the tuning stage such edits are refused by reading, with the reason. In the other stages a
kernel is rewritten by design, and the comparison of outputs decides.
"""

from __future__ import annotations

import ast
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from warpwright.gate.always_true import Bounds, Unbounded, span_of
from warpwright.gate.configs import local_constants, tile_names
from warpwright.gate.context import KernelPair
from warpwright.gate.expressions import canonical_value
from warpwright.gate.kernels import Access, Constants, KernelBody, kernel_node
from warpwright.gate.loops import TripCount
from warpwright.gate.rules.finding import OBEYED, Finding, Reading, merged, violated
from warpwright.gate.rules.grid import sites_of
from warpwright.gate.variants import Variant, lines_left, variants, whole
from warpwright.source.nodes import names_in
from warpwright.types.config import MetaValue
from warpwright.types.program import Kernel, LaunchSite, ProgramView
from warpwright.types.stage import StageId
from warpwright.types.trace import Launch, TensorArgument

RULE = "stage.semantics"
_REDUCTIONS = (
    "sum", "max", "min", "reduce", "argmax", "argmin", "associative_scan", "cumsum", "cumprod",
    "xor_sum", "softmax", "sort",
)  # fmt: skip


def lost_work(reading: Reading) -> dict[str, Finding]:
    """Kernel of the candidate → what it is shown to have lost, in the tuning stage.

    A kernel is read as each config of each traced launch runs it, its branches on constants
    decided: one with a fast loop and the original one below `else` has one of them.
    """
    context = reading.context
    if context.stage.id is not StageId.TUNING:
        return {}
    found = {}
    for pair in (*reading.match.pairs, *_helpers(reading)):
        every = whole(context, pair)
        cases = variants(context, pair)
        findings = [
            _operations(reading, pair, every),
            _accesses(reading, pair, every),
            _sizes(reading, pair, every, cases),
        ]
        for variant in cases:
            findings += [
                _operations(reading, pair, variant),
                _accesses(reading, pair, variant),
                _masks(reading, pair, variant),
                _loops(pair, variant),
            ]
        total = merged(findings)
        found[pair.child.name] = replace(total, violations=tuple(dict.fromkeys(total.violations)))
    return found


def _helpers(reading: Reading) -> list[KernelPair]:
    """Functions that only kernels call, by name: work may stand in them as well."""
    found = []
    for kernel in reading.context.parent.kernels:
        same = reading.context.child.kernel(kernel.name)
        if kernel.is_helper and same is not None and same.is_helper:
            found.append(KernelPair(kernel, same))
    return found


def _total(view: ProgramView, kernel: Kernel, constants: Constants) -> Counter[str]:
    """Operations of a kernel and of the helpers it calls."""
    lines = lines_left(view, kernel, constants) if constants else None
    left = [op for op in kernel.operations if lines is None or op.line in lines]
    names = Counter(operation.name for operation in left)
    for name in kernel.calls:
        helper = view.kernel(name)
        if helper is not None and helper.name != kernel.name:
            names.update(operation.name for operation in helper.operations)
    return names


def _operations(reading: Reading, pair: KernelPair, variant: Variant) -> Finding:
    before = _total(reading.context.parent, pair.parent, variant.parent)
    after = _total(reading.context.child, pair.child, variant.child)
    line = pair.child.line
    findings = []
    for name in ("dot", "dot_scaled"):
        if after[name] < before[name]:
            expected = f"tl.{name} {before[name]} times in {pair.child.name}"
            found = f"tl.{name} removed: {after[name]} left"
            findings.append(violated(RULE, line, expected, found))
    for name in _REDUCTIONS:
        if before[name] and not any(after[other] for other in _REDUCTIONS):
            expected = f"tl.{name} in {pair.child.name}"
            findings.append(violated(RULE, line, expected, f"tl.{name} removed"))
    for name in sorted(n for n in before if n.startswith("atomic_")):
        if not after[name]:
            expected = f"tl.{name} in {pair.child.name}"
            findings.append(violated(RULE, line, expected, f"tl.{name} removed"))
    return merged(findings)


def _accesses(reading: Reading, pair: KernelPair, variant: Variant) -> Finding:
    """A pointer that was read or written, is still a parameter, and no longer is.

    One that is read as a copy that the host made is told: comparing outputs decides.
    """
    before, after = variant.before, variant.after
    findings = []
    kept = {parameter.name for parameter in pair.child.parameters}
    unknown = any(access.pointer is None for access in after.accesses)
    for kind, word in (("load", "read"), ("store", "written")):
        lost = before.pointers(kind) - after.pointers(kind)
        if unknown and not _none_of_kind(after, kind):
            continue
        for pointer in sorted(lost & kept):
            copy = _copy_read(reading, pair, after, pointer) if kind == "load" else None
            if copy is not None:
                note = f"{pointer} of {pair.child.name} is read as a copy ({copy}): comparing "
                findings.append(Finding(notes=(f"{note}outputs decides",)))
                continue
            expected = f"{pointer} {word} in {pair.child.name}"
            found = f"tl.{kind} of {pointer} removed"
            findings.append(violated(RULE, pair.child.line, expected, found))
    return merged(findings)


def _copy_read(reading: Reading, pair: KernelPair, after: KernelBody, pointer: str) -> str | None:
    """A new pointer that is read, and that in every launch holds as many elements of the same
    type as a parameter that is passed beside it; None without any."""
    trace = reading.context.child_trace
    launches = (
        [] if trace is None else [la for la in trace.launches if la.kernel == pair.child.name]
    )
    own = {parameter.name for parameter in pair.parent.parameters}

    def alike(launch: Launch, name: str) -> bool:
        one, other = launch.arguments.get(name), launch.arguments.get(pointer)
        if not isinstance(one, TensorArgument) or not isinstance(other, TensorArgument):
            return False
        return (one.dtype, math.prod(one.shape)) == (other.dtype, math.prod(other.shape))

    new = sorted(after.pointers("load") - own)
    return next((n for n in new if launches and all(alike(la, n) for la in launches)), None)


def _none_of_kind(body: KernelBody, kind: str) -> bool:
    return not any(access.kind == kind for access in body.accesses)


def _masks(reading: Reading, pair: KernelPair, variant: Variant) -> Finding:
    """An access through a pointer that was always masked, and now is not, although the mask is
    not shown to be true in every lane of every launch.

    A mask that lost some of its parts may still be enough (the grid may guarantee them), which
    reading cannot tell: it is told, and comparing outputs decides.
    """
    before, after = variant.before, variant.after
    findings = []
    for kind in ("load", "store"):
        ours = [access for access in before.accesses if access.kind == kind]
        keys = {access.pointer for access in ours} | {None}
        keys &= {access.pointer for access in after.accesses if access.kind == kind}
        for pointer in sorted(keys, key=str):  # None: the parameter cannot be told
            # Where the candidate's pointer cannot be told, it may be any of the parent's.
            answered = [a for a in ours if pointer is None or a.pointer == pointer]
            old = [a.mask for a in answered]
            new = [a for a in after.accesses if (a.kind, a.pointer) == (kind, pointer)]
            if None in old or not old:
                continue
            for access in new:
                what = f"tl.{kind} of {pointer or access.address[:60]} in {pair.child.name}"
                if access.mask is None and _always_true(reading, pair, variant, answered):
                    note = f"line {access.line}: the mask of {what} is gone, which is true in every"
                    note += " lane of these launches: comparing outputs decides"
                    findings.append(Finding(notes=(note,)))
                elif access.mask is None:
                    findings.append(
                        violated(RULE, access.line, f"{what} with its mask", "mask dropped")
                    )
                elif lost := _weakened([mask for mask in old if mask is not None], access.mask):
                    note = f"line {access.line}: the mask of {what} is weaker, without "
                    note += f"{shortened(lost)}: comparing outputs decides"
                    findings.append(Finding(notes=(note,)))
    return merged(findings)


def _always_true(
    reading: Reading, pair: KernelPair, variant: Variant, masked: Sequence[Access]
) -> bool:
    """Whether the parent's masks hold in every lane of each launch that runs this variant, by
    sizes that are compile-time arguments of the candidate."""
    node = kernel_node(reading.context.parent.source, pair.parent.name, variant.parent)
    if node is None or not variant.ran:
        return False
    sizes: set[str] = set().union(*(access.mask_names for access in masked))
    sizes &= {p.name for p in pair.parent.parameters if not p.is_constexpr}
    if sizes & {p.name for p in pair.child.parameters if not p.is_constexpr}:
        return False  # another call may pass another size
    masks = [access.mask_node or ast.Constant(None) for access in masked]
    return all(
        bounds.holds(mask)
        for bounds in (Bounds(node, ran.values, ran.grid) for ran in variant.ran)
        for mask in masks
    )


def shortened(parts: frozenset[str]) -> str:
    """The parts of a mask as text that fits a line."""
    text = " and ".join(sorted(parts, key=len))
    return text if len(text) <= 160 else f"{text[:157]}..."


def _weakened(old: list[frozenset[str]], new: frozenset[str]) -> frozenset[str]:
    """The parts that a mask lost, if it is one of the old ones less some parts."""
    if any(new >= mask for mask in old):
        return frozenset()
    larger = [mask for mask in old if new < mask]
    return min((mask - new for mask in larger), key=len, default=frozenset())


def _loops(pair: KernelPair, variant: Variant) -> Finding:
    """Loops answer each other in order, where there are as many as before."""
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


def _sizes(reading: Reading, pair: KernelPair, every: Variant, cases: Sequence[Variant]) -> Finding:
    """A size that bounds a loop or a mask is passed to the kernel as it was."""
    before, after = every.before, every.after
    sizes = set().union(*(trip.names for trip in (*before.trips, *after.trips)), frozenset())
    for access in (*before.accesses, *after.accesses):
        sizes |= access.mask_names
    sizes &= {p.name for p in pair.parent.parameters} & {p.name for p in pair.child.parameters}
    sizes -= tile_names(pair)  # the rules on block sizes judge those
    runs = [ran for variant in cases for ran in variant.ran]
    if runs:  # equal in all launches, however it is written
        sizes = {n for n in sizes if any(r.values.get(n) != r.child_values.get(n) for r in runs)}
    context = reading.context
    old_sites = sites_of(context.parent, pair.parent)
    new_sites = sites_of(context.child, pair.child)
    if len(old_sites) != len(new_sites):
        return OBEYED
    findings = []
    for old_site, new_site in zip(old_sites, new_sites, strict=True):
        old = _arguments(context.parent, pair.parent, old_site)
        new = _arguments(context.child, pair.child, new_site)
        for name in sorted(sizes & old.keys() & new.keys()):
            before_text, after_text = ast.unparse(old[name]), ast.unparse(new[name])
            used = names_in(new[name])
            if before_text != after_text and used and used <= names_in(old[name]):
                expected = f"{pair.child.name} called with {name} = {before_text}"
                found = f"loop bound or mask changed: {name} = {after_text}"
                findings.append(violated(RULE, new_site.line, expected, found))
    return merged(findings)


def _arguments(view: ProgramView, kernel: Kernel, site: LaunchSite) -> dict[str, ast.expr]:
    """Arguments by parameter, local names put in their place."""
    names = local_constants(view, site.function)
    passed = site.passed_to(kernel)
    return {name: canonical_value(node, names) for name, node in passed.items()}
