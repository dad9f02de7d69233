"""Search for small sizes on which a program still does everything that it does at full size.

Pure: what a choice of sizes leads to is asked of a function. Each distinct size of the inputs is
one variable, so sizes that are equal stay equal (the shared dimension of a matmul), and
different sizes stay different (a swapped stride shows), also from those that never shrink (a
width of 7 hides that an index counts channels where it should count the 7 taps of a filter).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import gcd

# Mostly odd, so that the last tile of a dimension is partial and masks are exercised; the even
# ones serve programs that insist on a multiple.
SMALL_SIZES = (
    2, 3, 5, 7, 9, 11, 13, 4, 6, 8, 17, 19, 12, 23, 16, 29, 37, 32, 43, 24, 53, 67, 48, 64, 83, 101,
    96, 128, 131, 163, 192, 197, 256, 261, 384, 517, 512, 1024, 1031, 2048, 2053, 4096, 4099, 8192,
)  # fmt: skip
# Just above the usual tile sizes (two tiles, the second one partial), and some smaller ones.
LARGER_SIZES = (7, 11, 13, 19, 37, 67, 131, 261, 517, 1031, 2053, 4099, 48, 96, 192, 384)

Sizes = Mapping[int, int]
"""Full size → small size; a size that is absent stays."""

Item = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class SizesTried:
    """What a choice of sizes leads to.

    `steps`: tile iterations of the costliest config, over all launches; `blocks`: of the config
    with the fewest. `covered`: everything that happens at least twice (a grid axis or a loop, by
    kernel and config), so that the step from one tile to the next is exercised, and every size
    above 1 that a kernel sees. `elements`: in inputs and parameters.
    """

    kernels: frozenset[str]
    blocks: int
    steps: int
    covered: frozenset[Item]
    elements: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run in the interpreter should cost: one to seven milliseconds a step.

    More blocks are accepted where fewer leave a grid axis or a loop with one tile in every config.
    Up to `stretch` times as many steps are accepted where a program does not run with less.
    """

    blocks: int = 48
    steps: int = 2000
    elements: int = 40_000_000
    stretch: int = 3


