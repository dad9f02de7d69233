"""The search over configs, replayed on whole grids that were timed on a card. Needs no GPU.

    PYTHONPATH=src python benchmarks/config_search.py [--data FILE] [--seeds 20] [--batch 8]

For each kernel: how far the best config found lies above the best of the grid, after so many of
its configs (percent of the grid), against configs drawn at random. An evaluation is a config that
is compiled, whether it can then be launched or not.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from config_grids.recorded_grids import DATA, RecordedGrid, recorded_grids

from warpwright.search.config_search import ConfigSearch

SHARES = (0.05, 0.10, 0.15, 0.20)
CLOSE = 1.02
BATCH = 8  # as many as compile at a time beside what is timed, on 16 cores
RANDOM_SEEDS = 500


def search_curve(grid: RecordedGrid, seed: int, batch: int, share: float) -> list[float]:
    """The best time (ms) after each evaluation, for so large a share of the grid at most."""
    search = ConfigSearch(grid.space, seed)
    left = int(share * search.size)
    curve: list[float] = []
    best = float("inf")
    while left > 0 and (configs := search.ask(min(batch, left))):
        left -= len(configs)
        for config in configs:
            ms = grid.times_ms[config]
            search.tell(config, ms)
            best = best if ms is None else min(best, ms)
            curve.append(best)
    return curve


def random_curve(grid: RecordedGrid, seed: int, share: float) -> list[float]:
    """The same for configs drawn at random, none twice."""
    drawn = random.Random(seed).sample(
        list(grid.times_ms.values()), int(share * len(grid.times_ms))
    )
    best = float("inf")
    curve = []
    for ms in drawn:
        best = best if ms is None else min(best, ms)
        curve.append(best)
    return curve


def above_pct(grid: RecordedGrid, curve: Sequence[float], share: float) -> float:
    """How far above the grid's best the curve is after that share of the grid, in percent."""
    place = min(len(curve), max(1, int(share * len(grid.times_ms)))) - 1
    return 100 * (curve[place] / grid.best_ms - 1)


def close_after(grid: RecordedGrid, curve: Sequence[float]) -> int | None:
    """Evaluations until within 2 % of the best; None: not reached."""
    close = (number for number, ms in enumerate(curve, 1) if ms <= CLOSE * grid.best_ms)
    return next(close, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--batch", type=int, default=BATCH)
    options = parser.parse_args()
    heads = [f"{share:.0%}" for share in SHARES]
    print(f"| kernel | configs | {' | '.join(heads)} | within 2 % after | seeds within 2 % |")
    print("|" + "---|" * (len(SHARES) + 4))
    for grid in recorded_grids(options.data):
        ours = [search_curve(grid, s, options.batch, SHARES[-1]) for s in range(options.seeds)]
        theirs = [random_curve(grid, seed, SHARES[-1]) for seed in range(RANDOM_SEEDS)]
        print(_line(f"{grid.kernel}", grid, ours))
        print(_line("· at random", grid, theirs))


def _line(name: str, grid: RecordedGrid, curves: Sequence[Sequence[float]]) -> str:
    """Median, and in brackets the worst of nine in ten, of how far above the best they are."""
    cells = []
    for share in SHARES:
        above = sorted(above_pct(grid, curve, share) for curve in curves)
        cells.append(f"{median(above):.1f} ({above[int(0.9 * (len(above) - 1))]:.1f}) %")
    needed = [close_after(grid, curve) for curve in curves]
    reached = [number for number in needed if number is not None]
    typical = f"{median(reached):.0f}" if reached else "–"
    count = f"{len(reached)} of {len(curves)}"
    return f"| {name} | {len(grid.times_ms)} | {' | '.join(cells)} | {typical} | {count} |"


if __name__ == "__main__":
    main()
