"""The one loop of a kernel whose steps may be done by several programs, each some of them."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from warpwright.program.parsing import lines_of
from warpwright.proposers.rewrites.common.block_extents import BlockExtents, Extents
from warpwright.proposers.rewrites.common.float32_names import Float32Names
from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    loaded_names,
    stored_names,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.totals import taken_on
from warpwright.proposers.rewrites.outer.liveness import live_after, read_first

_OPTIONS = frozenset({"num_stages", "loop_unroll_factor", "flatten", "disallow_acc_multi_buffer"})
"""What `tl.range` is told beside its bounds."""
_CHANGES = frozenset({"debug_barrier", "device_print", "inline_asm_elementwise"})


@dataclass(frozen=True, slots=True)
class Total:
    """A name that every step of the loop adds to, or takes the largest or smallest of."""

    name: str
    kind: str
    extents: Extents


@dataclass(frozen=True, slots=True)
class Advance:
    """A pointer that every step moves on by `by`."""

    name: str
    by: ast.expr


@dataclass(frozen=True, slots=True)
class LongLoop:
    """The loop with what stands before and behind it; it counts from `start` to `stop`."""

    loop: ast.For
    before: tuple[ast.stmt, ...]
    behind: tuple[ast.stmt, ...]
    start: ast.expr
    stop: ast.expr
    step: ast.expr
    totals: tuple[Total, ...]
    advances: tuple[Advance, ...]


def read_loop(kernel: KernelText) -> LongLoop:
    """The loop of a kernel. Raises DoesNotApply where its steps cannot be told apart."""
    body = [n for n in kernel.node.body if not _is_text(n)]
    loops = [node for node in body if isinstance(node, ast.For | ast.While)]
    if len(loops) != 1 or not isinstance(loops[0], ast.For) or loops[0].orelse:
        raise DoesNotApply("the kernel is not one `for` loop and what stands around it")
    loop = loops[0]
    place = body.index(loop)
    before, behind = body[:place], body[place + 1 :]
    _check_around(kernel, before, behind)
    start, stop, step = _range(kernel, loop)
    advances = tuple(_advances(kernel, loop, behind))
    carried = set(read_first(loop.body)) & set(stored_names(loop.body))
    carried -= {one.name for one in advances}
    alive = live_after(kernel.node, loop) & set(stored_names([loop]))
    names = [name for name in dict.fromkeys(stored_names(loop.body)) if name in carried | alive]
    if alive & set(stored_names([loop.target])):
        raise DoesNotApply("the counter of the loop is read behind it")
    types = Float32Names(kernel)
    totals = tuple(_total(kernel, types, loop, name) for name in names)
    if not totals:
        raise DoesNotApply("the loop adds nothing up")
    return LongLoop(loop, tuple(before), tuple(behind), start, stop, step, totals, advances)


def _check_around(
    kernel: KernelText, before: Sequence[ast.stmt], behind: Sequence[ast.stmt]
) -> None:
    """Raises DoesNotApply where something happens twice in two kernels, or more than once."""
    if not behind:
        raise DoesNotApply("nothing follows the loop")
    for node in (inner for root in behind for inner in ast.walk(root)):
        if isinstance(node, ast.For | ast.While | ast.Return):
            raise DoesNotApply("what follows the loop is more than plain statements")
    for node in ast.walk(kernel.node):
        name = kernel.called(node) or ""
        if name.startswith("atomic") or name in _CHANGES:
            raise DoesNotApply(f"{name} may not be done twice")
        if name == "num_programs":
            raise DoesNotApply("the kernel asks how many programs there are")
        if any(name == one.node.name for one in kernel.program.kernels):
            raise DoesNotApply(f"{name} may do more than compute")
    early = (*before, *(n for n in kernel.node.body if isinstance(n, ast.For)))
    for node in (inner for root in early for inner in ast.walk(root)):
        if kernel.called(node) == "store":
            raise DoesNotApply("memory is written before the loop ends")
        if isinstance(node, ast.AnnAssign):
            raise DoesNotApply(f"line {node.lineno} is more than the move can read")
    parameters = {parameter.arg for parameter in kernel.parameters}
    if changed := parameters & set(stored_names(kernel.node.body)):
        raise DoesNotApply(f"{', '.join(sorted(changed))} is changed by the kernel")
    lines = lines_of(kernel.source)
    nodes = [n for n in kernel.node.body if isinstance(n, ast.stmt)]
    ends = [0, *(node.end_lineno or 0 for node in nodes)]
    for node, end in zip(nodes, ends, strict=False):
        if lines[node.lineno - 1][: node.col_offset].strip() or node.lineno <= end:
            raise DoesNotApply("statements share a line")


def _range(kernel: KernelText, loop: ast.For) -> tuple[ast.expr, ast.expr, ast.expr]:
    """Where the loop starts, stops, and its step, a positive constant."""
    call = loop.iter
    if kernel.called(call) != "range" or not isinstance(call, ast.Call):
        raise DoesNotApply("the loop counts no range")
    if {keyword.arg for keyword in call.keywords} - _OPTIONS:
        raise DoesNotApply("the loop names its bounds")
    arguments = list(call.args)
    if not 1 <= len(arguments) <= 3 or not isinstance(loop.target, ast.Name):
        raise DoesNotApply("the loop counts no plain range")
    start: ast.expr = ast.Constant(0)
    step: ast.expr = ast.Constant(1)
    if len(arguments) == 1:
        stop = arguments[0]
    else:
        start, stop = arguments[:2]
        step = arguments[2] if len(arguments) == 3 else step
    plain = isinstance(step, ast.Constant) and type(step.value) is int and step.value > 0
    if not plain and not (isinstance(step, ast.Name) and step.id in _lengths(kernel)):
        raise DoesNotApply(f"the loop's step {ast.unparse(step)} may not be positive")
    if set(stored_names(loop.body)) & set(loaded_names([call])):
        raise DoesNotApply("a step changes where the loop ends")
    return start, stop, step


def _lengths(kernel: KernelText) -> set[str]:
    """Constants that are the length of `tl.arange(0, B)`, so that they are positive."""
    found = set()
    for node in ast.walk(kernel.node):
        if isinstance(node, ast.Call) and kernel.called(node) == "arange" and len(node.args) == 2:
            zero = isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
            if zero and isinstance(node.args[1], ast.Name):
                found.add(node.args[1].id)
    return found & kernel.constants


def _advances(kernel: KernelText, loop: ast.For, behind: Sequence[ast.stmt]) -> list[Advance]:
    """Names in addresses that the loop's own statements move on by what no step changes."""
    stored, read = stored_names([loop]), set(loaded_names(behind))
    loads = [n for n in ast.walk(loop) if isinstance(n, ast.Call) and kernel.called(n) == "load"]
    addresses = set(loaded_names([load.args[0] for load in loads if load.args]))
    found = []
    for node in loop.body:
        if not isinstance(node, ast.AugAssign) or not isinstance(node.target, ast.Name):
            continue
        name = node.target.id
        alike = not set(loaded_names([node.value])) & set(stored)
        calls = any(isinstance(inner, ast.Call) for inner in ast.walk(node.value))
        once = stored.count(name) == 1 and name not in read and name in addresses
        if isinstance(node.op, ast.Add) and alike and once and not calls:
            found.append(Advance(name, node.value))
    return found


