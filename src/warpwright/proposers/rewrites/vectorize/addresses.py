"""Where the steps of a loop read and write: which tensors, and how far apart."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from warpwright.program.kernel_assignments import called_name
from warpwright.proposers.rewrites.common.kernel_text import KernelText, loaded_names, stored_names
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.outer.arithmetic import number, product, value_of
from warpwright.proposers.rewrites.vectorize.serial_loop import SerialLoop

_MOST_NAMES = 64


@dataclass(frozen=True, slots=True)
class LoopAccess:
    """A load or store of the loop. `place`: its step; `roots`: parameters that its pointer may
    be."""

    call: ast.Call
    place: int
    stores: bool
    roots: frozenset[str]

    @property
    def address(self) -> ast.expr:
        return self.call.args[0]


def accesses_of(kernel: KernelText, loop: SerialLoop) -> tuple[LoopAccess, ...]:
    """Every load and store in the loop. Raises DoesNotApply where one is of an unknown tensor."""
    found = []
    for place, step in enumerate(loop.steps):
        for node in ast.walk(step.value):
            called = kernel.called(node)
            if called not in ("load", "store") or not isinstance(node, ast.Call):
                continue
            if not node.args:
                raise DoesNotApply(f"{ast.unparse(node)} names its pointer")
            roots = roots_of(kernel, node)
            found.append(LoopAccess(node, place, called == "store", roots))
    return tuple(found)


def roots_of(kernel: KernelText, access: ast.Call) -> frozenset[str]:
    """Parameters that an access's pointer may be. Raises DoesNotApply where none is known."""
    found = frozenset(_roots(kernel, access.args[0], _assigned_values(kernel))) - _numbers(kernel)
    if not found:
        raise DoesNotApply(f"the tensor of {ast.unparse(access)} is not known")
    return found


def check_order(loop: SerialLoop, accesses: Sequence[LoopAccess]) -> None:
    """Refuses a loop in which a step may read or write what another one writes.

    A tensor that is read and written is read at the same address, for what is written there.
    """
    for store in (access for access in accesses if access.stores):
        for other in accesses:
            if other is store or not other.roots & store.roots:
                continue
            if not same_place(loop, store, other):
                told = ", ".join(sorted(other.roots & store.roots))
                raise DoesNotApply(f"{told} is written in the loop, and used at another address")


def same_place(loop: SerialLoop, store: LoopAccess, other: LoopAccess) -> bool:
    """Whether both are at one address in every step, and a read comes before the write, which
    needs it."""
    once = len({step.name for step in loop.steps if step.name}) == sum(
        step.name is not None for step in loop.steps
    )
    moved = {advanced.name for advanced in loop.advanced}
    texts = [ast.unparse(access.address) for access in (store, other)]
    if not once or texts[0] != texts[1] or moved & set(loaded_names([store.address])):
        return False
    if other.stores:
        return True
    needed = loop.steps[store.place].reads
    for step in reversed(loop.steps[: store.place]):
        if step.name in needed:
            needed = needed | step.reads
    return loop.steps[other.place].name in needed and other.place < store.place


def slope(loop: SerialLoop, node: ast.expr) -> ast.expr | None:
    """How far a value moves from step to step, for the sign: an expression of what no step
    changes; None where that is not known. It counts the loop's variable, not its steps, for what
    is made from that."""
    varying = loop.varying()
    values = _step_values(loop)
    amounts = {advanced.name: advanced.amount for advanced in loop.advanced}

    def of(node: ast.expr) -> ast.expr | None:
        if not set(loaded_names([node])) & varying:
            return number(0)
        if isinstance(node, ast.Name):
            if node.id == loop.variable:
                return number(1)
            if node.id in amounts:
                return amounts[node.id]
            return of(values[node.id]) if node.id in values else None
        if isinstance(node, ast.BinOp):
            return _combined(node, of(node.left), of(node.right))
        if isinstance(node, ast.Call) and called_name(node) == "to":
            assert isinstance(node.func, ast.Attribute)
            return of(node.func.value)
        return None

    return of(node)


