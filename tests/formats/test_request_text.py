import gzip
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from amounts import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from texts import replace_once

from warpwright.errors import InputError
from warpwright.formats.request_text import (
    MAX_DOCUMENT_BYTES,
    check_profile_kernels,
    decode_document,
    parse_request,
    render_request,
)
from warpwright.types.request import Attempt, OutputRules
from warpwright.types.stage import ProgramKind, Rule, StageId

Writer = Callable[..., str]


def refused(text: str) -> InputError:
    with pytest.raises(InputError) as caught:
        parse_request(text, document="request.txt")
    return caught.value


def test_every_section_becomes_typed_fields(document: Writer, program: str) -> None:
    request = parse_request(document(), document="request.txt")
    assert request.gpu.name == "RTX 3090"
    assert request.gpu.architecture == "Ampere"
    assert request.gpu.fields == {
        "compute_capability": "8.6",
        "sm_count": 82,
        "memory_bandwidth_gb_per_s": 936,
        "fp16_tflops": 71.2,
        "shared_bytes_per_sm": 102400,
        "l2_bytes": 6 * 1024**2,
    }
    assert request.gpu.unknown == ("Cooling: two fans",)
    assert request.stage.id is StageId.TUNING
    assert request.stage.kind is ProgramKind.SINGLE
    assert request.program == program
    assert request.profile.kernels[0].launches == (
        {
            "launch__grid_size": 4096,
            "dram__throughput.avg.pct_of_peak_sustained_elapsed": 91.5,
            "lts__t_sector_hit_rate.pct": None,
        },
    )
    assert request.constraints == ("There is no tl.tanh",)
    assert request.output_rules == OutputRules(forbidden=("testing code", "if __name__"))
    assert "Make it faster." in request.task


def test_line_numbers_are_those_of_the_document(document: Writer) -> None:
    text = document()
    lines = text.split("\n")
    request = parse_request(text)
    assert lines[request.program_line - 1] == "import torch"
    for rule in request.stage.rules:
        assert rule.line is not None
        assert rule.text in lines[rule.line - 1]
    kernel_line = request.profile.kernels[0].line
    assert kernel_line is not None
    assert '"double_kernel"' in lines[kernel_line - 1]


def test_what_is_rendered_parses_to_an_equal_request(document: Writer) -> None:
    request = parse_request(document())
    assert parse_request(render_request(request)) == request


def test_rendering_needs_no_text_of_the_document(document: Writer) -> None:
    request = parse_request(document())
    bare = [Rule(rule.id, rule.parameters) for rule in request.stage.rules]
    without_text = replace(request, stage=replace(request.stage, rules=tuple(bare)), task="")
    assert parse_request(render_request(without_text)) == request


def test_a_stage_heading_of_either_form_will_do(document: Writer) -> None:
    body = "Focus: Grid layout & parallelism.\n\nSafety:\n- Max 3 grid dims\n"
    for heading in (
        "[OPTIMIZATION STAGE]",
        "[OPTIMIZATION STAGE]f",
        "## Current Optimization Stage",
        "[OPTIMIZATION STAGE]\n\n## Current Optimization Stage",
    ):
        stage = parse_request(document(stage=f"{heading}\n{body}")).stage
        assert stage.id is StageId.GRID
        assert stage.rules == (Rule("grid.max_dims", {"max": 3}),)


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(document: Writer) -> None:
    text = document()
    data = b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
    assert parse_request(decode_document(data)) == parse_request(text)


def test_a_sentence_may_stand_for_the_profile(document: Writer) -> None:
    request = parse_request(document(metrics="No NCU metrics available (it did not compile)\n"))
    assert request.profile.kernels == ()
    assert request.stage.kind is ProgramKind.SINGLE
    skipped = parse_request(document(metrics="No metrics (skipped for network-level model)\n"))
    assert skipped.stage.kind is ProgramKind.NETWORK
    assert parse_request(render_request(skipped)) == skipped


def test_the_profile_may_stand_in_a_code_block(document: Writer) -> None:
    fenced = document(metrics='```json\n{"double_kernel": {"launch__grid_size": 1}}\n```\n')
    assert parse_request(fenced).profile.kernels[0].launches == ({"launch__grid_size": 1},)


def test_a_docstring_may_hold_a_fence(document: Writer, program: str) -> None:
    tricky = replace_once(
        program,
        "class ModelNew(nn.Module):\n",
        'class ModelNew(nn.Module):\n    """Use it so:\n\n```\nmodel()\n```\n    """\n\n',
    )
    request = parse_request(document(program=tricky))
    assert request.program == tricky
    assert parse_request(render_request(request)) == request


