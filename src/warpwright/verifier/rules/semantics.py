"""What a candidate may not do to a kernel: lose work, drop masks, run fewer iterations.

Where both programs can be run, the comparison of outputs decides it at every stage. In the tuning
stage, where nothing can be run, such edits are refused by reading, with the reason.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from warpwright.program.grid_expressions import canonical_value
from warpwright.program.loop_texts import TripCount
from warpwright.program.memory_accesses import Access, KernelMemory, kernel_node, read_body
from warpwright.program.nodes import names_in
from warpwright.types.program import Kernel, LaunchSite, ProgramView
from warpwright.types.stage import StageId
from warpwright.verifier.rules.finding import OBEYED, RuleFinding, RuleReading, merged, violated
from warpwright.verifier.rules.grid import sites_of
from warpwright.verifier.rules.guarded_masks import guard_of, parts_lost
from warpwright.verifier.rules.launch_configs import local_constants, tile_names
from warpwright.verifier.rules.rule_context import KernelPair

RULE = "stage.semantics"
_REDUCTIONS = (
    "sum", "max", "min", "reduce", "argmax", "argmin", "associative_scan", "cumsum", "cumprod",
    "xor_sum", "softmax", "sort",
)  # fmt: skip


def lost_work(reading: RuleReading) -> dict[str, RuleFinding]:
    """Kernel of the candidate → what it is shown to have lost, in the tuning stage.

    Empty where both programs have a trace: their outputs are compared.
    """
    context = reading.context
    compared = context.parent_trace is not None and context.child_trace is not None
    if compared or context.stage.id is not StageId.TUNING:
        return {}
    found = {}
    for pair in (*reading.match.pairs, *_helpers(reading)):
        before = read_body(context.parent.source, pair.parent.name)
        after = read_body(context.child.source, pair.child.name)
        total = merged(
            [
                _operations(reading, pair),
                _accesses(pair, before, after),
                _sizes(reading, pair, before, after),
                _masks(reading, pair, before, after),
                _loops(pair, before, after),
            ]
        )
        found[pair.child.name] = replace(total, violations=tuple(dict.fromkeys(total.violations)))
    return found


def _helpers(reading: RuleReading) -> list[KernelPair]:
    """Functions that only kernels call, by name: work may stand in them as well."""
    found = []
    for kernel in reading.context.parent.kernels:
        same = reading.context.child.kernel(kernel.name)
        if kernel.is_helper and same is not None and same.is_helper:
            found.append(KernelPair(kernel, same))
    return found


def _total(view: ProgramView, kernel: Kernel) -> Counter[str]:
    """Operations of a kernel and of the helpers it calls."""
    names = Counter(operation.name for operation in kernel.operations)
    for name in kernel.calls:
        helper = view.kernel(name)
        if helper is not None and helper.name != kernel.name:
            names.update(operation.name for operation in helper.operations)
    return names


def _operations(reading: RuleReading, pair: KernelPair) -> RuleFinding:
    before = _total(reading.context.parent, pair.parent)
    after = _total(reading.context.child, pair.child)
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


def _accesses(pair: KernelPair, before: KernelMemory, after: KernelMemory) -> RuleFinding:
    """A pointer that was read or written, is still a parameter, and no longer is."""
    findings = []
    kept = {parameter.name for parameter in pair.child.parameters}
    unknown = any(access.pointer is None for access in after.accesses)
    for kind, word in (("load", "read"), ("store", "written")):
        lost = before.pointers(kind) - after.pointers(kind)
        if unknown and not _none_of_kind(after, kind):
            continue
        for pointer in sorted(lost & kept):
            expected = f"{pointer} {word} in {pair.child.name}"
            found = f"tl.{kind} of {pointer} removed"
            findings.append(violated(RULE, pair.child.line, expected, found))
    return merged(findings)


def _none_of_kind(body: KernelMemory, kind: str) -> bool:
    return not any(access.kind == kind for access in body.accesses)


def _masks(
    reading: RuleReading, pair: KernelPair, before: KernelMemory, after: KernelMemory
) -> RuleFinding:
    """An access through a pointer that was always masked, and now is not.

    A mask that lost some of its parts may still be enough (the grid may guarantee them), which
    reading cannot tell: it is told.
    """
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
                if access.mask is None:
                    findings.append(_unmasked(reading, pair, access, answered, what))
                elif lost := parts_lost([m for m in old if m is not None], access.mask):
                    note = f"line {access.line}: the mask of {what} is weaker, without "
                    note += f"{shortened(lost)}: comparing outputs decides"
                    findings.append(RuleFinding(notes=(note,)))
    return merged(findings)


def _unmasked(
    reading: RuleReading, pair: KernelPair, access: Access, masked: Sequence[Access], what: str
) -> RuleFinding:
    """An access without the mask that the parent's have: told where a test stands for it."""
    node = kernel_node(reading.context.child.source, pair.child.name)
    masks = [known.mask for known in masked if known.mask is not None]
    guard = None if node is None else guard_of(node, access, masks)
    if guard is not None:
        note = f"line {access.line}: the mask of {what} is gone where "
        note += f"`{ast.unparse(guard)[:80]}` decides, and stands in the other branch: "
        return RuleFinding(notes=(f"{note}comparing outputs decides, in both branches",))
    return violated(RULE, access.line, f"{what} with its mask", "mask dropped")


def shortened(parts: frozenset[str]) -> str:
    """The parts of a mask as text that fits a line."""
    text = " and ".join(sorted(parts, key=len))
    return text if len(text) <= 160 else f"{text[:157]}..."


def _sizes(
    reading: RuleReading, pair: KernelPair, before: KernelMemory, after: KernelMemory
) -> RuleFinding:
    """A size that bounds a loop or a mask is passed to the kernel as it was."""
    sizes = set().union(*(trip.names for trip in (*before.trips, *after.trips)), frozenset())
    for access in (*before.accesses, *after.accesses):
        sizes |= access.mask_names
    sizes &= {p.name for p in pair.parent.parameters} & {p.name for p in pair.child.parameters}
    sizes -= tile_names(pair)  # the rules on block sizes judge those
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


def _loops(pair: KernelPair, before: KernelMemory, after: KernelMemory) -> RuleFinding:
    """Loops answer each other in order, where there are as many as before."""
    if len(before.trips) != len(after.trips):
        return OBEYED
    old_texts = Counter(trip.text or trip.written for trip in before.trips)
    new_texts = Counter(trip.text or trip.written for trip in after.trips)
    if old_texts == new_texts:
        return OBEYED
    findings = []
    for old, new in zip(before.trips, after.trips, strict=True):
        if _is_other_bound(old, new):
            expected = f"the loop of {pair.child.name} as it was: {old.written}"
            found = f"loop bound changed: {new.written}"
            findings.append(violated(RULE, new.line, expected, found))
    return merged(findings)


def _is_other_bound(old: TripCount, new: TripCount) -> bool:
    """The bound differs and uses nothing new, so that it cannot be another name for it."""
    if old.text is not None and new.text is not None:
        return old.text != new.text and new.names <= old.names
    if old.text is None and new.text is None:
        return old.written != new.written and new.names <= old.names
    return False
