"""`warpwright bench`: programs against each other, eager PyTorch and torch.compile, on this GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from warpwright import api
from warpwright.cli import options
from warpwright.cli.output import (
    Progress,
    expect_writable,
    stdout,
    write_file,
    write_json,
)
from warpwright.cli.subjects import SUBJECT, CasesOption, RootOption, beside, given_program
from warpwright.errors import InputError, Place
from warpwright.report.bench_table import print_bench
from warpwright.report.record import bench_record


def command(
    programs: Annotated[
        list[str],
        typer.Argument(
            help=f"Programs, each {SUBJECT}; the first is what all are compared with. Where it is "
            "an entry point, of the others the file is enough."
        ),
    ],
    problem: options.ProblemOption = None,
    inputs: options.InputOption = None,
    init: options.InitOption = None,
    cases: CasesOption = None,
    root: RootOption = None,
    baselines: Annotated[
        bool,
        typer.Option(
            "--opponents/--no-opponents",
            help="Also run the problem by eager PyTorch and torch.compile max-autotune.",
        ),
    ] = True,
    effort: Annotated[
        str,
        typer.Option(
            "--effort",
            metavar="NAME",
            help="How much is timed: quick, normal or thorough (2, 3 or 6 groups of new processes; "
            "4, 8 or 16 rounds in each).",
        ),
    ] = "normal",
    groups: Annotated[
        int | None, typer.Option(min=1, help="Groups of new processes, instead of the effort's.")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=4, help="Rounds in each group, instead of the effort's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the record with all raw times here.")
    ] = None,
    json_output: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Time programs on this machine's GPU against each other and against PyTorch.

    One table: time of a call with a cold L2, its interval, the speed beside the first program, and
    the error against float64. The baselines are the problem's own model in eager PyTorch (NCHW and
    channels_last, cuDNN's benchmark off and on) and under torch.compile max-autotune. --json and
    --out hold every single time, with GPU, driver, clocks and versions.

    Each contender runs in a process of its own. Needs a CUDA GPU; nothing is decided here, and no
    rule is checked.
    """
    expect_writable(out)
    first = given_program(programs[0], problem, inputs, init, cases, root)
    given = first.problem
    if given is None:
        raise InputError(
            "no problem",
            place=Place("command line"),
            expected="--problem FILE, --cases FILE, or --input SHAPE for each input",
        )
    progress = Progress(quiet)
    try:
        result = api.bench(
            [
                (first.document, first.text),
                *((name, beside(first, name, root).text) for name in programs[1:]),
            ],
            given,
            baselines=baselines,
            effort=effort,
            groups=groups,
            rounds=rounds,
            listener=progress,
        )
    finally:
        progress.close()
    record = bench_record(result)
    if out is not None:
        write_file(out, record.model_dump_json(indent=1) + "\n")
    if json_output:
        write_json(record)
    else:
        print_bench(result, stdout())
