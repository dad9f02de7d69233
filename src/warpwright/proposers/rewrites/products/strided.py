"""How a kernel reads one operand by strides that it is given: which element each lane loads, and
that no lane loads beyond the operand's sizes."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from warpwright.proposers.rewrites.common.kernel_text import KernelText, loaded_names, stored_names
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.value_axes import HINTS
from warpwright.proposers.rewrites.digits.read_digits import axis_of
from warpwright.proposers.rewrites.products.polynomials import (
    Numbers,
    Polynomial,
    over,
    plus,
    product_of,
    told,
)
from warpwright.proposers.rewrites.repack.values import Values


@dataclass(frozen=True, slots=True)
class StridedLoad:
    """A load of elements [index of each dimension] of an operand.

    `below`: for each dimension the parameter that its index is less than wherever a lane loads.
    """

    call: ast.Call
    below: tuple[str, ...]


def strided_loads(
    kernel: KernelText, operand: str, strides: Sequence[str]
) -> tuple[StridedLoad, ...]:
    """Every load from an operand that a kernel reads by `strides`, one parameter a dimension.

    Raises DoesNotApply unless all that the kernel does with the operand are loads, the address of
    each is the sum of an index by each stride, and its mask keeps each index within a size.
    """
    parameters = {parameter.arg for parameter in kernel.parameters}
    if not {operand, *strides} <= parameters or len(set(strides)) != len(strides):
        raise DoesNotApply(f"{kernel.node.name} is not told all strides of {operand}")
    assigned = set(stored_names(kernel.node.body)) & {operand, *strides}
    if assigned:
        raise DoesNotApply(f"{kernel.node.name} assigns {', '.join(sorted(assigned))}")
    pointers = _pointers(kernel, operand)
    _refuse_hints(kernel, {*strides, *pointers, operand})
    loads = [
        _read(kernel, operand, strides, pointers, statement, call)
        for statement, call in _loads(kernel, {operand, *pointers})
    ]
    if not loads:
        raise DoesNotApply(f"nothing is loaded from {operand}")
    return tuple(loads)


def _pointers(kernel: KernelText, operand: str) -> dict[str, list[ast.stmt]]:
    """Names that hold addresses in the operand, with the statements that assign them.

    Raises DoesNotApply where an address goes anywhere but into a load's first argument.
    """
    made: dict[str, list[ast.stmt]] = {}
    while True:
        names = {operand, *made}
        found: dict[str, list[ast.stmt]] = {}
        for node in ast.walk(kernel.node):
            if not isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
                continue
            advances = isinstance(node, ast.AugAssign) and set(stored_names([node])) & names
            if node.value is not None and (_passes_on(kernel, node.value, names) or advances):
                for name in stored_names([node]):
                    found.setdefault(name, []).append(node)
        if found == made:
            break
        made = found
    for node in ast.walk(kernel.node):
        if isinstance(node, ast.Call):
            given: list[ast.expr] = [*node.args, *(keyword.value for keyword in node.keywords)]
            given = given[1:] if kernel.called(node) == "load" and node.args else given
            if any(_passes_on(kernel, value, {operand, *made}) for value in (node.func, *given)):
                raise DoesNotApply(f"{operand} is used by more than loads")
    return made


def _refuse_hints(kernel: KernelText, names: set[str]) -> None:
    """What the program promises the compiler of a stride need not hold of another."""
    for node in ast.walk(kernel.node):
        hint = isinstance(node, ast.Call) and kernel.called(node) in (*HINTS, "assume")
        if hint and (about := sorted(set(loaded_names([node])) & names)):
            raise DoesNotApply(f"{kernel.node.name} promises something of {', '.join(about)}")


def _passes_on(kernel: KernelText, node: ast.AST, names: set[str]) -> bool:
    """Whether an address of these names is in a value, other than by what is loaded from it."""
    if isinstance(node, ast.Call) and kernel.called(node) == "load":
        return False
    if isinstance(node, ast.Attribute) and node.attr == "dtype":
        return False
    if isinstance(node, ast.Name):
        return node.id in names
    return any(_passes_on(kernel, child, names) for child in ast.iter_child_nodes(node))


def _loads(kernel: KernelText, names: set[str]) -> Iterator[tuple[ast.stmt, ast.Call]]:
    """Loads by these names, with the statement that each stands in."""
    for statement in ast.walk(kernel.node):
        if not isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Expr):
            continue
        for call in ast.walk(statement):
            if not isinstance(call, ast.Call) or kernel.called(call) != "load":
                continue
            if set(loaded_names(call.args[:1])) & names:
                yield statement, call


def _read(
    kernel: KernelText,
    operand: str,
    strides: Sequence[str],
    pointers: Mapping[str, list[ast.stmt]],
    statement: ast.stmt,
    call: ast.Call,
) -> StridedLoad:
    numbers = Numbers(values := Values(kernel, statement, operand))
    address = _address(kernel, numbers, pointers, statement, call.args[0])
    if any(k.arg in ("boundary_check", None) for k in call.keywords):
        raise DoesNotApply(f"{operand} is read by a block pointer")
    masks = [*call.args[1:2], *(k.value for k in call.keywords if k.arg == "mask")]
    bounds = [bound for mask in masks for bound in _comparisons(values, numbers, mask, None)]
    rest = plus(address, {(operand,): 1}, -1)
    if (operand,) not in address or any(operand in product for product in rest):
        raise DoesNotApply(f"an address in {operand} is no sum on it")
    below = []
    for stride in strides:
        mine = {p: count for p, count in rest.items() if stride in p}
        rest = {p: count for p, count in rest.items() if stride not in p}
        index = over(mine, stride)
        if index is None or any(other in told(index) for other in strides):
            raise DoesNotApply(f"an index of {operand} is not by {stride} alone")
        below.append(_bound(numbers, index, bounds, f"the index by {stride}"))
    if rest:
        raise DoesNotApply(f"an address in {operand} has parts by no stride: {told(rest)}")
    return StridedLoad(call, tuple(below))


def _bound(numbers: Numbers, index: Polynomial, bounds: Sequence[Polynomial], told_as: str) -> str:
    """The parameter that an index is less than. Raises DoesNotApply where none is shown."""
    if not numbers.is_at_least_zero(index):
        raise DoesNotApply(f"{told_as} is not surely at least zero")
    for less in bounds:
        size = plus(index, less, -1)
        if len(size) == 1 and len(product := next(iter(size))) == 1 and size[product] == 1:
            return product[0]
    raise DoesNotApply(f"{told_as} is not masked by a size")


def _address(
    kernel: KernelText,
    numbers: Numbers,
    pointers: Mapping[str, list[ast.stmt]],
    statement: ast.stmt,
    node: ast.expr,
) -> Polynomial:
    """The address that a load reads: names of pointers that a loop advances as what they are in the
    step of its variable."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left = _address(kernel, numbers, pointers, statement, node.left)
        return plus(left, _address(kernel, numbers, pointers, statement, node.right))
    if not isinstance(node, ast.Name) or len(pointers.get(node.id, ())) != 2:
        return numbers.read(node)
    start, step = pointers[node.id]
    loop = _loop_of(kernel, step)
    if loop is None or not _comes_first(loop, statement, step) or start in list(ast.walk(loop)):
        raise DoesNotApply(f"{node.id} is not advanced at the end of each step of one loop")
    if stored_names([kernel.node]).count(node.id) != 2 or not isinstance(start, ast.Assign):
        raise DoesNotApply(f"{node.id} is assigned elsewhere too")
    return plus(numbers.read(start.value), _advanced(kernel, numbers, loop, step, node.id))


