"""Which loops should take blocks of elements, and how many elements, for how they are launched."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    argument_values,
    loaded_names,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.value_axes import Shape, shapes_before
from warpwright.proposers.rewrites.outer.arithmetic import values
from warpwright.proposers.rewrites.vectorize.addresses import (
    LoopAccess,
    accesses_of,
    lane_slope,
    same_place,
    slope,
)
from warpwright.proposers.rewrites.vectorize.serial_loop import SerialLoop, read_loop
from warpwright.types.calls import KernelCalls
from warpwright.types.launch_trace import TensorArgument

BLOCK = 1024
"""Elements of a block, where the kernel has no lanes of its own."""
TILE = 4096
"""Elements of a tile, where it has."""
LEAST_WIDTH = 16
"""Elements of a row in it: two sectors of float32."""
MOST_OF_A_TILE = 8192
LEAST_STEPS = 32


def block_of(kernel: KernelText, statement: ast.For, call: KernelCalls) -> int:
    """How many elements a step should take. Raises DoesNotApply where it should stay at one."""
    loop = read_loop(kernel, statement)
    accesses = accesses_of(kernel, loop)
    if not any(_reads(access, loop) for access in accesses):
        raise DoesNotApply("the loop reads no elements")
    _check_apart(call, loop, accesses)
    known = argument_values(call)
    steps = _steps(loop, known)
    if steps < LEAST_STEPS:
        raise DoesNotApply("the loop has few steps")
    most = BLOCK
    rows = _rows(kernel, loop, known)
    if rows is not None and rows > 1:
        if not _elements_lie_together(kernel, loop, accesses, known):
            raise DoesNotApply("the lanes lie along memory as they are")
        most = max(TILE // rows, LEAST_WIDTH)
        if most * rows > MOST_OF_A_TILE:
            raise DoesNotApply("the kernel has many lanes of its own")
    return int(min(most, 1 << (steps - 1).bit_length()))


def _reads(access: LoopAccess, loop: SerialLoop) -> bool:
    return not access.stores and bool(set(loaded_names([access.address])) & loop.varying())


def _steps(loop: SerialLoop, known: Mapping[str, frozenset[int]]) -> int:
    """The most steps that a launch takes; a block's where that is not known."""
    start, stop = values(loop.start, known), values(loop.stop, known)
    if not start or not stop:
        return BLOCK
    return max(len(range(a, b, loop.step)) for a in start for b in stop)


def _rows(kernel: KernelText, loop: SerialLoop, known: Mapping[str, frozenset[int]]) -> int | None:
    """How many lanes the kernel has in the loop; None where it has none."""
    shapes = shapes_before(kernel.node, loop.statement)
    names = {*loop.assigned, *(name for step in loop.steps for name in step.reads)}
    if not any(shapes.get(name, Shape.SCALAR) is Shape.VECTOR for name in names):
        return None
    sizes = [
        size
        for node in ast.walk(kernel.node)
        if isinstance(node, ast.Call) and kernel.called(node) == "arange" and len(node.args) == 2
        for size in values(node.args[1], known) or {TILE}
    ]
    return max(sizes, default=TILE)


def _elements_lie_together(
    kernel: KernelText,
    loop: SerialLoop,
    accesses: Sequence[LoopAccess],
    known: Mapping[str, frozenset[int]],
) -> bool:
    """Whether steps read next to each other, and lanes do not."""
    for access in accesses:
        if not set(loaded_names([access.address])) & loop.varying():
            continue
        along, lane = slope(loop, access.address), lane_slope(kernel, access.address)
        if along is None or values(along, known) != frozenset({1}):
            return False
        if lane is None or values(lane, known) == frozenset({1}):
            return False
    return True


def _check_apart(call: KernelCalls, loop: SerialLoop, accesses: Sequence[LoopAccess]) -> None:
    """Refuses a loop that writes to the memory of a tensor that it reads under another name."""
    for launch in call.launches:
        storages = {
            name: argument.storage
            for name, argument in launch.arguments.items()
            if isinstance(argument, TensorArgument)
        }
        for store in (access for access in accesses if access.stores):
            written = {storages[root] for root in store.roots if root in storages}
            for other in accesses:
                used = {storages[root] for root in other.roots if root in storages}
                apart = other is store or other.roots & store.roots
                if not apart and written & used and not same_place(loop, store, other):
                    raise DoesNotApply("the loop writes to a tensor that it uses otherwise")