@dataclass(slots=True)
class Search:
    """Greedy: first as small as runs at all, then larger where that covers more.

    `evaluate` gives None where program or reference do not run; `goal` is the attempt at full
    size. `out_of_time` ends the search early with the best so far. `fixed`: other sizes of the
    program, which do not shrink; a small size is one of these only where no other runs.
    `aligned`: a power of two; small sizes keep the part of it that divides the full ones, for
    programs without masks, which rely on it.
    """

    evaluate: Callable[[Sizes], SizesTried | None]
    goal: SizesTried
    limits: Limits = field(default_factory=Limits)
    out_of_time: Callable[[], bool] = lambda: False
    fixed: frozenset[int] = frozenset()
    aligned: int = 1
    _seen: dict[tuple[tuple[int, int], ...], SizesTried | None] = field(default_factory=dict)

    def run(self, variables: Sequence[int]) -> tuple[Sizes, SizesTried] | None:
        """The best sizes found for these full sizes, or None where nothing smaller runs.

        Largest first; where that does not get small enough (a program may take another way for
        small inputs) smallest first as well, and then all by one factor (an output that is twice
        as wide as its input may have to fit a parameter).
        """
        found = []
        largest_first = sorted(variables, reverse=True)
        for order, scale in ((largest_first, False), (largest_first[::-1], False),
                             (largest_first, True)):  # fmt: skip
            shrunk = self._shrink(order, self._scaled(order) if scale else {})
            if shrunk is not None:
                found.append(self._grow(*shrunk, order))
                if self.fits(found[-1][1]):
                    break
        return min(found, key=lambda entry: entry[1].steps, default=None)

    def _scaled(self, variables: Sequence[int]) -> dict[int, int]:
        """All sizes that it divides by the largest factor that runs, empty if none does."""
        for factor in (32, 16, 8, 4, 2):
            sizes = {
                v: v // factor
                for v in variables
                if v % factor == 0 and v > factor and (v // factor) % self._part(v) == 0
            }
            distinct = len({sizes.get(v, v) for v in variables}) == len(variables)
            if len(sizes) > 1 and distinct and self._try(sizes) is not None:
                return sizes
        return {}

    def _shrink(
        self, variables: Sequence[int], start: Sizes
    ) -> tuple[dict[int, int], SizesTried] | None:
        """Each size in turn as small as runs at all, from those of `start`."""
        sizes = dict(start)
        best = self._try(sizes) if sizes else self.goal
        if best is None:
            return None
        for variable in variables:
            for size in self._smaller(variable, sizes, variables):
                if size >= sizes.get(variable, variable):
                    continue
                attempt = self._try({**sizes, variable: size})
                if attempt is not None:
                    sizes[variable] = size
                    best = attempt
                    break
        return (sizes, best) if sizes else None

    def fits(self, attempt: SizesTried) -> bool:
        """Whether a run in the interpreter is affordable at all."""
        return (
            attempt.steps <= self.limits.stretch * self.limits.steps
            and attempt.elements <= self.limits.elements
        )

    def _comfortable(self, attempt: SizesTried) -> bool:
        limits = self.limits
        return (
            self.fits(attempt) and attempt.blocks <= limits.blocks and attempt.steps <= limits.steps
        )

    def _bearable(self, attempt: SizesTried) -> bool:
        return self.fits(attempt) and attempt.steps <= self.limits.steps

    def _try(self, sizes: Sizes) -> SizesTried | None:
        key = tuple(sorted(sizes.items()))
        if key not in self._seen:
            self._seen[key] = None if self.out_of_time() else self.evaluate(sizes)
        attempt = self._seen[key]
        if attempt is None or not self.goal.kernels <= attempt.kernels:
            return None
        return attempt

    def _smaller(self, variable: int, sizes: Sizes, variables: Iterable[int]) -> Iterator[int]:
        """Sizes to try for a variable, smallest first, none that another variable has.

        Those that a fixed size equals come last.
        """
        taken = {sizes.get(other, other) for other in variables if other != variable}
        parts = {variable // divisor for divisor in (2, 4, 8, 16, 32) if variable % divisor == 0}
        part = self._part(variable)
        multiples = {part * times for times in range(1, 6) if part > 1}
        ordered = sorted({*SMALL_SIZES, *parts, *multiples}, key=_order)
        for size in sorted(ordered, key=self.fixed.__contains__):
            if 2 <= size < variable and size not in taken and size % part == 0:
                yield size

    def _part(self, size: int) -> int:
        """What small sizes of this one have to be multiples of."""
        return gcd(size, self.aligned)

    def _larger(self, variable: int) -> list[int]:
        part = self._part(variable)
        if part == 1:
            return sorted(LARGER_SIZES)
        multiples = {part * times for times in (2, 3, 4, 5)}
        return sorted({size for size in LARGER_SIZES if size % part == 0} | multiples)

    def _grow(
        self, sizes: dict[int, int], best: SizesTried, variables: Sequence[int]
    ) -> tuple[Sizes, SizesTried]:
        """Enlarge one size at a time, while more is covered and it stays affordable."""
        for accept, want in ((self._comfortable, _each), (self._bearable, _in_any_config)):
            goal = want(self.goal.covered)
            while not goal <= want(best.covered) and not self.out_of_time():
                step = self._best_step(sizes, best, variables, accept, want)
                if step is None:
                    break
                sizes, best = step
        return sizes, best

    def _best_step(
        self,
        sizes: dict[int, int],
        best: SizesTried,
        variables: Sequence[int],
        accept: Callable[[SizesTried], bool],
        want: Callable[[frozenset[Item]], frozenset[Item]],
    ) -> tuple[dict[int, int], SizesTried] | None:
        """The enlargement of one size that covers most for its cost."""
        found: tuple[float, dict[int, int], SizesTried] | None = None
        missing = want(self.goal.covered) - want(best.covered)
        for variable in sizes:
            taken = {sizes.get(other, other) for other in variables if other != variable}
            for size in self._larger(variable):
                if not sizes[variable] < size < variable or size in taken | self.fixed:
                    continue
                changed = {**sizes, variable: size}
                attempt = self._try(changed)
                if attempt is None or not accept(attempt):
                    continue
                worth = len(want(attempt.covered) & missing) / max(attempt.steps - best.steps, 1)
                if worth > (0 if found is None else found[0]):
                    found = (worth, changed, attempt)
        return None if found is None else found[1:]


def _each(items: frozenset[Item]) -> frozenset[Item]:
    return items


def _in_any_config(items: frozenset[Item]) -> frozenset[Item]:
    """Grid axes and loops, whatever the config."""
    return frozenset((item[0], *item[2:]) for item in items if isinstance(item[1], int))


def _order(size: int) -> tuple[int, int]:
    """By magnitude; within a factor of 1.5 odd sizes come first."""
    magnitude, bound = 0, 3
    while size > bound:
        bound = bound * 3 // 2 + 1
        magnitude += 1
    return magnitude, size if size % 2 else size + 10_000
