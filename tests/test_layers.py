"""Imports go down, never sideways or up; torch and Triton stay in the children.

`docs/architecture.md` explains the layers; this table is what is enforced.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "warpwright"

# From the bottom up. A part (a package, or a module beside the packages) imports itself and
# parts of lower rows; parts of one row do not know each other.
ROWS = (
    ("errors", "syntax"),
    ("types",),
    ("data",),
    ("source", "formats", "resources"),
    ("sandbox", "gate", "diagnosis", "journal", "ledger", "measure", "report"),
    ("proposers", "calls", "machine", "local_gpu"),
    ("lowered_launches",),
    ("launch_counts", "launch_floors", "problem_floor", "wide_offsets"),
    ("study", "profiling"),
    ("accuracy_pins", "judging", "measuring", "benching", "runnable"),
    ("accuracy_judging",),
    ("accuracy",),
    ("rule_refusals", "full_size"),
    ("proposing",),
    ("verifying",),
    ("request_study",),
    ("moving",),
    ("drafting", "predicting"),
    ("trials",),
    ("specialist", "optimizing"),
    ("checking", "measurable"),
    ("api",),
    ("cli",),
    ("__main__",),
)
ROW_OF = {part: number for number, row in enumerate(ROWS) for part in row}
HEAVY = {"torch", "triton"}


@dataclass(frozen=True)
class Import:
    """One imported module, absolute; `name` where it was `from module import name`."""

    module: str
    name: str | None
    line: int

    def part(self) -> str | None:
        """The part of Warpwright that it reaches; None for the root and for foreign modules."""
        words = [*self.module.split("."), *([self.name] if self.name else [])]
        if words[0] != "warpwright" or len(words) == 1:
            return None
        known = words[1] in ROW_OF or len(self.module.split(".")) > 1 or self.name is None
        return words[1] if known else None  # else: an attribute of the root, such as __version__


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


def may_import_torch(relative: Path) -> bool:
    """Whether the file runs only in a child process, or is a kernel that is read as text."""
    in_child = relative.parts[0] == "sandbox" and relative.name.startswith("child_")
    return in_child or relative.parts[:2] == ("proposers", "schedules")


def faults(relative: Path, source: str) -> list[str]:
    """What the imports of one file (a path below src/warpwright) break, one line each."""
    part = relative.with_suffix("").parts[0]
    package = ".".join(["warpwright", *relative.parts[:-1]])
    found = []
    for imported in imports_of(source, package):
        where = f"{relative}:{imported.line}"
        other = imported.part()
        root = imported.module.split(".")[0]
        if root in HEAVY and not may_import_torch(relative):
            found.append(f"{where} imports {root} outside the children")
        if other is None or other == part:
            continue
        if other not in ROW_OF:
            found.append(f"{where} imports {other}, which is in no row")
        elif part in ROW_OF and ROW_OF[other] >= ROW_OF[part]:
            found.append(f"{where}: {part} imports {other}, which is not below it")
    return found


def files() -> list[Path]:
    return sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))


def test_every_import_goes_down_and_torch_stays_in_the_children() -> None:
    broken = [fault for path in files() for fault in faults(path, (SOURCE / path).read_text())]
    assert not broken, "\n".join(broken)


def test_every_part_of_the_package_has_a_row() -> None:
    parts = {path.with_suffix("").parts[0] for path in files()} - {"__init__"}
    assert parts <= set(ROW_OF), f"in no row: {sorted(parts - set(ROW_OF))}"


def test_the_root_of_the_package_imports_none_of_its_parts() -> None:
    source = (SOURCE / "__init__.py").read_text()
    assert not [imported for imported in imports_of(source, "warpwright") if imported.part()]


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        ("verifier/checks/format.py", "from warpwright.sandbox import run", "gate imports sandbox"),
        (
            "verifier/checks/format.py",
            "from warpwright.pipeline import answer_request as specialist",
            "gate imports specialist",
        ),
        ("types/gpu.py", "import warpwright.gpus.sheets", "types imports data"),
        ("program/view.py", "def f():\n    from ..formats import reply", "source imports formats"),
        ("study.py", "from . import cli", "study imports cli"),
        ("cli/main.py", "from warpwright.nowhere import x", "nowhere, which is in no row"),
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
        ("verifier/checks/format.py", "from warpwright.program.dotted_names import parse"),
        ("verifier/rules/grid.py", "from ..reading import parse\nfrom ...errors import InputError"),
        ("tracing/child_trace.py", "import torch, triton"),
        ("operators/conv2d/schedules.py", "import triton.language as tl"),
    ],
)
def test_a_right_import_is_left_alone(path: str, source: str) -> None:
    assert not faults(Path(path), source)
