"""The *flatten* move: nested loops over one run of memory become one loop with longer steps.

Before, a nest over the dimensions of a contiguous tensor, whose innermost rows are short:

    for d in range(D):
        for h in range(H):
            for w in range(0, W, BLOCK):
                lane = w + tl.arange(0, BLOCK)
                x = tl.load(x_ptr + d * stride_d + h * stride_h + lane * stride_w, mask=lane < W)
                total += tl.sum(x, axis=0)

After, where the strides say that row follows row; else the loops stay as they were:

    if stride_d == H * stride_h and stride_h == W * stride_w:
        d = 0
        h = 0
        for w in range(0, D * H * W, 1024):
            lane = w + tl.arange(0, 1024)
            x = tl.load(…, mask=lane < D * H * W)
            total += tl.sum(x, axis=0)

Applies to loops over compile-time extents whose body holds assignments and stores alone. Every
address in it grows by the same run with each loop, or with none of them; every access is masked by
`lane < W`, which is the only other use of an index. Fewer loops of the nest, from the inside, are
flattened where the outer ones do not fit. Refuses vectors from outside the nest, and names of it
that are read behind it.

Claim: the same sum in another order.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from warpwright.proposers.rewrites.common.block_extents import BlockExtents, reduction_of
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
from warpwright.proposers.rewrites.common.statement_text import (
    replace_statement,
)
from warpwright.proposers.rewrites.common.value_axes import is_elementwise
from warpwright.proposers.rewrites.digits.extent import ONE, Extent
from warpwright.proposers.rewrites.flatten.memory_order import check_memory_order, shares_memory
from warpwright.proposers.rewrites.flatten.walks import (
    LANES,
    StrideReader,
    WalkNest,
    walk_nests,
)
from warpwright.proposers.rewrites.outer.liveness import live_after
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.program import ProgramView

NAME = "flatten"
WIDEST = 1024
_ACCESSES = frozenset({"load", "store"})


@dataclass(frozen=True, slots=True)
class _Flat:
    """What a nest becomes: under which equalities, and what changes in its innermost loop."""

    equal: tuple[tuple[Extent, Extent], ...]
    lanes: tuple[ast.expr, ...]
    bounds: tuple[ast.expr, ...]


def find(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move for each such nest, the last one first, so that none moves another."""
    moves = []
    for call in calls:
        with suppress(DoesNotApply):
            kernel = kernel_text(program.source, call.name)
            sizes = _sizes(call)
            taken: set[ast.AST] = set()
            for number, nest in reversed(list(enumerate(_nests(kernel)))):
                width = _width(nest, sizes)
                if width is None or taken & {nest.inner}:
                    continue
                with suppress(DoesNotApply):
                    flat = _flat(kernel, nest)
                    if not all(a.value(sizes) == b.value(sizes) for a, b in flat.equal):
                        continue
                    if _is_kept(kernel, nest, flat) or shares_memory(kernel, nest, call):
                        continue
                    arguments = (("nest", number), ("width", width))
                    moves.append(Move(NAME, call.name, arguments, Claim.SAME_SUM))
                    taken.add(nest.inner)
    return tuple(moves)


def apply(source: str, move: Move) -> str:
    """The program with the nest as one loop. Raises DoesNotApply."""
    kernel = kernel_text(source, move.kernel)
    nests = _nests(kernel)
    number, width = int(str(move.argument("nest"))), int(str(move.argument("width")))
    if number >= len(nests):
        raise DoesNotApply(f"{move.kernel} has {len(nests)} nests that walk memory")
    nest = nests[number]
    flat = _flat(kernel, nest)
    total, inner = str(nest.total), nest.inner
    splices = [replaced(node, f"{kernel.builtin('arange')}(0, {width})") for node in flat.lanes]
    splices += [replaced(node, total) for node in flat.bounds]
    splices.append(replaced(inner.iter, f"range(0, {total}, {width})"))
    lines: list[str] = []
    for level in nest.levels:
        lines.append(f"{level.variable} = 0")
        for node in level.between:
            lines += _lines(source, node)
    lines += _lines(_in_place(source, splices), inner)
    condition = " and ".join(f"{a} == {b}" for a, b in flat.equal) or None
    told = "# Row follows row in memory: one loop takes what the loops of the nest took."
    return replace_statement(source, nest.statement, lines, condition, told)


