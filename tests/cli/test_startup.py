"""Commands that read and write text start at once: they import no heavy library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from warpwright.cli.main import COMMANDS, load

HEAVY = frozenset({"torch", "triton", "numpy", "libcst"})
OF_JOBS = frozenset({"psutil", "warpwright.sandbox.run", "warpwright.report.schema"})
"""What a check has no use for either whose jobs ran before: to run any, and the records of other
commands."""

TELL = """
import atexit, sys
atexit.register(lambda: print("imported:", *sys.modules, file=sys.stderr))
from warpwright.cli.main import COMMANDS, load, run
"""


def imported_by(*arguments: str, state: Path, code: str = "run()") -> set[str]:
    """The modules that a command line, or `code` in its place, has imported when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", TELL + code, *arguments],
        env=os.environ
        | {
            "WARPWRIGHT_STATE_DIR": str(state / "state"),
            "WARPWRIGHT_CACHE_DIR": str(state / "cache"),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    *_, last = (line for line in done.stderr.splitlines() if line.startswith("imported:"))
    return set(last.split()[1:])


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("gpus",),
        ("gpus", "4090"),
        ("gpus", "--json"),
        ("stages",),
        ("stages", "fusion"),
        ("runs",),
    ],
    ids=" ".join,
)
def test_a_command_of_text_imports_no_heavy_library(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    assert not imported_by(*arguments, state=tmp_path) & HEAVY


@pytest.mark.triton
def test_a_check_without_shapes_imports_no_heavy_library(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "01-conv2d-stride4"
    documents = map(str, (example / "request.txt", example / "answer.py"))
    arguments = ("check", "--quiet", *documents)
    imported = imported_by(*arguments, state=tmp_path)
    assert "warpwright.verifier.verify" in imported
    assert not imported & HEAVY
    again = imported_by(*arguments, state=tmp_path)  # what its jobs found is kept
    assert not again & (HEAVY | OF_JOBS)


def test_the_options_of_the_commands_import_no_heavy_library(tmp_path: Path) -> None:
    code = "for name in COMMANDS: load(name)"
    assert not imported_by(state=tmp_path, code=code) & HEAVY


def test_the_list_of_commands_imports_none_of_them(tmp_path: Path) -> None:
    imported = imported_by("--help", state=tmp_path)
    assert "warpwright.api" not in imported
    assert not {f"warpwright.cli.{name}_command" for name in COMMANDS} & imported


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    command = load(name)
    assert command.name == name
    assert " ".join(command.help.split("\n\n")[0].split()) == COMMANDS[name]


def test_every_module_with_a_command_is_listed() -> None:
    folder = Path(__file__).parents[2] / "src" / "warpwright" / "cli"
    having = {
        path.stem.removesuffix("_command")
        for path in folder.glob("*.py")
        if "\ndef command(" in path.read_text()
    }
    assert having == set(COMMANDS)
