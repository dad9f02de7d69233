"""Boards of other makers: known by name, so that one sentence can say why they are no target."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import resources

from pydantic import BaseModel, ConfigDict, ValidationError

from warpwright.errors import InternalError

ONLY_NVIDIA = "Warpwright supports NVIDIA GPUs only"


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Maker(_Row):
    name: str
    words: list[str]
    pattern: str


class _OtherBoard(_Row):
    name: str
    known: str
    source: str


class _MakersFile(_Row):
    maker: list[_Maker]
    board: list[_OtherBoard]


@cache
def _makers_file() -> _MakersFile:
    text = resources.files("warpwright.gpus").joinpath("other_makers.toml").read_text("utf-8")
    try:
        return _MakersFile.model_validate(tomllib.loads(text))
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise InternalError(f"other_makers.toml: {error}") from error


def other_maker(name: str) -> str | None:
    """One sentence that refuses a board of another maker; None for every other name.

    It says the maker, and what is known of the board where the table has it.
    """
    words = re.findall(r"[a-z0-9]+", name[:100].casefold())
    maker = next((maker for maker in _makers_file().maker if _is_of(words, maker)), None)
    if maker is None:
        return None
    joined = "".join(words)
    boards = _makers_file().board
    known = next((b for b in boards if b.name.casefold().replace(" ", "") in joined), None)
    facts = "" if known is None else f" ({known.known})"
    return f"{name.strip()[:80]!r} is a GPU of {maker.name}{facts}: {ONLY_NVIDIA}"


def _is_of(words: list[str], maker: _Maker) -> bool:
    if any(word in maker.words for word in words):
        return True
    return re.fullmatch(maker.pattern, " ".join(words)) is not None
