"""The *grouped* move: blocks of a product run in another order, in which they share more operands.

Before, a grid of tiles; the hardware starts blocks along the first axis, then the second:

    pid_m = tl.program_id(0)
    pid_n = tl.program_id(1)

After, on the same grid:

    block = tl.program_id(1) * tl.num_programs(0) + tl.program_id(0)
    first = block // (8 * tl.num_programs(1)) * 8
    group = tl.minimum(tl.num_programs(0) - first, 8)
    pid_m = first + block % (8 * tl.num_programs(1)) % group
    pid_n = block % (8 * tl.num_programs(1)) // group

Blocks that run at the same time are then a rectangle of 8 tiles by as many as there is room for, in
place of whole columns of tiles: together they read fewer rows and columns of the operands, and find
more of them in the L2 cache.

Applies to kernels with a product in a loop, whose first two block numbers are each read once, into
a name of its own, and multiplied by a compile-time size. Each block of the new order is one of the
old order, for every size of the grid. Refuses whatever may tell in which order blocks run (atomic
operations, volatile loads, inline assembly), and functions of the program that read block numbers.

Claim: bit-equal.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from warpwright.program.parsing import lines_of
from warpwright.proposers.rewrites.common.kernel_text import KernelText, kernel_text, stored_names
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite, that_apply
from warpwright.proposers.rewrites.common.splice import Splice, replaced, spliced
from warpwright.proposers.rewrites.common.statement_text import margin_of
from warpwright.proposers.rewrites.outer.nests import free_name
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.program import ProgramView

NAME = "grouped"
GROUP = 8
"""Tiles along the first axis that a group has: of a few that are usual, one in the middle."""
_ORDER_SHOWS = ("atomic", "inline_asm")


def find(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move for each kernel of which some launch has several groups."""
    moves = []
    for call in calls:
        grids = [traced.grid for launch in call.launches for traced in launch.configs]
        if not any(len(g) > 1 and g[0] > GROUP and g[1] > 1 for g in grids if g is not None):
            continue
        moves.append(Move(NAME, call.name, (("group", GROUP),), Claim.BIT_EQUAL))
    return tuple(that_apply(program.source, moves, apply))


def apply(source: str, move: Move) -> str:
    """The program with one kernel's blocks in groups. Raises DoesNotApply."""
    kernel = kernel_text(source, move.kernel)
    group = int(str(move.argument("group")))
    ids = [_block_number(kernel, axis) for axis in (0, 1)]
    if not any(_has_product(kernel, node) for node in ast.walk(kernel.node)):
        raise DoesNotApply(f"{move.kernel} has no product in a loop")
    for name in (_name(statement) for statement in ids):
        if not _counts_tiles(kernel, name):
            raise DoesNotApply(f"{name} is not multiplied by a compile-time size")
    _check_order(kernel)
    first = min(ids, key=lambda statement: statement.lineno)
    before = lines_of(source)[first.lineno - 1][: first.col_offset]
    if before.strip():
        raise DoesNotApply("a block number shares its line with another statement")
    lines, values = _numbers(kernel, group)
    margin = margin_of(source, first)
    text = "".join(f"{margin}{line}\n" for line in lines)
    return spliced(
        source,
        [
            Splice((first.lineno, 0), (first.lineno, 0), text),
            *(replaced(s.value, value) for s, value in zip(ids, values, strict=True)),
        ],
    )


def _numbers(kernel: KernelText, group: int) -> tuple[list[str], list[str]]:
    """The lines before the two block numbers, and what these are."""
    taken = {node.id for node in ast.walk(kernel.node) if isinstance(node, ast.Name)}
    taken |= {parameter.arg for parameter in kernel.parameters}
    block, first, rows = (free_name(name, taken) for name in ("block", "first", "group"))
    number, count = kernel.builtin("program_id"), kernel.builtin("num_programs")
    whole = f"({group} * {count}(1))"
    lines = [
        f"# Groups of {group} blocks by all of the second axis: those that run together share more",
        "# of what they read.",
        f"{block} = {number}(1) * {count}(0) + {number}(0)",
        f"{first} = {block} // {whole} * {group}",
        f"{rows} = {kernel.builtin('minimum')}({count}(0) - {first}, {group})",
    ]
    inside = f"{block} % {whole}"
    return lines, [f"{first} + {inside} % {rows}", f"{inside} // {rows}"]


