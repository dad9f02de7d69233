"""The *transposed* move: a kernel reads a transposed tensor as it lies, without a copy.

Before, a copy in each call, and a kernel that is told how the copy lies:

    w_t = weight.t().contiguous()
    product[grid](x, w_t, y, M, N, K, …, w_t.stride(0), w_t.stride(1), …)

After:

    w_t = weight.t()
    if (w_t.shape[0], w_t.shape[1]) != (K, N):
        w_t = w_t.contiguous()
    product[grid](x, w_t, y, M, N, K, …, w_t.stride(0), w_t.stride(1), …)

Applies to a name that is assigned once, as `.contiguous()` of `.t()`, `.T`, `.mT`, `.transpose(…)`,
`.swapaxes(…)` or `.permute(…)`, and then only asked for its sizes and strides or passed to kernels
with all its strides. The kernel's text has to show which element each lane loads: the address is
the tensor plus one index for each stride (pointers that a loop advances are looked through), and
the mask keeps each index below a parameter. That these are the tensor's sizes is a condition on the
host; where the sizes were read from the tensor in question it is left out.

It is not proposed for kernels with products in strict float32, which it slows down; `planes` comes
before it there.

Refuses kernels that store to the tensor, that promise the compiler something of its strides, or
that are given the same memory again; a tensor that is named behind its copy for more than its
sizes, and so may be changed; copies that are returned, kept, or passed to anything else.

Claim: bit-equal.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from warpwright.program.parsed import ParsedProgram, parse_program
from warpwright.program.parsing import lines_of
from warpwright.proposers.rewrites.common.kernel_text import (
    kernel_text,
    launch_arguments,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite
from warpwright.proposers.rewrites.common.splice import Splice, end_of, spliced
from warpwright.proposers.rewrites.common.statement_text import margin_of
from warpwright.proposers.rewrites.products.dots import strict_products
from warpwright.proposers.rewrites.products.host_facts import (
    Fact,
    asked_of,
    equal_before,
    is_settled,
    own_nodes,
)
from warpwright.proposers.rewrites.products.strided import strided_loads
from warpwright.proposers.rewrites.products.turned_copies import (
    FACTS,
    QUESTIONS,
    TurnedCopy,
    check_source,
    turned_copies,
)
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.launch_trace import Launch, TensorArgument
from warpwright.types.program import ProgramView

NAME = "transposed"


@dataclass(frozen=True, slots=True)
class _Passed:
    """A launch that is given the copy: as which parameter, its strides, and all arguments."""

    operand: str
    strides: tuple[str, ...]
    arguments: Mapping[str, ast.expr]


def find(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move for each kernel that is given such copies."""
    moves = []
    for call in calls:
        with suppress(DoesNotApply):
            parsed = parse_program(program.source)
            if _on_plain_multipliers(program.source, call.name):
                continue
            for copy in turned_copies(parsed):
                operands = {passed.operand for passed in _passed(parsed, call.name, copy)}
                if not all(
                    _may_change(launch, name) for launch in call.launches for name in operands
                ):
                    continue
                if len(operands) != 1:
                    continue
                arguments = (
                    ("function", copy.function.name),
                    ("operand", copy.name),
                    ("pointer", next(iter(operands))),
                )
                move = Move(NAME, call.name, arguments, Claim.BIT_EQUAL)
                with suppress(DoesNotApply):
                    apply(program.source, move)
                    moves.append(move)
    return tuple(moves)


def _on_plain_multipliers(source: str, kernel: str) -> bool:
    """Whether a kernel has products in strict float32: they read their operands from shared memory
    by the row, and took twice as long with one operand turned (timed on an H200)."""
    return any(product.around is None for product in strict_products(kernel_text(source, kernel)))


def _may_change(launch: Launch, name: str) -> bool:
    """Whether a launch's operand shares memory with no other, and 32 bits count its elements."""
    tensors = {n: a for n, a in launch.arguments.items() if isinstance(a, TensorArgument)}
    if name not in tensors:
        return False
    shared = [other.storage for other in tensors.values()].count(tensors[name].storage) > 1
    return not shared and math.prod(tensors[name].shape) < 2**31


def apply(source: str, move: Move) -> str:
    """The program without the copy. Raises DoesNotApply."""
    program = parse_program(source)
    wanted = (move.argument("function"), move.argument("operand"))
    copies = [c for c in turned_copies(program) if (c.function.name, c.name) == wanted]
    if len(copies) != 1:
        raise DoesNotApply(f"{wanted[0]} makes no copy of a transposed tensor named {wanted[1]}")
    copy = copies[0]
    given = _passed(program, move.kernel, copy)
    if {passed.operand for passed in given} != {move.argument("pointer")}:
        raise DoesNotApply(f"{move.kernel} is not given {copy.name} as {move.argument('pointer')}")
    _check_uses(program, copy, move.kernel)
    check_source(copy)
    tests: dict[tuple[int, str], None] = {}
    for passed in given:
        tests |= dict.fromkeys(_sizes(program, move.kernel, copy, passed))
    before = lines_of(source)[copy.statement.lineno - 1][: copy.statement.col_offset]
    if before.strip():
        raise DoesNotApply("the copy shares its line with another statement")
    return spliced(source, _splices(source, copy, list(tests)))


