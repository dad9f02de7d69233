"""Imports go down, never sideways or up; torch stays in the children; a name means one thing.

`docs/architecture.md` explains the floors; this table is what is enforced.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "warpwright"

# From the bottom up. A room is a folder of the package (without the folders in it), or a module
# beside the folders. It imports itself and rooms of lower floors; rooms of one floor do not know
# each other.
FLOORS = (
    ("errors", "types", "operators.conv2d.kernels"),
    ("data", "program", "sandbox"),
    ("program.tiles",),
    ("formats", "gpus", "program.difference", "program.edit", "store", "verifier.outputs"),
    ("verifier.rules", "tracing", "proposers.rewrites.common", "operators", "entrypoints"),
    ("verifier.checks", "compiler", "interpreter.reference", "operators.conv2d"),
    ("proposers.rewrites.digits", "proposers.rewrites.outer", "proposers.rewrites.specialise"),
    (
        "costmodel.sass",
        "operators.conv2d.schedules",
        "proposers.rewrites.atomics",
        "proposers.rewrites.coarsen",
        "proposers.rewrites.interior",
        "proposers.rewrites.join",
        "proposers.rewrites.passes",
        "proposers.rewrites.repack",
        "proposers.rewrites.scalarise",
        "proposers.rewrites.split_rows",
        "proposers.rewrites.vectorize",
        "proposers.rewrites.widen",
    ),
    (
        "doctor",
        "proposers.rewrites.flatten",
        "proposers.rewrites.products",
        "proposers.rewrites.residues",
        "proposers.rewrites.split_address",
    ),
    ("proposers.rewrites", "interpreter", "costmodel", "proposers"),
    ("report", "profiler", "bench.device", "bench.statistics", "interpreter.sizes"),
    ("interpreter.spot", "analysis", "bench"),
    ("proposers.configs",),
    ("verifier",),
    ("search",),
    ("pipeline",),
    ("api",),
    ("cli",),
    ("__main__",),
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
AT_THE_ROOT = {"__init__", "__main__", "api", "errors"}
HEAVY = {"torch", "triton"}


@dataclass(frozen=True)
class Import:
    """One imported module, absolute; `name` where it was `from module import name`."""

    module: str
    name: str | None
    line: int

    def words(self) -> list[str]:
        """What it reaches, below the package's root; empty for foreign modules."""
        words = [*self.module.split("."), *([self.name] if self.name else [])]
        return words[1:] if words[0] == "warpwright" else []


def room_of(words: list[str]) -> str | None:
    """The room in which a dotted name stands: the longest that begins it."""
    heads = (".".join(words[:length]) for length in range(len(words), 0, -1))
    return next((head for head in heads if head in FLOOR_OF), None)


def imports_of(source: str, package: str) -> Iterator[Import]:
    """Every import of a module, wherever it stands. `package` resolves relative ones."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, None, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: 1 - node.level or None] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(module, alias.name, node.lineno)


def package_of(relative: Path) -> str:
    return ".".join(["warpwright", *relative.parts[:-1]])


def may_import_torch(relative: Path) -> bool:
    """Whether the file runs only in a child process, or is a kernel that is read as text."""
    is_kernel = relative.parts[0] == "operators" and relative.parts[-2] == "kernels"
    return relative.name.startswith("child_") or is_kernel


def own_room(relative: Path) -> str | None:
    parts = relative.with_suffix("").parts
    room = ".".join(parts[:-1]) or parts[-1]
    return room if room in FLOOR_OF else None


def faults(relative: Path, source: str) -> list[str]:
    """What the imports of one file (a path below src/warpwright) break, one line each."""
    room = own_room(relative)
    found = []
    for imported in imports_of(source, package_of(relative)):
        where = f"{relative}:{imported.line}"
        words = imported.words()
        root = imported.module.split(".")[0]
        if root in HEAVY and not may_import_torch(relative):
            found.append(f"{where} imports {root} outside the children")
        of_the_root = imported.module == "warpwright" and imported.name not in FLOOR_OF
        if not words or (of_the_root and imported.name is not None):
            continue  # foreign, or an attribute of the root such as __version__
        other = room_of(words)
        if other is None:
            found.append(f"{where} imports {'.'.join(words)}, which is in no room")
        elif room is not None and other != room and FLOOR_OF[other] >= FLOOR_OF[room]:
            found.append(f"{where}: {room} imports {other}, which is not below it")
    return found


def files() -> list[Path]:
    return sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))


def modules() -> dict[str, Path]:
    """Dotted name → file, packages by their own name."""
    found = {}
    for path in files():
        parts = [part for part in path.with_suffix("").parts if part != "__init__"]
        found[".".join(["warpwright", *parts])] = path
    return found


def imported_modules() -> dict[str, set[str]]:
    """Module → modules of ours that it imports, wherever in it."""
    known = modules()
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        graph[name] = set()
        for imported in imports_of((SOURCE / path).read_text(), package_of(path)):
            whole = f"{imported.module}.{imported.name}"
            graph[name] |= {whole if whole in known else imported.module} & set(known)
    return graph


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, the first that is found; else nothing."""
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for other in sorted(graph.get(name, ())):
            if found := visit(other, [*way, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := visit(name, []))), [])


