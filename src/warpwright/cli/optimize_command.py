"""`warpwright optimize`: a problem in, a program with an algorithm of our choice out."""

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
from warpwright.formats.kernelbench import read_problem
from warpwright.report.optimization_record import OptimizationRecord, optimization_record
from warpwright.report.optimization_text import beside_text, explain_optimization
from warpwright.sandbox.deadline import OPTIMIZE_S
from warpwright.types.conv2d import CONFIGS, TRIES

NOTHING_TO_HAND_OUT = 1


def command(
    subject: Annotated[
        str,
        typer.Argument(
            help="A problem file; or, with --problem, a program that is to be replaced."
        ),
    ],
    gpu: Annotated[str, typer.Option("--gpu", help="The target; `here` is this machine's.")],
    problem: Annotated[
        Path | None,
        typer.Option("--problem", "-p", help="The problem that the program solves."),
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
    budget: options.BudgetOption = "quick",
    tries: Annotated[int, typer.Option(min=1, help="Candidates to compile.")] = TRIES,
    configs: Annotated[int, typer.Option(min=1, help="Configs in the program, at most.")] = CONFIGS,
    explain_it: Annotated[
        bool, typer.Option("--explain", help="Write the explanation to stderr as well.")
    ] = False,
    time_limit: options.TimeLimitOption = OPTIMIZE_S,
    json_output: options.JsonOption = False,
    quiet: options.QuietOption = False,
    no_cache: options.NoCacheOption = False,
) -> None:
    """Choose the algorithm: from a problem alone, or for a program that is stuck.

    `answer` is one stage of a request, with its rules kept. This is the stage before: it keeps
    nothing of a program and writes a new one. It knows one kind of problem: a Model that is one
    conv2d, with or without bias, followed or not by pointwise operations. Anything else is bad
    input (exit code 2), and the message says what was found.

    Every candidate is compiled for the target; what cannot launch or spills is out, the rest is
    ranked by prediction, and the program with a short config list passes format, names, integrity
    and accuracy in Triton's interpreter. Where the target is the GPU of this machine, candidates
    are checked at full size and ranked by time, and the program is timed beside eager PyTorch:
    where cuDNN stays ahead, the answer says so. Elsewhere nothing says that it is faster than
    cuDNN: compare with `warpwright bench` on your card. Where no program passes, none is written:
    exit code 1.
    """
    expect_writable(out)
    given = read_document(subject)
    parent = None
    if problem is None:
        target = read_problem(given, document=subject)
    else:
        target, parent = read_problem(read_document(str(problem)), document=str(problem)), given
    progress = Progress(quiet)
    try:
        done = api.optimize_run(
            target,
            gpu=gpu,
            program=parent,
            document=subject,
            tries=tries,
            configs=configs,
            measuring=api.Measuring(measure, budget),
            time_limit_s=time_limit,
            use_cache=not no_cache,
            listener=progress,
        )
    finally:
        progress.close()
    result = done.result
    explanation = explain_optimization(result)
    record = optimization_record(result, done.run)
    folder = _write_files(done, record, explanation, out)
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


def _write_files(
    done: api.OptimizeRun, record: OptimizationRecord, explanation: str, out: Path | None
) -> Path:
    """The program, if there is one, and what goes beside it; where they are."""
    folder = done.folder if out is None else out.parent
    stem = "optimize" if out is None else out.stem
    write_file(folder / f"{stem}.record.json", record.model_dump_json(indent=2) + "\n")
    write_file(folder / f"{stem}.explanation.md", explanation)
    if done.result.program is not None:
        write_file(out or folder / "optimize.py", done.result.program)
    return folder
