"""Our own wording of a rule, written and read back: the templates of the rule registry.

A template is plain text with `{name}` for a parameter, `<...>` for a part that is there when
every parameter in it is, and `{name!}` for a flag that its part stands for. The same template
writes a rule and, as a regular expression, reads it, so what we render parses to equal rules.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache

from warpwright.data.rules import RuleDefinition, rule_definition, rule_definitions, validate_rule
from warpwright.types.stage import ParameterValue, Rule

_MAX_RULE_CHARS = 8000

_PART = re.compile(r"<(?P<part>[^<>]*)>|\{(?P<name>\w+)(?P<flag>!?)\}")
_NUMBER = r"-?\d{1,18}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,3})?"
_PATTERNS = {
    "int": r"-?\d{1,18}",
    "float": _NUMBER,
    "token": r"[^\s,(){}\"]+",
    "word": r"[^\s,(){}\"]+(?: [^\s,(){}\"]+)*?",
    "text": r'"(?:[^"\\]|\\.)*"',
    "ints": r"\{-?\d{1,18}(?:, -?\d{1,18})*\}",
    "powers": r"\{-?\d{1,18}(?:, -?\d{1,18})*\}",
    "words": r"\{[^,{}\"]+(?:, [^,{}\"]+)*\}",
    "blocks": r"[^\s,(){}\"]+(?:, [^\s,(){}\"]+)*?",
}


@dataclass(frozen=True, slots=True)
class _Compiled:
    rule_id: str
    pattern: re.Pattern[str]
    flags: tuple[str, ...]


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(value)


def _write_value(value: ParameterValue, type_name: str) -> str:
    if isinstance(value, tuple):
        joined = ", ".join(map(str, value))
        return joined if type_name == "blocks" else f"{{{joined}}}"
    if type_name == "text":
        return json.dumps(value, ensure_ascii=False)
    return _number(value) if isinstance(value, float) else str(value)


def _read_value(text: str, type_name: str) -> ParameterValue:
    if type_name == "int":
        return int(text)
    if type_name == "float":
        return float(text)
    if type_name == "text":
        return str(json.loads(text))
    if type_name in ("ints", "powers"):
        return tuple(int(item) for item in text[1:-1].split(", "))
    if type_name == "words":
        return tuple(text[1:-1].split(", "))
    return tuple(text.split(", ")) if type_name == "blocks" else text


def _fill(template: str, rule: Rule, definition: RuleDefinition) -> str:
    def write(found: re.Match[str]) -> str:
        part, name = found["part"], found["name"]
        if part is not None:
            names = [inner["name"] for inner in _PART.finditer(part)]
            present = all(rule.parameters.get(inner) is not None for inner in names)
            return _fill(part, rule, definition) if present else ""
        if found["flag"]:
            return ""
        return _write_value(rule.parameters[name], definition.parameters[name].type)

    return _PART.sub(write, template)


def render_rule(rule: Rule) -> str:
    """The rule as one bullet of ours. Raises `InputError` where it does not fit the registry."""
    validate_rule(rule)
    definition = rule_definition(rule.id)
    return _fill(definition.template, rule, definition)


def _template_pattern(template: str, definition: RuleDefinition) -> str:
    pieces, position = [], 0
    for found in _PART.finditer(template):
        pieces.append(re.escape(template[position : found.start()]))
        position = found.end()
        if found["part"] is not None:
            pieces.append(f"(?:{_template_pattern(found['part'], definition)})?")
        elif found["flag"]:
            pieces.append(f"(?P<{found['name']}>)")
        else:
            pieces.append(
                f"(?P<{found['name']}>{_PATTERNS[definition.parameters[found['name']].type]})"
            )
    pieces.append(re.escape(template[position:]))
    return "".join(pieces)


@cache
def _compiled() -> tuple[_Compiled, ...]:
    return tuple(
        _Compiled(
            rule_id,
            re.compile(_template_pattern(definition.template, definition)),
            tuple(name for name, spec in definition.parameters.items() if spec.type == "flag"),
        )
        for rule_id, definition in rule_definitions().items()
    )


def _try_values(
    groups: dict[str, str | None], definition: RuleDefinition
) -> dict[str, ParameterValue] | None:
    values: dict[str, ParameterValue] = {}
    for name, text in groups.items():
        if text is None:
            continue
        type_name = definition.parameters[name].type
        try:
            values[name] = True if type_name == "flag" else _read_value(text, type_name)
        except ValueError:  # e.g. a bad escape in quoted text: not our wording
            return None
    return values


def read_rule(text: str) -> Rule | None:
    """The rule that a bullet in our own wording states; None for every other bullet."""
    for compiled in _compiled():
        if len(text) > _MAX_RULE_CHARS and compiled.rule_id != "unchecked":
            continue
        found = compiled.pattern.fullmatch(text)
        if found is not None:
            values = _try_values(found.groupdict(), rule_definition(compiled.rule_id))
            return None if values is None else Rule(compiled.rule_id, values)
    return None
