"""An answer as a patch of the user's files: shown, written, undone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from warpwright.cli.output import stderr, write_file, write_text
from warpwright.cli.subjects import GivenProgram
from warpwright.errors import InputError, Place

DiffOption = Annotated[
    bool,
    typer.Option(
        "--diff", help="Write a patch of your own files to stdout, instead of the program."
    ),
]
ApplyOption = Annotated[
    bool,
    typer.Option(
        "--apply",
        help="Change your own files: all of them or none. Refuses a file that changed since it was "
        "read, and says how to undo it.",
    ),
]


def expect_files(
    given: GivenProgram, diff: bool, apply: bool, *, is_request: bool, json_output: bool = False
) -> None:
    """Raise InputError where there are no files that a patch could be of, and for two things on
    stdout."""
    if diff and (apply or json_output):
        raise InputError(
            f"--diff and {'--apply' if apply else '--json'} were both given",
            place=Place("command line"),
            expected="one of them",
        )
    if (diff or apply) and (is_request or given.document == "-"):
        raise InputError(
            f"{'--apply' if apply else '--diff'} needs a program in files",
            place=Place("command line"),
            expected="FILE.py:function or another program by its file, with --gpu NAME",
            got="a request document" if is_request else "standard input",
        )


def write_patch(given: GivenProgram, program: str, folder: Path, stem: str, *, apply: bool) -> None:
    """The patch on stdout; with `apply` the files are changed and the patch is kept in `folder`."""
    patch = given.patch(program)
    text = patch.diff(Path.cwd())
    if not apply:
        if text:
            write_text(text)
        return
    if not text:
        stderr().print("no file was changed", markup=False)
        return
    kept = folder / f"{stem}.patch"
    write_file(kept, text)
    patch.apply()
    names = ", ".join(sorted(path.name for path in patch.after))
    told = f"changed {names}; to undo it, in this folder: patch -R -p1 < {kept}"
    stderr().print(told, markup=False, soft_wrap=True)
