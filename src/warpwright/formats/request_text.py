"""Request documents: text ⇄ `Request`. `docs/request-format.md` describes the format.

Reading takes any wording between known headings. Rendering writes typed fields in our own
wording, so `parse_request(render_request(request)) == request`.
"""

from __future__ import annotations

from collections.abc import Sequence

from warpwright.errors import InputError, Place
from warpwright.formats.attempts import parse_attempts, render_attempt
from warpwright.formats.documents import (
    MAX_DOCUMENT_BYTES,
    Line,
    decode_document,
    document_lines,
    fence_end,
    fence_of,
    fenced,
)
from warpwright.formats.gpu_section import parse_gpu, render_gpu
from warpwright.formats.kernelbench import read_problem
from warpwright.formats.nsight import check_profile_kernels, parse_profile, render_profile
from warpwright.formats.output_section import (
    parse_constraints,
    parse_output_rules,
    render_constraints,
    render_output_rules,
)
from warpwright.formats.sections import Section, SectionKind, required_section, split_sections
from warpwright.formats.stage_text import parse_stage, render_stage
from warpwright.types.request import OutputRules, Profile, Request

__all__ = [
    "MAX_DOCUMENT_BYTES",
    "check_profile_kernels",
    "decode_document",
    "looks_like_request",
    "parse_request",
    "render_request",
]

_OPENING = "Make the Triton program below faster on the target GPU, within the rules of the stage."
_TASK = "**Task**: Answer with the fastest program that obeys these rules."


def _body(section: Section) -> str:
    return "\n".join(line.text for line in section.lines)


def _first_block(lines: Sequence[Line]) -> tuple[str, int] | None:
    """Content of the first code block with a final newline, and its first line's number."""
    for index, line in enumerate(lines):
        end = fence_end(lines, index) if fence_of(line.text) is not None else None
        if end is not None:
            content = "".join(each.text + "\n" for each in lines[index + 1 : end])
            return content, line.number + 1
    return None


def _is_empty_program(source: str) -> bool:
    return all(not line.strip() or line.lstrip().startswith("#") for line in source.split("\n"))


def _program(section: Section, document: str | None) -> tuple[str, int]:
    block = _first_block(section.lines)
    if block is not None and not _is_empty_program(block[0]):
        return block
    raise InputError(
        "the request has no code",
        place=Place(document, section.kind.value, section.line),
        expected="the Triton program in a ```python block",
        got="an empty block" if block is not None else "no code block",
    )


def _profile(section: Section, document: str | None) -> tuple[Profile, str]:
    """The profile, fenced or not, and the prose beside it."""
    block = _first_block(section.lines)
    if block is not None:
        text, first_line = block
    else:
        text = f"{section.rest}\n{_body(section)}"
        first_line = section.line
    return parse_profile(text, document=document, first_line=first_line)


def _problem(section: Section | None, document: str | None) -> str | None:
    if section is None:
        return None
    block = _first_block(section.lines)
    if block is None:
        shown = [line for line in section.lines if line.text.strip()]
        first_line = shown[0].number if shown else section.line
        text = "".join(line.text + "\n" for line in section.lines if line.number >= first_line)
        block = (text.rstrip("\n") + "\n", first_line)
    problem = read_problem(
        block[0],
        document=document,
        section=section.kind.value,
        first_line=block[1],
        model_needed=False,
    )
    return problem.source


def _one(sections: Sequence[Section], kind: SectionKind) -> Section | None:
    return next((section for section in sections if section.kind is kind), None)


def _task(sections: Sequence[Section], prose: str) -> str:
    """Everything that is no field: the opening, the task, unknown sections."""
    kinds = (SectionKind.PREAMBLE, SectionKind.TASK, SectionKind.UNKNOWN)
    parts = [
        f"{section.rest}\n{_body(section)}".strip() for section in sections if section.kind in kinds
    ]
    return "\n\n".join(part for part in (*parts, prose) if part)


def _output_rules(sections: Sequence[Section]) -> tuple[OutputRules, tuple[str, ...]]:
    """The output rules, and all constraints: their own section's and leftover output rules."""
    constraints = [
        text
        for section in sections
        if section.kind is SectionKind.CONSTRAINTS
        for text in parse_constraints(section.lines, section.rest)
    ]
    section = _one(sections, SectionKind.OUTPUT)
    if section is None:
        return OutputRules(), tuple(constraints)
    rules, leftover = parse_output_rules(section.lines)
    return rules, (*constraints, *leftover)


def parse_request(text: str, *, document: str | None = None) -> Request:
    """The request that a document states. `document` is its name, for messages.

    Raises `InputError` with section and line for a document that is too large, truncated,
    without code or GPU, of an unknown stage, or with metrics that cannot be read.
    """
    lines = document_lines(text, document)
    sections = split_sections(lines, document)
    hint = "`request` writes a document in the right form; docs/request-format.md describes it"
    gpu_section = required_section(sections, SectionKind.GPU, document, hint)
    stage_section = required_section(sections, SectionKind.STAGE, document, hint)
    program_section = required_section(sections, SectionKind.PROGRAM, document, hint)
    program, program_line = _program(program_section, document)
    metrics_section = required_section(
        sections,
        SectionKind.METRICS,
        document,
        "without a profile, keep the heading and write: No metrics available.",
    )
    profile, prose = _profile(metrics_section, document)
    stage = parse_stage(
        stage_section.lines,
        line=stage_section.line,
        document=document,
        is_network=not profile.kernels and "network" in prose.lower(),
    )
    output_rules, constraints = _output_rules(sections)
    attempts = (SectionKind.ATTEMPT, SectionKind.HISTORY)
    return Request(
        gpu=parse_gpu(
            gpu_section.lines, line=gpu_section.line, rest=gpu_section.rest, document=document
        ),
        stage=stage,
        program=program,
        profile=profile,
        output_rules=output_rules,
        task=_task(sections, prose),
        problem=_problem(_one(sections, SectionKind.PROBLEM), document),
        history=tuple(a for s in sections if s.kind in attempts for a in parse_attempts(s)),
        constraints=constraints,
        program_line=program_line,
        document=document,
    )


def render_request(request: Request) -> str:
    """The document, from typed fields; the request's own `task` text is not repeated.

    Raises `InputError` where a rule does not fit the registry.
    """
    parts = [_OPENING, render_gpu(request.gpu), render_stage(request.stage)]
    if request.problem is not None:
        problem = fenced(request.problem.removesuffix("\n"), "python")
        parts.append(f"{SectionKind.PROBLEM}\n{problem}")
    parts += map(render_attempt, request.history)
    program = fenced(request.program.removesuffix("\n"), "python")
    parts.append(f"{SectionKind.PROGRAM}\n{program}")
    parts.append(f"{SectionKind.METRICS}\n{render_profile(request.profile)}")
    parts.append(_TASK)
    if request.constraints:
        parts.append(render_constraints(request.constraints))
    parts.append(render_output_rules(request.output_rules))
    return "\n\n".join(parts) + "\n"


def looks_like_request(text: str) -> bool:
    """A request document has a section that no program has."""
    return any(line.strip().startswith("[CURRENT CODE]") for line in text.splitlines())
