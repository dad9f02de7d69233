import pytest
from hypothesis import given
from hypothesis import strategies as st
from texts import replace_once

from warpwright.errors import InputError
from warpwright.formats.kernelbench import read_problem

MODEL = """import torch

class Model(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.width = width

    def forward(self, x):
        return x * self.width
"""
INPUTS = "\ndef get_inputs():\n    return [torch.randn(8)]\n"
INIT = "\ndef get_init_inputs():\n    return [3]\n"


def refused(source: str) -> InputError:
    with pytest.raises(InputError) as caught:
        read_problem(source, document="layer.py")
    return caught.value


def test_a_problem_file_is_kept_as_text_and_not_run() -> None:
    source = MODEL + INPUTS + INIT + "\nraise SystemExit\n"
    problem = read_problem(source, document="layer.py")
    assert problem.source == source
    assert problem.has_reference
    assert problem.origin == "layer.py"


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        (MODEL + INIT, "get_inputs"),
        (MODEL + INPUTS, "get_init_inputs"),
        (INPUTS + INIT, "Model"),
    ],
)
def test_what_is_missing_is_named_and_shown(source: str, missing: str) -> None:
    error = refused(source)
    assert error.what == f"the problem file has no {missing}"
    assert error.expected is not None
    assert missing in error.expected


def test_a_model_without_arguments_needs_no_init_inputs() -> None:
    source = replace_once(MODEL, "self, width", "self, width=2") + INPUTS
    assert read_problem(source).source == source


def test_names_may_be_bound_in_any_ordinary_way() -> None:
    source = "from layers import Model\nif True:\n    get_inputs = lambda: []\n"
    assert read_problem(source).source == source


def test_a_candidate_program_is_not_taken_for_a_problem() -> None:
    error = refused("class ModelNew:\n    pass\n")
    assert error.hint is not None
    assert "candidate" in error.hint


def test_a_syntax_error_is_told_in_the_lines_of_the_document() -> None:
    with pytest.raises(InputError, match="syntax error") as caught:
        read_problem("x = 1\ny = (\n", document="r.txt", section="[PROBLEM]", first_line=10)
    assert caught.value.place.line == 11
    assert caught.value.place.section == "[PROBLEM]"


@pytest.mark.parametrize(
    "source",
    ["(" * 10_000, "-" * 50_000 + "1", "1" + "+1" * 50_000, "x" + ".x" * 50_000, "9" * 10_000],
)
def test_sources_made_to_exhaust_the_parser_are_refused(source: str) -> None:
    refused(source)


@given(text=st.text(max_size=200))
def test_any_text_is_a_problem_or_an_input_error(text: str) -> None:
    try:
        read_problem(text)
    except InputError as error:
        assert str(error)
