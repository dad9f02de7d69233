"""Time the full grids of `config_grids` on this machine's GPU, so that searches can be replayed.

    PYTHONPATH=src python benchmarks/record_config_grids.py OUT.json [--processes 16]
    PYTHONPATH=src python benchmarks/record_config_grids.py OUT.json --dry-run   # no GPU: compile

Some processes compile; this one alone launches, while they do. Each kernel's fastest configs are
then timed again in turns. The file holds for each config its milliseconds (median of some calls
with a cold L2) or why there are none.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from config_grids.compiling import Compiled, Compilers
from config_grids.grids import GRIDS, Grid

from warpwright.types.config import Config
from warpwright.types.config_space import value_of

AGAIN, AGAIN_ROUNDS, AGAIN_CALLS = 24, 6, 4
COMPILE_SHARE = 0.8  # of the whole time
FIELDS = ("ms", "failure", "registers", "spills", "shared_bytes", "digest")
Rows = dict[tuple[str, Config], dict[str, Any]]


def main() -> None:
    options = _options()
    os.environ.setdefault("TRITON_CACHE_DIR", tempfile.mkdtemp(prefix="grids-triton-"))
    began = time.monotonic()
    grids = [grid for grid in GRIDS if not options.kernels or grid.kernel in options.kernels]
    tasks = _tasks(grids, options.sample)
    print(f"{len(tasks)} configs of {len(grids)} kernels", flush=True)
    ends = began + COMPILE_SHARE * options.limit
    with Compilers(options.processes, dry=options.dry_run) as compilers:
        compiled = compilers.run(tasks, ends)
        card = None if options.dry_run else _Card(grids)
        rows = _rows(_printed(compiled, len(tasks), began), card)
    print(f"{time.monotonic() - began:.0f} s: all configs were tried", flush=True)
    if card is not None:
        card.again(rows, began + options.limit)
    options.out.write_text(_encoded(grids, rows, card))
    print(f"{time.monotonic() - began:.0f} s: {options.out}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--limit", type=float, default=145.0, help="seconds in all")
    parser.add_argument("--kernels", nargs="*")
    parser.add_argument("--sample", type=int, help="only so many configs a kernel")
    parser.add_argument("--dry-run", action="store_true", help="compile for sm_90, time nothing")
    return parser.parse_args()


def _tasks(grids: list[Grid], sample: int | None) -> list[tuple[str, Config]]:
    tasks = []
    for grid in grids:
        configs = list(grid.configs())
        random.Random(1).shuffle(configs)  # so that a cut falls on no corner of the grid
        tasks += [(grid.kernel, config) for config in configs[:sample]]
    return tasks


def _printed(compiled: Iterable[Compiled], whole: int, began: float) -> Iterator[Compiled]:
    work_s: dict[str, list[float]] = {}
    for number, one in enumerate(compiled, 1):
        work_s.setdefault(one.kernel, []).append(one.compile_s)
        if number % 100 == 0 or number == whole:
            means = ", ".join(f"{k} {sum(s) / len(s):.2f} s" for k, s in work_s.items())
            print(f"{time.monotonic() - began:.0f} s: {number}/{whole} ({means})", flush=True)
        yield one


def _rows(compiled: Iterable[Compiled], card: _Card | None) -> Rows:
    rows: Rows = {}
    for one in compiled:
        row = {"failure": one.failure, "shared_bytes": one.shared_bytes, "digest": one.digest}
        if one.failure is None and card is not None:
            row |= card.first(one)
        rows[one.kernel, one.config] = row
    return rows


class _Card:
    """This machine's GPU, with the tensors of each kernel that it has timed."""

    def __init__(self, grids: list[Grid]) -> None:
        from config_grids.timing import Bench

        self._benches = {grid.kernel: Bench(grid) for grid in grids}

    def first(self, compiled: Compiled) -> dict[str, Any]:
        return self._benches[compiled.kernel].first(compiled.config)

    def again(self, rows: Rows, ends: float) -> None:
        """Time each kernel's fastest in turns; what they took then replaces what they took."""
        for kernel, bench in self._benches.items():
            timed = [(k, c) for (k, c), row in rows.items() if k == kernel and row.get("ms")]
            best = sorted(timed, key=lambda key: rows[key]["ms"])[:AGAIN]
            taken: dict[tuple[str, Config], list[float]] = {key: [] for key in best}
            for _ in range(AGAIN_ROUNDS):
                if time.monotonic() > ends:
                    return
                for key in best:
                    taken[key] += bench.times(key[1], AGAIN_CALLS)
            for key, times in taken.items():
                rows[key]["ms"] = median(times)
            if best:
                fastest = min(best, key=lambda key: rows[key]["ms"])
                print(f"{kernel}: {rows[fastest]['ms']:.4f} ms with {fastest[1]}", flush=True)

    def named(self) -> dict[str, str]:
        """The card, its driver and the versions of the software."""
        import subprocess

        import torch
        import triton

        driver = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=False,
        )
        return {
            "gpu": torch.cuda.get_device_name(0),
            "driver": driver.stdout.split()[0] if driver.stdout else "",
            "torch": torch.__version__,
            "triton": triton.__version__,
        }


def _encoded(grids: list[Grid], rows: Rows, card: _Card | None) -> str:
    """JSON with one line a config: the values of the axes, then `FIELDS`."""
    told = {} if card is None else card.named()
    parts = []
    for grid in grids:
        names = [axis.name for axis in grid.axes]
        lines = []
        for config in grid.configs():
            row = rows.get((grid.kernel, config))
            if row is None:
                continue
            ms = row.get("ms")
            row["ms"] = None if ms is None else round(ms, 5)
            values = [value_of(config, name) for name in names]
            lines.append(json.dumps([*values, *(row.get(field) for field in FIELDS)]))
        head = {"axes": {axis.name: axis.values for axis in grid.axes}, "fields": FIELDS}
        sizes = {"tensors": grid.tensors, "scalars": grid.scalars}
        body = json.dumps({**head, **sizes})[:-1]
        parts.append(f'"{grid.kernel}": {body}, "rows": [\n' + ",\n".join(lines) + "\n]}")
    about = json.dumps({**told, "clock": "CUDA events, cold L2, medians"})[:-1]
    return f'{about}, "kernels": {{\n' + ",\n".join(parts) + "\n}}\n"


if __name__ == "__main__":
    main()
