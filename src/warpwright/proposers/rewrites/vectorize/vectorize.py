"""The *vectorize* move: a loop of one element a step takes a block of elements a step.

Before, each step waits for the one before it, and a warp works on one element:

    acc = 0.0
    for i in range(N):
        x = tl.load(x_ptr + row * N + i)
        acc += x
        tl.store(o_ptr + row * N + i, acc)

After, the elements of a block are the lanes, and what a step hands on is scanned across them:

    acc = 0.0
    for first in range(0, N, 1024):
        lane = tl.arange(0, 1024)
        i = first + lane
        inside = i < N
        x = tl.load(x_ptr + row * N + i, mask=inside)
        acc_term = tl.where(inside, x.to(tl.float32), 0.0)
        acc_scan = tl.cumsum(acc_term, 0)
        acc_after = acc + acc_scan
        acc += tl.sum(acc_term, 0)
        tl.store(o_ptr + row * N + i, acc_after, mask=inside)

Sums, products and extremes are scanned, where an element reads the value as it finds or leaves it,
and reduced where only the last one is read. Where the kernel has lanes of its own (one row each, a
step for each element of the rows), values become tiles [rows, elements]; that is proposed where the
elements of a row lie together in memory and the rows do not.

Applies to loops in constant steps, up or down, of assignments and stores alone; pointers may be
moved on by each step. A stride that a store multiplies the variable with has a guard: were it zero,
every step would write to one place. Refuses other recurrences (`a * acc + x`), values that go from
step to step otherwise, what is read behind the loop, branches, atomics, what is not known to work
element by element, and tensors that the loop writes and reads at different addresses.

Claim: the same sum in another order.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from contextlib import suppress

from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    kernel_text,
    kernels_of,
    loaded_names,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite, that_apply
from warpwright.proposers.rewrites.common.splice import Splice, spliced
from warpwright.proposers.rewrites.common.statement_text import (
    INDENT,
    MAX_COLUMNS,
    comments_of,
    margin_of,
    replace_statement,
)
from warpwright.proposers.rewrites.common.value_axes import Shape, shape_of, shapes_before
from warpwright.proposers.rewrites.outer.arithmetic import value_of
from warpwright.proposers.rewrites.outer.nests import free_name
from warpwright.proposers.rewrites.vectorize.addresses import (
    accesses_of,
    check_order,
    slope,
)
from warpwright.proposers.rewrites.vectorize.block_lines import BlockLoop, Plan
from warpwright.proposers.rewrites.vectorize.combining import EXTREMES
from warpwright.proposers.rewrites.vectorize.serial_loop import SerialLoop, loops_of, read_loop
from warpwright.proposers.rewrites.vectorize.updates import LARGEST
from warpwright.proposers.rewrites.vectorize.value_types import type_of
from warpwright.proposers.rewrites.vectorize.worth import block_of
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.program import ProgramView

NAME = "vectorize"


def find(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move for each such loop of each kernel, the last first, so that none moves another."""
    moves = []
    for call, kernel in kernels_of(program.source, calls):
        for number, loop in reversed(list(enumerate(loops_of(kernel)))):
            with suppress(DoesNotApply):
                arguments = (("loop", number), ("block", block_of(kernel, loop, call)))
                moves.append(Move(NAME, call.name, arguments, Claim.SAME_SUM))
    return tuple(that_apply(program.source, moves, apply))


def apply(source: str, move: Move) -> str:
    """The program with one loop taking blocks of elements. Raises DoesNotApply."""
    kernel = kernel_text(source, move.kernel)
    loops = loops_of(kernel)
    number, block = int(str(move.argument("loop"))), int(str(move.argument("block")))
    if number >= len(loops):
        raise DoesNotApply(f"{move.kernel} has no loop {number}")
    if _is_kept(kernel, loops[number]):
        raise DoesNotApply("the loop was kept beside one of blocks")
    loop = read_loop(kernel, loops[number])
    check_order(loop, accesses_of(kernel, loop))
    guard = _guard(kernel, loop)
    taken = _taken(kernel)
    helpers = _helpers(kernel, loop)
    plan = Plan(
        block,
        {carried.name: type_of(kernel, loop, carried) for carried in loop.carried},
        _new_names(kernel, loop, taken),
        {operation: name for operation, (name, _) in helpers.items()},
        taken,
    )
    shapes = shapes_before(kernel.node, loop.statement)
    columns = MAX_COLUMNS - len(margin_of(source, loop.statement))
    columns -= len(INDENT) if guard else 0
    comments = [] if guard else comments_of(source, loop.statement)
    lines = BlockLoop(loop, kernel, shapes, plan, columns).lines(comments)
    told = f"# {block} elements a step; what a step hands on is put together across the lanes."
    text = replace_statement(source, loop.statement, lines, guard, told)
    return _with_helpers(text, kernel, [text for _, text in helpers.values()])


