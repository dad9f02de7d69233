"""count, roll, unroll: the same loop written so that the compiler does more, or less, with it.

    count                                     k = 0
                                              while k < K:              for k in range(0, K, BLOCK):
                                                  …                →        …
                                                  k += BLOCK
    roll      for k in tl.static_range(0, K, BLOCK):               →    for k in range(0, K, BLOCK):
    unroll    for r in range(R):                                   →    for r in tl.static_range(R):

`count` applies to a `while` that counts up to a bound which the loop leaves alone: Triton
pipelines no `while`. It refuses `break`, `continue`, a counter that the loop or the code after it
uses otherwise, and a start that is no number. `roll` applies to a long unrolled loop whose variable
is used in arithmetic alone (it is no compile-time constant any more). `unroll` applies to short
loops over compile-time bounds: what follows from the variable is then folded. All are bit-equal.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    argument_values,
    kernel_text,
    kernels_of,
    loaded_names,
    stored_names,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite, that_apply
from warpwright.proposers.rewrites.common.splice import (
    Splice,
    end_of,
    replaced,
    spliced,
    whole_lines,
)
from warpwright.proposers.rewrites.common.step_count import trip_count
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Move
from warpwright.types.program import ProgramView

COUNT, ROLL, UNROLL = "count", "roll", "unroll"
LONG_TRIPS = 8
"""An unrolled loop of more steps than this may be worth rolling."""
MOST_COPIES = 32
"""Unrolling makes at most so many copies of a loop's body, nested loops multiplied."""
_MUST_BE_CONSTANT = {"arange", "zeros", "full", "static_range", "static_assert", "constexpr"}


