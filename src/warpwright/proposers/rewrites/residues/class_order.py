"""Another order of a launch's lanes: outputs of one residue class lie together.

A block's flat index runs through the digits of an output's place, `offs % W` and `offs // W % H`.
Read in the new order, all outputs of a unit (the digits that have classes, and those between them)
come class by class: first those with h % SH == 0 and w % SW == 0, then h % SH == 0 and
w % SW == 1, and so on, each class in the old order. So most blocks hold one class alone.

For the index itself, where nothing bounds it, a unit is as many blocks as there are classes.

What is written leaves `offs_mixed`, whether a block has lanes of several classes, and where it has
not, `offs_class0`, `offs_class1`, … what the digits leave divided by their classes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from warpwright.proposers.rewrites.common.kernel_text import KernelText
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.statement_text import (
    INDENT,
    MAX_COLUMNS,
    indented,
    laid_out,
    parsed,
)
from warpwright.proposers.rewrites.digits.extent import ONE, Extent
from warpwright.proposers.rewrites.scalarise.flat_index import FlatIndex, IndexDigit

_ROOM = MAX_COLUMNS - 3 * len(INDENT)


@dataclass(frozen=True, slots=True)
class DigitAxis:
    """A digit of the index (None: one without classes), `size` long (None: not bounded), in
    `classes` classes."""

    digit: IndexDigit | None
    size: Extent | None
    classes: Extent


@dataclass(frozen=True, slots=True)
class ClassOrder:
    """An index with the axes of a unit, the innermost first. `number` is that of the block along
    `grid_axis`."""

    kernel: KernelText
    index: FlatIndex
    axes: tuple[DigitAxis, ...]
    grid_axis: int
    number: ast.expr

    @property
    def programs(self) -> str:
        return f"{self.kernel.builtin('num_programs')}({self.grid_axis})"

    @property
    def mixed(self) -> str:
        return f"{self.index.name}_mixed"

    def class_of(self, digit: IndexDigit) -> str:
        """The name of a block's class along an axis."""
        number = next(n for n, axis in enumerate(self.axes) if axis.digit == digit)
        return f"{self.index.name}_class{number}"

    @property
    def in_rows_of_blocks(self) -> bool:
        """Whether it is the index itself that has classes, with nothing to bound it."""
        return len(self.axes) == 1 and self.axes[0].size is None

    @property
    def new_names(self) -> frozenset[str]:
        """The names that it may need."""
        name = self.index.name
        words = ["block", "unit", "rows", "place", "lane", "mixed"]
        words += [
            f"{word}{n}" for word in ("class", "count", "start") for n in range(len(self.axes))
        ]
        return frozenset(f"{own}_{word}" for word in words for own in (name, f"lane_{name}"))

    def lines(self) -> list[str]:
        """The statements behind the index that change its order."""
        return self._blocks() if self.in_rows_of_blocks else self._units()

    def _blocks(self) -> list[str]:
        name, lanes = self.index.name, self.index.lanes.bracketed
        classes = self.axes[0].classes.bracketed
        block = f"{name}_block"
        return [
            *_set(block, ast.unparse(self.number)),
            *_set(f"{name}_class0", f"{block} % {classes}"),
            *_set(self.mixed, f"{block} // {classes} >= {self.programs} // {classes}"),
            f"{name} = {self.kernel.builtin('where')}(",
            f"    {self.mixed},",
            f"    {name},",
            f"    {block} // {classes} * {classes} * {lanes}",
            f"    + {self._arange} * {classes}",
            f"    + {name}_class0,",
            ")",
        ]

    @property
    def _arange(self) -> str:
        return f"{self.kernel.builtin('arange')}(0, {self.index.lanes})"

    def _units(self) -> list[str]:
        name, lanes = self.index.name, self.index.lanes.bracketed
        lane = f"lane_{name}"
        counts = " * ".join(self._counts(name))
        whole = f"{self.programs} * {lanes} // {self._unit}"
        ends = f"{self.mixed} | ({name}_place + {lanes} > {counts})"
        return [
            *self._rows(),
            *self._classes(name, f"({ast.unparse(self.index.first)})"),
            *_set(self.mixed, f"{name}_unit >= {whole}"),
            *_set(self.mixed, ends),
            f"if {self.mixed}:",
            *indented(self._classes(lane, name), INDENT),
            f"    {name} = {self.kernel.builtin('where')}(",
            f"        {lane}_unit < {whole},",
            *indented(self._joined(lane, f"{lane}_place", ","), 2 * INDENT),
            f"        {name},",
            "    )",
            "else:",
            f"    {name}_lane = {name}_place + {self._arange}",
            f"    {name} = (",
            *indented(self._joined(name, f"{name}_lane"), 2 * INDENT),
            "    )",
        ]

    @property
    def _below(self) -> Extent:
        return product([axis.size for axis in self.axes if axis.size is not None])

    @property
    def _unit(self) -> str:
        if all(axis.size is not None for axis in self.axes):
            return self._below.bracketed
        return f"({self._below} * {self.index.name}_rows)"

    def _size(self, number: int) -> str:
        size = self.axes[number].size
        return f"{self.index.name}_rows" if size is None else size.bracketed

    def _counts(self, name: str) -> list[str]:
        """How many digits of an output's class there are along each axis."""
        return [
            self._size(number) if axis.classes == ONE else f"{name}_count{number}"
            for number, axis in enumerate(self.axes)
        ]

    def _rows(self) -> list[str]:
        """Where nothing bounds the outermost digit: all rows of the launch, in whole classes."""
        if self.axes[-1].size is not None:
            return []
        classes, most = self.axes[-1].classes.bracketed, self.kernel.builtin("maximum")
        rows = f"{self.programs} * {self.index.lanes.bracketed} // {self._below.bracketed}"
        return _set(f"{self.index.name}_rows", f"{most}({rows} // {classes}, 1) * {classes}")

    def _classes(self, name: str, at: str) -> list[str]:
        """The unit and the class of places `at`, and where they are in their class."""
        place = f"{name}_place"
        lines = [
            *_set(f"{name}_unit", f"{at} // {self._unit}"),
            *_set(place, f"{at} % {self._unit}"),
        ]
        before: list[str] = []
        counts = self._counts(name)
        for number in reversed(range(len(self.axes))):
            if self.axes[number].classes != ONE:
                below = product([axis.size for axis in self.axes[:number] if axis.size is not None])
                apart = _product([*before, *([below.bracketed] if below != ONE else [])])
                lines += self._one_class(name, number, apart)
            before.append(counts[number])
        return lines

    def _one_class(self, name: str, number: int, apart: str) -> Iterator[str]:
        """The class along one axis, whose digits stand `apart`. Of `size` digits in `classes`
        classes, the first `size % classes` classes have one digit more than the others, which may
        have none."""
        size, classes = self._size(number), self.axes[number].classes.bracketed
        own, place = f"{name}_class{number}", f"{name}_place"
        fewest, longer = f"({size} // {classes})", f"{size} % {classes}"
        most, least = self.kernel.builtin("maximum"), self.kernel.builtin("minimum")
        yield from _set(own, f"{place} // {apart}" if apart else place)
        longer_ones = f"{own} // ({fewest} + 1)"
        others = f"{most}({own} - {longer}, 0) // {most}({fewest}, 1)"
        yield from _set(own, f"{most}({longer_ones}, {others})")
        yield from _set(f"{name}_count{number}", f"({size} - 1 - {own}) // {classes} + 1")
        start = f"{name}_start{number}"
        yield from _set(start, f"{own} * {fewest} + {least}({own}, {longer})")
        yield from _set(place, f"{start} * {apart}" if apart else start, "-=")

    def _joined(self, name: str, place: str, tail: str = "") -> list[str]:
        """The index put together again from the digits of its class and the place in it."""
        lines = [f"{name}_unit * {self._unit}"]
        below: list[str] = []
        inner = ONE
        for number, (axis, count) in enumerate(zip(self.axes, self._counts(name), strict=True)):
            at = f"{place} // {_product(below)}" if below else place
            if number < len(self.axes) - 1:
                at += f" % {count}"
            if axis.classes != ONE:
                at = f"({at} * {axis.classes.bracketed} + {name}_class{number})"
            elif inner != ONE:
                at = f"({at})"
            lines.append(f"+ {at}" if inner == ONE else f"+ {at} * {inner.bracketed}")
            below.append(count)
            inner = inner if axis.size is None else inner * axis.size
        return [*lines[:-1], lines[-1] + tail]


