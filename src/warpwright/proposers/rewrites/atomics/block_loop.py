"""The kernel's half of `fewer-atomics`: its body in a loop over blocks, the atomics behind it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from warpwright.program.parsing import lines_of
from warpwright.proposers.rewrites.atomics.contributions import (
    Contribution,
    address_parts,
    contributions,
)
from warpwright.proposers.rewrites.common.block_extents import BlockExtents
from warpwright.proposers.rewrites.common.float32_names import Float32Names
from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    loaded_names,
    stored_names,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.splice import Splice, replaced, spliced
from warpwright.proposers.rewrites.common.statement_text import INDENT, indented, margin_of
from warpwright.proposers.rewrites.common.value_axes import HINTS, Shape, is_elementwise
from warpwright.proposers.rewrites.outer.nests import free_name

_STARTS = {"max": 'float("-inf")', "min": 'float("inf")'}
_CALLS = frozenset({
    "arange", "zeros", "full", "program_id", "range", "static_range", "sum", "max", "min", "dot",
    "trans", "float", "int", "broadcast_to", "reshape", "expand_dims", "store",
})  # fmt: skip
_MOVABLE = frozenset({"program_id", "arange", "cdiv", "where", "minimum", "maximum"}) | HINTS
_STATEMENTS = (ast.Assign, ast.AugAssign, ast.Expr, ast.For, ast.If, ast.Pass)


@dataclass(frozen=True, slots=True)
class Grouping:
    """`blocks` blocks along `axis` of the grid for a program; `count`: the parameter that says
    how many there are. With `lanes` the lanes of a block add up by themselves."""

    axis: int
    blocks: int
    count: str
    lanes: bool


class GroupedBlocks:
    """Reads a kernel and writes it for several blocks a program. Raises DoesNotApply."""

    def __init__(self, kernel: KernelText, how: Grouping) -> None:
        self._kernel, self._how = kernel, how
        self._body = [node for node in kernel.node.body if not _is_text(node)]
        self._check()
        self._sums = contributions(kernel, lanes=how.lanes)
        self._many = self._follow()
        self._types = Float32Names(kernel)
        names = {n.id for n in ast.walk(kernel.node) if isinstance(n, ast.Name)}
        self._taken = names | {p.arg for p in kernel.parameters} | {how.count}

    def source(self) -> str:
        """The program with the kernel's body in a loop."""
        kernel, how = self._kernel, self._how
        moved = self._moved()
        start = self._first_of_loop(moved)
        inside = [node for node in self._body[start:] if node not in moved]
        first, apart, step = (
            free_name(name, self._taken) for name in ("first_block", "apart", "step")
        )
        self._taken |= {first, apart, step}
        before, splices, behind = [], [], []
        for one in self._sums:
            name = free_name("partial", self._taken)
            self._taken.add(name)
            begin, add, end = self._lines(one, name)
            before.append(begin)
            behind.append(end)
            splices.append(replaced(one.place, add))
        alone = {node.value for node in inside if isinstance(node, ast.Assign)}
        block = f"{first} + {step} * {apart}"
        splices += [
            replaced(node, block if node in alone else f"({block})")
            for node in self._numbers(inside)
        ]
        dropped = {node for one in self._sums for node in (one.statement, *one.between)}
        dropped -= {one.place for one in self._sums}
        cdiv, own = kernel.builtin("cdiv"), f"({how.axis})"
        head = [
            *self._texts(moved),
            f"# A program takes up to {how.blocks} blocks, as far apart as there are programs, and",
            "# adds their results once.",
            f"{first} = {kernel.builtin('program_id')}{own}",
            f"{apart} = {kernel.builtin('num_programs')}{own}",
            *before,
            f"for {step} in range(0, {cdiv}({how.count} - {first}, {apart})):",
        ]
        return self._put_together(start, moved, dropped, splices, head, behind)

    def _put_together(
        self,
        start: int,
        moved: Sequence[ast.stmt],
        dropped: set[ast.stmt],
        splices: Sequence[Splice],
        head: Sequence[str],
        behind: Sequence[str],
    ) -> str:
        """The loop's statements indented, without those that moved or went."""
        source = self._kernel.source
        margin = margin_of(source, self._body[0])
        top, end = self._body[start].lineno - 1, self._body[-1].end_lineno or 0
        lines = lines_of(source)
        gone = {
            line
            for node in (*moved, *dropped)
            if node.lineno > top
            for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
        }
        blank = [Splice((line, 0), (line, len(lines[line - 1].encode())), _GONE) for line in gone]
        kept = [s for s in splices if s.start[0] not in gone]
        edited = lines_of(spliced(source, [*kept, *blank]))
        body = [line for line in edited[top : len(edited) - (len(lines) - end)] if line != _GONE]
        told = len(body)
        while told and (not body[told - 1].strip() or body[told - 1].lstrip().startswith("#")):
            told -= 1  # comments on what stands behind the loop now
        block = [*indented(head, margin), *indented(body[:told], INDENT), *body[told:]]
        return "\n".join([*lines[:top], *block, *indented(behind, margin), *lines[end:]])

    def _lines(self, one: Contribution, name: str) -> tuple[str, str, str]:
        """What stands before the loop, in it and behind it."""
        kernel = self._kernel
        if not self._types.has(one.value):
            raise DoesNotApply(f"{ast.unparse(one.value)} may be no float32")
        extents = BlockExtents(kernel, one.place).of(one.value)
        if extents is None:
            raise DoesNotApply(f"the text does not tell the shape of {ast.unparse(one.value)}")
        sides = f"({', '.join(extents)}{',' if len(extents) == 1 else ''})"
        dtype = f"dtype={kernel.builtin('float32')}"
        value = ast.get_source_segment(kernel.source, one.value) or ""
        value = f"({value})" if "\n" in value else value
        if one.kind == "sum":
            begin = f"{name} = {kernel.builtin('zeros')}({sides}, {dtype})"
            add = f"{name} += {value}"
        else:
            begin = f"{name} = {kernel.builtin('full')}({sides}, {_STARTS[one.kind]}, {dtype})"
            add = f"{name} = {kernel.builtin(f'{one.kind}imum')}({name}, {value})"
        whole = name
        for axis in one.axes:
            along = "" if axis is None else f", axis={axis}"
            whole = f"{kernel.builtin(one.kind)}({whole}{along})"
        where = ast.unparse(one.call.args[0])
        keywords = "".join(f", {k.arg}={ast.unparse(k.value)}" for k in one.call.keywords)
        return begin, add, f"{ast.unparse(one.call.func)}({where}, {whole}{keywords})"

    def _check(self) -> None:
        """Raises DoesNotApply for what cannot be done again and again in one program."""
        kernel = self._kernel
        parameters = {parameter.arg for parameter in kernel.parameters}
        local = dict.fromkeys(stored_names(kernel.node.body), Shape.UNKNOWN)
        if changed := parameters & set(local):
            raise DoesNotApply(f"{', '.join(sorted(changed))} is changed by the kernel")
        nodes = [node for statement in self._body for node in ast.walk(statement)]
        if not any(True for _ in self._numbers(self._body)):
            raise DoesNotApply("nothing follows from the program's number")
        for node in nodes:
            if isinstance(node, ast.stmt) and not isinstance(node, _STATEMENTS):
                raise DoesNotApply(f"line {node.lineno} is more than the move can read")
            if isinstance(node, ast.Call):
                name = kernel.called(node) or ""
                plain = name.removeprefix("math.")
                known = plain in _CALLS or plain.startswith("atomic") or plain in HINTS
                if not known and not is_elementwise(node, local):
                    raise DoesNotApply(f"{ast.unparse(node.func)} may do more than compute")
            if isinstance(node, ast.Constant) and "\n" in str(node.value):
                raise DoesNotApply("a text of several lines stands in the kernel")
        lines = lines_of(kernel.source)
        ends = [0, *(node.end_lineno or 0 for node in self._body)]
        for node, before in zip(self._body, ends, strict=False):
            if lines[node.lineno - 1][: node.col_offset].strip() or node.lineno <= before:
                raise DoesNotApply("statements share a line")

    def _numbers(self, nodes: Sequence[ast.AST]) -> Iterator[ast.Call]:
        """The calls that ask for the program's number along the axis."""
        for node in (inner for root in nodes for inner in ast.walk(root)):
            if isinstance(node, ast.Call) and self._kernel.called(node) == "program_id":
                given = [*node.args, *(keyword.value for keyword in node.keywords)]
                if len(given) != 1 or not isinstance(given[0], ast.Constant):
                    raise DoesNotApply("the axis of a program's number is no plain number")
                if given[0].value == self._how.axis:
                    yield node

    def _follow(self) -> set[str]:
        """Names that follow from the program's number along the axis."""
        many: set[str] = set()
        while True:
            before = len(many)
            for node in ast.walk(self._kernel.node):
                if isinstance(node, ast.Assign | ast.AugAssign | ast.For):
                    value = node.iter if isinstance(node, ast.For) else node.value
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    if self._is_many(value, many):
                        many |= set(stored_names(targets))
                if isinstance(node, ast.If) and self._is_many(node.test, many):
                    many |= set(stored_names([node]))
            if len(many) == before:
                return many

    def _is_many(self, node: ast.AST, many: set[str]) -> bool:
        named = any(isinstance(n, ast.Name) and n.id in many for n in ast.walk(node))
        return named or any(True for _ in self._numbers([node]))

    def _moved(self) -> list[ast.Assign]:
        """Statements that tell where results go, which stand before the loop, in their order."""
        parts = [part for one in self._sums for part in address_parts(one)]
        if any(self._is_many(part, self._many) for part in parts):
            raise DoesNotApply("blocks add to places of their own")
        stored, wanted = stored_names(self._kernel.node.body), set(loaded_names(parts))
        found: list[ast.Assign] = []
        for node in reversed(self._body):
            names = set(stored_names([node])) & wanted
            if not names:
                continue
            plain = isinstance(node, ast.Assign) and len(node.targets) == 1
            if not plain or not isinstance(node.targets[0], ast.Name):  # type: ignore[attr-defined]
                raise DoesNotApply("where results go is worked out in several steps")
            if stored.count(node.targets[0].id) != 1 or not self._is_movable(node.value):  # type: ignore[attr-defined]
                raise DoesNotApply("where results go is no plain sum")
            wanted |= set(loaded_names([node]))
            found.insert(0, node)  # type: ignore[arg-type]
        return found

    def _is_movable(self, node: ast.expr) -> bool:
        calls = [inner for inner in ast.walk(node) if isinstance(inner, ast.Call)]
        return all(
            self._kernel.called(call) in _MOVABLE
            or (isinstance(call.func, ast.Attribute) and call.func.attr == "to")
            for call in calls
        )

    def _first_of_loop(self, moved: Sequence[ast.stmt]) -> int:
        """The first statement that each block does anew."""
        stored = stored_names(self._kernel.node.body)
        for place, node in enumerate(self._body):
            if node in moved:
                continue
            names = stored_names([node])
            alike = isinstance(node, ast.Assign) and not self._is_many(node.value, self._many)
            if not alike or any(stored.count(name) != 1 for name in names):
                return place
        raise DoesNotApply("no block does anything of its own")

    def _texts(self, moved: Sequence[ast.stmt]) -> list[str]:
        """The lines of statements that move up, those left out that stand there already."""
        source = self._kernel.source
        top = self._first_of_loop(moved)
        place = {node: number for number, node in enumerate(self._body)}
        return [ast.get_source_segment(source, node) or "" for node in moved if place[node] > top]


_GONE = "\x00"


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
