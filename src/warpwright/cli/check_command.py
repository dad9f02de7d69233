"""`warpwright check`: does a reply obey the request it answers?"""

from __future__ import annotations

from typing import Annotated

import typer

from warpwright import api
from warpwright.cli import options
from warpwright.cli.output import Progress, read_document, stdout, write_json
from warpwright.report.check_record import check_record, gate_lines
from warpwright.sandbox.deadline import DEFAULT_S
from warpwright.types.verdict import Status

EXIT_VIOLATIONS = 1


def command(
    request: Annotated[str, typer.Argument(help="The request document.")],
    reply: Annotated[
        str, typer.Argument(help="A program, or a model's reply around it; - reads standard input.")
    ],
    problem: options.ProblemOption = None,
    inputs: options.InputOption = None,
    init: options.InitOption = None,
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
    given = options.problem_from(problem, inputs, init)
    progress = Progress(quiet)
    try:
        done = api.check_run(
            read_document(request),
            read_document(reply),
            problem=given,
            document=request,
            reply_document=reply,
            limits=api.EditLimits(strict, bit_equal),
            time_limit_s=time_limit,
            use_cache=not no_cache,
            listener=progress,
        )
    finally:
        progress.close()
    if json_output:
        write_json(check_record(done.gate, done.run))
    else:
        for line in gate_lines(done.gate):
            stdout().print(line, markup=False, soft_wrap=True)
    if done.gate.status is Status.FAIL:
        raise typer.Exit(EXIT_VIOLATIONS)