def axes_of(
    digits: Mapping[IndexDigit, Extent], others: Sequence[IndexDigit] = ()
) -> tuple[DigitAxis, ...]:
    """The axes of a unit, the innermost first, of digits with their classes.

    A single axis takes one of `others` that lies above it along. Raises DoesNotApply where the
    digits do not lie one above the other.
    """
    axes: list[DigitAxis] = []
    low = ONE
    rest = dict(digits)
    while rest:
        digit = next((one for one in rest if one.low == low), None)
        if digit is None:  # an axis without classes lies between
            above = [one for one in rest if all(o.low.over(one.low) is not None for o in rest)]
            size = above[0].low.over(low) if above else None
            if size is None:
                raise DoesNotApply("the digits with classes do not lie one above the other")
            axes.append(DigitAxis(None, size, ONE))
            low = low * size
            continue
        classes = rest.pop(digit)
        size = None if digit.high is None else digit.high.over(digit.low)
        axes.append(DigitAxis(digit, size, classes))
        if size is None and rest:
            raise DoesNotApply("the digits with classes do not lie one above the other")
        low = low if size is None else low * size
    if len(axes) == 1 and axes[0].size is not None:
        above = [one for one in others if one.low == low and one.high is not None]
        size = above[0].high.over(low) if above and above[0].high else None
        axes += [] if size is None else [DigitAxis(None, size, ONE)]
    return tuple(axes)


def product(extents: Sequence[Extent]) -> Extent:
    found = ONE
    for extent in extents:
        found = found * extent
    return found


def _product(factors: Sequence[str]) -> str:
    return f"({' * '.join(factors)})" if len(factors) > 1 else "".join(factors)


def _set(name: str, text: str, sign: str = "=") -> list[str]:
    return laid_out(f"{name} {sign} ", parsed(text), "", _ROOM)
