"""`warpwright answer`: a request in, the best program that obeys its rules out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from warpwright import api
from warpwright.cli import options
from warpwright.cli.output import (
    Progress,
    expect_writable,
    stderr,
    write_file,
    write_json,
    write_text,
)
from warpwright.cli.patch_files import ApplyOption, DiffOption, expect_files, write_patch
from warpwright.cli.subjects import (
    SUBJECT,
    CasesOption,
    KindOption,
    RootOption,
    StageOption,
    given_program,
    request_of,
)
from warpwright.report.cases_text import case_lines
from warpwright.report.explanation import explain
from warpwright.report.moves_text import predicted_gain
from warpwright.report.record import answer_record
from warpwright.report.schema import AnswerRecord
from warpwright.report.trial_text import gain_text
from warpwright.sandbox.deadline import DEFAULT_S
from warpwright.types.answer import Answer
from warpwright.types.candidate import moves_label


def command(
    request: Annotated[
        str,
        typer.Argument(
            metavar="REQUEST",
            help=f"A request document, or, with --gpu, a program: {SUBJECT}; - reads standard "
            "input.",
        ),
    ],
    problem: options.ProblemOption = None,
    inputs: options.InputOption = None,
    init: options.InitOption = None,
    cases: CasesOption = None,
    root: RootOption = None,
    gpu: Annotated[
        str | None,
        typer.Option(
            "--gpu",
            help="Answer for this card instead of the request's (its profile is then left out); "
            "`here` is this machine's own.",
        ),
    ] = None,
    stage: StageOption = None,
    kind: KindOption = None,
    measure: options.MeasureOption = None,
    effort: options.EffortOption = "normal",
    strict: options.StrictOption = False,
    bit_equal: options.BitEqualOption = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Write the program here, and beside it NAME.record.json and NAME.explanation.md.",
        ),
    ] = None,
    diff: DiffOption = False,
    apply: ApplyOption = False,
    fenced: Annotated[
        bool, typer.Option("--fenced", help="Write the program as a ```python code block.")
    ] = False,
    explain_it: Annotated[
        bool, typer.Option("--explain", help="Write the explanation to stderr as well.")
    ] = False,
    time_limit: options.TimeLimitOption = DEFAULT_S,
    json_output: options.JsonOption = False,
    quiet: options.QuietOption = False,
    no_cache: options.NoCacheOption = False,
) -> None:
    """Answer a request: the program alone on stdout, the evidence beside it.

    This is the request's own stage only, with its rules kept. `optimize` takes a program through
    every stage in turn. A program in files of your own needs no request document:

    `warpwright answer norms.py:rms_norm --cases cases.py --gpu 4090 --diff`

    answers for --stage, and the answer is a patch of your files (--diff, --apply).

    Two things are tried: *configs* for the tuner, within the rules (without a GPU in the tuning
    stage alone), and *moves*, edits of the kernels that the rules do not forbid, such as sizes
    that become compile-time constants, loops that can be pipelined, or a reduction in another
    order.
    Each move says what it does to the outputs (no bit changes, another order of a sum, other
    arithmetic) and is held to it; such edits stay only where the outputs are no less exact than
    before, and are listed apart. --bit-equal keeps those that change no bit, --strict makes none.

    Without a GPU nothing is timed: a program by moves is taken where counts of the instructions
    that its binaries execute, and of the memory that they touch, predict a gain. Configs are
    compiled for the target, duplicates and configs that can never launch go, new ones within the
    rules come in, every one is checked for accuracy, and the tuner on your card chooses.

    Where the target is the GPU of this machine, lists of moves and configs are timed beside the
    parent while there is time (--effort), the fastest are checked, and a new program is handed out
    only where all of it was checked and fresh timings in new processes show that it is faster. A
    run that is interrupted goes on where it stopped when it is started again. Either way the
    program comes back unchanged where nothing better can be shown.

    The record (JSON) and the explanation (Markdown) go beside --out, or into the run's folder,
    which the last line on stderr names; both list every move that was tried. With a problem
    file, a changed program also comes with NAME.verify.py, which needs torch and Triton only: it
    checks and times the program against its parent on any CUDA card, and prints one line to post.
    """
    expect_writable(out)
    given = given_program(request, problem, inputs, init, cases, root)
    expect_files(given, diff, apply, is_request=given.is_request, json_output=json_output)
    text, first_line = request_of(given, gpu, stage, kind)
    progress = Progress(quiet)
    try:
        with given.lines_told(first_line):
            done = api.answer_run(
                text,
                problem=given.problem,
                cases=given.cases,
                gpu=gpu,
                measuring=api.Measuring(measure, effort),
                limits=api.EditLimits(strict, bit_equal),
                document=given.document,
                time_limit_s=time_limit,
                use_cache=not no_cache,
                listener=progress,
            )
    finally:
        progress.close()
    record = answer_record(done.answer, done.run, done.cases)
    program = f"```python\n{done.answer.program.rstrip()}\n```\n" if fenced else done.answer.program
    explanation = explain(done.answer)
    folder = _write_files(done, record, explanation, program, out, title=Path(request).name)
    if diff or apply:
        write_patch(given, done.answer.program, folder, _stem(out), apply=apply)
    if json_output:
        write_json(record)
    elif out is None and not (diff or apply):
        write_text(program)
    if explain_it:
        stderr().print(explanation, markup=False, soft_wrap=True)
    if not quiet:
        where = f"run {done.run}; record and explanation in {folder}"
        told = "\n".join([_summary(done.answer), *case_lines(done.cases), where])
        stderr().print(told, markup=False, soft_wrap=True)


def _write_files(
    done: api.AnswerRun,
    record: AnswerRecord,
    explanation: str,
    program: str,
    out: Path | None,
    *,
    title: str,
) -> Path:
    """The program and what goes beside it; where they are: beside `out`, or in the run's folder."""
    folder = done.folder if out is None else out.parent
    stem = _stem(out)
    write_file(folder / f"{stem}.record.json", record.model_dump_json(indent=2) + "\n")
    write_file(folder / f"{stem}.explanation.md", explanation)
    write_file(out or folder / "answer.py", program)
    script = api.verify(done.answer, title=title)
    if script is not None:
        write_file(folder / f"{stem}.verify.py", script)
    return folder


def _stem(out: Path | None) -> str:
    return "answer" if out is None else out.stem


def _summary(answer: Answer) -> str:
    """What was decided and why, and by which gain, measured or predicted."""
    summary = f"{answer.decision}: {answer.reason}"
    if answer.beyond_rules is not None:
        summary += f"\nif the rules allowed: {moves_label(answer.beyond_rules.moves)}"
    trial = answer.trial
    if trial is not None and trial.gpu is not None and trial.comparison is not None:
        return f"{summary}\nmeasured on {trial.gpu.name}: {gain_text(trial.comparison)}"
    predicted = predicted_gain(answer)
    return summary if predicted is None else f"{summary}\nnot measured: {predicted}"
