"""`warpwright profile`: a program's Nsight Compute metrics, taken on this machine's GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from warpwright import api
from warpwright.cli import options
from warpwright.cli.output import (
    Progress,
    expect_writable,
    read_document,
    stderr,
    write_file,
    write_json,
    write_text,
)
from warpwright.cli.subjects import SUBJECT, CasesOption, RootOption, given_program
from warpwright.formats.nsight import render_profile
from warpwright.report.profile_record import profile_notes, profile_record


def command(
    program: Annotated[
        str, typer.Argument(help=f"{SUBJECT}; or a request document; - reads standard input.")
    ],
    problem: options.ProblemOption = None,
    inputs: options.InputOption = None,
    init: options.InitOption = None,
    cases: CasesOption = None,
    root: RootOption = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metrics", "-m", help="Names of metrics, comma separated; may be repeated."),
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option("--with", help="Groups to collect besides: stalls, registers, l1."),
    ] = None,
    stage: Annotated[
        str | None, typer.Option("--stage", "-s", help="Collect what this stage of ours names.")
    ] = None,
    kind: Annotated[
        str, typer.Option("--kind", "-k", help="single, fusion or network; with --stage.")
    ] = "single",
    request: Annotated[
        Path | None,
        typer.Option("--request", "-r", help="Collect what this request's profile and stage name."),
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(
            "--into",
            help="Write this request document again instead of the section, with the program, its "
            "profile, and this GPU as target. The file itself stays as it is; see --out.",
        ),
    ] = None,
    clock_control: Annotated[
        str,
        typer.Option("--clock-control", help="none leaves the clocks alone; base locks them."),
    ] = "none",
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds for the whole run.")] = 600.0,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write here, and the record to NAME.record.json."),
    ] = None,
    json_output: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Profile a program on this machine's GPU: the profile section of a request, on stdout.

    One forward pass in the steady state is profiled: tuning and warm-up come before it, out of
    sight. Collected is exactly what is named by --metrics, --request or --stage, else the five
    metrics that requests usually bring. Names are checked against the installed ncu first.
    A metric that came without a value is null, and told on stderr.
    """
    expect_writable(out)
    given = given_program(program, problem, inputs, init, cases, root)
    text = given.text
    base = None if into is None else read_document(str(into))
    naming = into if request is None else request
    named = base if request is None else read_document(str(request))
    progress = Progress(quiet)
    try:
        with given.lines_told():
            run = api.profile(
                text,
                problem=given.problem,
                metrics=_split(metrics or []),
                groups=_split([groups] if groups else []),
                stage=stage,
                kind=kind,
                request=named,
                request_document=None if naming is None else str(naming),
                clock_control=clock_control,
                timeout_s=timeout,
                document=given.document,
                listener=progress,
            )
    finally:
        progress.close()
    record = profile_record(run)
    result = render_profile(run.profile)
    if base is not None:
        result = api.with_profile(base, text, run, document=str(into))
    if out is not None:
        write_file(out, result.rstrip("\n") + "\n")
        write_file(
            out.with_name(f"{out.stem}.record.json"), record.model_dump_json(indent=2) + "\n"
        )
    if json_output:
        write_json(record)
    elif out is None:
        write_text(result)
    if not quiet:
        for line in profile_notes(run):
            stderr().print(line, markup=False, soft_wrap=True)


def _split(values: list[str]) -> list[str]:
    return [name.strip() for value in values for name in value.split(",") if name.strip()]
