"""What a candidate may not do to a kernel: lose work, drop masks, run fewer iterations.

In the tuning stage such edits are refused by reading, with the reason. In the other stages a
kernel is rewritten by design, and the comparison of outputs decides.
"""

from __future__ import annotations

import ast
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from warpwright.program.grid_expressions import canonical_value
from warpwright.program.memory_accesses import Access, Constants, KernelMemory, kernel_node
from warpwright.program.nodes import names_in
from warpwright.types.launch_trace import Launch, TensorArgument
from warpwright.types.program import Kernel, LaunchSite, ProgramView
from warpwright.types.stage import StageId
from warpwright.verifier.rules.always_true import Bounds
from warpwright.verifier.rules.finding import OBEYED, RuleFinding, RuleReading, merged, violated
from warpwright.verifier.rules.grid import sites_of
from warpwright.verifier.rules.guarded_masks import guard_of, parts_lost
from warpwright.verifier.rules.launch_configs import local_constants, tile_names
from warpwright.verifier.rules.loop_counts import RULE, loops_lost
from warpwright.verifier.rules.rule_context import KernelPair
from warpwright.verifier.rules.variants import Variant, lines_left, variants, whole

_REDUCTIONS = (
    "sum", "max", "min", "reduce", "argmax", "argmin", "associative_scan", "cumsum", "cumprod",
    "xor_sum", "softmax", "sort",
)  # fmt: skip


def lost_work(reading: RuleReading) -> dict[str, RuleFinding]:
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
                loops_lost(reading, pair, variant),
            ]
        total = merged(findings)
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


def _operations(reading: RuleReading, pair: KernelPair, variant: Variant) -> RuleFinding:
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


def _accesses(reading: RuleReading, pair: KernelPair, variant: Variant) -> RuleFinding:
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
                findings.append(RuleFinding(notes=(f"{note}outputs decides",)))
                continue
            expected = f"{pointer} {word} in {pair.child.name}"
            found = f"tl.{kind} of {pointer} removed"
            findings.append(violated(RULE, pair.child.line, expected, found))
    return merged(findings)


def _copy_read(
    reading: RuleReading, pair: KernelPair, after: KernelMemory, pointer: str
) -> str | None:
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


def _none_of_kind(body: KernelMemory, kind: str) -> bool:
    return not any(access.kind == kind for access in body.accesses)


def _masks(reading: RuleReading, pair: KernelPair, variant: Variant) -> RuleFinding:
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
                if access.mask is None:
                    findings.append(_unmasked(reading, pair, variant, access, answered, what))
                elif lost := parts_lost([m for m in old if m is not None], access.mask):
                    note = f"line {access.line}: the mask of {what} is weaker, without "
                    note += f"{shortened(lost)}: comparing outputs decides"
                    findings.append(RuleFinding(notes=(note,)))
    return merged(findings)


def _unmasked(
    reading: RuleReading,
    pair: KernelPair,
    variant: Variant,
    access: Access,
    masked: Sequence[Access],
    what: str,
) -> RuleFinding:
    """An access without the mask that the parent's have: told where it needs none."""
    note = f"line {access.line}: the mask of {what} is gone"
    if _always_true(reading, pair, variant, masked):
        note += ", which is true in every lane of these launches: comparing outputs decides"
        return RuleFinding(notes=(note,))
    node = kernel_node(reading.context.child.source, pair.child.name, variant.child)
    masks = [known.mask for known in masked if known.mask is not None]
    guard = None if node is None else guard_of(node, access, masks)
    if guard is not None:
        note += f" where `{ast.unparse(guard)[:80]}` decides, and stands in the other branch: "
        return RuleFinding(notes=(f"{note}comparing outputs decides, in both branches",))
    return violated(RULE, access.line, f"{what} with its mask", "mask dropped")


def _always_true(
    reading: RuleReading, pair: KernelPair, variant: Variant, masked: Sequence[Access]
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


def _sizes(
    reading: RuleReading, pair: KernelPair, every: Variant, cases: Sequence[Variant]
) -> RuleFinding:
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
