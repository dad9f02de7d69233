"""Grids as formulas of a kernel's arguments, found from calls, and solved for a grid size.

Pure. A grid axis is nearly always a constant, a product of arguments, ⌈product ÷ BLOCK⌉, or a
product of two such. Each form is tried against every call and config; one that fits all is the
formula.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

MAX_FACTORS = 4
MAX_NAMES = 14


@dataclass(frozen=True, slots=True)
class Sample:
    """One axis in one call under one config: its extent, integer arguments, meta-parameters."""

    extent: int
    arguments: Mapping[str, int]
    meta: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Quotient:
    """⌈product of `names` ÷ `block`⌉; without `block` the product itself."""

    names: tuple[str, ...]
    block: str | None = None

    def value(self, arguments: Mapping[str, int], meta: Mapping[str, int]) -> int:
        product = _product(arguments[name] for name in self.names)
        return product if self.block is None else -(-product // meta[self.block])

    def __str__(self) -> str:
        product = "*".join(self.names)
        return product if self.block is None else f"cdiv({product}, {self.block})"


@dataclass(frozen=True, slots=True)
class Formula:
    """A grid axis: `constant` times the quotients."""

    quotients: tuple[Quotient, ...] = ()
    constant: int = 1

    def __str__(self) -> str:
        parts = [str(quotient) for quotient in self.quotients]
        if self.constant != 1 or not parts:
            parts.insert(0, str(self.constant))
        return "*".join(parts)


@dataclass(frozen=True, slots=True)
class Constraint:
    """What a grid size says of one config: whether it can be, and of the sizes it would need."""

    possible: bool
    text: str


def find_formula(samples: Sequence[Sample]) -> Formula | None:
    """The simplest formula that gives every sample's extent, or None."""
    extents = {sample.extent for sample in samples}
    if len(extents) == 1:
        return Formula((), extents.pop())
    names = _names(samples)
    blocks = _blocks(samples)
    singles = list(_quotients(names, blocks, MAX_FACTORS))
    for quotient in singles:
        if _fits((quotient,), samples):
            return Formula((quotient,))
    short = [quotient for quotient in singles if len(quotient.names) <= 2]
    for pair in itertools.combinations(short, 2):
        if _fits(pair, samples):
            return Formula(pair)
    return None


def solve(
    axes: Sequence[Formula | None],
    grid_size: int,
    meta: Mapping[str, int],
    known: Mapping[str, int],
) -> Constraint:
    """What `grid_size` (the product of all axes) needs of the arguments that are not known."""
    rest, open_ = grid_size, []
    for axis in axes:
        if axis is None:
            return Constraint(True, "the grid follows no simple formula")
        factor = axis.constant
        for quotient in axis.quotients:
            if all(name in known for name in quotient.names):
                factor *= quotient.value(known, meta)
            else:
                open_.append(quotient)
        if factor == 0 or rest % factor:
            return Constraint(False, f"{grid_size:,} is not divisible by {factor:,} ({axis})")
        rest //= factor
    if not open_:
        fits = rest == 1
        return Constraint(fits, "its grid is certain" if fits else f"its grid is not {grid_size:,}")
    if len(open_) > 1:
        return Constraint(True, f"{' * '.join(map(str, open_))} = {rest:,}")
    return _solve_one(open_[0], rest, meta, known)


def _solve_one(
    quotient: Quotient, value: int, meta: Mapping[str, int], known: Mapping[str, int]
) -> Constraint:
    unknown = [name for name in quotient.names if name not in known]
    factor = _product(known[name] for name in quotient.names if name in known)
    text = "*".join(unknown)
    if quotient.block is None:
        if value % factor:
            return Constraint(False, f"{value:,} is not divisible by {factor:,}")
        return Constraint(True, f"{text} = {value // factor:,}")
    block = meta[quotient.block]
    low, high = (value - 1) * block, value * block  # low < product <= high
    if low // factor == high // factor:
        return Constraint(False, f"no {text} gives {value:,} blocks")
    return Constraint(True, f"{text} in ({low // factor:,}, {high // factor:,}]")


def _names(samples: Sequence[Sample]) -> list[str]:
    """Arguments that are not the same in all samples, and of equal ones only the first."""
    columns: dict[tuple[int, ...], str] = {}
    common = set.intersection(*(set(sample.arguments) for sample in samples))
    for name in samples[0].arguments:
        if name in common:
            column = tuple(sample.arguments[name] for sample in samples)
            if len(set(column)) > 1 or column[0] > 1:
                columns.setdefault(column, name)
    return list(columns.values())[:MAX_NAMES]


def _blocks(samples: Sequence[Sample]) -> list[str | None]:
    common = set.intersection(*(set(sample.meta) for sample in samples))
    return [None, *(name for name in samples[0].meta if name in common)]


def _quotients(names: Sequence[str], blocks: Sequence[str | None], most: int) -> Iterator[Quotient]:
    for count in range(1, most + 1):
        for chosen in itertools.combinations(names, count):
            # of blocks that are always equal, the one that is named after the argument
            for block in sorted(blocks, key=lambda block: not _named_alike(block, chosen)):
                yield Quotient(chosen, block)


def _named_alike(block: str | None, names: Sequence[str]) -> bool:
    return block is not None and any(block.lower().endswith(name.lower()) for name in names)


def _fits(quotients: Sequence[Quotient], samples: Sequence[Sample]) -> bool:
    return all(
        _product(q.value(sample.arguments, sample.meta) for q in quotients) == sample.extent
        for sample in samples
    )


def _product(values: Iterator[int] | Sequence[int]) -> int:
    total = 1
    for value in values:
        total *= value
    return total
