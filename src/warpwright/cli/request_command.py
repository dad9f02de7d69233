"""`warpwright request`: write a request document for any program, GPU, stage and profile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from warpwright import api
from warpwright.cli.output import read_document, warn, write_json, write_text
from warpwright.cli.subjects import SUBJECT, CasesOption, RootOption, given_program


def command(
    program: Annotated[str, typer.Argument(help=f"{SUBJECT}; - reads standard input.")],
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
    cases: CasesOption = None,
    root: RootOption = None,
    json_output: Annotated[bool, typer.Option("--json", help="Wrap the document in JSON.")] = False,
) -> None:
    """Write the request document for a program: what `answer` reads, and a model can read too.

    Rules of the stage that the program breaks already are told on stderr.

    Example: warpwright request kernel.py --gpu 4090 --stage tuning | any-model |
    warpwright check request.txt -
    """
    given = given_program(program, problem, cases=cases, roots=root)
    with given.lines_told():
        text = api.request(
            given.text,
            gpu=gpu,
            stage=stage,
            kind=kind,
            profile=None if profile is None else read_document(str(profile)),
            problem=None if given.problem is None else given.problem.source,
            document=given.document,
            profile_document=None if profile is None else str(profile),
        )
        breaches = api.request_breaches(
            given.text, gpu=gpu, stage=stage, kind=kind, document=given.document
        )
    for breach in breaches:
        place = given.place_of(breach.line)
        told = replace(breach, line=None)
        warn(f"{place}: the program breaks a rule of the {stage} stage already: {told}")
    if json_output:
        write_json({"schema_name": "warpwright.request", "schema_version": 1, "request": text})
    else:
        write_text(text)