def test_a_problem_section_is_read_with_and_without_a_fence(document: Writer) -> None:
    problem = (
        "import torch\n# Target GPU: any\n\nclass Model(torch.nn.Module):\n"
        "    def forward(self, x):\n        return 2 * x\n\n"
        "def get_inputs():\n    return [torch.randn(4)]\n"
    )
    fenced = parse_request(document(between=f"[PROBLEM]\n```python\n{problem}```\n"))
    bare = parse_request(document(between=f"[PROBLEM]\n{problem}"))
    assert fenced.problem == bare.problem == problem
    assert parse_request(render_request(fenced)) == fenced


def test_a_problem_without_inputs_is_refused_at_its_line(document: Writer) -> None:
    problem = "x = 1\nclass Model:\n    pass\n"
    text = document(between=f"[PROBLEM]\n```python\n{problem}```\n")
    error = refused(text)
    assert "get_inputs" in error.what
    assert error.place.section == "[PROBLEM]"
    assert error.place.line is not None
    assert text.split("\n")[error.place.line - 1] == "class Model:"


def test_earlier_attempts_are_kept(document: Writer) -> None:
    attempts = """## Previous Attempt Failed
It was slower than the parent.

```python
import triton
```

Error:
ValueError: no
  at line 3

## History
- more warps: 3 % slower
- fewer stages: no change
"""
    request = parse_request(document(between=attempts))
    assert request.history == (
        Attempt("It was slower than the parent.", "import triton\n", "ValueError: no\nat line 3"),
        Attempt("more warps: 3 % slower"),
        Attempt("fewer stages: no change"),
    )
    assert parse_request(render_request(request)) == request


def test_the_closing_parts_are_optional(document: Writer) -> None:
    request = parse_request(document(closing=""))
    assert request.output_rules == OutputRules()
    assert request.constraints == ()


def test_an_output_rule_that_no_field_holds_becomes_a_constraint(document: Writer) -> None:
    closing = "OUTPUT RULES (STRICT):\n1. Imports: torch, triton\n2. Use at most two kernels\n"
    request = parse_request(document(closing=closing))
    assert request.output_rules.imports == ("torch", "triton")
    assert request.constraints == ("Use at most two kernels",)
    assert parse_request(render_request(request)) == request


def test_unknown_sections_are_kept_as_text(document: Writer) -> None:
    request = parse_request(document(between="[WEATHER]\nsunny\n"))
    assert "sunny" in request.task


@pytest.mark.parametrize(
    ("part", "section"),
    [
        ("gpu", "# Target GPU"),
        ("stage", "[OPTIMIZATION STAGE]"),
        ("program", "[CURRENT CODE]"),
        ("metrics", "[NCU PROFILING METRICS]"),
    ],
)
def test_a_missing_section_is_named(document: Writer, part: str, section: str) -> None:
    error = refused(document(**{part: ""}))
    assert section in error.what
    assert error.place.document == "request.txt"


def test_a_misspelt_heading_is_pointed_at(document: Writer) -> None:
    text = replace_once(document(), "[CURRENT CODE]", "[CURENT CODE]")
    error = refused(text)
    assert error.place.line is not None
    assert text.split("\n")[error.place.line - 1] == "[CURENT CODE]"


def test_a_document_cut_anywhere_before_its_profile_ends_is_refused(document: Writer) -> None:
    lines = document().split("\n")
    last = lines.index("**Task**: Make it faster.")
    end = max(n for n in range(last) if lines[n] == "}")
    for cut in range(end):
        refused("\n".join(lines[:cut]) + "x")


def test_a_document_cut_in_its_code_names_the_open_block(document: Writer) -> None:
    text = document()
    error = refused(text[: text.index("tl.store")])
    assert error.place.section == "[CURRENT CODE]"
    assert error.place.line is not None
    assert text.split("\n")[error.place.line - 1] == "```python"


def test_a_section_given_twice_is_refused(document: Writer) -> None:
    assert "twice" in refused(document(between="# Target GPU\nGPU Name: L4\n")).what


def test_an_empty_code_block_is_no_code(document: Writer) -> None:
    assert "no code" in refused(document(program="# nothing\n\n")).what


def test_a_gpu_without_a_name_is_refused(document: Writer) -> None:
    assert "names no GPU" in refused(document(gpu="# Target GPU\nArchitecture: Ada\n")).what


def test_metrics_that_are_no_json_are_refused_at_their_line(document: Writer) -> None:
    text = document(metrics='{\n  "double_kernel": {\n    "launch__grid_size" 4096\n  }\n}\n')
    error = refused(text)
    assert error.place.section == "[NCU PROFILING METRICS]"
    assert error.place.line is not None
    assert "4096" in text.split("\n")[error.place.line - 1]


