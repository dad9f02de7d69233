"""The rule registry: `rules.toml` as types, and the check that a rule's parameters fit it.

The table ships with the package; a broken table is a bug of ours (`InternalError`).
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from warpwright.errors import InputError, InternalError, Place
from warpwright.types.stage import ParameterValue, Rule


class CheckedBy(StrEnum):
    """What a rule is checked by; the last two never fail a candidate."""

    DIFFERENCE = "difference"
    CONFIGS = "configs"
    MEASUREMENT = "measurement"
    ADVICE = "advice"
    UNCHECKED = "unchecked"


TypeName = Literal[
    "int", "float", "flag", "token", "word", "text", "ints", "powers", "words", "blocks"
]


@dataclass(frozen=True, slots=True)
class ParameterType:
    """Type of one parameter of a rule, and whether it may be absent."""

    type: TypeName
    optional: bool


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def _parameter_type(value: object) -> object:
    if not isinstance(value, str):
        return value
    return {"type": value.removesuffix("?"), "optional": value.endswith("?")}


ParameterSpec = Annotated[ParameterType, BeforeValidator(_parameter_type)]
Constant = int | float | str | bool


class Phrase(_Table):
    """A foreign wording of a rule; the head of `rules.toml` explains the fields."""

    match: str
    set: dict[str, Constant] = {}
    unless: str | None = None
    only: str | None = None
    under: str | None = None
    copies: dict[str, str] = Field(default={}, alias="copy")


class Scope(_Table):
    """Parameters that a heading or a bullet gives to all its rules."""

    match: str
    set: dict[str, Constant] = {}


class RuleDefinition(_Table):
    """One entry of the registry."""

    parameters: dict[str, ParameterSpec]
    meaning: str
    checked: CheckedBy
    template: str
    phrases: list[Phrase] = []


class WordingTable(_Table):
    """Wording that is no rule: what only repeats, and what is prose."""

    restatements: list[str]
    note_headings: list[str]
    note_phrases: list[str]


class _RulesFile(_Table):
    reading: WordingTable
    scope: list[Scope]
    rule: dict[str, RuleDefinition]


@cache
def _file() -> _RulesFile:
    text = resources.files("warpwright.data").joinpath("rules.toml").read_text(encoding="utf-8")
    try:
        return _RulesFile.model_validate(tomllib.loads(text))
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise InternalError(f"rules.toml: {error}") from error


def rule_definitions() -> Mapping[str, RuleDefinition]:
    """Every rule by id, in the order of the table."""
    return _file().rule


def scopes() -> tuple[Scope, ...]:
    """The scopes, in the order of the table."""
    return tuple(_file().scope)


def reading() -> WordingTable:
    """The wording that is no rule."""
    return _file().reading


def rule_definition(rule_id: str, *, place: Place | None = None) -> RuleDefinition:
    """The entry of a rule. Raises `InputError` with near ids where there is none."""
    found = rule_definitions().get(rule_id)
    if found is not None:
        return found
    near = difflib.get_close_matches(rule_id[:100], rule_definitions(), n=3)
    raise InputError(
        "unknown rule",
        place=place,
        expected="an id of the rule registry",
        got=repr(rule_id[:100]),
        hint=f"did you mean {' or '.join(near)}?" if near else "`stages --json` lists all rules",
    )


_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "flag": (bool,),
    "token": (str,),
    "word": (str,),
    "text": (str,),
}


def _fits(value: ParameterValue, type_name: str) -> bool:
    if type_name in _PYTHON_TYPES:
        is_bool = isinstance(value, bool)
        return isinstance(value, _PYTHON_TYPES[type_name]) and is_bool == (type_name == "flag")
    item = int if type_name in ("ints", "powers") else str
    return isinstance(value, tuple) and bool(value) and all(isinstance(v, item) for v in value)


def validate_rule(rule: Rule, *, place: Place | None = None) -> Rule:
    """The rule itself, where its id and parameters fit the registry; else `InputError`."""
    definition = rule_definition(rule.id, place=place)
    for name, value in rule.parameters.items():
        spec = definition.parameters.get(name)
        if spec is None or not _fits(value, spec.type):
            raise InputError(
                f"rule {rule.id} does not take {name} = {value!r}",
                place=place,
                expected=", ".join(f"{k}: {v.type}" for k, v in definition.parameters.items()),
            )
    missing = [k for k, v in definition.parameters.items() if not v.optional]
    missing = [name for name in missing if name not in rule.parameters]
    if missing:
        raise InputError(f"rule {rule.id} lacks {', '.join(missing)}", place=place)
    return rule
