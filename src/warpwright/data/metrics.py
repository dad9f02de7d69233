"""Names of Nsight Compute metrics: `metrics.toml` as types, and the check of a name."""

from __future__ import annotations

import difflib
import re
import tomllib
from functools import cache, lru_cache
from importlib import resources

from pydantic import BaseModel, ConfigDict, ValidationError

from warpwright.errors import InputError, InternalError, Place

_NAME = re.compile(
    r"(?:(?:breakdown|pmsampling):)?"
    r"([A-Za-z][A-Za-z0-9]*)__([A-Za-z0-9_]+)((?:\.[a-z0-9_]+)*)"
)
_MAX_NAME_CHARS = 200
_NEAR = 0.8
_MIN_NEAR_CHARS = 4
_LAUNCH_NEAR = 0.92


class RetiredMetric(BaseModel):
    """A metric that no supported GPU has, under which name it lives on, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    successor: str
    reason: str


class _MetricsFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    units: list[str]
    suffixes: list[str]
    quantities: list[str]
    unlisted_units: list[str]
    default: list[str]
    retired: list[RetiredMetric]
    groups: dict[str, list[str]]


@cache
def _file() -> _MetricsFile:
    text = resources.files("warpwright.data").joinpath("metrics.toml").read_text(encoding="utf-8")
    try:
        return _MetricsFile.model_validate(tomllib.loads(text))
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise InternalError(f"metrics.toml: {error}") from error


@cache
def _quantities() -> frozenset[str]:
    return frozenset(_file().quantities) | {retired.name for retired in _file().retired}


@cache
def _suffix_parts() -> frozenset[str]:
    return frozenset(part for suffix in _file().suffixes for part in suffix.split("."))


@cache
def _words() -> frozenset[str]:
    """Every word of a listed quantity, its unit left out."""
    return frozenset(
        word for name in _quantities() for word in re.split(r"_+", name.split("__", 1)[1])
    )


def retired_metric(name: str) -> RetiredMetric | None:
    """What is known of a metric that no supported GPU has; None for every other name.

    Suffixes such as `.pct` do not matter.
    """
    base = name.split(".", 1)[0]
    return next((retired for retired in _file().retired if retired.name == base), None)


def default_metrics() -> tuple[str, ...]:
    """What a profile holds where nobody names metrics."""
    return tuple(_file().default)


def metric_groups() -> dict[str, tuple[str, ...]]:
    """Group name → its metrics, for those who do not want to name each."""
    return {name: tuple(metrics) for name, metrics in _file().groups.items()}


def listed_by_ncu(name: str) -> bool:
    """Whether `ncu --query-metrics` would list the metric if this ncu and GPU have it."""
    return name.split("__", 1)[0] not in _file().unlisted_units


@lru_cache(maxsize=4096)
def _nearest(word: str, known: frozenset[str]) -> str | None:
    near = difflib.get_close_matches(word, sorted(known), n=1, cutoff=_NEAR)
    return near[0] if near and min(len(word), len(near[0])) >= _MIN_NEAR_CHARS else None


def _misspelt_word(quantity: str) -> bool:
    """Whether a word of the quantity is not a known one but nearly so."""
    words = [word for word in quantity.split("_") if word and not word.isdigit()]
    return any(word not in _words() and _nearest(word, _words()) for word in words)


def _refuse(name: str, place: Place | None, near: str | None) -> InputError:
    return InputError(
        "unknown metric",
        place=place,
        expected="a name of Nsight Compute, such as lts__t_sector_hit_rate.pct",
        got=repr(name[:_MAX_NAME_CHARS]),
        hint=f"did you mean {near}?" if near else "`ncu --query-metrics` lists the names",
    )


def _could_be_a_metric(unit: str, quantity: str) -> bool:
    """Whether a quantity that is not listed may still be one of Nsight Compute's."""
    if unit == "launch":  # few names, none made of parts: nearly one of them is a slip
        base = f"{unit}__{quantity}"
        return not difflib.get_close_matches(base, sorted(_quantities()), 1, _LAUNCH_NEAR)
    return unit in _file().units and not _misspelt_word(quantity)


@lru_cache(maxsize=4096)
def _problem(name: str) -> tuple[bool, str | None]:
    """Whether the name is wrong, and a near right one."""
    found = _NAME.fullmatch(name)
    if found is None:
        near = difflib.get_close_matches(name.split(".", 1)[0], sorted(_quantities()), n=1)
        return True, near[0] if near else None
    unit, quantity, suffix = found.groups()
    base = f"{unit}__{quantity}"
    parts = [part for part in suffix.split(".") if part]
    wrong_parts = [part for part in parts if part not in _suffix_parts()]
    if wrong_parts:
        fixed = [_nearest(part, _suffix_parts()) or part for part in parts]
        return True, ".".join((base, *fixed)) if fixed != parts else None
    if base in _quantities() or _could_be_a_metric(unit, quantity):
        return False, None
    near_bases = difflib.get_close_matches(base, sorted(_quantities()), n=1, cutoff=0.6)
    return True, near_bases[0] + suffix if near_bases else None


def validate_metric_name(name: str, *, place: Place | None = None) -> str:
    """The name itself where it is one that Nsight Compute could have written.

    Raises `InputError` that suggests a near name for a misspelt or malformed one. Retired names
    pass; `retired_metric` tells of them.
    """
    if len(name) > _MAX_NAME_CHARS:
        raise _refuse(name, place, None)
    is_wrong, near = _problem(name)
    if is_wrong:
        raise _refuse(name, place, near)
    return name
