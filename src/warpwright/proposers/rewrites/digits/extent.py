"""Products of compile-time sizes: `KH * KW`, `9 * C`. Exact, and printed as source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod


@dataclass(frozen=True, slots=True)
class Extent:
    """`number` times the product of `names` (sorted, repeated for powers). `number` is positive."""

    number: int = 1
    names: tuple[str, ...] = ()

    def __mul__(self, other: Extent) -> Extent:
        return Extent(self.number * other.number, tuple(sorted(self.names + other.names)))

    def over(self, other: Extent) -> Extent | None:
        """The quotient where it is a product again, else None."""
        rest = Counter(self.names)
        rest.subtract(other.names)
        if self.number % other.number or any(count < 0 for count in rest.values()):
            return None
        return Extent(self.number // other.number, tuple(sorted(rest.elements())))

    def value(self, sizes: Mapping[str, int]) -> int | None:
        if any(name not in sizes for name in self.names):
            return None
        return self.number * prod(sizes[name] for name in self.names)

    def __str__(self) -> str:
        """As source, without brackets around it."""
        words = [*self.names]
        if self.number != 1 or not words:
            words.insert(0, str(self.number))
        return " * ".join(words)

    @property
    def bracketed(self) -> str:
        """As source that may stand beside any operator."""
        return str(self) if " " not in str(self) else f"({self})"


ONE = Extent()