def _combined(node: ast.BinOp, left: ast.expr | None, right: ast.expr | None) -> ast.expr | None:
    """By how much a sum or a product grows, whose sides grow by `left` and `right` (None: not
    steadily); one of them must stay."""
    if left is None or right is None:
        return None
    if value_of(left) == 0 and value_of(right) == 0:
        return number(0)
    if isinstance(node.op, ast.Mult):
        if value_of(left) == 0:
            return product([node.left, right])
        return product([left, node.right]) if value_of(right) == 0 else None
    if not isinstance(node.op, ast.Add | ast.Sub):
        return None
    if value_of(right) == 0:
        return left
    return right if value_of(left) == 0 else None


def _step_values(loop: SerialLoop) -> dict[str, ast.expr]:
    """What names are that the loop assigns once."""
    names = [step.name for step in loop.steps]
    kept = {carried.name for carried in loop.carried}
    return {
        step.name: step.value
        for step in loop.steps
        if step.name is not None and names.count(step.name) == 1 and step.name not in kept
    }


def _assigned_values(kernel: KernelText) -> dict[str, list[ast.expr]]:
    """Everything that a kernel assigns each name."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(kernel.node):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and node.value is not None:
            for name in stored_names([node]):
                found.setdefault(name, []).append(node.value)
    return found


def _roots(
    kernel: KernelText, node: ast.expr, values: Mapping[str, Sequence[ast.expr]]
) -> Iterator[str]:
    """Parameters that are terms of an address, through what names are assigned."""
    parameters = {parameter.arg for parameter in kernel.parameters} - kernel.constants
    waiting, seen = [node], set[str]()
    while waiting and len(seen) < _MOST_NAMES:
        node = waiting.pop()
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
            waiting += [node.left, node.right]
        elif isinstance(node, ast.Call) and called_name(node) in ("to", "multiple_of"):
            owner = node.func.value if isinstance(node.func, ast.Attribute) else None
            waiting += [value for value in (owner, *node.args[:1]) if value is not None]
        elif isinstance(node, ast.Name) and node.id not in seen:
            seen.add(node.id)
            waiting += values.get(node.id, [])
            if node.id in parameters:
                yield node.id


def _numbers(kernel: KernelText) -> frozenset[str]:
    """Parameters that are no pointers, for how they are used."""
    found: set[str] = set()
    for node in ast.walk(kernel.node):
        if isinstance(node, ast.BinOp) and isinstance(
            node.op, ast.Mult | ast.FloorDiv | ast.Mod | ast.Div
        ):
            used: list[ast.expr] = [node.left, node.right]
        elif isinstance(node, ast.Compare) and not isinstance(node.ops[0], ast.Is | ast.IsNot):
            used = [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and kernel.called(node) in ("range", "static_range"):
            used = list(node.args)
        else:
            continue
        found |= {name.id for name in used if isinstance(name, ast.Name)}
    return frozenset(found)


def lane_slope(kernel: KernelText, node: ast.expr) -> ast.expr | None:
    """How far the lanes of `tl.arange` lie apart in an address; None where that is not known."""
    assigned = _assigned_values(kernel)
    variables = {n.target.id for n in ast.walk(kernel.node)
                 if isinstance(n, ast.For) and isinstance(n.target, ast.Name)}  # fmt: skip
    depth = 0

    def of(node: ast.expr) -> ast.expr | None:
        nonlocal depth
        depth += 1
        if depth > _MOST_NAMES * 4:
            return None
        if isinstance(node, ast.Call):
            called = kernel.called(node)
            if called == "arange":
                return number(1)
            if called_name(node) == "to" and isinstance(node.func, ast.Attribute):
                return of(node.func.value)
            return number(0) if called == "program_id" else None
        if isinstance(node, ast.Name):
            if node.id in variables or node.id not in assigned:
                return number(0)
            first, *others = [of(value) for value in assigned[node.id]]
            alone = all(other is not None and value_of(other) == 0 for other in others)
            return first if alone else None  # what a step adds is no lane of it
        if isinstance(node, ast.Constant):
            return number(0)
        if isinstance(node, ast.BinOp):
            return _combined(node, of(node.left), of(node.right))
        return None

    return of(node)
