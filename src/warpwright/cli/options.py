"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from warpwright.cli.output import read_document
from warpwright.errors import InputError, Place
from warpwright.formats.kernelbench import read_problem
from warpwright.formats.shape_text import parse_init, parse_input
from warpwright.types.shapes import Problem

ProblemOption = Annotated[
    Path | None,
    typer.Option(
        "--problem",
        "-p",
        help="KernelBench problem file: Model, get_inputs, get_init_inputs. Gives shapes and "
        "the reference that accuracy is judged by.",
    ),
]
InputOption = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        help="Shape of one input, e.g. 256x3x224x224 or 64x128:float16; repeat for each. "
        "Unlike --problem, this gives no reference to judge accuracy by.",
    ),
]
InitOption = Annotated[
    str | None,
    typer.Option(
        "--init",
        help="Constructor arguments of ModelNew: a JSON list, e.g. '[32, 64, [5, 9]]', or "
        "key=value pairs. With --input.",
    ),
]
MeasureOption = Annotated[
    bool | None,
    typer.Option(
        "--measure/--no-measure",
        help="Whether the GPU of this machine times the candidates. Default: where it is the "
        "target and the problem's shapes are known.",
    ),
]
EffortOption = Annotated[
    str,
    typer.Option(
        "--effort",
        metavar="NAME|SECONDS",
        help="How long it may take where a GPU measures: quick, a minute; normal, five; thorough, "
        "45; or so many seconds. What is not shown by then stays out.",
    ),
]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="No edits that the rules neither ask for nor forbid (sizes made constants, index "
        "arithmetic, the order of a sum): `answer` makes none, `check` refuses them. Without it "
        "they may stay where the outputs are shown to be no less exact.",
    ),
]
BitEqualOption = Annotated[
    bool,
    typer.Option(
        "--bit-equal",
        help="Of the edits that the rules neither ask for nor forbid only those that change no bit "
        "of the outputs, on all data that is tried.",
    ),
]
TimeLimitOption = Annotated[
    float,
    typer.Option(
        "--time-limit",
        min=1,
        metavar="SECONDS",
        help="Wall-clock time for all checks that need no GPU. What they leave open by then is "
        "'not verified in time'; what ended counts.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Write one JSON document with a schema version to stdout.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
NoCacheOption = Annotated[
    bool, typer.Option("--no-cache", help="Do all work again; do not read or keep results.")
]


def problem_from(
    problem: Path | None, inputs: list[str] | None, init: str | None
) -> Problem | None:
    """The problem that the options give, or None. Raises InputError where they disagree."""
    if problem is not None and (inputs or init):
        raise InputError(
            "--problem and --input/--init were both given",
            place=Place(document="command line"),
            expected="one of them",
            hint="the problem file gives shapes and constructor arguments already",
        )
    if problem is not None:
        return read_problem(read_document(str(problem)), document=str(problem))
    if init and not inputs:
        raise InputError("--init was given without --input", place=Place(document="command line"))
    if not inputs:
        return None
    args, kwargs = parse_init(init) if init else ((), {})
    return Problem(
        inputs=tuple(parse_input(text) for text in inputs), init_args=args, init_kwargs=kwargs
    )
