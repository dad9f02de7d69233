"""`warpwright inspect`: what a program's configs come to on a GPU that need not be there."""

from __future__ import annotations

from typing import Annotated

import typer

from warpwright import api
from warpwright.cli import options
from warpwright.cli.output import Progress, stdout, write_json
from warpwright.cli.subjects import SUBJECT, CasesOption, RootOption, given_program
from warpwright.report.record import inspect_record
from warpwright.report.tables import print_study
from warpwright.sandbox.deadline import DEFAULT_S


def command(
    subject: Annotated[
        str, typer.Argument(help=f"{SUBJECT}; or a request document; - reads standard input.")
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
    cases: CasesOption = None,
    root: RootOption = None,
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
    given = given_program(subject, problem, inputs, init, cases, root)
    progress = Progress(quiet)
    try:
        with given.lines_told():
            study = api.inspect(
                given.text,
                gpu=gpu,
                problem=given.problem,
                document=given.document,
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
