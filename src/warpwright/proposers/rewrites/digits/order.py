"""The digits of a reduction's index, and another order of them in which one fills the lanes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.digits.extent import ONE, Extent
from warpwright.proposers.rewrites.digits.read_digits import Digits, Header, subscripted


@dataclass(frozen=True, slots=True)
class Digit:
    """One digit of k: `(k // low) % radix`."""

    name: str
    low: Extent
    high: Extent
    radix: str  # as source, in brackets where it is more than a name
    extent: Extent | None  # the radix as a product; None where it is a quotient


@dataclass(frozen=True, slots=True)
class Order:
    """The digits, outermost first as the loop has them, and the one that is to fill the lanes."""

    digits: tuple[Digit, ...]
    lanes: int
    conditions: tuple[str, ...]  # on sizes, beside those of divisibility

    @property
    def lane_digit(self) -> Digit:
        return self.digits[self.lanes]

    @property
    def outer(self) -> tuple[Digit, ...]:
        """The digits that are scalars of a step, outermost first."""
        return tuple(digit for i, digit in enumerate(self.digits) if i != self.lanes)

    @property
    def reordered(self) -> tuple[Digit, ...]:
        """The new order, outermost first: k', the new index, counts in it."""
        return (*self.outer, self.lane_digit)

    def between(self, part: Digits) -> tuple[Digit, ...]:
        """The digits that a part of k consists of, outermost first."""
        lows = [digit.low for digit in self.digits]
        highs = [digit.high for digit in self.digits]
        top = highs[0] if part.high is None else part.high
        if part.low not in lows or top not in highs:
            raise DoesNotApply("a part of the index is no row of its digits")
        return self.digits[highs.index(top) : lows.index(part.low) + 1]

    def has_lanes(self, part: Digits) -> bool:
        return self.lane_digit in self.between(part)

    def text(self, part: Digits) -> str:
        """A part of k as source, from the digits' names; brackets around a sum."""
        terms = []
        for digit in self.between(part):
            factor = digit.low.over(part.low)
            assert factor is not None
            terms.append(digit.name if factor == ONE else f"{digit.name} * {factor.bracketed}")
        text = terms[0] if len(terms) == 1 and " " not in terms[0] else f"({' + '.join(terms)})"
        return subscripted(text, part.axis if self.has_lanes(part) else None)

    def definitions(self, header: Header, arange: str) -> list[str]:
        """The lines that take a step's first index apart in the new order."""
        base, lane = header.base_text, self.lane_digit
        lines = [f"{lane.name} = {base} % {lane.radix} + {arange}"]
        divisor = [lane]
        for position in range(len(self.outer) - 1, -1, -1):
            digit = self.outer[position]
            below = " * ".join(d.radix for d in divisor)
            below = below if len(divisor) == 1 else f"({below})"
            rest = f" % {digit.radix}" if position else ""
            lines.append(f"{digit.name} = {base} // {below}{rest}")
            divisor.insert(0, digit)
        return lines


def find_digits(
    header: Header, parts: Sequence[Digits], names: Sequence[tuple[str, Digits]], taken: set[str]
) -> tuple[tuple[Digit, ...], tuple[str, ...]]:
    """The finest digits that all parts consist of, outermost first, and conditions on sizes.

    `names`: what the loop calls its parts. Raises DoesNotApply where the parts do not divide one
    another.
    """
    edges = {ONE}
    for part in parts:
        edges.add(part.low)
        if part.high is not None:
            edges.add(part.high)
    chain = sorted(edges, key=lambda edge: (len(edge.names), edge.number))
    for smaller, larger in pairwise(chain):
        if larger.over(smaller) is None:
            raise DoesNotApply(f"{larger} is no multiple of {smaller} for all sizes")
    conditions: list[str] = []
    if header.bound not in edges:
        if header.bound.over(chain[-1]) is not None:
            chain.append(header.bound)
        elif chain[-1] in {part.low for part in parts}:
            conditions.append(f"{header.bound} % {chain[-1].bracketed} == 0")
            chain.append(header.bound)
        else:
            # The outermost digit has an end of its own: it has to be the loop's.
            conditions.append(f"{header.bound} == {chain[-1]}")
    meanings: dict[str, set[tuple[Extent, Extent | None]]] = {}
    for name, part in names:
        meanings.setdefault(name, set()).add((part.low, part.high))
    digits: list[Digit] = []
    for low, high in pairwise(chain):
        exact = high.over(low)
        radix = f"({high} // {low.bracketed})" if exact is None else exact.bracketed
        called = [
            name
            for name, part in names
            if part.low == low
            and (chain[-1] if part.high is None else part.high) == high
            and len(meanings[name]) == 1
        ]
        name = called[-1] if called else _fresh(f"digit_{len(digits)}", taken)
        digits.append(Digit(name, low, high, radix, exact))
    return tuple(reversed(digits)), tuple(conditions)


def _fresh(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
