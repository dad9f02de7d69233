"""`warpwright optimize`: a program through all stages; or a problem alone, to a new program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from warpwright import api
from warpwright.cli import options
from warpwright.cli.optimize_files import write_beside
from warpwright.cli.output import (
    Progress,
    expect_writable,
    read_document,
    stderr,
    write_json,
    write_text,
)
from warpwright.cli.patch_files import ApplyOption, DiffOption, expect_files, write_patch
from warpwright.cli.request_files import exchange_in
from warpwright.cli.subjects import SUBJECT, CasesOption, RootOption, given_program
from warpwright.errors import InputError, Place
from warpwright.formats.kernelbench import read_problem
from warpwright.report.cases_text import case_lines
from warpwright.report.optimization_record import optimization_record
from warpwright.report.optimization_text import beside_text, explain_optimization
from warpwright.report.walk_record import walk_record
from warpwright.report.walk_text import explain_walk, print_walk
from warpwright.sandbox.deadline import OPTIMIZE_S
from warpwright.types.conv2d import CONFIGS, TRIES

NOTHING_TO_HAND_OUT = 1


def command(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="PROGRAM",
            help=f"{SUBJECT}, with --problem, --cases or --input; or a problem file by itself.",
        ),
    ],
    gpu: Annotated[str, typer.Option("--gpu", help="The target; `here` is this machine's.")],
    problem: options.ProblemOption = None,
    inputs: options.InputOption = None,
    init: options.InitOption = None,
    cases: CasesOption = None,
    root: RootOption = None,
    first: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="STAGE", help="Begin with algorithm, grid, tiling, memory or tuning."
        ),
    ] = None,
    stages: Annotated[
        str | None,
        typer.Option(
            "--stages", metavar="NAMES", help="Only these, e.g. grid,tuning. None is skipped."
        ),
    ] = None,
    kind: Annotated[
        str, typer.Option("--kind", "-k", help="Whose rules hold: single, fusion or network.")
    ] = "single",
    profile: Annotated[
        Path | None,
        typer.Option(
            "--profile", help="Nsight Compute metrics of PROGRAM as JSON, where none can be taken."
        ),
    ] = None,
    requests: Annotated[
        Path | None,
        typer.Option(
            "--requests",
            metavar="DIR",
            help="Write each stage's request there (1-grid.md); a reply in 1-grid.reply.md is one "
            "candidate more.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Write the program here, and beside it NAME.record.json and NAME.explanation.md.",
        ),
    ] = None,
    measure: options.MeasureOption = None,
    effort: options.EffortOption = "quick",
    strict: options.StrictOption = False,
    bit_equal: options.BitEqualOption = False,
    tries: Annotated[
        int, typer.Option(min=1, help="Candidates with another algorithm to compile.")
    ] = TRIES,
    configs: Annotated[int, typer.Option(min=1, help="Configs in its program, at most.")] = CONFIGS,
    diff: DiffOption = False,
    apply: ApplyOption = False,
    explain_it: Annotated[
        bool, typer.Option("--explain", help="Write the explanation to stderr as well.")
    ] = False,
    time_limit: options.TimeLimitOption = OPTIMIZE_S,
    json_output: options.JsonOption = False,
    quiet: options.QuietOption = False,
    no_cache: options.NoCacheOption = False,
) -> None:
    """Take a program through all stages; or write a new one from a problem alone.

    `warpwright optimize kernel.py --problem layer.py --gpu here -o better.py`

    `warpwright optimize kernel.py --problem layer.py --gpu 4090 --stages grid,tuning`

    `warpwright optimize layer.py --gpu 4090 -o new.py`

    With a program: grid → tiling → memory → tuning. Each stage is what `answer` does with the
    request that `request --stage NAME` writes, and the best program so far is its parent. A table
    on stderr says of each stage what changed and what it gains, or why the program stayed. A stage
    is skipped where a profile shows that it has little left to gain; on a GPU with Nsight Compute
    a profile is taken at each stage, elsewhere --profile gives one. Where the problem is one whose
    algorithm we can choose (one conv2d), that comes first: where the GPU of this machine is the
    target, a faster one replaces the program; elsewhere only --from algorithm does that.

    Where the target is the GPU of this machine, each stage is measured, and at the end the last
    program is timed again beside the first: unless it is faster, the first comes back. Elsewhere
    gains are predicted by counts, and the table says so. --time-limit is for all stages together,
    each has a fair part of it, and the walk ends with what it has by then; --effort is of each
    stage. A walk that was killed goes on where it stopped when it is started again.

    --requests DIR lets a person or a model answer in our place: put a reply beside a stage's
    request and start again; `warpwright check DIR/1-grid.md DIR/1-grid.reply.md` judges it before.

    With a problem alone a program with an algorithm of our choice is written: candidates are
    compiled for the target, ranked (by time where the target is this machine's GPU, else by
    prediction), and the program passes format, names, integrity and accuracy. It knows one conv2d,
    with or without bias, followed or not by pointwise operations. Nothing says that it is faster
    than cuDNN unless it was timed. Where no program passes, none is written: exit code 1.
    """
    expect_writable(out)
    program = given_program(subject, problem, inputs, init, cases, root)
    text, given = program.text, program.problem
    _expect_one_use(given is not None, first, stages, profile, requests)
    expect_files(program, diff, apply, is_request=given is None, json_output=json_output)
    progress = Progress(quiet)
    measuring = api.Measuring(measure, effort)
    try:
        if given is None:
            done = api.optimize_run(
                read_problem(text, document=subject),
                gpu=gpu,
                document=subject,
                tries=tries,
                configs=configs,
                measuring=measuring,
                time_limit_s=time_limit,
                use_cache=not no_cache,
                listener=progress,
            )
        else:
            with program.lines_told():
                walked = api.walk_run(
                    text,
                    given,
                    gpu=gpu,
                    first=first,
                    stages=() if stages is None else stages.split(","),
                    kind=kind,
                    profile=None if profile is None else read_document(str(profile)),
                    profile_document=None if profile is None else str(profile),
                    exchange=None if requests is None else exchange_in(requests),
                    cases=program.cases,
                    tries=tries,
                    configs=configs,
                    document=program.document,
                    measuring=measuring,
                    limits=api.EditLimits(strict, bit_equal),
                    time_limit_s=time_limit,
                    use_cache=not no_cache,
                    listener=progress,
                )
    finally:
        progress.close()
    if given is None:
        _tell_algorithm(done, out, json_output, explain_it, quiet)
    else:
        script = api.verify_walk(walked.walk, given, title=Path(subject).name)
        folder = _tell_walk(walked, script, out, json_output, explain_it, quiet, diff or apply)
        if diff or apply:
            stem = "optimize" if out is None else out.stem
            write_patch(program, walked.walk.program, folder, stem, apply=apply)


def _expect_one_use(
    with_program: bool,
    first: str | None,
    stages: str | None,
    profile: Path | None,
    requests: Path | None,
) -> None:
    """Raise InputError where an option is of a program's stages and there is no program."""
    given = {"--from": first, "--stages": stages, "--profile": profile, "--requests": requests}
    named = [name for name, value in given.items() if value is not None]
    if named and not with_program:
        raise InputError(
            f"{' and '.join(named)} without a problem: stages are of a program",
            place=Place("command line"),
            expected="a program, and its problem by --problem FILE or --input SHAPE",
        )


