"""repack: a small constant operand permuted so that the lanes of its loads lie side by side.

    for step in range(T * slices):                      if W_PACKED:
        t = step // slices                                  w_at = (
        c = step % slices * BLOCK + depth                       w_packed_ptr
        w = tl.load(                              →             + row[:, None] * (C * T)
            w_ptr + row[:, None] * (C * T)                      + t * C
            + c[None, :] * T + t,                               + c[None, :]
            mask=c[None, :] < C,                            )
        )                                               else:
                                                            w_at = (as it was)
                                                        w = tl.load(w_at, mask=c[None, :] < C)

Applies to loads in loops whose address is a sum of products coefficient times index, where a number
of the step has the coefficient 1 and the lanes of the tile stand further apart. It must be shown
of each index in question that it stays below its size (by a mask, a remainder, the bound of a
loop): only then is the permuted address that of the same element. The operand has at most a fourth
of the elements of the launch's largest tensor, lies in order, and is only loaded from. The host
permutes it in each call (nothing is kept) and tells the kernel whether its sizes and its order are
those that the address takes for granted; if not, the old address is used.

Claim: bit-equal. The same values are read in the same order.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from warpwright.program.parsing import lines_of
from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    argument_values,
    kernel_text,
    loaded_names,
    stored_names,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite
from warpwright.proposers.rewrites.common.splice import Splice, replaced, spliced
from warpwright.proposers.rewrites.common.statement_text import laid_out, parsed
from warpwright.proposers.rewrites.digits.digit_loops import for_loops
from warpwright.proposers.rewrites.digits.digits_rewrite import SMALL_OPERAND, elements
from warpwright.proposers.rewrites.digits.extent import Extent
from warpwright.proposers.rewrites.digits.pack import in_host_words
from warpwright.proposers.rewrites.digits.packed_host import offer_packed
from warpwright.proposers.rewrites.repack.permuted_address import (
    Walk,
    dimensions_of,
    permutation_of,
    read_walk,
)
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.launch_trace import Launch, TensorArgument
from warpwright.types.program import ProgramView

NAME = "repack"
_COLUMNS = 100


@dataclass(frozen=True, slots=True)
class _Load:
    statement: ast.stmt
    call: ast.Call
    walk: Walk


@dataclass(frozen=True, slots=True)
class _Packed:
    """What the kernel calls the copy."""

    operand: str
    permutation: tuple[int, ...]
    pointer: str
    flag: str
    address: str


def find(view: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move for each operand of a kernel that can be permuted for its loads."""
    moves = []
    for call in calls:
        for operand in _small_operands(call):
            with suppress(DoesNotApply):
                kernel = kernel_text(view.source, call.name)
                groups = _groups(call, operand, loads_of(kernel, operand)[0].walk.sizes)
                arguments = (
                    ("operand", operand),
                    ("groups", groups),
                    ("permutation", permutation_of(groups)),
                )
                move = Move(NAME, call.name, arguments, Claim.BIT_EQUAL)
                apply(view.source, move)
                moves.append(move)
    return tuple(moves)


def apply(source: str, move: Move) -> str:
    """The source with the operand's loads reading the copy. Raises DoesNotApply."""
    kernel = kernel_text(source, move.kernel)
    operand, groups = str(move.argument("operand")), _numbers(move, "groups")
    permutation = _numbers(move, "permutation")
    loads = loads_of(kernel, operand)
    sizes = loads[0].walk.sizes
    if len(groups) != len(sizes) + 1 or permutation != permutation_of(groups):
        raise DoesNotApply("the move's dimensions are not those of the address")
    packed = _named(kernel, operand, permutation)
    source = spliced(
        source, [splice for load in loads for splice in _changed(source, load, packed)]
    )

    def tests(tensor: str, names: Mapping[str, str]) -> list[str]:
        return _host_tests(groups, sizes, tensor, names)

    told = f"Permuted in each call: what {move.kernel} loads side by side lies so in memory."
    return offer_packed(source, move.kernel, packed, tests, told)


def loads_of(kernel: KernelText, operand: str) -> list[_Load]:
    """Loads in loops that can read the same copy of an operand. Raises DoesNotApply if none."""
    if not any(parameter.arg == operand for parameter in kernel.parameters):
        raise DoesNotApply(f"{kernel.node.name} has no parameter {operand}")
    if operand in stored_names(kernel.node.body):
        raise DoesNotApply(f"{kernel.node.name} assigns {operand}")
    _refuse_other_uses(kernel, operand)
    found: list[_Load] = []
    reason = DoesNotApply(f"no load from {operand} stands in a loop")
    for statement, call in _loads_in_loops(kernel):
        try:
            load = _Load(statement, call, read_walk(kernel, statement, call, operand))
        except DoesNotApply as error:
            reason = error
            continue
        alone = all(load.statement is not other.statement for other in found)
        if alone and (not found or load.walk.sizes == found[0].walk.sizes):
            found.append(load)
    if not found:
        raise reason
    return found


def _loads_in_loops(kernel: KernelText) -> list[tuple[ast.stmt, ast.Call]]:
    """Loads of assignments that start a line of their own, in source order."""
    found = {
        (call.lineno, call.col_offset): (statement, call)
        for loop in for_loops(kernel)
        for statement in ast.walk(loop)
        if isinstance(statement, ast.Assign | ast.AugAssign)
        and not lines_of(kernel.source)[statement.lineno - 1][: statement.col_offset].strip()
        for call in ast.walk(statement)
        if isinstance(call, ast.Call) and kernel.called(call) == "load" and call.args
    }
    return [found[place] for place in sorted(found)]