def _advanced(
    kernel: KernelText, numbers: Numbers, loop: ast.For, step: ast.stmt, name: str
) -> Polynomial:
    """What a loop has added to a name when it comes to the step of its variable."""
    by: ast.expr | None = None
    if isinstance(step, ast.AugAssign) and isinstance(step.op, ast.Add):
        by = step.value
    elif isinstance(step, ast.Assign) and isinstance(step.value, ast.BinOp):
        plain = isinstance(step.value.op, ast.Add) and ast.unparse(step.value.left) == name
        by = step.value.right if plain else None
    call, variable = loop.iter, loop.target
    if by is None or not isinstance(variable, ast.Name) or not isinstance(call, ast.Call):
        raise DoesNotApply(f"{name} is not advanced by a sum")
    if kernel.called(call) not in ("range", "static_range") or call.keywords:
        raise DoesNotApply(f"the loop over {variable.id} is no plain range")
    if stored_names([kernel.node]).count(variable.id) != 1:
        raise DoesNotApply(f"{variable.id} is assigned elsewhere too")
    added, at = numbers.read(by), numbers.read(variable)
    if len(call.args) > 1 and numbers.read(call.args[0]):
        raise DoesNotApply(f"the loop over {variable.id} does not start at zero")
    if len(call.args) == 3:
        width = numbers.read(call.args[2])
        (factor, count), *more = [*width.items()] or [((), 0)]
        shorter = None if more or count != 1 or len(factor) != 1 else over(added, factor[0])
        if shorter is None and width != added:
            raise DoesNotApply(f"{name} does not advance as {variable.id} does")
        added = {(): 1} if shorter is None else shorter
    return product_of(added, at)


def _loop_of(kernel: KernelText, step: ast.stmt) -> ast.For | None:
    """The loop in whose body a statement stands, under no condition."""
    for node in ast.walk(kernel.node):
        if isinstance(node, ast.For) and step in node.body:
            return node
    return None


def _comes_first(loop: ast.For, statement: ast.stmt, step: ast.stmt) -> bool:
    """Whether a statement of a loop's step stands before another one of its body, and no step is
    left early."""
    if any(isinstance(node, ast.Continue | ast.Break) for node in ast.walk(loop)):
        return False
    for node in loop.body:
        if node is step:
            return False
        if any(inner is statement for inner in ast.walk(node)):
            return True
    return False


def _comparisons(
    values: Values, numbers: Numbers, node: ast.expr, axis: tuple[str, ...] | None
) -> Iterator[Polynomial]:
    """`a - b` of each `a < b` that holds wherever a mask does."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        small, large = node.left, node.comparators[0]
        if isinstance(node.ops[0], ast.Gt):
            small, large = large, small
        elif not isinstance(node.ops[0], ast.Lt):
            return
        try:
            yield plus(numbers.read(small, axis), numbers.read(large, axis), -1)
        except DoesNotApply:
            return
    elif isinstance(node, ast.Name) and node.id in values.definitions:
        yield from _comparisons(values, numbers, values.definitions[node.id], axis)
    elif isinstance(node, ast.Subscript) and axis is None and axis_of(node.slice) is not None:
        yield from _comparisons(values, numbers, node.value, axis_of(node.slice))
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd):
        yield from _comparisons(values, numbers, node.left, axis)
        yield from _comparisons(values, numbers, node.right, axis)
