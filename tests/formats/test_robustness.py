"""No text crashes or hangs a parser: only InputError, and soon."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from amounts import examples, slow_but
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from warpwright.compiler.ttir import read_function, read_operation, read_types
from warpwright.errors import InputError
from warpwright.formats.attempts import parse_attempts, render_attempt
from warpwright.formats.documents import document_lines
from warpwright.formats.gpu_section import parse_gpu
from warpwright.formats.kernelbench import read_problem
from warpwright.formats.nsight import parse_metrics
from warpwright.formats.output_section import parse_constraints, parse_output_rules, text_items
from warpwright.formats.python_text import is_python, parse_python
from warpwright.formats.reply import parse_reply
from warpwright.formats.request_text import parse_request, render_request
from warpwright.formats.rule_phrases import read_bullet
from warpwright.formats.rule_templates import read_rule
from warpwright.formats.sections import Section, SectionKind, split_sections
from warpwright.formats.shape_text import parse_init, parse_input
from warpwright.formats.stage_text import parse_stage
from warpwright.program.view import read_program
from warpwright.types.request import Attempt

LIMIT_S = 5.0
REPEATS = examples(20_000)

Parser = Callable[[str], object]


def _section(text: str, kind: SectionKind) -> Section:
    return Section(kind, 1, "title", "", document_lines(text))


def _attempts(kind: SectionKind) -> Parser:
    return lambda text: parse_attempts(_section(text, kind))


PARSERS: dict[str, Parser] = {
    "request": parse_request,
    "reply": parse_reply,
    "metrics": parse_metrics,
    "problem": read_problem,
    "input": parse_input,
    "init": parse_init,
    "stage": lambda text: parse_stage(document_lines(text), line=1),
    "gpu": lambda text: parse_gpu(document_lines(text), line=1),
    "output rules": lambda text: parse_output_rules(document_lines(text)),
    "constraints": lambda text: parse_constraints(document_lines(text), text),
    "items": lambda text: list(text_items(document_lines(text))),
    "attempt": _attempts(SectionKind.ATTEMPT),
    "history": _attempts(SectionKind.HISTORY),
    "sections": lambda text: split_sections(document_lines(text)),
    "bullet": read_bullet,
    "rule": read_rule,
    "python": parse_python,
    "is python": is_python,
    "program": read_program,
    "ttir": read_function,
    "ttir operation": read_operation,
    "ttir types": read_types,
}
each_parser = pytest.mark.parametrize("parse", PARSERS.values(), ids=PARSERS)

PIECES = (
    "```", "```python", "````", "~~~", "# Target GPU", "[OPTIMIZATION STAGE]", "[CURRENT CODE]",
    "[NCU PROFILING METRICS]", "[PROBLEM]", "## History", "## Previous Attempt", "Focus:", "- ",
    "• ", "**", "Rules:", "OUTPUT RULES (STRICT):", "Error:", "num_warps ∈ {", "2–3", "{", "}", "[",
    "]", "(", ")", '"a": ', "NaN", "1e999", "0x", "import torch", "def f(x):", "    return x", "@",
    "lambda:", "x=(", "\t", "\r", "\x00", "\u2028", "\ufeff", "é", "tt.func public @k(%a: i32) {",
    "%0:2 = scf.for %i = %a to %b step %c {", "^bb1:", "} else {", "tensor<64x32x!tt.ptr<f32>>",
    "GPU Name: ", "• Number of SMs: 82", "256x3x224x224", "9" * 40, "kernel", ": ", ",",
)  # fmt: skip


def survives(parse: Parser, text: str) -> None:
    started = time.process_time()
    try:
        parse(text)
    except InputError as error:
        assert str(error)
    assert time.process_time() - started < LIMIT_S


@each_parser
@settings(max_examples=examples(40), deadline=None)
@given(
    text=st.text(max_size=200)
    | st.lists(st.sampled_from(PIECES) | st.sampled_from([" ", "\n"]), max_size=40).map("".join)
)
def test_any_text_is_read_or_is_an_input_error(parse: Parser, text: str) -> None:
    survives(parse, text)


@each_parser
@pytest.mark.parametrize(
    "separator", slow_but(["\n"], ["", " ", "\n"]), ids=["joined", "spaced", "lines"]
)
def test_a_text_that_repeats_itself_takes_no_long_time(parse: Parser, separator: str) -> None:
    for piece in PIECES:
        survives(parse, separator.join([piece] * (REPEATS // max(1, len(piece) // 4))))


EDITS = ("delete", "duplicate", "truncate", "swap", "fence", "insert")


@settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_damaged_request_keeps_its_types_through_rendering_or_is_refused(
    document: Callable[..., str], data: st.DataObject
) -> None:
    lines = document().split("\n")
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.sampled_from(EDITS)):
            case "delete" if len(lines) > 1:
                del lines[at : at + data.draw(st.integers(1, 5))]
                lines = lines or [""]
            case "duplicate":
                lines[at:at] = lines[at : at + data.draw(st.integers(1, 8))]
            case "truncate":
                lines[at] = lines[at][: data.draw(st.integers(0, 20))]
            case "swap":
                other = data.draw(st.integers(0, len(lines) - 1))
                lines[at], lines[other] = lines[other], lines[at]
            case "fence":
                lines.insert(at, data.draw(st.sampled_from(["```", "````", "```python", "~~~"])))
            case _:
                lines.insert(at, data.draw(st.sampled_from(PIECES)))
    try:
        request = parse_request("\n".join(lines))
    except InputError as error:
        assert str(error)
        return
    assert parse_request(render_request(request)) == request


SAID = st.text("abc xyz`#-:", max_size=30).map(str.strip)


@given(outcome=SAID.filter(bool), code=st.none() | SAID, error=st.none() | SAID)
def test_an_attempt_rendered_and_read_again_loses_none_of_its_words(
    outcome: str, code: str | None, error: str | None
) -> None:
    attempt = Attempt(
        outcome.lstrip("#-:` ") or "failed", code if code is None else f"x = 1  # {code}\n", error
    )
    text = render_attempt(attempt).split("\n", 1)[1]
    (found,) = parse_attempts(_section(text, SectionKind.ATTEMPT))
    assert found.code == attempt.code


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
        max_leaves=12,
    )
)
def test_any_json_is_metrics_or_an_input_error(value: object) -> None:
    survives(parse_metrics, json.dumps(value))