def _refuse_other_uses(kernel: KernelText, operand: str) -> None:
    """The operand and what is made of it may be loaded from, and nothing else."""
    made = {operand}
    while True:
        more = {
            name
            for node in ast.walk(kernel.node)
            if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign)
            and node.value is not None
            and _passes_on(kernel, node.value, made)
            for name in stored_names([node])
        }
        if more <= made:
            break
        made |= more
    for node in ast.walk(kernel.node):
        if not isinstance(node, ast.Call) or kernel.called(node) == "load":
            continue
        given = [node.func, *node.args, *(keyword.value for keyword in node.keywords)]
        if any(_passes_on(kernel, value, made) for value in given):
            raise DoesNotApply(f"{operand} is used by more than loads")


def _passes_on(kernel: KernelText, node: ast.expr, names: set[str]) -> bool:
    """Whether a pointer of these names is in a value, other than by what is loaded from it."""
    if isinstance(node, ast.Call) and kernel.called(node) == "load":
        return False
    if isinstance(node, ast.Attribute) and node.attr == "dtype":
        return False
    if isinstance(node, ast.Name):
        return node.id in names
    children = (
        child.value if isinstance(child, ast.keyword) else child
        for child in ast.iter_child_nodes(node)
    )
    return any(
        _passes_on(kernel, child, names) for child in children if isinstance(child, ast.expr)
    )


def _changed(source: str, load: _Load, packed: _Packed) -> list[Splice]:
    """Both addresses before the statement, of which one is compiled, and the load of it."""
    statement, pointer = load.statement, load.call.args[0]
    margin = lines_of(source)[statement.lineno - 1][: statement.col_offset]
    room = _COLUMNS - len(margin) - 4
    new = parsed(load.walk.packed(packed.pointer))
    lines = [
        f"if {packed.flag}:  # the same elements, of a copy in which the lanes lie side by side",
        *("    " + line for line in laid_out(f"{packed.address} = ", new, "", room)),
        "else:",
        *("    " + line for line in laid_out(f"{packed.address} = ", pointer, "", room)),
    ]
    place = (statement.lineno, 0)
    text = "".join(f"{margin}{line}\n" for line in lines)
    return [Splice(place, place, text), replaced(pointer, packed.address)]


def _named(kernel: KernelText, operand: str, permutation: tuple[int, ...]) -> _Packed:
    stem = operand.removesuffix("_ptr").removesuffix("ptr") or operand
    taken = {*loaded_names([kernel.node]), *stored_names([kernel.node])}
    taken |= {parameter.arg for parameter in kernel.parameters}
    if f"{stem}_packed_ptr" in taken:
        raise DoesNotApply(f"{operand} is permuted already")
    names = []
    for name in (f"{stem}_packed_ptr", f"{stem}_packed".upper(), f"{stem}_at"):
        while name in taken:
            name += "_"
        taken.add(name)
        names.append(name)
    return _Packed(operand, permutation, *names)


def _host_tests(
    groups: tuple[int, ...], sizes: tuple[Extent, ...], tensor: str, names: Mapping[str, str]
) -> list[str]:
    tests = [f"{tensor}.is_contiguous()"]
    start = groups[0]
    for count, size in zip(groups[1:], sizes, strict=True):
        shape = " * ".join(f"{tensor}.shape[{i}]" for i in range(start, start + count))
        tests.append(f"{shape} == {in_host_words(size, names)}")
        start += count
    return tests


def _numbers(move: Move, name: str) -> tuple[int, ...]:
    given = move.argument(name)
    if not isinstance(given, tuple) or not all(type(number) is int for number in given):
        raise DoesNotApply(f"the move has no {name}")
    return tuple(int(str(number)) for number in given)


def _small_operands(call: KernelCalls) -> list[str]:
    """Tensors small enough to be copied in each call, that share memory with no other argument."""
    first = _tensors(call.launches[0]) if call.launches else {}
    names = [name for name, tensor in first.items() if len(tensor.shape) > 2]
    return [name for name in names if all(_is_small(name, launch) for launch in call.launches)]


def _is_small(name: str, launch: Launch) -> bool:
    tensors = _tensors(launch)
    operand = tensors.get(name)
    if operand is None or elements(operand) >= 2**31:
        return False
    shared = [other.storage for other in tensors.values()].count(operand.storage) > 1
    return not shared and elements(operand) * SMALL_OPERAND <= max(map(elements, tensors.values()))


def _tensors(launch: Launch) -> dict[str, TensorArgument]:
    return {n: a for n, a in launch.arguments.items() if isinstance(a, TensorArgument)}


def _groups(call: KernelCalls, operand: str, sizes: tuple[Extent, ...]) -> tuple[int, ...]:
    """The operand's dimensions by index, the same in all launches. Raises DoesNotApply."""
    known = argument_values(call)
    values = {name: max(found) for name, found in known.items() if len(found) == 1}
    found = set()
    for launch in call.launches:
        tensor = _tensors(launch)[operand]
        row = 1
        for size, stride in zip(reversed(tensor.shape), reversed(tensor.strides), strict=True):
            if size != 1 and stride != row:
                raise DoesNotApply(f"{operand} does not lie in order")
            row *= size
        found.add(dimensions_of(tensor.shape, sizes, values))
    if len(found) != 1:
        raise DoesNotApply(f"{operand} has other dimensions in other launches")
    if any(node == 1 for node in [size.value(values) for size in sizes[1:]]):
        raise DoesNotApply(f"the lanes of {operand} lie side by side already")
    return found.pop()


REWRITES = (
    Rewrite(
        NAME,
        find,
        apply,
        "the host permutes `{operand}` in each call, so that what the lanes of a load "
        "read lies side by side in memory",
        place=50,
        worth=2.5,
        then=("accumulate",),
        packs=True,
    ),
)
