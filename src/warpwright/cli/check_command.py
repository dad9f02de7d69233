"""`warpwright check`: does a reply obey the request it answers?"""

from __future__ import annotations

from typing import Annotated

import typer

from warpwright import api
from warpwright.cli import options
from warpwright.cli.output import Progress, stdout, write_json
from warpwright.cli.subjects import (
    SUBJECT,
    CasesOption,
    KindOption,
    RootOption,
    StageOption,
    beside,
    given_program,
    request_of,
)
from warpwright.errors import InputError, Place
from warpwright.report.cases_text import case_lines
from warpwright.report.check_record import check_record, gate_lines, status_of
from warpwright.sandbox.deadline import DEFAULT_S
from warpwright.types.verdict import Status

EXIT_VIOLATIONS = 1


def command(
    request: Annotated[
        str,
        typer.Argument(
            metavar="REQUEST", help=f"The request document; or, with --gpu, a program: {SUBJECT}."
        ),
    ],
    reply: Annotated[
        str,
        typer.Argument(
            help="A program (of an entry point the file is enough), or a model's reply around it; "
            "- reads standard input."
        ),
    ],
    problem: options.ProblemOption = None,
    inputs: options.InputOption = None,
    init: options.InitOption = None,
    cases: CasesOption = None,
    root: RootOption = None,
    gpu: Annotated[
        str | None, typer.Option("--gpu", help="Of a program: the target, e.g. '4090'.")
    ] = None,
    stage: StageOption = None,
    kind: KindOption = None,
    strict: options.StrictOption = False,
    bit_equal: options.BitEqualOption = False,
    time_limit: options.TimeLimitOption = DEFAULT_S,
    json_output: options.JsonOption = False,
    quiet: options.QuietOption = False,
    no_cache: options.NoCacheOption = False,
) -> None:
    """Check a reply against the request: format, names, rules, integrity, accuracy.

    Edits beyond the stage, which no rule asks for or forbids, pass where the outputs stay equal
    bit for bit or are no less exact than the parent's on all data; they are listed apart.
    --bit-equal passes the first kind only, --strict none.

    Exit code 0: nothing is broken (what could not be verified is listed, never passed over);
    1: violations, each with rule, line, what was expected and what was found.

    Lines are those of the reply as given. Accuracy needs shapes: --problem, --input, or a
    [PROBLEM] section in the request.
    """
    given = given_program(request, problem, inputs, init, cases, root)
    candidate = beside(given, reply, root)
    if gpu is not None and given.is_request:
        raise InputError(
            "--gpu with a request document",
            place=Place(request),
            expected="a program: a request names its own GPU",
        )
    text, first_line = request_of(given, gpu, stage, kind)
    progress = Progress(quiet)
    try:
        with given.lines_told(first_line):
            done = api.check_run(
                text,
                candidate.text,
                problem=given.problem,
                cases=given.cases,
                document=given.document,
                reply_document=candidate.document,
                limits=api.EditLimits(strict, bit_equal),
                time_limit_s=time_limit,
                use_cache=not no_cache,
                listener=progress,
            )
    finally:
        progress.close()
    if json_output:
        write_json(check_record(done.gate, done.run, done.cases))
    else:
        for line in gate_lines(done.gate):
            stdout().print(line, markup=False, soft_wrap=True)
        for line in case_lines(done.cases):
            stdout().print(line, markup=False, soft_wrap=True)
    if status_of(done.gate, done.cases) is Status.FAIL:
        raise typer.Exit(EXIT_VIOLATIONS)
