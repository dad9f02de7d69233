"""The text of a reordered reduction: the new loop in a branch, the old one beside it."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from warpwright.program.nodes import names_in
from warpwright.program.parsing import lines_of
from warpwright.program.syntax import syntax_tree
from warpwright.proposers.rewrites.common.kernel_text import stored_names
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.splice import spliced, whole_lines
from warpwright.proposers.rewrites.common.statement_text import parsed
from warpwright.proposers.rewrites.digits.address import read_address
from warpwright.proposers.rewrites.digits.body import BodyWriter
from warpwright.proposers.rewrites.digits.digit_loops import Reduction
from warpwright.proposers.rewrites.digits.order import Order
from warpwright.proposers.rewrites.digits.pack import Layout, packed_address, read_layout
from warpwright.proposers.rewrites.digits.scalars import scalar_names
from warpwright.proposers.rewrites.digits.split import split_address
from warpwright.proposers.rewrites.digits.statement_lines import indented, statement_lines


@dataclass(frozen=True, slots=True)
class Packing:
    """The operand, its permutation, and the names that the rewrite adds to the kernel."""

    operand: str
    permutation: tuple[int, ...]
    pointer: str
    flag: str
    index: str


class NewLoop:
    """The text that takes the loop's place."""

    def __init__(self, reduction: Reduction, order: Order, packing: Packing | None) -> None:
        self.reduction = reduction
        self.order = order
        self.packing = packing
        self.layout: Layout | None = None
        self.wide: set[str] = set()
        outside = set(stored_names(reduction.header.loop.body))
        kernel = reduction.kernel
        self.scalars = scalar_names(kernel, kernel.node.body) - outside
        self.reader = reduction.reader()

    def lines(self) -> list[str]:
        """The branch with the new loop; the caller adds the old one after it."""
        reduction, header = self.reduction, self.reduction.header
        kernel = reduction.kernel
        outer = [digit.name for digit in self.order.outer]
        writer = BodyWriter(
            self.reader,
            self.order,
            self.scalars | {header.name, *outer},
            self._readdress,
        )
        self.wide = writer.wide
        if self.packing is not None:
            writer.spans.add(self.packing.index)
        body = writer.write(header.loop.body)
        if self.packing is not None and self.layout is None:
            raise DoesNotApply(f"the loop does not load from {self.packing.operand}")
        arange = f"{kernel.builtin('arange')}(0, {header.block})"
        definitions = self.order.definitions(header, arange)
        if self.packing is not None:
            definitions.append(f"{self.packing.index} = {header.base_text} + {arange}")
        made = [syntax_tree(line).body[0] for line in definitions]
        lines = [
            f"if {self._condition()}:",
            *(f"    # {line}" for line in self._comment()),
            f"    for {header.name} in {self._range()}:",
        ]
        for statement in _needed(made, body):
            lines += statement_lines(statement, " " * 8)
        return lines

    def _comment(self) -> list[str]:
        names = ", ".join(digit.name for digit in self.order.reordered)
        outer = " and ".join(f"one {digit.name}" for digit in self.order.outer)
        lines = [
            f"The same sum in the order ({names}): a step has {outer},",
            f"and its lanes are neighbours in {self.order.lane_digit.name}.",
        ]
        if self.packing is not None:
            lines.append(f"{self.packing.pointer} has that order in memory.")
        return lines

    def _condition(self) -> str:
        header, lane = self.reduction.header, self.order.lane_digit
        conditions = [f"{lane.radix} % {header.block.bracketed} == 0", *self.order.conditions]
        if self.packing is not None:
            conditions.insert(0, self.packing.flag)
        text = conditions[0]
        for number, condition in enumerate(conditions[1:]):
            # Triton reads a chain of three only in brackets.
            text = f"({text}) and {condition}" if number else f"{text} and {condition}"
        return text

    def _range(self) -> str:
        call = self.reduction.header.loop.iter
        assert isinstance(call, ast.Call)
        text = ast.unparse(call)
        if self.reduction.kernel.called(call) == "static_range":
            return "range" + text[len(ast.unparse(call.func)) :]
        return text

    def _readdress(self, node: ast.expr) -> ast.expr | None:
        """A load's pointer: into the packed copy, or in parts for rows and columns."""
        packing = self.packing
        try:
            address = read_address(self.reader, node)
        except DoesNotApply:
            return None
        if any(
            names_in(parsed(t.atom)) & self.wide for t in address.terms if isinstance(t.atom, str)
        ):
            return None  # what followed the index in another way than by its digits
        if packing is None or address.pointer != packing.operand:
            return split_address(self.reader, self.order, self.scalars, address)
        layout = read_layout(address, self.order)
        if self.layout is not None and self.layout != layout:
            raise DoesNotApply(f"{packing.operand} is read in two ways")
        self.layout = layout
        return packed_address(
            packing.pointer, packing.index, layout, self.reduction.header, self.order
        )


def _needed(made: Sequence[ast.stmt], body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Both, without definitions that the body does not read."""
    read = {
        node.id for statement in body for node in ast.walk(statement) if isinstance(node, ast.Name)
    }
    return [node for node in made if stored_names([node])[0] in read] + list(body)


def with_loop(source: str, loop: NewLoop) -> str:
    node = loop.reduction.header.loop
    margin = " " * node.col_offset
    lines = lines_of(source)[node.lineno - 1 : node.end_lineno]
    if not lines[0].startswith(margin + "for ") or _has_long_string(node):
        raise DoesNotApply("the loop's layout cannot be kept: tabs, or a string of several lines")
    old = [*indented(lines, "    ")]
    new = [margin + line for line in loop.lines()]
    text = "\n".join([*new, f"{margin}else:", *old]) + "\n"
    return spliced(source, [whole_lines(node, node, text)])


def _has_long_string(node: ast.AST) -> bool:
    return any(
        isinstance(inner, (ast.Constant, ast.JoinedStr)) and inner.lineno != inner.end_lineno
        for inner in ast.walk(node)
    )