def _nests(kernel: KernelText) -> list[WalkNest]:
    """All nests in source order, those of more loops last where they end in the same one."""
    return sorted(walk_nests(kernel), key=lambda nest: (nest.inner.lineno, len(nest.levels)))


def _is_kept(kernel: KernelText, nest: WalkNest, flat: _Flat) -> bool:
    """Whether an earlier move of this kind kept the nest for other strides."""
    equal = {f"{a} == {b}" for a, b in flat.equal}
    return any(
        isinstance(node, ast.If)
        and any(nest.statement in ast.walk(one) for one in node.orelse)
        and equal & set(ast.unparse(node.test).split(" and "))
        for node in ast.walk(kernel.node)
    )


def _sizes(call: KernelCalls) -> Mapping[str, int]:
    """Numbers that have one value in all launches."""
    known = argument_values(call)
    return {name: min(found) for name, found in known.items() if len(found) == 1}


def _width(nest: WalkNest, sizes: Mapping[str, int]) -> int | None:
    """Lanes of the new loop; None where they would be no more than before."""
    total, inner = nest.total.value(sizes), nest.extent.value(sizes)
    if total is None or inner is None or inner >= WIDEST:
        return None
    width = 1
    while width < min(total, WIDEST):
        width *= 2
    return width if width > inner else None


def _flat(kernel: KernelText, nest: WalkNest) -> _Flat:
    """Raises DoesNotApply where the loops do more than walk one run of memory."""
    _check_names(kernel, nest)
    reader = StrideReader(kernel, nest)
    for level in nest.levels:
        for before in level.between:
            reader.strides(before.value, before)
    uses = _Uses(kernel, reader, nest)
    equal: dict[tuple[Extent, Extent], None] = {}
    for node in nest.inner.body:
        uses.check(node)
        for access in _accesses(kernel, node):
            strides = reader.strides(access.args[0], node)
            if strides:
                equal |= dict.fromkeys(_equalities(nest, strides))
                uses.check_mask(access, node)
    if not equal:
        raise DoesNotApply("no address grows with the loops")
    check_memory_order(kernel, nest)
    unequal = tuple(pair for pair in equal if pair[0] != pair[1])
    lanes = {(node.lineno, node.col_offset): node for node in reader.lanes}
    inside = set(ast.walk(nest.inner))
    if any(node not in inside for node in lanes.values()):
        raise DoesNotApply("the lanes are named in an outer loop of the nest")
    bounds = {(node.lineno, node.col_offset): node for node in uses.bounds}
    return _Flat(unequal, tuple(lanes.values()), tuple(bounds.values()))


def _check_names(kernel: KernelText, nest: WalkNest) -> None:
    """Raises DoesNotApply where a name of the nest is read behind it, or a vector meets one."""
    own = set(stored_names([nest.statement]))
    extents, reader = BlockExtents(kernel, nest.statement), StrideReader(kernel, nest)
    before = [node for level in nest.levels for node in level.between]
    for node in [*before, *nest.inner.body]:
        for name in set(loaded_names([node])):
            outside = not reader.is_own(name, node) and not _is_step(kernel, nest, name)
            if outside and extents.of(ast.Name(name)) not in ((), None):
                raise DoesNotApply(f"{name} is a vector from outside the nest")
    inside = BlockExtents(kernel, nest.inner.body[-1])
    vectors = {name for name in own if inside.of(ast.Name(name)) != ()}
    counters = {level.variable for level in nest.levels} | {nest.variable}
    behind = live_after(kernel.node, nest.statement)
    if read := (vectors | counters) & behind:
        raise DoesNotApply(f"{', '.join(sorted(read))} is read behind the nest")
    step = {node.id for node in ast.walk(nest.step) if isinstance(node, ast.Name)}
    if step - kernel.constants:
        raise DoesNotApply("the step of the innermost loop is no constant")


