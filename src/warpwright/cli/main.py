"""The `warpwright` command."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from warpwright import __version__
from warpwright.cli import (
    answer,
    bench,
    check,
    doctor,
    gpus,
    inspect,
    optimize,
    profile,
    request,
    runs,
    stages,
)
from warpwright.cli.output import stderr
from warpwright.errors import InputError, WarpwrightError

HELP = """Make Triton GPU kernels faster, within stated rules, and prove it.

A request (target GPU, stage with rules, current program, profile) goes
in; the best program that obeys the rules comes out, with the evidence.
No GPU is needed: configs are compiled for the target, and accuracy is
checked in Triton's interpreter.

First steps:

- `warpwright doctor`
- `warpwright inspect kernel.py --gpu 4090 --problem layer.py`
- `warpwright answer request.txt --problem layer.py > better.py`
- `warpwright optimize layer.py --gpu 4090 > new.py`
- `warpwright check request.txt reply.py --json`

Exit codes:

- 0: done; for check: nothing is broken
- 1: check found violations; optimize has no program to hand out
- 2: bad input
- 3: this machine lacks something that the command needs
- 4: an error of Warpwright's own
"""

app = typer.Typer(
    help=HELP,
    rich_markup_mode="markdown",  # paragraphs fit any width of terminal
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module, name in (
    (answer, "answer"),
    (optimize, "optimize"),
    (check, "check"),
    (inspect, "inspect"),
    (bench, "bench"),
    (request, "request"),
    (profile, "profile"),
    (gpus, "gpus"),
    (stages, "stages"),
    (runs, "runs"),
    (doctor, "doctor"),
):
    app.command(name)(module.command)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"warpwright {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of the command itself."""


def run() -> None:
    """Entry point: turns expected errors into one message and an exit code."""
    try:
        app()
    except WarpwrightError as error:
        report(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output went away (`| head`); nothing is wrong.
        sys.stderr.close()
        sys.exit(0)


def report(error: WarpwrightError) -> None:
    """One error on stderr; with `--json`, as one JSON object on stdout too."""
    stderr().print(f"error: {error}", style="red", markup=False, soft_wrap=True)
    if "--json" in sys.argv:
        detail = error.as_dict() if isinstance(error, InputError) else {"what": str(error)}
        payload = {"schema_name": "warpwright.error", "schema_version": 1, "error": detail}
        sys.stdout.write(json.dumps(payload, indent=2) + "\n")
