"""The programs that tests of moves are about, in one place, each with inputs at full size.

Their texts stay where they are: in `examples/`, in support modules, and in the modules of
`tests/proposers/rewrites`, which are read here by their files. Sizes are such that moves are worth
proposing on them; what runs is smaller.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import accuracy_trial
import gathering
import halves
import linear_layer
import outers
import product
import reductions
import tiled
from rewriting import Shapes, problem

from warpwright.types.shapes import Problem

TESTS = Path(__file__).parent.parent
REWRITES = TESTS / "proposers" / "rewrites"
EXAMPLES = TESTS.parent / "examples"


@dataclass(frozen=True, slots=True)
class Example:
    """A program, and the problem that it solves; without a reference where that has no source."""

    source: str
    problem: Problem


def programs() -> Mapping[str, Example]:
    """All programs by name."""
    return {**_examples(), **_with_references(), **_of_support(), **_of_tests()}


def _examples() -> dict[str, Example]:
    return {
        folder.name: Example(
            (folder / "program.py").read_text(), Problem(source=(folder / "problem.py").read_text())
        )
        for folder in sorted(path.parent for path in EXAMPLES.glob("*/program.py"))
        if folder.is_dir()
    }


def _with_references() -> dict[str, Example]:
    return {
        "halves": Example(halves.PROGRAM, Problem(source=halves.PROBLEM)),
        "gathering": Example(gathering.PARENT, Problem(source=gathering.PROBLEM)),
        "gathering packed": Example(gathering.PACKED, Problem(source=gathering.PROBLEM)),
        "shares of rows": Example(accuracy_trial.SHARES, accuracy_trial.SHARES_PROBLEM),
        "tiles in one axis": Example(accuracy_trial.PRODUCT, accuracy_trial.PRODUCT_PROBLEM),
        "half precision": Example(
            product.PROGRAM.replace("STAGES", "3"), Problem(source=product.PROBLEM)
        ),
    }


def _of_support() -> dict[str, Example]:
    full = {"plane": (40, 40), "line": (2000,), "solid": (20, 20, 20)}
    found = {
        name: _example(source, [(2, 16, *full[name])], (16, 9))
        for name, source in reductions.PROGRAMS.items()
    }
    return found | {
        "linear layer": _example(linear_layer.PROGRAM, [(300, 24)], (24, 40)),
        "outer product": _example(outers.PRODUCT, [(200, 64), (64, 400)]),
        "outer swapped": _example(outers.SWAPPED, [(200, 48), (48, 400)]),
        "outer without names": _example(outers.NO_NAMES, [(200, 50), (50, 400)]),
        "outer stepped": _example(outers.STEPPED, [(200, 64), (64, 400)]),
        "outer plane": _example(outers.PLANE, [(2, 16, 24, 25)], (16, 9)),
        "outer volume": _example(outers.VOLUME, [(2, 16, 13, 14, 13)], (16, 9)),
        "tiled product": _example(tiled.PRODUCT, [(750, 900), (900, 700)]),
        "tiled stream": _example(tiled.STREAM, [(50, 3333)]),
        "tiled rows": _example(tiled.ROWS, [(37, 21_000)]),
        "tiled sum": _example(tiled.SUMMED, [(70, 6_100)]),
        "tiled shares": _example(tiled.SHARES, [(640, 64)]),
    }


def _of_tests() -> dict[str, Example]:
    found = {
        "scalarise": _example(_module("scalarise/test_scalarise").KERNEL, [(2, 3, 5, 64)], (3, 3)),
        "widen": _example(_module("widen/test_widen").KERNEL, [(64, 24, 1024), (24,)]),
        "depthwise": _example(_module("test_loops").DEPTHWISE, [(2, 3, 110, 120)], (3,)),
        "lanes": _example(_module("test_lanes").KERNEL, [(96, 1027)]),
        "interior": _example(_module("interior/test_interior").KERNEL, [(2, 2000)], (5, 1, 2)),
        "turn": _example(_module("test_turn").KERNEL, [(24, 4099)], (24, 64, 3)),
        "repack": _example(_module("repack/test_repack").KERNEL, [(60, 300)], (60, 200)),
        "dead tiles": _example(
            _module("products/test_dead_tiles").PROGRAM, [(300, 300), (300, 300)]
        ),
        "partials": _example(_module("test_partials").KERNEL, [(2, 3, 4000), (4000,)]),
        "flatten": _example(_module("flatten/test_flatten").KERNEL, [(5, 3, 40, 70)]),
        "join": _example(_module("join/test_join").KERNEL, [(16, 8, 30, 31)]),
        "split": _example(_module("split_address/test_split").KERNEL, [(4, 64, 60)], (4, 9, 5)),
        "residues of a line": _example(
            _module("residues/test_residues").KERNEL, [(2, 3, 500)], (3, 3, 2, 1, 2)
        ),
        "residues of a plane": _example(
            _module("residues/test_residues").TWO, [(2, 30, 40)], ((4, 4), (2, 2), (1, 1))
        ),
        "online": _example(_module("passes/test_online").KERNEL, [(64, 3000)]),
    }
    for name, source in _module("vectorize/test_vectorize").FORMS.items():
        found[f"vectorize {name}"] = _example(source, [(3, 7000), (3, 7000)])
    for name, source in _module("coarsen/test_coarsen").FORMS.items():
        found[f"coarsen {name}"] = _example(source, [(64, 30, 256)])
    rows = _module("split_rows/test_split_rows")
    large: dict[str, Shapes] = {
        "matrix times vector": [(128, 100_000), (100_000,)],
        "moments": [(3, 2, 333_000)],
        "one of two kernels": [(100_000, 20)],
    }
    for name, (source, *_) in rows.FORMS.items():
        found[f"split rows {name}"] = _example(source, large[name])
    tuned = rows.HEAD + rows.TUNED
    found["split rows tuned"] = _example(tuned, large["matrix times vector"])
    atomics: dict[str, Shapes] = {
        "lambda": [(8, 100_000)],
        "vector of addresses": [(1000, 10_000)],
        "two sums": [(530, 1300)],
    }
    for name, (source, *_) in _module("atomics/test_fewer_atomics").FORMS.items():
        found[f"atomics {name}"] = _example(source, atomics[name])
    return found


def _example(source: str, shapes: Shapes, init: tuple[Any, ...] = ()) -> Example:
    return Example(source, problem(shapes, init))


@functools.cache
def _module(name: str) -> ModuleType:
    """A module of tests by its file, which no package holds."""
    path = REWRITES / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"corpus_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
