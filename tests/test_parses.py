"""A text is read once: how often one verdict parses, and that what is held stays as it was read."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from parses import PROGRAM, REPLIES, forget, parsed, text_alone

from warpwright.errors import InputError
from warpwright.program.difference.difference import difference
from warpwright.program.edit.config_edit import set_configs
from warpwright.program.parsed import parse_program
from warpwright.program.view import read_program
from warpwright.types.config import Config

MOST = 14
"""Two programs, the reply around one, and a few texts that no node is left of."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARPWRIGHT_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "parses"))
        yield


@pytest.mark.parametrize("reply", REPLIES)
def test_a_verdict_on_the_text_parses_each_program_once(reply: str) -> None:
    found = parsed("text alone", REPLIES[reply])
    programs = [count for site, count in found.items() if "program/parsed.py" in site]
    assert programs == [2], found
    assert found.total() <= MOST, found


@pytest.mark.triton
@pytest.mark.parametrize("reply", REPLIES)
def test_a_whole_verdict_parses_each_program_once(reply: str) -> None:
    found = parsed("whole check", REPLIES[reply])
    assert found.total() <= MOST, found


def test_a_second_reader_is_given_the_same_program() -> None:
    forget()
    first = parse_program(PROGRAM)
    assert parse_program(PROGRAM, document="other.py", first_line=7) is first
    assert read_program(PROGRAM) is read_program(PROGRAM, document="other.py", first_line=7)


def test_an_error_is_told_in_the_lines_of_each_document() -> None:
    for document, first_line in (("one.py", 1), ("two.txt", 41)):
        with pytest.raises(InputError) as caught:
            read_program("x = 1\ny = (\n", document=document, first_line=first_line)
        place = caught.value.place
        assert (place.document, place.line) == (document, first_line + 1)


def test_what_is_held_stays_as_it_was_read() -> None:
    """Checks, comparisons and edits change copies alone; `proposers/rewrites` shows the same."""
    texts = [PROGRAM, *REPLIES.values()]
    forget()
    before = [_dumps(text) for text in texts]
    held = [parse_program(text) for text in texts]
    for text in texts:
        text_alone(text)
        difference(PROGRAM, text)
        set_configs(text, "product_kernel", [Config((("BM", 16), ("BN", 16), ("BK", 16)))])
    assert [_dumps(text) for text in texts] == before
    assert [parse_program(text) for text in texts] == held  # no other ones took their place


def _dumps(text: str) -> tuple[str, str]:
    program = parse_program(text)
    trees = (program.tree, program.written)
    tree, written = (ast.dump(found, include_attributes=True) for found in trees)
    return tree, written
