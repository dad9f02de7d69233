"""`warpwright inspect`: what a program's configs come to on a GPU that need not be there."""

from __future__ import annotations

from typing import Annotated

import typer

from warpwright import api
from warpwright.cli import options
from warpwright.cli.output import Progress, read_document, stdout, write_json
from warpwright.report.record import inspect_record
from warpwright.report.tables import print_study
from warpwright.sandbox.deadline import DEFAULT_S


def command(
    subject: Annotated[
        str, typer.Argument(help="A program, or a request document; - reads standard input.")
    ],
    gpu: Annotated[
        str | None,
        typer.Option(
            "--gpu",
            "-g",
            help="Target GPU, e.g. '4090'; 'here' is this machine's (default: the request's own).",
        ),
    ] = None,
    problem: options.ProblemOption = None,
    inputs: options.InputOption = None,
    init: options.InitOption = None,
    time_limit: options.TimeLimitOption = DEFAULT_S,
    json_output: options.JsonOption = False,
    quiet: options.QuietOption = False,
    no_cache: options.NoCacheOption = False,
) -> None:
    """Show each config of a program, compiled for a GPU: what it uses and what caps it.

    One row a config: tile, warps, stages, registers, local memory, shared memory, blocks per
    SM, what limits them, whether it can launch, which was active in the profile, and which
    configs are one and the same binary; then findings in plain words. Nothing is measured.
    """
    given = options.problem_from(problem, inputs, init)
    progress = Progress(quiet)
    try:
        study = api.inspect(
            read_document(subject),
            gpu=gpu,
            problem=given,
            document=subject,
            time_limit_s=time_limit,
            use_cache=not no_cache,
            listener=progress,
        )
    finally:
        progress.close()
    if json_output:
        write_json(inspect_record(study))
    else:
        print_study(study, stdout())
