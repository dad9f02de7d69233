"""`warpwright request`: write a request document for any program, GPU, stage and profile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from warpwright import api
from warpwright.cli.output import read_document, write_json, write_text


def command(
    program: Annotated[str, typer.Argument(help="The current program; - reads standard input.")],
    gpu: Annotated[
        str,
        typer.Option("--gpu", "-g", help="Target GPU, e.g. 'RTX 4090'; 'here' is this machine's."),
    ],
    stage: Annotated[
        str, typer.Option("--stage", "-s", help="grid, tiling, memory or tuning.")
    ] = "tuning",
    kind: Annotated[
        str, typer.Option("--kind", "-k", help="single, fusion or network.")
    ] = "single",
    profile: Annotated[
        Path | None,
        typer.Option("--profile", help="Nsight Compute metrics as JSON: kernel → metric → value."),
    ] = None,
    problem: Annotated[
        Path | None,
        typer.Option("--problem", "-p", help="Problem file to put into the document."),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Wrap the document in JSON.")] = False,
) -> None:
    """Write the request document for a program: what `answer` reads, and a model can read too.

    Example: warpwright request kernel.py --gpu 4090 --stage tuning | any-model |
    warpwright check request.txt -
    """
    text = api.request(
        read_document(program),
        gpu=gpu,
        stage=stage,
        kind=kind,
        profile=None if profile is None else read_document(str(profile)),
        problem=None if problem is None else read_document(str(problem)),
        document=program,
        profile_document=None if profile is None else str(profile),
        problem_document=None if problem is None else str(problem),
    )
    if json_output:
        write_json({"schema_name": "warpwright.request", "schema_version": 1, "request": text})
    else:
        write_text(text)
