"""Foreign wording of rules: one bullet of a stage text to typed rules and prose.

The phrases of the rule registry are searched in the bullet without its markdown. A bullet may
state several rules. It is cut into clauses, and a clause that no phrase, restatement or prose
pattern covers becomes an `unchecked` rule of its own: nothing is dropped.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from warpwright.data.rules import (
    CheckedBy,
    Phrase,
    RuleDefinition,
    reading,
    rule_definition,
    rule_definitions,
    scopes,
)
from warpwright.types.stage import ParameterValue, Rule

MAX_BULLET_CHARS = 1000
"""Bullets longer than this are not searched for rules; they are kept as unchecked."""

Span = tuple[int, int]
Parameters = dict[str, ParameterValue]


@dataclass(frozen=True, slots=True)
class BulletReading:
    """What one bullet states: rules (unchecked ones among them) and prose."""

    rules: tuple[Rule, ...] = ()
    notes: tuple[str, ...] = ()


_DASHES = str.maketrans({"–": "-", "—": "-", "−": "-", "‑": "-", "\u00a0": " "})
_OPENING, _CLOSING = "([{", ")]}"
_CLAUSE_BREAK = re.compile(
    r"; |\. (?=\S)| - |, (?=(?:and|but|always|never|do not|don't|must|no) )", re.IGNORECASE
)
_CONDITIONAL = re.compile(r"(?:if|when|for|unless)\b", re.IGNORECASE)


def plain_text(text: str) -> str:
    """A bullet without markdown, pictographs and odd spaces; the case stays."""
    kept = "".join(
        ch for ch in text if ch not in "\ufe0e\ufe0f" and unicodedata.category(ch) != "So"
    )
    kept = kept.replace("**", "").replace("`", "").translate(_DASHES)
    return " ".join(kept.split())


def _clauses(text: str) -> list[Span]:
    """Spans of the clauses. No break inside brackets, nor between a condition and its rule."""
    depth, depths = 0, []
    for ch in text:
        depth += (ch in _OPENING) - (ch in _CLOSING)
        depths.append(max(depth, 0))
    spans, start = [], 0
    for found in _CLAUSE_BREAK.finditer(text):
        is_condition = found.group()[0] == "," and _CONDITIONAL.match(text, start) is not None
        if depths[found.start()] == 0 and not is_condition:
            spans.append((start, found.start()))
            start = found.end()
    spans.append((start, len(text)))
    return [span for span in spans if text[slice(*span)].strip(" .!")]


def _overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


def _says(pattern: str | None, text: str) -> bool:
    return pattern is not None and _pattern(pattern).search(text) is not None


def _integers(text: str, *, powers: bool) -> tuple[int, ...]:
    numbers = [int(item) for item in re.findall(r"\d{1,9}", text)]
    if re.fullmatch(r"\s*\d+\s*(?:-|and)\s*\d+\s*", text) and len(numbers) == 2:
        low, high = numbers
        span = range(low, min(high, low + 4096) + 1)
        return tuple(n for n in span if not powers or n & (n - 1) == 0) or (low,)
    return tuple(numbers)


def _blocks(text: str) -> tuple[str, ...]:
    """`BLOCK_M/N` → BLOCK_M, BLOCK_N; `M/N` → the same."""
    names = [name.strip().upper() for name in text.split("/")]
    return tuple(name if name.startswith("BLOCK") else f"BLOCK_{name}" for name in names)


def _value(text: str, type_name: str) -> ParameterValue:
    if type_name == "int":
        return int(text[:18])
    if type_name == "float":
        return float(text[:18])
    if type_name in ("ints", "powers"):
        return _integers(text, powers=type_name == "powers")
    if type_name == "blocks":
        return _blocks(text)
    if type_name == "words":
        return tuple(word.strip().lower() for word in re.split(r"[/,]", text))
    return text.strip() if type_name in ("text", "token") else " ".join(text.lower().split())


def _found_parameters(
    found: re.Match[str], constants: Mapping[str, ParameterValue], definition: RuleDefinition
) -> Parameters:
    values: Parameters = {k: v for k, v in constants.items() if k in definition.parameters}
    for name, text in found.groupdict().items():
        if text is not None and name in definition.parameters:
            values[name] = _value(text, definition.parameters[name].type)
    return values


def _phrase_matches(
    phrase: Phrase, text: str, clauses: list[Span], heading: str
) -> Iterator[re.Match[str]]:
    if phrase.under is not None and not _says(phrase.under, heading):
        return
    for found in _pattern(phrase.match).finditer(text):
        touched = " ".join(text[slice(*span)] for span in clauses if _overlap(span, found.span()))
        if _says(phrase.unless, touched):
            continue
        if phrase.only is None or _says(phrase.only, touched):
            yield found


def _rule_matches(
    rule_id: str, text: str, clauses: list[Span], heading: str
) -> Iterator[tuple[Span, Parameters]]:
    definition = rule_definition(rule_id)
    taken: list[Span] = []
    for phrase in definition.phrases:
        for found in _phrase_matches(phrase, text, clauses, heading):
            if not found.group() or any(_overlap(found.span(), span) for span in taken):
                continue
            taken.append(found.span())
            values = _found_parameters(found, phrase.set, definition)
            for name, source in phrase.copies.items():
                if name not in values and source in values:
                    values[name] = values[source]
            yield found.span(), values


def _scope_parameters(text: str, definition: RuleDefinition) -> Parameters:
    values: Parameters = {}
    for scope in scopes():
        found = _pattern(scope.match).search(text)
        if found is not None:
            values |= _found_parameters(found, scope.set, definition)
    return values


def _in_scope(rule_id: str, values: Parameters, text: str, heading: str) -> Rule | None:
    """The rule with the parameters of its scopes; None where its condition cannot be kept.

    Under a heading such as "If ...:" a rule that cannot hold the condition would be read as
    unconditional, which the request did not say.
    """
    definition = rule_definition(rule_id)
    inherited = _scope_parameters(heading, definition)
    conditional = _CONDITIONAL.match(heading) is not None
    if conditional and not inherited and definition.checked is not CheckedBy.ADVICE:
        return None
    return Rule(rule_id, _scope_parameters(text, definition) | inherited | values)


def _is_prose(clause: str, heading: str) -> bool:
    patterns = reading()
    return any(_says(p, clause) for p in patterns.note_phrases) or any(
        _says(p, heading) for p in patterns.note_headings
    )


def _unchecked(text: str, heading: str) -> Rule:
    told = f"{heading} {text}" if _CONDITIONAL.match(heading) else text
    return Rule("unchecked", {"text": told})


def _is_complete(rule: Rule) -> bool:
    required = (k for k, v in rule_definition(rule.id).parameters.items() if not v.optional)
    return all(name in rule.parameters for name in required)


@lru_cache(maxsize=4096)
def read_bullet(text: str, heading: str = "") -> BulletReading:
    """The rules and prose of one bullet in foreign wording, under a heading of the stage."""
    plain, above = plain_text(text), plain_text(heading)
    if len(text) > MAX_BULLET_CHARS or not plain:
        return BulletReading(rules=(_unchecked(" ".join(text.split()), above),) if plain else ())
    clauses = _clauses(plain) or [(0, len(plain))]
    matches: list[tuple[Span, Rule]] = []
    for rule_id in rule_definitions():
        for span, values in _rule_matches(rule_id, plain, clauses, above):
            rule = _in_scope(rule_id, values, plain, above)
            if rule is not None and _is_complete(rule):
                matches.append((span, rule))
    matches.sort(key=lambda match: match[0][0])
    if not matches:
        if _is_prose(plain, above):
            return BulletReading(notes=(plain,))
        return BulletReading(rules=(_unchecked(plain, above),))
    return _with_leftovers(plain, above, clauses, matches)


def _with_leftovers(
    plain: str, heading: str, clauses: list[Span], matches: list[tuple[Span, Rule]]
) -> BulletReading:
    rules, notes = [rule for _, rule in matches], []
    for clause_span in clauses:
        if any(_overlap(clause_span, span) for span, _ in matches):
            continue
        clause = re.sub(r"^(?:and|but) ", "", plain[slice(*clause_span)].strip(" .!"))
        if any(_says(p, clause) for p in reading().restatements):
            continue
        if _is_prose(clause, heading):
            notes.append(clause)
        else:
            rules.append(_unchecked(clause, heading))
    return BulletReading(tuple(rules), tuple(notes))