def _block_number(kernel: KernelText, axis: int) -> ast.Assign:
    """The statement that reads the block's number along an axis. Raises DoesNotApply."""
    calls = [
        node
        for node in ast.walk(kernel.node)
        if kernel.called(node) == "program_id" and _axis(node) in (axis, None)
    ]
    statements = [
        statement
        for statement in kernel.node.body
        if isinstance(statement, ast.Assign) and statement.value in calls
    ]
    if len(calls) != 1 or len(statements) != 1 or _axis(calls[0]) is None:
        raise DoesNotApply(f"{kernel.node.name} does not read block number {axis} once, by itself")
    targets = statements[0].targets
    if len(targets) != 1 or not isinstance(targets[0], ast.Name):
        raise DoesNotApply(f"block number {axis} has no name of its own")
    if stored_names([kernel.node]).count(targets[0].id) != 1:
        raise DoesNotApply(f"{targets[0].id} is assigned more than once")
    return statements[0]


def _name(statement: ast.Assign) -> str:
    return ast.unparse(statement.targets[0])


def _axis(node: ast.AST) -> int | None:
    assert isinstance(node, ast.Call)
    values = [*node.args, *(keyword.value for keyword in node.keywords)]
    value = values[0].value if len(values) == 1 and isinstance(values[0], ast.Constant) else None
    return value if type(value) is int else None


def _has_product(kernel: KernelText, node: ast.AST) -> bool:
    loop = isinstance(node, ast.For | ast.While)
    return loop and any(kernel.called(inner) == "dot" for inner in ast.walk(node))


def _counts_tiles(kernel: KernelText, name: str) -> bool:
    """Whether a block number is multiplied by a compile-time size somewhere."""
    for node in ast.walk(kernel.node):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            sides = [side.id for side in (node.left, node.right) if isinstance(side, ast.Name)]
            if name in sides and set(sides) & kernel.constants:
                return True
    return False


def _check_order(kernel: KernelText) -> None:
    """Raises DoesNotApply where the order of blocks may show in what the kernel computes."""
    for function in (kernel.node, *_called_functions(kernel)):
        for node in ast.walk(function):
            word = node.attr if isinstance(node, ast.Attribute) else ""
            if word.startswith(_ORDER_SHOWS):
                raise DoesNotApply(f"{function.name} has {word}: the order of blocks may show")
            if isinstance(node, ast.keyword) and node.arg == "volatile":
                raise DoesNotApply(f"{function.name} has a volatile load")
            if function is not kernel.node and word in ("program_id", "num_programs"):
                raise DoesNotApply(f"{function.name} reads block numbers itself")


def _called_functions(kernel: KernelText) -> Iterator[ast.FunctionDef]:
    """The program's own functions that the kernel may call, also by others."""
    functions = {
        node.name: node
        for node in kernel.program.tree.body
        if isinstance(node, ast.FunctionDef) and node is not kernel.node
    }
    waiting, seen = [kernel.node], {kernel.node.name}
    while waiting:
        for node in ast.walk(waiting.pop()):
            if isinstance(node, ast.Name) and node.id in functions and node.id not in seen:
                seen.add(node.id)
                waiting.append(functions[node.id])
                yield functions[node.id]


REWRITES = (
    Rewrite(
        NAME,
        find,
        apply,
        "blocks run in groups of {group} tiles, so that those that run together share more of "
        "what they read",
        place=105,
        alone=False,
        refines=True,
        measured=True,
    ),
)