def _is_step(kernel: KernelText, nest: WalkNest, name: str) -> bool:
    """Whether a name from before the nest may be the lanes of a step, which the reader tells."""
    nodes = (n for n in ast.walk(kernel.node) if isinstance(n, ast.Assign))
    values = [n.value for n in nodes if stored_names(n.targets) == [name]]
    lanes = f"(0, {ast.unparse(nest.step)})"
    whole = [v for v in values if isinstance(v, ast.Call) and kernel.called(v) == "arange"]
    return len(values) == len(whole) == 1 and ast.unparse(whole[0]).endswith(lanes)


class _Uses:
    """How the body of the innermost loop uses its indices. Raises DoesNotApply."""

    def __init__(self, kernel: KernelText, reader: StrideReader, nest: WalkNest) -> None:
        self._kernel, self._reader, self._nest = kernel, reader, nest
        self.bounds: list[ast.expr] = []
        """Where the text says the end of the innermost loop in a mask."""

    def check(self, node: ast.stmt) -> None:
        """A statement: an index of its own, or data, or a total of the steps."""
        if not isinstance(node, ast.Assign | ast.AugAssign | ast.Expr):
            raise DoesNotApply("the innermost loop holds more than assignments and stores")
        if isinstance(node, ast.AugAssign) or self._is_carried(node):
            self._total(node)
            return
        if isinstance(node, ast.Assign) and self._is_index(node.value, node):
            return
        self._data(node.value, node)

    def _is_index(self, value: ast.expr, node: ast.stmt) -> bool:
        compares = any(isinstance(inner, ast.Compare) for inner in ast.walk(value))
        with suppress(DoesNotApply):
            return not compares and bool(self._reader.strides(value, node))
        return False

    def _is_carried(self, node: ast.stmt) -> bool:
        if not isinstance(node, ast.Assign):
            return False
        read = set(loaded_names([node.value]))
        return any(self._reader.is_carried(name, node) for name in read)

    def _total(self, node: ast.stmt) -> None:
        """`s += tl.sum(v)`, where lanes outside the mask count as zero."""
        target = node.target if isinstance(node, ast.AugAssign) else None
        if not isinstance(target, ast.Name) or not isinstance(node.op, ast.Add):  # type: ignore[attr-defined]
            raise DoesNotApply("a step changes what another one reads")
        reduction = reduction_of(self._kernel, node.value)  # type: ignore[attr-defined]
        if reduction is None or self._kernel.called(node.value) != "sum":  # type: ignore[attr-defined]
            raise DoesNotApply(f"{target.id} takes on more than a sum in each step")
        if loaded_names([self._nest.statement]).count(target.id) != 1:
            raise DoesNotApply(f"{target.id} is read in the nest")
        if not self._is_zero_outside(reduction[0], node):
            raise DoesNotApply("lanes outside the mask may count in a sum")
        self._data(reduction[0], node)

    def _is_zero_outside(self, node: ast.expr, statement: ast.stmt) -> bool:
        """Whether a value is zero in lanes that its loads are masked from."""
        value, where = self._reader.resolved(node, statement)
        if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Mult):
            sides = (value.left, value.right)
            return any(self._is_zero_outside(side, where) for side in sides)
        if not isinstance(value, ast.Call):
            return False
        called = self._kernel.called(value)
        if called == "load":
            other = next((k.value for k in value.keywords if k.arg == "other"), None)
            zero = isinstance(other, ast.Constant) and other.value == 0
            return zero and bool(self._reader.strides(value.args[0], where))
        if called == "abs" and len(value.args) == 1:
            return self._is_zero_outside(value.args[0], where)
        if isinstance(value.func, ast.Attribute) and value.func.attr == "to" and called is None:
            return self._is_zero_outside(value.func.value, where)
        return False

    def _data(self, node: ast.expr, statement: ast.stmt) -> None:
        """Values that do not tell where in the run they stand."""
        if isinstance(node, ast.Compare) and self._is_bound(node, statement):
            self.bounds.append(node.comparators[0])
            return
        if isinstance(node, ast.Name):
            index = node.id in self._reader.variables
            with suppress(DoesNotApply):
                index = index or bool(self._reader.strides(node, statement))
            if index or self._reader.is_carried(node.id, statement):
                raise DoesNotApply(f"{node.id} is used but as an index")
            return
        access = isinstance(node, ast.Call) and self._kernel.called(node) in _ACCESSES
        if isinstance(node, ast.Call):
            name = self._kernel.called(node)
            summed = name in ("sum", "max", "min") and reduction_of(self._kernel, node) is not None
            if not access and not summed and not is_elementwise(node, {}):
                raise DoesNotApply(f"{ast.unparse(node.func)} may tell lanes apart")
            if summed:
                raise DoesNotApply("a step uses a result of all its lanes")
        skipped = node.args[0] if access else None  # type: ignore[attr-defined]
        for child in ast.iter_child_nodes(node):
            inner = child.value if isinstance(child, ast.keyword) else child
            if isinstance(inner, ast.expr) and inner is not skipped:
                self._data(inner, statement)

    def _is_bound(self, node: ast.Compare, statement: ast.stmt) -> bool:
        """Whether it compares the innermost index with the end of the innermost loop."""
        if len(node.ops) != 1 or not isinstance(node.ops[0], ast.Lt):
            return False
        strides = self._reader.strides(node.left, statement)
        whole = {self._nest.variable: ONE, LANES: ONE}
        return (
            strides == whole
            and self._reader.is_plain_index(node.left, statement)
            and self._reader.extent(node.comparators[0], statement) == self._nest.extent
        )

    def check_mask(self, access: ast.Call, statement: ast.stmt) -> None:
        """Raises DoesNotApply where nothing holds an access inside the innermost loop's end."""
        mask = next((k.value for k in access.keywords if k.arg == "mask"), None)
        if mask is None or len(access.args) > 2 or not self._is_masked(mask, statement):
            raise DoesNotApply("an access is not masked by the end of the innermost loop")

    def _is_masked(self, mask: ast.expr, statement: ast.stmt) -> bool:
        mask, statement = self._reader.resolved(mask, statement)
        if isinstance(mask, ast.BinOp) and isinstance(mask.op, ast.BitAnd):
            return any(self._is_masked(side, statement) for side in (mask.left, mask.right))
        return isinstance(mask, ast.Compare) and self._is_bound(mask, statement)


