"""The `warpwright` command."""

from __future__ import annotations

import gc
import json
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from warpwright import __version__
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
- `warpwright optimize kernel.py --problem layer.py --gpu 4090 > better.py`
- `warpwright cases norms.py:rms_norm -o cases.py`
- `warpwright answer norms.py:rms_norm --cases cases.py --gpu 4090 --diff`
- `warpwright check request.txt reply.py --json`

Exit codes:

- 0: done; for check: nothing is broken
- 1: check found violations; optimize has no program to hand out
- 2: bad input
- 3: this machine lacks something that the command needs
- 4: an error of Warpwright's own
"""

COMMANDS = {
    "answer": "Answer a request: the program alone on stdout, the evidence beside it.",
    "optimize": "Take a program through all stages; or write a new one from a problem alone.",
    "check": "Check a reply against the request: format, names, rules, integrity, accuracy.",
    "inspect": "Show each config of a program, compiled for a GPU: what it uses and what caps it.",
    "bench": "Time programs on this machine's GPU against each other and against PyTorch.",
    "request": "Write the request document for a program: what `answer` reads, and a model can "
    "read too.",
    "cases": "Write a first cases file for a function: the inputs that other commands need, to be "
    "edited.",
    "profile": "Profile a program on this machine's GPU: the profile section of a request, on "
    "stdout.",
    "gpus": "List the GPUs that Warpwright knows, or one GPU's sheet with the source of each "
    "number.",
    "stages": "List the stages and the rules of each. A request's own text comes before these.",
    "runs": "List the latest runs, or every step of one.",
    "doctor": "Say what this machine can do: GPU, driver, torch, Triton, Nsight Compute, "
    "isolation.",
}
"""Each command, which is in the module `NAME_command` beside this one, and what `--help` says of
it: the first line of the module's `command`. Kept here so that `--help` imports none of them."""

SHORT = ("check", "gpus", "runs", "stages")
"""Commands that measure nothing. Most of what their start makes (modules, classes) stays: to look
for garbage in it would take a twelfth of their time."""

UNCOLLECTED = 50_000  # objects that may be made before garbage is looked for; Python's own is 700

SETTINGS: dict[str, Any] = {
    "rich_markup_mode": "markdown",  # paragraphs fit any width of terminal
    "add_completion": False,
    "pretty_exceptions_enable": False,
}


def load(name: str) -> Any:
    """The command of a name, with its options: what `typer.main.get_command` makes of its module.

    Only this imports the module, and with it what the command works with.
    """
    alone = typer.Typer(**SETTINGS)
    alone.command(name)(import_module(f"warpwright.cli.{name}_command").command)
    return typer.main.get_command(alone)


class _LoadedWhenCalled(TyperGroup):
    """Lists the commands by their lines above, and loads the one that is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        if name in SHORT:
            gc.set_threshold(UNCOLLECTED)
        return name, load(str(name)), rest


app = typer.Typer(
    cls=_LoadedWhenCalled,
    help=HELP,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    **SETTINGS,
)
for _name, _line in COMMANDS.items():
    app.command(_name, help=_line)(lambda: None)


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
    from warpwright.cli.output import stderr

    stderr().print(f"error: {error}", style="red", markup=False, soft_wrap=True)
    if "--json" in sys.argv:
        detail = error.as_dict() if isinstance(error, InputError) else {"what": str(error)}
        payload = {"schema_name": "warpwright.error", "schema_version": 1, "error": detail}
        sys.stdout.write(json.dumps(payload, indent=2) + "\n")
