"""Whether the lanes of an index may change places: who computes an output must not show."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from warpwright.program.kernel_assignments import called_name
from warpwright.program.memory_accesses import memory_of
from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    loaded_names,
    stored_names,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.value_axes import Shape, is_elementwise
from warpwright.proposers.rewrites.residues.substitution import following
from warpwright.proposers.rewrites.scalarise.flat_index import FlatIndex, Sizes

_MEMORY = frozenset({"load", "store"})


def number_and_axis(kernel: KernelText, index: FlatIndex, sizes: Sizes) -> tuple[ast.expr, int]:
    """The block's number as the index has it, and along which axis of the grid.

    Raises DoesNotApply where the index is not `program_id * lanes + arange`, or where something
    else in the kernel depends on the number of the block or on the lane: then another order of
    lanes would show.
    """
    number = _number_of_block(index, sizes)
    axis = _axis(kernel, number, sizes)
    if axis is None:
        raise DoesNotApply(f"{index.name} does not start at a multiple of the block's number")
    for name in _parts(index, sizes):
        if loaded_names(kernel.node.body).count(name) != 1:
            raise DoesNotApply(f"{name} is used but for {index.name}")
    same = [node for node in ast.walk(kernel.node) if _axis_of(kernel, node) == axis]
    if len(same) != 1:
        raise DoesNotApply(f"the number of the block is used but for {index.name}")
    return number, axis


def check_free_lanes(kernel: KernelText, index: FlatIndex) -> None:
    """Raises DoesNotApply where a lane reads another, or a hint says how the lanes lie."""
    memory = memory_of(kernel.node)
    if any(access.pointer is None for access in memory.accesses):
        raise DoesNotApply("what is loaded or stored cannot be told")
    if memory.pointers("load") & memory.pointers("store", "atomic"):
        raise DoesNotApply("a tensor is both loaded and stored")
    known = dict.fromkeys(
        [*stored_names([kernel.node]), *(p.arg for p in kernel.parameters)], Shape.UNKNOWN
    )
    follow = following(kernel, {index.name})
    for node in ast.walk(kernel.node):
        if not isinstance(node, ast.Call) or not follow & set(loaded_names([node])):
            continue
        if any(node is inner for inner in ast.walk(index.statement)):
            continue
        name = kernel.called(node) or called_name(node)
        if name not in _MEMORY and not is_elementwise(node, known):
            raise DoesNotApply(f"{name} may read other lanes of {index.name}")


def _number_of_block(index: FlatIndex, sizes: Sizes) -> ast.expr:
    """`pid` of an index that starts at `pid * lanes`."""
    node = _seen_through(index.first, sizes)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        for number, lanes in ((node.left, node.right), (node.right, node.left)):
            if sizes.of(lanes) == index.lanes:
                return number
    raise DoesNotApply(f"{index.name} does not start at a multiple of its lanes")


def _seen_through(node: ast.expr, sizes: Sizes) -> ast.expr:
    for _ in range(8):
        if isinstance(node, ast.Name) and (value := sizes.value(node.id)) is not None:
            node = value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr != "to":
                return node
            node = node.func.value
        else:
            return node
    return node


def _axis(kernel: KernelText, node: ast.expr, sizes: Sizes) -> int | None:
    return _axis_of(kernel, _seen_through(node, sizes))


def _axis_of(kernel: KernelText, node: ast.AST) -> int | None:
    """The axis of a `tl.program_id`."""
    if not isinstance(node, ast.Call) or kernel.called(node) != "program_id":
        return None
    given = [*node.args, *(keyword.value for keyword in node.keywords)]
    if len(given) == 1 and isinstance(given[0], ast.Constant) and type(given[0].value) is int:
        return given[0].value
    raise DoesNotApply("an axis of the grid cannot be told")


def _parts(index: FlatIndex, sizes: Sizes) -> Iterator[str]:
    """The names that the index is made of, but for sizes."""
    waiting: list[ast.AST] = [index.statement]
    seen = {index.name}
    while waiting:
        for node in ast.walk(waiting.pop()):
            if isinstance(node, ast.Name) and node.id not in seen:
                value = sizes.value(node.id)
                if value is not None and sizes.of(node) is None:
                    seen.add(node.id)
                    waiting.append(value)
                    yield node.id