def _total(kernel: KernelText, types: Float32Names, loop: ast.For, name: str) -> Total:
    """Reads a name that goes from step to step as a total. Raises DoesNotApply."""
    taken = [
        (node, kind)
        for node in ast.walk(loop)
        if isinstance(node, ast.stmt) and (kind := _kind(kernel, node, name)) is not None
    ]
    every = [n for n in ast.walk(loop) if isinstance(n, ast.Name) and n.id == name]
    own = [n for node, _ in taken for n in ast.walk(node) if isinstance(n, ast.Name)]
    if not taken or any(n not in own for n in every) or len({kind for _, kind in taken}) != 1:
        raise DoesNotApply(f"{name} goes from one step to the next and is no total")
    if not types.has(ast.Name(name, ast.Load())):
        raise DoesNotApply(f"{name} may be no float32")
    extents = BlockExtents(kernel, loop).of(ast.Name(name, ast.Load()))
    if extents is None or any(not _is_constant(kernel, side) for side in extents):
        raise DoesNotApply(f"the text does not tell the shape of {name}")
    return Total(name, taken[0][1], extents)


def _kind(kernel: KernelText, node: ast.stmt, name: str) -> str | None:
    """What a statement takes on to the name, if its term does not depend on it; else None."""
    found = taken_on(kernel, node)
    if found is None or found[0] != name or name in loaded_names([found[2]]):
        return None
    return found[1]


def _is_constant(kernel: KernelText, side: str) -> bool:
    return side.isdigit() or side in kernel.constants


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