def _passed(program: ParsedProgram, kernel: str, copy: TurnedCopy) -> list[_Passed]:
    """The launches of a kernel in the copy's function that are given it. Raises DoesNotApply where
    they are not told all its strides."""
    inside = set(own_nodes(copy.function))
    found = []
    for call, arguments in launch_arguments(program, kernel):
        names = [
            name
            for name, value in arguments.items()
            if isinstance(value, ast.Name) and value.id == copy.name
        ]
        if call not in inside or not names:
            continue
        strides: dict[int, str] = {}
        for name, value in arguments.items():
            for tensor, place in asked_of(copy.function, value, Fact.STRIDE):
                if tensor == copy.name and strides.setdefault(place, name) != name:
                    raise DoesNotApply(f"{kernel} is told a stride of {copy.name} twice")
        if len(names) != 1 or sorted(strides) != list(range(max(len(strides), 2))):
            raise DoesNotApply(f"{kernel} is not told all strides of {copy.name}")
        told = tuple(strides[place] for place in sorted(strides))
        found.append(_Passed(names[0], told, arguments))
    return found


def _check_uses(program: ParsedProgram, copy: TurnedCopy, kernel: str) -> None:
    """Raises DoesNotApply where the name may go anywhere but to launches of the kernel."""
    launches = {call for call, _ in launch_arguments(program, kernel)}
    allowed: set[ast.AST] = set()
    for node in own_nodes(copy.function):
        if isinstance(node, ast.Call) and node in launches:
            allowed |= {*node.args, *(keyword.value for keyword in node.keywords)}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            allowed |= {node.func.value} if node.func.attr in QUESTIONS else set()
        elif isinstance(node, ast.Attribute) and node.attr in FACTS:
            allowed.add(node.value)
    for node in ast.walk(copy.function.node):
        reads = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        if reads and ast.unparse(node) == copy.name and node not in allowed:
            raise DoesNotApply(f"{copy.name} is used otherwise than by {kernel}")


def _sizes(
    program: ParsedProgram, kernel: str, copy: TurnedCopy, passed: _Passed
) -> Iterator[tuple[int, str]]:
    """(dimension, what the host passes as its size) for each that is not the size by its text."""
    loads = strided_loads(kernel_text(program.source, kernel), passed.operand, passed.strides)
    for below in {load.below for load in loads}:
        for dimension, parameter in enumerate(below):
            value = passed.arguments.get(parameter)
            if value is None:
                raise DoesNotApply(f"the launch does not pass {parameter}")
            if _is_size(copy, value, dimension, len(below)):
                continue
            if not isinstance(value, ast.Name) or not _stands_before(copy, value.id):
                raise DoesNotApply(f"{ast.unparse(value)} is not known where {copy.name} is made")
            yield dimension, value.id


def _stands_before(copy: TurnedCopy, name: str) -> bool:
    """Whether a name of the function has one value, and has it before the copy."""
    arguments = copy.function.node.args
    given = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    stored = [
        node
        for node in ast.walk(copy.function.node)
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
    ]
    if name in given:
        return not stored
    body = copy.function.node.body
    return (
        len(stored) == 1
        and copy.statement in body
        and any(stored[0] in ast.walk(s) for s in body[: body.index(copy.statement)]
                if isinstance(s, ast.Assign))
    )  # fmt: skip


def _is_size(copy: TurnedCopy, value: ast.expr, dimension: int, rank: int) -> bool:
    """Whether a host expression reads that size of the copy, or of the matrix that it turns."""
    turned = copy.view.func if isinstance(copy.view, ast.Call) else copy.view
    assert isinstance(turned, ast.Attribute)
    sizes = {(copy.name, dimension)}
    if rank == 2 and turned.attr in ("t", "T", "mT"):
        sizes.add((ast.unparse(turned.value), 1 - dimension))
    same = [value]
    for one, other in equal_before(copy.function, copy.statement):
        for known, more in ((one, other), (other, one)):
            if ast.unparse(known) == ast.unparse(value) and isinstance(value, ast.Name):
                same += [more] if is_settled(copy.function, value.id) else []
    return any(
        size in sizes and is_settled(copy.function, size[0])
        for expression in same
        for size in asked_of(copy.function, expression, Fact.SIZE)
    )


def _splices(source: str, copy: TurnedCopy, tests: list[tuple[int, str]]) -> list[Splice]:
    """The view in the copy's place, and the copy where a size is another."""
    statement, margin = copy.statement, margin_of(source, copy.statement)
    view = Splice(end_of(copy.view), end_of(statement.value), "")
    if not tests:
        return [view]
    sizes = ", ".join(f"{copy.name}.shape[{dimension}]" for dimension, _ in tests)
    others = ", ".join(name for _, name in tests)
    test = f"{sizes} != {others}" if len(tests) == 1 else f"({sizes}) != ({others})"
    line = statement.end_lineno or statement.lineno
    rest = lines_of(source)[line - 1].encode()[statement.end_col_offset or 0 :].decode()
    if rest.strip() and not rest.strip().startswith("#"):
        raise DoesNotApply("the copy shares its line with another statement")
    guard = f"{margin}if {test}:\n{margin}    {copy.name} = {copy.name}.contiguous()\n"
    return [view, Splice((line + 1, 0), (line + 1, 0), guard)]


REWRITES = (
    Rewrite(
        NAME,
        find,
        apply,
        "`{operand}` is passed as the transposed view that it is, and no longer copied in "
        "each call",
        place=66,
        worth=1.1,
        unpacks=True,
    ),
)
