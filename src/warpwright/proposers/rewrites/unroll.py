"""The *unroll* move: short loops of known length are written out by the compiler.

Before: `for kw in range(K_W):` where `K_W` is a compile-time size.
After: `for kw in tl.static_range(K_W):`, so that what depends on `kw` alone is worked out once,
when the kernel is compiled, and loads of several steps are under way at a time.

Applies to the innermost loops of a nest, as long as the steps written out together are few. Refuses
lengths that are not known when the kernel is compiled, loops with options of their own, and loops
with a `tl.dot`, which the compiler pipelines as they are.

Claim: bit-equal. The steps are the same, in the same order.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping, Sequence

from warpwright.proposers.rewrites.refusal import DoesNotApply
from warpwright.proposers.rewrites.text import constexpr_names, kernel_function, language_name
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.program import ProgramView
from warpwright.types.trace import ConstantArgument

NAME = "unroll"
MOST_STEPS = 64


def find(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """For each kernel the innermost loops that may be written out; then one level more."""
    moves = []
    for call in calls:
        function = kernel_function(program.source, call.name)
        constants = constexpr_names(function)
        known = {name: value for name, value in _constants(call).items() if name in constants}
        for depth in (1, 2, 3):
            lines = _lines(function, known, depth)
            move = Move(NAME, call.name, (("lines", lines),), Claim.BIT_EQUAL)
            if lines and move not in moves:
                moves.append(move)
    return tuple(moves)


def apply(source: str, move: Move) -> str:
    """The program with the loops on the move's lines written out. Raises DoesNotApply."""
    tl = language_name(source)
    function = kernel_function(source, move.kernel)
    constants = constexpr_names(function)
    lines = move.argument("lines")
    wanted = {int(str(line)) for line in (lines if isinstance(lines, tuple) else (lines,))}
    text = source.splitlines(keepends=True)
    done = set()
    for loop in [node for node in ast.walk(function) if isinstance(node, ast.For)]:
        if loop.lineno not in wanted:
            continue
        head = _plain_range(loop)
        if head is None or not _is_constant(head, constants):
            raise DoesNotApply(
                f"the loop on line {loop.lineno} has no length known to the compiler"
            )
        if _has_dot(loop):
            raise DoesNotApply(f"the loop on line {loop.lineno} multiplies matrices")
        assert isinstance(loop.iter, ast.Call)
        name = loop.iter.func
        if name.end_lineno != name.lineno or name.end_col_offset is None:
            raise DoesNotApply(f"line {loop.lineno} is written over several lines")
        line = text[name.lineno - 1].encode()
        changed = (
            line[: name.col_offset] + f"{tl}.static_range".encode() + line[name.end_col_offset :]
        )
        text[name.lineno - 1] = changed.decode()
        done.add(loop.lineno)
    if done != wanted:
        raise DoesNotApply(f"no loops begin on lines {sorted(wanted - done)}")
    return "".join(text)


def _lines(function: ast.FunctionDef, known: Mapping[str, int], depth: int) -> tuple[int, ...]:
    """The lines of the loops that are `depth` levels from the inside at most and short enough."""
    found = []
    for chain in _chains(function.body, ()):
        inner = list(chain[-depth:])
        while inner and not _short(inner, known):
            inner.pop(0)
        found += [loop.lineno for loop in inner]
    return tuple(sorted(set(found)))


def _chains(body: Sequence[ast.stmt], above: tuple[ast.For, ...]) -> Iterator[tuple[ast.For, ...]]:
    """Each innermost loop with those around it, the outermost first."""
    for statement in body:
        if isinstance(statement, ast.For):
            nested = list(_chains(statement.body, (*above, statement)))
            yield from nested or [(*above, statement)]
        elif isinstance(statement, ast.If):
            yield from _chains(statement.body, above)
            yield from _chains(statement.orelse, above)


def _short(loops: Sequence[ast.For], known: Mapping[str, int]) -> bool:
    counts = [_count(loop, known) for loop in loops]
    if any(count is None for count in counts) or any(_has_dot(loop) for loop in loops):
        return False
    return 1 < math.prod(count for count in counts if count is not None) <= MOST_STEPS


def _count(loop: ast.For, known: Mapping[str, int]) -> int | None:
    extent = _plain_range(loop)
    if isinstance(extent, ast.Constant) and isinstance(extent.value, int):
        return extent.value
    return known.get(extent.id) if isinstance(extent, ast.Name) else None


def _plain_range(loop: ast.For) -> ast.expr | None:
    """The length of `range(n)` or `range(0, n)` without options; None for any other loop."""
    call = loop.iter
    if not isinstance(call, ast.Call) or call.keywords or loop.orelse:
        return None
    if not (isinstance(call.func, ast.Name) and call.func.id == "range"):
        return None
    if len(call.args) == 1:
        return call.args[0]
    first = call.args[0] if len(call.args) == 2 else None
    return call.args[1] if isinstance(first, ast.Constant) and first.value == 0 else None


def _is_constant(extent: ast.expr, constants: set[str]) -> bool:
    names = {node.id for node in ast.walk(extent) if isinstance(node, ast.Name)}
    return names <= constants


def _has_dot(loop: ast.For) -> bool:
    return any(
        isinstance(node, ast.Attribute) and node.attr in ("dot", "dot_scaled")
        for node in ast.walk(loop)
    )


def _constants(call: KernelCalls) -> dict[str, int]:
    """Compile-time integers that are the same in every launch."""
    values: dict[str, set[int]] = {}
    for launch in call.launches:
        for name, argument in launch.arguments.items():
            if isinstance(argument, ConstantArgument) and type(argument.value) is int:
                values.setdefault(name, set()).add(argument.value)
    return {name: found.pop() for name, found in values.items() if len(found) == 1}
