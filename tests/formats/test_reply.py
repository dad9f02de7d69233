import ast
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpwright.errors import InputError
from warpwright.formats.reply import Reply, parse_reply


def test_the_program_of_one_block_keeps_its_line(program: str) -> None:
    reply = parse_reply(f"Here it is.\n\n```python\n{program}```\n\nIt is faster.\n")
    assert reply == Reply(program, 4, is_fenced=True, blocks=1, has_prose=True)


@pytest.mark.parametrize("info", ["python", "", "py", "triton", "Python"])
def test_the_word_after_the_fence_does_not_matter(info: str, program: str) -> None:
    assert parse_reply(f"```{info}\n{program}```").program == program


def test_of_several_blocks_the_one_with_the_model_counts(program: str) -> None:
    snippet = "```python\nimport torch\nx = torch.ones(1)\n```\n"
    assert parse_reply(f"{snippet}```python\n{program}```\n{snippet}").program == program


def test_of_two_programs_the_last_that_closes_counts(program: str) -> None:
    second = program.replace("256", "512")
    both = f"```python\n{program}```\nBetter:\n```python\n{second}```\n"
    assert parse_reply(both).program == second
    cut = f"```python\n{program}```\nBetter:\n```python\n{second}"
    assert parse_reply(cut).program == program


def test_a_block_that_never_closes_is_told(program: str) -> None:
    reply = parse_reply(f"```python\n{program}")
    assert reply.program.rstrip() == program.rstrip()
    assert reply.is_fenced
    assert not reply.is_complete


def test_a_program_without_fence_is_taken_whole(program: str) -> None:
    assert parse_reply(program) == Reply(program)
    documented = '"""Kernel.\n\n```python\nfrom a import b\n```\n"""\n' + program
    assert parse_reply(documented).program == documented


def test_prose_around_a_bare_program_is_cut_off(program: str) -> None:
    reply = parse_reply(f"Sure, here you go:\n\n{program}\nThis should be faster!\n\nEnjoy.\n")
    assert reply.program == program
    assert reply.program_line == 3
    assert reply.has_prose
    assert not reply.is_fenced


BROKEN = {
    "in the signature of the last method": ("def forward(self, x):", "def forward(self, x:"),
    "in a kernel": ("import triton.language as tl\n", "import triton.language as tl\nX = = 1\n"),
    "in the header of the model": ("class ModelNew(nn.Module):", "class ModelNew(nn.Module)"),
}


@pytest.mark.parametrize("where", BROKEN)
@pytest.mark.parametrize("after", ["", "\nThis should be faster!\n\n- It is: num_warps = 8.\n"])
def test_a_bare_program_with_a_syntax_error_keeps_all_of_its_lines(
    where: str, after: str, program: str
) -> None:
    broken = program.replace(*BROKEN[where], 1)
    assert broken != program
    reply = parse_reply(f"Here:\n{broken}{after}")
    assert reply.program.startswith(broken)
    assert reply.program_line == 2


def test_the_error_in_a_last_line_after_a_blank_one_is_not_cut_off(program: str) -> None:
    broken = program.rstrip("\n") + "\n\n        return (\n"
    assert parse_reply(broken).program == broken


@pytest.mark.parametrize(
    "text", ["I cannot do that.", "```\nnothing to see\n```", '```json\n{"a": 1}\n```']
)
def test_a_reply_without_code_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="no code"):
        parse_reply(text)


@given(text=st.text(max_size=300))
def test_any_text_is_a_reply_or_an_input_error(text: str) -> None:
    try:
        assert parse_reply(text).program
    except InputError as error:
        assert str(error)


@given(parts=st.lists(st.sampled_from(["```", "```python", "import a", "x", "", "def f():"])))
def test_any_mix_of_fences_and_code_is_a_reply_or_an_input_error(parts: list[str]) -> None:
    lines = "\n".join(parts)
    try:
        reply = parse_reply(lines)
    except InputError:
        return
    shown = lines.split("\n")[reply.program_line - 1 :]
    assert reply.program.split("\n")[0] == shown[0]


@pytest.mark.cases
def test_every_recorded_reply_gives_a_program(cases_dir: Path) -> None:
    with gzip.open(cases_dir / "cases" / "recorded.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["reply"] for line in file]
    for text in filter(None, texts):
        reply = parse_reply(text)
        assert "class ModelNew" in reply.program
        ast.parse(reply.program)
        assert text.split("\n")[reply.program_line - 1] == reply.program.split("\n")[0]
