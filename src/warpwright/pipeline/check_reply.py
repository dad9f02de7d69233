"""`check`: a reply to a request held to everything that the verifier checks."""

from __future__ import annotations

from dataclasses import replace

from warpwright.errors import BrokenProgramError, MissingToolError
from warpwright.formats.kernelbench import stated_problem
from warpwright.formats.reply import Reply
from warpwright.pipeline.request_study import study_request
from warpwright.store.run_context import RunContext
from warpwright.types.candidate import Candidate
from warpwright.types.request import Request
from warpwright.types.shapes import Problem
from warpwright.types.verdict import EditLimits, Verdict
from warpwright.verifier.verify import VerifyContext, bare_study, verify


def check_reply(
    request: Request,
    reply: Reply,
    run_context: RunContext,
    problem: Problem | None = None,
    *,
    accuracy: bool = True,
    limits: EditLimits | None = None,
) -> Verdict:
    """Every check on a reply. Where Triton is missing, what needs it is "not verified".

    Lines of violations are those of the reply as given. `accuracy=False` interprets nothing,
    which is most of the time that a check takes. `limits`: on edits beyond the stage.
    """
    context = parent_context(request, run_context, problem)
    context = replace(context, accuracy=accuracy, limits=limits or EditLimits())
    candidate = Candidate(request.program, reply.program)
    return _in_reply_lines(verify(candidate, request, context).gate, reply)


def parent_context(
    request: Request, run_context: RunContext, problem: Problem | None
) -> VerifyContext:
    """What is known of a request's program, or why nothing is beyond its text."""
    try:
        parent, problem = study_request(request, run_context, problem)
    except MissingToolError as error:
        return VerifyContext(bare_study(request), run_context, missing=error.what)
    except BrokenProgramError as error:
        if problem is None and request.problem is not None:
            problem = stated_problem(request.problem, "the request's [PROBLEM] section")
        return VerifyContext(bare_study(request), run_context, problem, parent_fails=error.what)
    return VerifyContext(parent, run_context, problem)


def _in_reply_lines(gate: Verdict, reply: Reply) -> Verdict:
    """Lines of the program told as lines of the reply around it."""
    shift = reply.program_line - 1
    if shift == 0:
        return gate
    results = tuple(
        replace(
            result,
            violations=tuple(
                v if v.line is None else replace(v, line=v.line + shift) for v in result.violations
            ),
        )
        for result in gate.results
    )
    return replace(gate, results=results)
