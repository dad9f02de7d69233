"""The texts of the two kernels of `split-rows`: one does some steps, one puts the totals together.

A total of the program `p` and the part `q` stands at `(p * PARTS + q) * size` of a tensor of its
own, as the lanes of its block follow one another.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from warpwright.program.parsing import lines_of
from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    loaded_names,
    stored_names,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.splice import Splice, inserted_after, spliced
from warpwright.proposers.rewrites.common.statement_text import INDENT, indented, margin_of
from warpwright.proposers.rewrites.outer.arithmetic import product, total, value_of
from warpwright.proposers.rewrites.outer.nests import free_name
from warpwright.proposers.rewrites.split_rows.long_loop import LongLoop, Total, read_loop

_STARTS = {"max": 'float("-inf")', "min": 'float("inf")'}


@dataclass(frozen=True, slots=True)
class SplitNames:
    """Names that the kernels get: parameters for the tensors of each total and for the number of
    parts, and the second kernel."""

    tensors: tuple[str, ...]
    parts: str
    second: str


class TwoKernels:
    """Reads a kernel and writes the two. `rank`: the axes of its grid. Raises DoesNotApply."""

    def __init__(self, kernel: KernelText, rank: int) -> None:
        self._kernel, self._rank = kernel, rank
        self._long: LongLoop = read_loop(kernel)
        self._taken = {n.id for n in ast.walk(kernel.node) if isinstance(n, ast.Name)}
        self._taken |= {parameter.arg for parameter in kernel.parameters}
        self._check_numbers()
        outer = {n.id for n in ast.walk(kernel.program.tree) if isinstance(n, ast.Name)}
        outer |= {one.node.name for one in kernel.program.kernels}
        self.names = SplitNames(
            tuple(self._free(f"{one.name}_parts") for one in self.totals),
            self._free("PARTS"),
            free_name(f"{kernel.node.name}_total", outer | self._taken),
        )
        self._part, self._program = self._free("part"), self._free("program")

    @property
    def totals(self) -> tuple[Total, ...]:
        return self._long.totals

    def source(self) -> str:
        """The program with both kernels; launches stay as they are."""
        kernel = self._kernel
        node = kernel.node
        lines = lines_of(kernel.source)
        first = min([node.lineno, *(one.lineno for one in node.decorator_list)]) - 1
        last = node.end_lineno or 0
        tail = len(lines) - last
        one, two = (
            lines_of(spliced(kernel.source, [*self._parameters(), *splices]))
            for splices in (self._steps(), self._totals())
        )
        kernels = [*one[first : len(one) - tail], "", ""]
        named = two[first : len(two) - tail]
        return "\n".join([*lines[:first], *kernels, *named, *lines[last:]])

    def _free(self, name: str) -> str:
        found = free_name(name, self._taken)
        self._taken.add(found)
        return found

    def _check_numbers(self) -> None:
        """Raises DoesNotApply where the kernel asks for numbers that its grid does not have."""
        if not 1 <= self._rank <= 2:
            raise DoesNotApply("the grid has no axis left")
        for node in ast.walk(self._kernel.node):
            if isinstance(node, ast.Call) and self._kernel.called(node) == "program_id":
                given = [*node.args, *(keyword.value for keyword in node.keywords)]
                axis = value_of(given[0]) if len(given) == 1 else None
                if axis is None or axis >= self._rank:
                    raise DoesNotApply("the kernel asks for a number along another axis")

    def _parameters(self) -> list[Splice]:
        kernel, arguments = self._kernel, self._kernel.node.args
        if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or not arguments.args:
            raise DoesNotApply(f"{kernel.node.name} takes more than plain parameters")
        constant = f"{self.names.parts}: {kernel.builtin('constexpr')}"
        if arguments.defaults:
            texts = [*(f"{name}=None" for name in self.names.tensors), f"{constant} = 1"]
            return [inserted_after(arguments.defaults[-1], "".join(f", {t}" for t in texts))]
        last, texts = arguments.args[-1], [*self.names.tensors, constant]
        before = lines_of(kernel.source)[last.lineno - 1].encode()[: last.col_offset]
        alone = last.lineno != arguments.args[0].lineno and not before.strip()
        comma = f",\n{before.decode()}" if alone else ", "
        place: ast.expr | ast.arg = last.annotation or last
        return [inserted_after(place, "".join(f"{comma}{text}" for text in texts))]

    def _steps(self) -> list[Splice]:
        """The first kernel: a part of the steps, and a store of what they gave."""
        kernel, long, margin = self._kernel, self._long, self._margin()
        lines, bounds = self._part_of_the_steps()
        assert isinstance(long.loop.iter, ast.Call)
        first, last = long.loop.iter.args[0], long.loop.iter.args[-1]
        stores = [self._program_line()]
        stores += [
            f"{kernel.builtin('store')}({self._address(place)}, {one.name})"
            for place, one in enumerate(long.totals)
        ]
        start, behind = self._top(), long.behind
        text = _text(stores, margin).removesuffix("\n")
        return [
            Splice((start, 0), (start, 0), _text(lines, margin)),
            Splice(
                (first.lineno, first.col_offset),
                (last.end_lineno or 0, last.end_col_offset or 0),
                bounds,
            ),
            Splice((behind[0].lineno, 0), _end(behind[-1]), text),
        ]

    def _part_of_the_steps(self) -> tuple[list[str], str]:
        """What stands before the loop, and what it counts."""
        kernel, long = self._kernel, self._long
        steps, each, first = (self._free(name) for name in ("steps", "each", "first"))
        cdiv, least = kernel.builtin("cdiv"), kernel.builtin("minimum")
        by_one = value_of(long.step) == 1
        count = ast.unparse(_minus(long.stop, long.start))
        if not by_one:
            count = f"{cdiv}({count}, {ast.unparse(long.step)})"
        lines = [
            "# Each program does its part of the steps.",
            f"{self._part} = {kernel.builtin('program_id')}({self._rank})",
            f"{steps} = {count}",
            f"{each} = {cdiv}({steps}, {self.names.parts})",
            f"{first} = {least}({self._part} * {each}, {steps})",
        ]
        for one in long.advances:
            by = ast.unparse(ast.BinOp(_name("x"), ast.Mult(), one.by)).removeprefix("x * ")
            lines.append(f"{one.name} += {first}.to({kernel.builtin('int64')}) * {by}")
        lines += [f"{one.name} = {self._start(one)}" for one in long.totals]
        behind = ast.parse(f"{least}({first} + {each}, {steps})", mode="eval").body
        begin = total(long.start, product([_name(first), long.step]))
        end = total(long.start, product([behind, long.step]))
        bounds = [ast.unparse(begin), ast.unparse(end)]
        return lines, ", ".join(bounds if by_one else [*bounds, ast.unparse(long.step)])

    def _totals(self) -> list[Splice]:
        """The second kernel: the totals of the parts, in their order, and what follows the loop."""
        kernel, long, margin = self._kernel, self._long, self._margin()
        lines = [
            "# The parts of each total, always in the same order.",
            self._program_line(),
            f"for {self._part} in {kernel.builtin('static_range')}({self.names.parts}):",
        ]
        inner = []
        for place, one in enumerate(long.totals):
            value = f"{kernel.builtin('load')}({self._address(place)})"
            if one.kind == "sum":
                inner.append(f"{one.name} += {value}")
            else:
                pair = kernel.builtin(f"{one.kind}imum")
                inner.append(f"{one.name} = {pair}({one.name}, {value})")
        lines += indented(inner, INDENT)
        source = lines_of(kernel.source)
        splices = [
            Splice((self._top(), 0), _end(long.loop), _text(lines, margin).removesuffix("\n"))
        ]
        live = set(loaded_names(long.behind)) | {one.name for one in long.totals}
        node = kernel.node
        for statement in reversed(long.before):
            names = set(stored_names([statement]))
            if isinstance(statement, ast.Assign) and names and not names & live:
                splices.append(_without(source, statement))
            else:
                live |= set(loaded_names([statement]))
        name = node.name.encode()
        column = source[node.lineno - 1].encode().index(name, node.col_offset)
        ends = (node.lineno, column), (node.lineno, column + len(name))
        return [*splices, Splice(*ends, self.names.second)]

    def _margin(self) -> str:
        return margin_of(self._kernel.source, self._long.loop)

    def _top(self) -> int:
        """The first line of the loop, or of what is said of it."""
        source, top = lines_of(self._kernel.source), self._long.loop.lineno
        while source[top - 2].lstrip().startswith("#"):
            top -= 1
        return top

    def _start(self, one: Total) -> str:
        """What a total of no steps is, as a block of its shape."""
        dtype = f"dtype={self._kernel.builtin('float32')}"
        sides = f"({', '.join(one.extents)}{',' if len(one.extents) == 1 else ''})"
        if one.kind == "sum":
            return f"{self._kernel.builtin('zeros')}({sides}, {dtype})"
        return f"{self._kernel.builtin('full')}({sides}, {_STARTS[one.kind]}, {dtype})"

    def _program_line(self) -> str:
        number = self._kernel.builtin("program_id")
        text = f"{number}(0)"
        if self._rank == 2:
            text = f"({text} + {self._kernel.builtin('num_programs')}(0) * {number}(1))"
        return f"{self._program} = {text}.to({self._kernel.builtin('int64')})"

    def _address(self, place: int) -> str:
        """Where the part of a total stands, for all its lanes."""
        extents = self.totals[place].extents
        slot = f"({self._program} * {self.names.parts} + {self._part})"
        sizes = [ast.parse(side, mode="eval").body for side in extents]
        base = self.names.tensors[place]
        if not sizes:
            return f"{base} + {slot.removeprefix('(').removesuffix(')')}"
        text = f"{base} + {slot} * {ast.unparse(product(sizes))}"
        for axis, side in enumerate(extents):
            lane = f"{self._kernel.builtin('arange')}(0, {side})"
            if len(extents) > 1:
                spread = ", ".join(":" if a == axis else "None" for a in range(len(extents)))
                lane = f"{lane}[{spread}]"
            inner = sizes[axis + 1 :]
            text += f" + {lane}" + (f" * {ast.unparse(product(inner))}" if inner else "")
        return text


def sizes_of(one: Total, passed: Mapping[str, ast.expr]) -> list[str]:
    """The sizes of a total's block, by what a launch passes. Raises DoesNotApply."""
    sizes = []
    for side in one.extents:
        value = passed.get(side)
        if not side.isdigit() and value is None:
            raise DoesNotApply(f"the launch does not say what {side} is")
        sizes.append(side if value is None else ast.unparse(value))
    return sizes


def _name(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


def _minus(stop: ast.expr, start: ast.expr) -> ast.expr:
    return stop if value_of(start) == 0 else ast.BinOp(stop, ast.Sub(), start)


def _text(lines: Sequence[str], margin: str) -> str:
    return textwrap.indent("".join(f"{line}\n" for line in lines), margin)


def _end(node: ast.stmt) -> tuple[int, int]:
    return node.end_lineno or 0, node.end_col_offset or 0


def _without(source: Sequence[str], statement: ast.stmt) -> Splice:
    """A statement taken away, with the lines of comments right above it."""
    top = statement.lineno
    while source[top - 2].lstrip().startswith("#"):
        top -= 1
    return Splice((top, 0), ((statement.end_lineno or 0) + 1, 0), "")
