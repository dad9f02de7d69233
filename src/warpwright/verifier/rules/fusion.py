"""Rules on stores, offsets and masks of fused kernels. Best effort: by name, per kernel.

What a candidate's kernel does as its parent's did is told, not blamed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from warpwright.program.branch_paths import Path, exclusive, most_in_a_block, ways
from warpwright.program.memory_accesses import (
    Access,
    KernelMemory,
    kernel_node,
    memory_of,
    read_body,
)
from warpwright.types.program import Kernel
from warpwright.types.stage import Rule
from warpwright.verifier.rules.blocks import applies
from warpwright.verifier.rules.finding import OBEYED, RuleFinding, RuleReading, merged, violated

_MOST_WAYS = 32
_NOT_FUSED = ("dot", "sum", "max", "min", "reduce", "argmax", "argmin", "cumsum", "softmax",
              "associative_scan", "sort", "cumprod")  # fmt: skip


def _kernels(reading: RuleReading) -> list[tuple[Kernel, KernelMemory, KernelMemory | None]]:
    """Kernels of the candidate, with their bodies and the parent's where it has them."""
    parents = {pair.child.name: pair.parent.name for pair in reading.match.pairs}
    found = []
    for kernel in reading.context.child.launched_kernels:
        body = read_body(reading.context.child.source, kernel.name)
        old_name = parents.get(kernel.name)
        old = None if old_name is None else read_body(reading.context.parent.source, old_name)
        found.append((kernel, body, old))
    return found