def _tell_walk(
    done: api.WalkRun,
    script: str | None,
    out: Path | None,
    json_output: bool,
    explain_it: bool,
    quiet: bool,
    as_patch: bool,
) -> Path:
    """What came out, without the program where it is told as a patch; where its files are."""
    walk = done.walk
    record, explanation = walk_record(walk, done.run, done.cases), explain_walk(walk)
    folder = write_beside(done.folder, out, walk.program, record, explanation, script)
    if json_output:
        write_json(record)
    elif out is None and not as_patch:
        write_text(walk.program)
    if explain_it:
        stderr().print(explanation, markup=False, soft_wrap=True)
    if not quiet:
        print_walk(walk, stderr())
        for line in case_lines(done.cases):
            stderr().print(line, markup=False, soft_wrap=True)
        where = f"run {done.run}; record and explanation in {folder}"
        stderr().print(where, markup=False, soft_wrap=True)
    return folder


def _tell_algorithm(
    done: api.OptimizeRun, out: Path | None, json_output: bool, explain_it: bool, quiet: bool
) -> None:
    result = done.result
    record, explanation = optimization_record(result, done.run), explain_optimization(result)
    folder = write_beside(done.folder, out, result.program, record, explanation)
    if json_output:
        write_json(record)
    elif out is None and result.program is not None:
        write_text(result.program)
    if explain_it:
        stderr().print(explanation, markup=False, soft_wrap=True)
    if not quiet:
        where = f"run {done.run}; record and explanation in {folder}"
        if result.beside is not None:
            stderr().print(beside_text(result.beside), markup=False, soft_wrap=True)
        stderr().print(f"{result.reason}\n{where}", markup=False, soft_wrap=True)
    if result.program is None:
        raise typer.Exit(NOTHING_TO_HAND_OUT)