def test_every_import_goes_down_and_torch_stays_in_the_children() -> None:
    broken = [fault for path in files() for fault in faults(path, (SOURCE / path).read_text())]
    assert not broken, "\n".join(broken)


def test_every_file_stands_in_a_room() -> None:
    homeless = [str(path) for path in files() if own_room(path) is None]
    assert homeless == ["__init__.py"]


def test_few_modules_stand_at_the_root() -> None:
    assert {path.stem for path in files() if len(path.parts) == 1} == AT_THE_ROOT


def test_the_root_of_the_package_imports_none_of_its_parts() -> None:
    source = (SOURCE / "__init__.py").read_text()
    assert not [imported for imported in imports_of(source, "warpwright") if imported.words()]


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle(imported_modules()) == []


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_a_name_of_a_module_means_one_thing() -> None:
    """A schedule and its kernels may share a name: they are two halves of one thing. So may modules
    of different operators, which have the same parts."""
    named: dict[str, list[Path]] = defaultdict(list)
    for path in files():
        if path.stem != "__init__":
            named[path.stem].append(path)
    twice = [paths for paths in named.values() if len(paths) > 1 and not is_one_thing(paths)]
    assert not twice, twice


def is_one_thing(paths: list[Path]) -> bool:
    if all(path.parts[0] == "operators" and len(path.parts) > 2 for path in paths):
        by_operator: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            by_operator[path.parts[1]].append(path.parent.name)
        return all(
            len(rooms) == 1 or rooms == ["kernels", "schedules"] for rooms in by_operator.values()
        )
    return False


@pytest.mark.parametrize(
    ("paths", "one"),
    [
        (("operators/conv2d/kernels/x.py", "operators/conv2d/schedules/x.py"), True),
        (("operators/conv2d/recognize.py", "operators/softmax/recognize.py"), True),
        (("operators/conv2d/x.py", "operators/conv2d/schedules/x.py"), False),
        (("operators/conv2d/x.py", "search/x.py"), False),
        (("report/x.py", "search/x.py"), False),
    ],
)
def test_parts_of_operators_may_share_names(paths: tuple[str, ...], one: bool) -> None:
    assert is_one_thing([Path(path) for path in paths]) is one


def test_a_name_of_a_public_class_means_one_thing() -> None:
    named: dict[str, list[str]] = defaultdict(list)
    for path in files():
        for node in ast.parse((SOURCE / path).read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                named[node.name].append(str(path))
    assert not {name: paths for name, paths in named.items() if len(paths) > 1}


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        ("verifier/checks/format.py", "from warpwright.bench import compare", "imports bench"),
        ("verifier/rules/grid.py", "from warpwright.verifier import verify", "imports verifier"),
        ("verifier/rules/grid.py", "from ..checks.format import x", "imports verifier.checks"),
        ("verifier/verify.py", "from warpwright import pipeline", "imports pipeline"),
        ("types/gpu.py", "import warpwright.gpus.sheets", "types imports gpus"),
        ("program/view.py", "def f():\n    from ..formats import reply", "program imports formats"),
        ("program/view.py", "from warpwright.program.edit.tree import x", "imports program.edit"),
        ("analysis/causes.py", "from .. import cli", "analysis imports cli"),
        ("cli/main.py", "from warpwright.nowhere import x", "nowhere.x, which is in no room"),
        ("sandbox/run.py", "def f():\n    import torch.nn", "imports torch outside"),
        ("costmodel/occupancy.py", "from triton import Config", "imports triton outside"),
    ],
)
def test_a_wrong_import_is_found(path: str, source: str, fault: str) -> None:
    assert [line for line in faults(Path(path), source) if fault in line]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("cli/main.py", "from warpwright import __version__, api"),
        ("verifier/checks/format.py", "from warpwright.verifier.rules.finding import merged"),
        ("verifier/rules/grid.py", "from ...program.view import read\nfrom ...errors import X"),
        ("tracing/child_trace.py", "import torch, triton"),
        ("operators/conv2d/kernels/direct.py", "import triton.language as tl"),
    ],
)
def test_a_right_import_is_left_alone(path: str, source: str) -> None:
    assert not faults(Path(path), source)