def check_one_store(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`stores.one_per_output`: no output pointer is stored to more often than before.

    A new kernel stores once to each pointer. Of the branches of an `if` each block runs one.
    """
    findings = []
    for kernel, body, old in _kernels(reading):
        new_count = _stores(body)
        old_count = _stores(old) if old is not None else Counter()
        for pointer, count in sorted(new_count.items()):
            before = old_count[pointer]
            if count <= 1:
                continue
            found = f"{count} stores to {pointer} in {kernel.name}"
            if count <= before:
                findings.append(RuleFinding(notes=(f"inherited from the parent: {found}",)))
            else:
                expected = "one tl.store for each output"
                findings.append(violated(rule.id, kernel.line, expected, found))
    return merged(findings)


def _stores(body: KernelMemory) -> Counter[str]:
    """Pointer → how often one block stores to it, a loop's steps counted once."""
    paths: dict[str, list[Path]] = {}
    for access in body.accesses:
        if access.kind == "store" and access.pointer is not None:
            paths.setdefault(access.pointer, []).append(access.path)
    return Counter({pointer: most_in_a_block(each) for pointer, each in paths.items()})


def check_no_intermediate(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`stores.no_intermediate`: no kernel writes to more pointers than the parent's did.

    A new kernel's stores are judged by what is stored: a pointer that some kernel of the
    program loads from, and that is given the same buffer at its launch, is an intermediate.
    """
    findings = []
    for kernel, body, old in _kernels(reading):
        if old is None:
            continue
        added = len(_stores(body)) - len(_stores(old))
        if added > 0:
            expected = f"{len(_stores(old))} output pointers of {kernel.name}"
            found = f"{len(_stores(body))}: {', '.join(sorted(_stores(body)))}"
            findings.append(violated(rule.id, kernel.line, expected, found))
    return merged([*findings, _buffers_between(rule, reading)])


def _buffers_between(rule: Rule, reading: RuleReading) -> RuleFinding:
    """Buffers that one kernel stores and another loads, more of them than in the parent."""
    before = intermediate_buffers(reading, parent=True)
    after = intermediate_buffers(reading, parent=False)
    if len(after) <= len(before):
        if not after:
            return OBEYED
        note = f"inherited from the parent: buffers between kernels: {', '.join(sorted(after))}"
        return RuleFinding(notes=(note,))
    new = sorted(after - before) or sorted(after)
    expected = "no intermediate result in memory that the parent does not have"
    return violated(rule.id, None, expected, f"stored and loaded again: {', '.join(new)}")


def intermediate_buffers(reading: RuleReading, *, parent: bool) -> set[str]:
    """Host names that are an output of one launch and an input of another in one function."""
    view = reading.context.parent if parent else reading.context.child
    stored: set[tuple[str, str]] = set()
    loaded: set[tuple[str, str]] = set()
    for site in view.launches:
        kernel = view.kernel(site.kernel)
        if kernel is None:
            continue
        body = read_body(view.source, kernel.name)
        texts = site.texts_of(kernel)
        for pointer in body.pointers("store", "atomic"):
            if texts.get(pointer, "").isidentifier():
                stored.add((site.function, texts[pointer]))
        for pointer in body.pointers("load"):
            if texts.get(pointer, "").isidentifier():
                loaded.add((site.function, texts[pointer]))
    return {name for _, name in stored & loaded}


def check_no_store_then_load(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`stores.no_store_then_load`: no block loads through a pointer after storing to it."""
    findings = []
    for kernel, body, old in _kernels(reading):
        inherited = _stored_then_loaded(old) if old is not None else set()
        for pointer in sorted(_stored_then_loaded(body)):
            found = f"{pointer} is stored, then loaded, in {kernel.name}"
            if pointer in inherited:
                findings.append(RuleFinding(notes=(f"inherited from the parent: {found}",)))
            else:
                expected = "values kept in registers"
                findings.append(violated(rule.id, kernel.line, expected, found))
    return merged(findings)


def _stored_then_loaded(body: KernelMemory) -> set[str]:
    found = set()
    stored: dict[str, list[Path]] = {}
    for access in body.accesses:
        if access.pointer is None:
            continue
        before = stored.setdefault(access.pointer, [])
        if access.kind == "store":
            before.append(access.path)
        elif access.kind == "load" and not all(exclusive(access.path, path) for path in before):
            found.add(access.pointer)
    return found


def check_same_offsets(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`fusion.same_offsets`, for element-wise kernels: one offset text for all accesses."""
    return _same(rule, reading, "offsets")


def check_same_mask(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`fusion.same_mask`, for element-wise kernels: one mask for all accesses."""
    return _same(rule, reading, "mask")


def _same(rule: Rule, reading: RuleReading, what: str) -> RuleFinding:
    """Only kernels without dots, reductions and broadcasts are read; others are told.

    Broadcast inputs (`bias[None, :]`, an index by `%` or `//`) have offsets of their own by
    right, so only accesses with the offsets of a store are held to its mask. Accesses that no
    block makes together, in two branches of an `if`, are not compared.
    """
    findings = []
    told = []
    parents = {pair.child.name: pair.parent.name for pair in reading.match.pairs}
    for kernel in reading.context.child.launched_kernels:
        old = parents.get(kernel.name)
        if kernel.operations_named(*_NOT_FUSED) or not applies(rule, reading.context.child, kernel):
            told.append(kernel.name)
            continue
        odd = _odd(reading.context.child.source, kernel.name, what)
        if not odd:
            continue
        if old is not None and _odd(reading.context.parent.source, old, what):
            note = f"{kernel.name}: {what} differ between its accesses"
            findings.append(RuleFinding(notes=(f"inherited from the parent: {note}",)))
            continue
        expected = f"the same {what} for all accesses of {kernel.name}"
        findings.append(violated(rule.id, kernel.line, expected, "; ".join(sorted(odd))[:200]))
    if told:
        note = f"{rule.id}: reductions and matrix products are left out: {', '.join(told)}"
        findings.append(RuleFinding(notes=(note,)))
    return merged(findings)


def _odd(source: str, kernel: str, what: str) -> set[str]:
    """The offsets or masks of a kernel's plain accesses, where a block has more than one."""
    node = kernel_node(source, kernel)
    found: set[str] = set()
    for way in () if node is None else ways(node, _MOST_WAYS):
        found |= _odd_in(memory_of(way).accesses, what)
    return found


def _odd_in(accesses: Sequence[Access], what: str) -> set[str]:
    plain = [a for a in accesses if a.pointer is not None and not _broadcasts(a.address)]
    if what == "offsets":
        seen = {_offsets(a.address, a.pointer or "") for a in plain}
        return seen if len(seen) > 1 else set()
    odd = set()
    for store in (a for a in plain if a.kind == "store"):
        own = _offsets(store.address, store.pointer or "")
        for access in plain:
            if _offsets(access.address, access.pointer or "") == own and access.mask != store.mask:
                odd.add(" & ".join(sorted(access.mask or {"no mask"})))
                odd.add(" & ".join(sorted(store.mask or {"no mask"})))
    return odd


def _broadcasts(address: str) -> bool:
    return any(sign in address for sign in ("%", "//", "None", "program_id(1)", "stride"))


def _offsets(address: str, pointer: str) -> str:
    return address.replace(pointer, "@", 1).strip()
