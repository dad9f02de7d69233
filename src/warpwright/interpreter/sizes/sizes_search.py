"""Search for a few sets of sizes that together take a program through all of its ways.

Pure: what a set leads to is asked of a function. One small set shows neither a mask at work nor a
branch for sizes that a tile divides, so further sets are chosen from what the program compares
its sizes with: its tiles, and the constants of its text.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from warpwright.interpreter.sizes.shrink_search import Item, Sizes
from warpwright.program.branch_sites import site_of

SMALL = (2, 3, 5, 7, 12, 17, 33, 67)
LEAST_TILE = 8  # below that every odd size is beyond a tile
LARGEST = 1 << 17
MOST_TILES = 64
WORTH = {"way": 20.0, "compare": 6.0, "trips": 6.0, "grid": 6.0, "waves": 10.0, "relation": 1.0}
STEP_COST = 0.02  # of a step in the interpreter, in the unit of `WORTH`
LEAST_WORTH = 3.0  # for which a set is run


@dataclass(frozen=True, slots=True)
class Look:
    """What a set of sizes leads to.

    `items`: what happens in the usual config, and in the other ones the ways that it does not
    take; each item's first word is a key of `WORTH`. `steps`: tile iterations of the usual config.
    """

    items: frozenset[Item]
    steps: int
    elements: int


@dataclass(frozen=True, slots=True)
class SetLimits:
    """What one set may cost, and how many there are. One that costs no more than the first set
    is affordable in any case. `dear_sets` may take `dear_steps`, for ways that must be run."""

    sets: int = 4
    steps: int = 1200
    dear_sets: int = 1
    dear_steps: int = 12_000
    elements: int = 4_000_000


@dataclass(slots=True)
class SetSearch:
    """Greedy: each set is the one that adds most for its cost, one size changed at a time.

    What must happen (`must`) and none of them does has the cheapest set that was seen to do it.
    """

    look: Callable[[Sizes], Look | None]
    values: Mapping[int, Sequence[int]]
    """Full size → the sizes to try for it."""
    fixed: frozenset[int]
    limits: SetLimits = field(default_factory=SetLimits)
    out_of_time: Callable[[], bool] = lambda: False
    must: Callable[[Item], bool] = lambda _: False
    out_of_all_time: Callable[[], bool] = lambda: False  # for what must happen, after the rest
    _cheapest: dict[Item, tuple[Sizes, Look]] = field(default_factory=dict)

    def run(self, base: Sizes, covered: frozenset[Item]) -> list[tuple[Sizes, Look]]:
        """Sets beside `base`, which does what `covered` says."""
        chosen: list[tuple[Sizes, Look]] = []
        first = self._looked(base)
        if first is not None:
            self.limits = replace(self.limits, steps=max(self.limits.steps, first.steps))
        while len(chosen) < self.limits.sets and not self.out_of_time():
            found = self._climb(base, covered)
            if found is None or worth(found[1].items - covered) < LEAST_WORTH:
                break
            chosen.append(found)
            covered |= found[1].items
        for _ in range(self.limits.dear_sets):
            left = {item: f for item, f in self._cheapest.items() if item not in covered}
            if not left:
                break
            item = min(left, key=lambda item: left[item][1].steps)
            sizes, look = self._made_cheaper(item, *left[item])
            if look.steps > self.limits.dear_steps or look.elements > self.limits.elements:
                break
            chosen.append((sizes, look))
            covered |= look.items
        return chosen

    def _made_cheaper(self, item: Item, sizes: Sizes, look: Look) -> tuple[Sizes, Look]:
        """A set that still does what must happen, each size as small as that allows."""
        for variable in sorted(self.values):
            for value in sorted(self.values[variable]):
                if value >= sizes.get(variable, variable) or self.out_of_all_time():
                    break
                if variable in self.fixed or value in sizes.values():
                    continue
                smaller = self.look({**sizes, variable: value})
                if smaller is not None and item in smaller.items and smaller.steps < look.steps:
                    sizes, look = {**sizes, variable: value}, smaller
                    break
        return sizes, look

    def _looked(self, sizes: Sizes) -> Look | None:
        """What a set leads to, kept where it is the cheapest that does what must happen."""
        look = self.look(sizes)
        for item in filter(self.must, () if look is None else look.items):
            known = self._cheapest.get(item)
            if look is not None and (known is None or look.steps < known[1].steps):
                self._cheapest[item] = dict(sizes), look
        return look

    def _climb(self, base: Sizes, covered: frozenset[Item]) -> tuple[Sizes, Look] | None:
        sizes: Sizes = dict(base)
        best: tuple[float, Sizes, Look] | None = None
        for variable in sorted(self.values, reverse=True):
            taken = {sizes.get(other, other) for other in self.values if other != variable}
            for value in self.values[variable]:
                if value in taken | self.fixed or self.out_of_time():
                    continue
                changed = {**sizes, variable: value}
                look = self._looked(changed)
                if look is None or not self._affordable(look):
                    continue
                score = worth(look.items - covered) - STEP_COST * look.steps
                if best is None or score > best[0]:
                    best = (score, changed, look)
            if best is not None:
                sizes = best[1]
        return None if best is None else best[1:]

    def _affordable(self, look: Look) -> bool:
        return look.steps <= self.limits.steps and look.elements <= self.limits.elements


def worth(items: Iterable[Item]) -> float:
    """What it is worth that these things happen."""
    return sum(WORTH[str(item[0])] for item in items)


def values_to_try(
    full: int, base: int, tiles: Iterable[int], constants: Iterable[int], counts: Iterable[int]
) -> list[int]:
    """Sizes below, at and above each tile and constant, several tiles, and some small ones; and of
    which the square or cube is one tile or two, where a tile runs over several dimensions.

    `counts`: numbers of tiles that the program compares with (a group of blocks).
    """
    counts = tuple(counts)
    found = {base, *(size for size in SMALL if size < full)}
    for tile in tiles:
        found |= {tile - 1, tile, tile + 1, 2 * tile, 3 * tile, 2 * tile + tile // 2 + 1}
        found |= {count * tile + 1 for count in counts}
        bits = tile.bit_length() - 1
        found |= {1 << (bits + 1) // 2, 1 << (bits + 2) // 3}
    for constant in constants:
        found |= {constant - 1, constant, constant + 1, constant + 37, 2 * constant}
    return sorted(size for size in found if 2 <= size <= LARGEST)


def relation(size: int, tile: int) -> str:
    """How a size lies to a tile."""
    if size <= tile:
        return "equal" if size == tile else "below"
    if size % tile == 0:
        return "multiple"
    return "above" if size < 2 * tile else "several"


def counts_of(tree: ast.Module) -> set[int]:
    """Small whole numbers that a program tests against, or takes the least or largest of."""
    sites = (node for node in ast.walk(tree) if site_of(node) is not None)
    tested = (getattr(node, "test", node) for node in sites if not isinstance(node, ast.For))
    numbers = {
        node.value
        for test in tested
        for node in ast.walk(test)
        if isinstance(node, ast.Constant) and type(node.value) is int
    }
    return {number for number in numbers if 2 <= number <= MOST_TILES}


def constants_of(tree: ast.Module) -> set[int]:
    """Whole numbers that functions of a program name, and those of the module's own names.

    What stands in decorators (the numbers of configs) is left out, but for their functions, such
    as a heuristic's.
    """
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            _numbers_in(node.body, found)
            inner = [each for part in node.decorator_list for each in ast.walk(part)]
            _numbers_in([each.body for each in inner if isinstance(each, ast.Lambda)], found)
    _numbers_in([n for n in tree.body if isinstance(n, (ast.Assign, ast.AnnAssign))], found)
    return {number for number in found if LEAST_TILE <= number <= LARGEST}


def _numbers_in(statements: Sequence[ast.AST], found: set[int]) -> None:
    for statement in statements:
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and "Config" in ast.dump(statement):
            continue  # a list of configs
        for node in ast.walk(statement):
            if isinstance(node, ast.Constant) and type(node.value) is int:
                found.add(node.value)