def find_count(view: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move a kernel with such a `while`."""
    moves = (Move(COUNT, call.name) for call in calls)
    return tuple(that_apply(view.source, moves, apply_count))


def find_roll(view: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move a long unrolled loop, by its number among the kernel's `for` loops."""
    moves = []
    for call, kernel in kernels_of(view.source, calls):
        sizes = _sizes(call)
        for number, loop in enumerate(_for_loops(kernel)):
            trips = trip_count(loop, sizes)
            if trips is not None and trips > LONG_TRIPS:
                moves.append(Move(ROLL, call.name, (("loop", number),)))
    return tuple(that_apply(view.source, moves, apply_roll))


def find_unroll(view: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move a kernel: every loop short enough, the innermost first."""
    moves = []
    for call, kernel in kernels_of(view.source, calls):
        if numbers := _short_loops(kernel, _sizes(call)):
            moves.append(Move(UNROLL, call.name, (("loops", numbers),)))
    return tuple(that_apply(view.source, moves, apply_unroll))


def apply_count(source: str, move: Move) -> str:
    """The source with every counting `while` as a `for`. Raises DoesNotApply where none is."""
    kernel = kernel_text(source, move.kernel)
    changed = False
    while True:
        # One at a time: an inner loop's lines move with the outer one's.
        edit = next(filter(None, (_counted(kernel, b) for b in _blocks(kernel.node))), None)
        if edit is None:
            break
        source, changed = spliced(source, edit), True
        kernel = kernel_text(source, move.kernel)
    if not changed:
        raise DoesNotApply(f"{move.kernel} has no `while` that only counts")
    return source


def apply_roll(source: str, move: Move) -> str:
    """The source with the loop rolled. Raises DoesNotApply."""
    kernel = kernel_text(source, move.kernel)
    loop = _numbered(kernel, move.argument("loop"))
    call = loop.iter
    if not isinstance(call, ast.Call) or kernel.called(call) != "static_range" or call.keywords:
        raise DoesNotApply("the loop is not unrolled")
    if not isinstance(loop.target, ast.Name) or _needs_constant(kernel, loop, loop.target.id):
        raise DoesNotApply("the loop's variable is used where a constant must stand")
    return spliced(source, [replaced(call.func, "range")])


def apply_unroll(source: str, move: Move) -> str:
    """The source with the loops unrolled. Raises DoesNotApply."""
    kernel = kernel_text(source, move.kernel)
    numbers = move.argument("loops")
    if not isinstance(numbers, tuple):
        raise DoesNotApply("the move names no loops")
    splices = []
    for number in numbers:
        loop = _numbered(kernel, number)
        call = loop.iter
        if not isinstance(call, ast.Call) or not _is_plain_range(call):
            raise DoesNotApply("the loop is no plain range")
        if not all(_is_constant(kernel, argument) for argument in call.args):
            raise DoesNotApply("the loop's bounds are no compile-time constants (specialise first)")
        own = _own_statements(loop)
        leaves = any(isinstance(node, (ast.Break, ast.Continue, ast.Return)) for node in own)
        if leaves or loop.orelse:
            raise DoesNotApply("the loop is left early")
        if isinstance(loop.target, ast.Name) and loop.target.id in stored_names(loop.body):
            raise DoesNotApply("the loop assigns its own variable")
        splices.append(replaced(call.func, kernel.builtin("static_range")))
    if not splices:
        raise DoesNotApply("the move names no loops")
    return spliced(source, splices)


def _sizes(call: KernelCalls) -> dict[str, int]:
    return {name: max(values) for name, values in argument_values(call).items()}


def _for_loops(kernel: KernelText) -> list[ast.For]:
    loops = [node for node in ast.walk(kernel.node) if isinstance(node, ast.For)]
    return sorted(loops, key=lambda node: (node.lineno, node.col_offset))


def _numbered(kernel: KernelText, number: object) -> ast.For:
    loops = _for_loops(kernel)
    if not isinstance(number, int) or not 0 <= number < len(loops):
        raise DoesNotApply(f"{kernel.node.name} has no loop {number}")
    return loops[number]


def _short_loops(kernel: KernelText, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """Loops to unroll, from the inside out, as long as the copies stay few."""
    loops = _for_loops(kernel)
    copies: dict[ast.For, int] = {}
    chosen = []
    for number in range(len(loops) - 1, -1, -1):  # inner loops come after their outer ones
        loop = loops[number]
        trips = trip_count(loop, sizes)
        inner = [copies[other] for other in loops[number + 1 :] if _holds(loop, other)]
        if trips is None or not isinstance(loop.iter, ast.Call):
            copies[loop] = MOST_COPIES + 1
            continue
        copies[loop] = trips * max(1, *inner, 1)
        short = trips > 1 and copies[loop] <= MOST_COPIES
        constant = all(_is_constant(kernel, argument) for argument in loop.iter.args)
        # A loop of tensor-core products is pipelined as a loop only.
        constant = constant and not any(kernel.called(n) == "dot" for n in _own_statements(loop))
        if short and constant and _is_plain_range(loop.iter):
            chosen.append(number)
        elif kernel.called(loop.iter) != "static_range":
            copies[loop] = MOST_COPIES + 1
    return tuple(sorted(chosen))


def _holds(outer: ast.For, inner: ast.For) -> bool:
    return any(node is inner for node in ast.walk(outer))


def _is_plain_range(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == "range" and not call.keywords


def _is_constant(kernel: KernelText, node: ast.expr) -> bool:
    return all(
        isinstance(inner, (ast.Constant, ast.BinOp, ast.operator, ast.expr_context))
        or (isinstance(inner, ast.Name) and inner.id in kernel.constants)
        for inner in ast.walk(node)
    )


def _own_statements(loop: ast.For | ast.While) -> list[ast.AST]:
    return [node for statement in loop.body for node in ast.walk(statement)]


def _needs_constant(kernel: KernelText, loop: ast.For, name: str) -> bool:
    """Whether the loop's variable stands in a condition, or where Triton wants a constant."""
    for node in _own_statements(loop):
        tested = isinstance(node, (ast.If, ast.IfExp)) and name in loaded_names([node.test])
        called = isinstance(node, ast.Call) and kernel.called(node) in _MUST_BE_CONSTANT
        if tested or (called and name in loaded_names([node])):
            return True
    return name in stored_names(loop.body)


def _blocks(node: ast.FunctionDef) -> list[list[ast.stmt]]:
    """Every list of statements in the kernel, outer ones first."""
    found = []
    for inner in ast.walk(node):
        for field in ("body", "orelse"):
            block = getattr(inner, field, None)
            if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                found.append(block)
    return found


def _counted(kernel: KernelText, block: list[ast.stmt]) -> list[Splice] | None:
    """The edit of the first counting `while` of a block, if it has one."""
    for index, loop in enumerate(block):
        if isinstance(loop, ast.While) and not loop.orelse:
            edit = _as_for(kernel, block[:index], loop)
            if edit is not None:
                return edit
    return None


def _as_for(kernel: KernelText, before: Sequence[ast.stmt], loop: ast.While) -> list[Splice] | None:
    test, last = loop.test, loop.body[-1]
    if not (
        isinstance(test, ast.Compare)
        and len(test.ops) == 1
        and isinstance(test.ops[0], ast.Lt)
        and isinstance(test.left, ast.Name)
        and isinstance(last, ast.AugAssign)
        and isinstance(last.op, ast.Add)
        and isinstance(last.target, ast.Name)
        and last.target.id == test.left.id
        and len(loop.body) > 1
    ):
        return None
    name, bound, step = test.left.id, test.comparators[0], last.value
    start = _start(before, name)
    body = loop.body[:-1]
    own = [node for statement in body for node in ast.walk(statement)]
    changed = set(stored_names(loop.body))
    if (
        start is None
        or name in stored_names(body)
        or any(isinstance(node, (ast.Break, ast.Continue, ast.Return)) for node in own)
        or set(loaded_names([bound, step])) & changed
        or not _is_constant(kernel, step)
        or not _only_here(kernel, name, loop, start)
    ):
        return None
    bounds = ", ".join(map(ast.unparse, (start.value, bound, step)))
    header = f"for {name} in range({bounds})"
    first = loop.body[0]
    line = Splice((loop.lineno, loop.col_offset), end_of(test), header)
    if first.lineno == loop.lineno:
        return None
    return [whole_lines(start, start, ""), line, whole_lines(last, last, "")]


def _start(before: Sequence[ast.stmt], name: str) -> ast.Assign | None:
    """The counter's start: a number, assigned in the same block."""
    for statement in reversed(before):
        if name not in stored_names([statement]):
            continue
        plain = isinstance(statement, ast.Assign) and len(statement.targets) == 1
        if plain and isinstance(statement.value, ast.Constant):  # type: ignore[attr-defined]
            return statement if type(statement.value.value) is int else None  # type: ignore[attr-defined, return-value]
        return None
    return None


def _only_here(kernel: KernelText, name: str, loop: ast.While, start: ast.Assign) -> bool:
    """Whether nobody outside of the loop reads the counter, bar loops that start it anew."""
    inside = loaded_names([loop])
    everywhere = loaded_names(kernel.node.body)
    if everywhere.count(name) == inside.count(name):
        return True
    others = [
        node
        for node in ast.walk(kernel.node)
        if isinstance(node, (ast.While, ast.For)) and node is not loop
        and name in loaded_names([node]) and not any(inner is loop for inner in ast.walk(node))
    ]  # fmt: skip
    starts = [
        node
        for node in ast.walk(kernel.node)
        if isinstance(node, ast.Assign) and name in stored_names([node]) and node is not start
    ]
    reads = sum(loaded_names([other]).count(name) for other in others)
    return len(starts) >= len(others) and everywhere.count(name) == inside.count(name) + reads


REWRITES = (
    Rewrite(
        COUNT,
        find_count,
        apply_count,
        "a `while` loop that counts became a `for` loop, which Triton can pipeline",
        place=20,
        makes_ready=True,
        alone=False,
    ),
    Rewrite(
        UNROLL,
        find_unroll,
        apply_unroll,
        "short loops were unrolled when compiling, so their counters are constants",
        place=60,
        worth=1.3,
        then=("turn",),
    ),
    Rewrite(
        ROLL,
        find_roll,
        apply_roll,
        "an unrolled loop became one that runs, which is less code and can be pipelined",
        place=70,
        then=("turn",),
    ),
)