def test_an_unknown_metric_in_the_stage_is_refused_at_its_line(document: Writer) -> None:
    stage = "[OPTIMIZATION STAGE]\nFocus: tiling\nMetrics:\n- sm__thruput.avg (>50%)\n"
    text = document(stage=stage)
    error = refused(text)
    assert error.hint is not None
    assert "sm__throughput" in error.hint
    assert error.place.line is not None
    assert "sm__thruput" in text.split("\n")[error.place.line - 1]


def test_a_stage_of_which_nothing_is_known_is_refused(document: Writer) -> None:
    stage = "[OPTIMIZATION STAGE]\nFocus: World peace.\nRules:\n- Be kind\n"
    error = refused(document(stage=stage))
    assert "unknown stage" in error.what
    known_rule = stage + "- Do NOT modify grid\n"
    parsed = parse_request(document(stage=known_rule)).stage
    assert parsed.id is None
    assert [rule.id for rule in parsed.rules] == ["unchecked", "grid.frozen"]


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InputError, match="not text") as caught:
        decode_document(b"line one\nline \xff\xfe two", "request.txt")
    assert caught.value.place.line == 2
    assert "NUL" in refused("a\nb\0c").what
    assert "empty" in refused(" \n ").what


def test_fifty_megabytes_are_refused_at_once() -> None:
    started = time.perf_counter()
    with pytest.raises(InputError, match="too large"):
        decode_document(b"x" * 50 * 1024**2)
    assert time.perf_counter() - started < 1
    assert "too large" in refused("x" * (MAX_DOCUMENT_BYTES + 1)).what
    assert "too large" in refused("x\n" * 200_000).what


def test_a_profile_of_another_program_is_refused(document: Writer) -> None:
    request = parse_request(document(), document="request.txt")
    check_profile_kernels(request.profile, ["double_kernel"])
    with pytest.raises(InputError, match="lacks") as caught:
        check_profile_kernels(request.profile, ["doubled_kernel"], document=request.document)
    assert caught.value.place.document == "request.txt"
    assert caught.value.place.section == "[NCU PROFILING METRICS]"
    assert caught.value.hint == "did you mean doubled_kernel?"


@given(text=st.text(max_size=400))
def test_any_text_is_a_request_or_an_input_error(text: str) -> None:
    try:
        parse_request(text)
    except InputError as error:
        assert str(error)


@settings(
    max_examples=examples(100),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(data=st.data())
def test_any_damage_to_a_document_gives_a_request_or_an_input_error(
    document: Writer, data: st.DataObject
) -> None:
    lines = document().split("\n")
    odd = ["```", "```python", "# X", "[X Y]", "## History", "- ", "{", "IF x:", "Metrics:"]
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        new = data.draw(st.sampled_from([*odd, *lines]) | st.text(max_size=60))
        lines[at : at + data.draw(st.integers(0, 3))] = [new]
    try:
        request = parse_request("\n".join(lines))
    except InputError:
        return
    assert parse_request(render_request(request)) == request


@given(data=st.binary(max_size=200))
def test_any_bytes_are_text_or_an_input_error(data: bytes) -> None:
    try:
        assert isinstance(decode_document(data), str)
    except InputError as error:
        assert str(error)


@pytest.mark.cases
def test_all_recorded_requests_parse_and_survive_rendering(cases_dir: Path) -> None:
    with gzip.open(cases_dir / "cases" / "recorded.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    seeds = [path.read_text("utf-8") for path in sorted((cases_dir / "seeds").glob("*.txt"))]
    texts = [row["request"] for row in rows] + seeds
    started = time.process_time()
    requests = [parse_request(text) for text in texts]
    assert time.process_time() - started < 5
    names = {
        "grid_and_parallel": StageId.GRID,
        "block_tiling": StageId.TILING,
        "memory_access": StageId.MEMORY,
        "advanced_memory": StageId.TUNING,
    }
    for row, request in zip(rows, requests, strict=False):
        assert request.stage.id is names[row["stage"]]
        kernels = {} if row["metrics"] is None else row["metrics"]
        assert {kernel.kernel for kernel in request.profile.kernels} == set(kernels)
        lines = row["request"].split("\n")
        assert lines[request.program_line - 1] == request.program.split("\n")[0]
    for request in requests:
        assert parse_request(render_request(request)) == request
    unchecked = {
        str(rule.parameters["text"])
        for request in requests
        for rule in request.stage.rules
        if not rule.is_checkable
    }
    assert len(unchecked) <= 3, unchecked