def _equalities(nest: WalkNest, strides: Mapping[str, Extent]) -> Iterator[tuple[Extent, Extent]]:
    """The stride of each loop, and what it is where row follows row."""
    below = strides.get(nest.variable)
    if below is None or strides.get(LANES) != below:
        raise DoesNotApply("an address does not grow with the innermost loop and the lanes")
    size = nest.extent
    for level in reversed(nest.levels):
        stride = strides.get(level.variable)
        if stride is None:
            raise DoesNotApply(f"an address does not grow with {level.variable}")
        yield stride, size * below
        size, below = level.extent, stride


def _accesses(kernel: KernelText, statement: ast.stmt) -> Iterator[ast.Call]:
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and kernel.called(node) in _ACCESSES and node.args:
            yield node


def _in_place(source: str, splices: Sequence[Splice]) -> str:
    """The source with splices that add and take no line."""
    moved = spliced(source, splices)
    if moved.count("\n") != source.count("\n"):
        raise DoesNotApply("what changes is written over several lines")
    return moved


def _lines(source: str, node: ast.stmt) -> list[str]:
    """The lines of a statement without their margin."""
    lines = source.splitlines()[node.lineno - 1 : node.end_lineno]
    if lines[0][: node.col_offset].strip():
        raise DoesNotApply("a statement shares its line with another")
    return textwrap.dedent("\n".join(lines)).splitlines()


REWRITES = (
    Rewrite(
        NAME,
        find,
        apply,
        "nested loops over one run of memory are one loop of {width} lanes a step",
        place=79,
        worth=4.0,
        then=("partials",),
    ),
)