def _guard(kernel: KernelText, loop: SerialLoop) -> str | None:
    """The condition under which no two steps write to one place; None where it always holds."""
    conditions: dict[str, None] = {}
    shapes = shapes_before(kernel.node, loop.statement)
    for access in accesses_of(kernel, loop):
        if not access.stores:
            continue
        along = slope(loop, access.address)
        if along is None:
            raise DoesNotApply(f"steps may write to the same place: {ast.unparse(access.address)}")
        if value_of(along) == 0:
            raise DoesNotApply("every step writes to the same place")
        if value_of(along) is None:
            if set(loaded_names([along])) & {*loop.assigned, loop.variable}:
                raise DoesNotApply(f"the loop assigns {ast.unparse(along)}, by which it stores")
            if shape_of(along, shapes) is not Shape.SCALAR:
                raise DoesNotApply(f"lanes store {ast.unparse(along)} apart, which may be zero")
            conditions[f"{ast.unparse(along)} != 0"] = None
    if len(conditions) > 1:
        return " and ".join(f"({condition})" for condition in conditions)
    return next(iter(conditions), None)


def _is_kept(kernel: KernelText, statement: ast.For) -> bool:
    """Whether a loop is the one that an earlier move of this kind kept in its `else`."""
    return any(
        isinstance(node, ast.If)
        and node.orelse == [statement]
        and len(node.body) == 1
        and isinstance(node.body[0], ast.For)
        for node in ast.walk(kernel.node)
    )


def _taken(kernel: KernelText) -> set[str]:
    names = {node.id for node in ast.walk(kernel.program.tree) if isinstance(node, ast.Name)}
    names |= {node.arg for node in ast.walk(kernel.program.tree) if isinstance(node, ast.arg)}
    return names | {
        node.name
        for node in ast.walk(kernel.program.tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }


def _new_names(kernel: KernelText, loop: SerialLoop, taken: set[str]) -> dict[str, str]:
    """New names for those that stand before the loop: it would carry them in another form."""
    own = {*loop.assigned, loop.variable} - loop.handed_on
    before = {parameter.arg for parameter in kernel.parameters} | {
        node.id
        for node in ast.walk(kernel.node)
        if isinstance(node, ast.Name)
        and isinstance(node.ctx, ast.Store)
        and node.lineno < loop.statement.lineno
    }
    return {name: free_name(name, taken) for name in sorted(own & before)}


def _helpers(kernel: KernelText, loop: SerialLoop) -> dict[str, tuple[str, str]]:
    """By operation, a function that a scan is given: its name and its text."""
    found: dict[str, tuple[str, str]] = {}
    for carried in loop.carried:
        operation = carried.update.operation
        read = any(
            carried.name in step.reads and place != carried.place
            for place, step in enumerate(loop.steps)
        )
        if operation in EXTREMES and read:
            word = "larger" if operation == LARGEST else "smaller"
            name = free_name(word, _taken(kernel))
            call = f"{kernel.builtin(EXTREMES[operation])}(a, b)"
            decorator = _decorator(kernel)
            text = f"{decorator}\ndef {name}(a, b):\n{INDENT}return {call}\n\n\n"
            found[operation] = (name, text)
    return found


def _decorator(kernel: KernelText) -> str:
    """How the program says that a function is compiled by Triton."""
    for decorator in kernel.node.decorator_list:
        name = decorator.func if isinstance(decorator, ast.Call) else decorator
        if kernel.path(name) == "jit":
            return f"@{ast.unparse(name)}"
    raise DoesNotApply(f"{kernel.node.name} is not decorated as a kernel")


def _with_helpers(source: str, kernel: KernelText, texts: Sequence[str]) -> str:
    if not texts:
        return source
    lines = [kernel.node.lineno, *(node.lineno for node in kernel.node.decorator_list)]
    first = (min(lines), 0)
    return spliced(source, [Splice(first, first, "".join(texts))])


REWRITES = (
    Rewrite(
        NAME,
        find,
        apply,
        "a loop of one element a step takes {block} elements a step, and combines what a step "
        "hands on across the lanes",
        place=25,
        worth=10.0,
    ),
)
