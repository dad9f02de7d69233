"""`warpwright cases`: a first cases file for an entry point."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from warpwright import api
from warpwright.cli import options
from warpwright.cli.output import Progress, expect_writable, stderr, write_file, write_text
from warpwright.cli.subjects import SUBJECT, RootOption
from warpwright.errors import InputError, Place


def command(
    subject: Annotated[str, typer.Argument(metavar="ENTRY", help=SUBJECT + ".")],
    gpu: Annotated[
        str, typer.Option("--gpu", "-g", help="The card that host code may ask about.")
    ] = "RTX 4090",
    root: RootOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write here; no file is overwritten.")
    ] = None,
    quiet: options.QuietOption = False,
) -> None:
    """Write a first cases file for a function: the inputs that other commands need, to be edited.

    `warpwright cases norms.py:rms_norm -o cases.py`

    `warpwright answer norms.py:rms_norm --cases cases.py --gpu 4090 --diff`

    Inputs are guessed from the names of the parameters and run on stand-ins without a GPU, until
    some launch the function's kernels. Where none do, the file says why, and is a place to begin.
    """
    expect_writable(out)
    progress = Progress(quiet)
    try:
        text, runs = api.cases(subject, gpu=gpu, roots=root or (), listener=progress)
    finally:
        progress.close()
    if out is None:
        write_text(text)
    else:
        if out.exists():
            raise InputError(
                "the file exists and was left as it is",
                place=Place(str(out)),
                hint="give another name by --out",
            )
        write_file(out, text)
    if not quiet:
        told = "the inputs run" if runs else "the inputs do not run yet: the file says why"
        stderr().print(f"{told}; edit the shapes and dtypes to your own", markup=False)
