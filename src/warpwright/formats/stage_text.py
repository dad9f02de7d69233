"""The stage section of a request: text ⇄ `Stage`.

Reading knows our own wording (templates of the registry) and that of others (its phrases);
every bullet becomes rules, metric targets or prose, and what nothing covers is kept as an
`unchecked` rule. Rendering writes typed fields only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from warpwright.data.metrics import validate_metric_name
from warpwright.data.rules import validate_rule
from warpwright.data.stages import known_stage_names, stage_id_of_focus, stage_id_of_name
from warpwright.errors import InputError, Place
from warpwright.formats.documents import Line, fence_end, fence_of, fenced
from warpwright.formats.rule_phrases import plain_text, read_bullet
from warpwright.formats.rule_templates import read_rule, render_rule
from warpwright.types.stage import MetricTarget, ProgramKind, Rule, Stage, StageId

SECTION = "[OPTIMIZATION STAGE]"
_PROSE_HEADING = "Background (states no rule):"

MAX_ITEMS = 400
"""A stage with more bullets than this is refused: it is no stage."""

_BULLET = re.compile(r"(?P<indent>\s*)(?:[-*•▪‣◦·+]|\d{1,2}[.)])\s+(?P<text>\S.*)")
_LABEL = re.compile(r"\**\s*(?P<label>focus|stage|kind)\s*\**\s*:\s*\**\s*(?P<text>.*)", re.I)
_METRIC = re.compile(r"\b[A-Za-z][A-Za-z0-9]*__[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*")
_TARGET = re.compile(r"(?P<sign>[<>≤≥])\s*=?\s*(?P<number>\d{1,9}(?:\.\d{1,9})?)")
_SIGNS = {"<": "<", "≤": "<", ">": ">", "≥": ">"}
_METRICS_HEADING = re.compile(r"\bmetrics?\b", re.IGNORECASE)
_SUB_HEADING = re.compile(r"#{1,6}\s+(?P<text>.*)")


@dataclass(frozen=True, slots=True)
class _Item:
    """One bullet, paragraph line or code block of the stage, and the heading above it."""

    text: str
    line: int
    heading: str
    is_code: bool = False


@dataclass(slots=True)
class _Draft:
    """What has been read so far."""

    labels: dict[str, str] = field(default_factory=dict)
    items: list[_Item] = field(default_factory=list)


def _is_heading(text: str) -> bool:
    return text.rstrip("* ").endswith(":") and len(text) < 200


def _code_block(lines: Sequence[Line], start: int) -> tuple[str, int]:
    """Text of the fenced block that opens at `start`, and the index after it."""
    end = fence_end(lines, start)
    end = len(lines) if end is None else end
    return "\n".join(line.text for line in lines[start + 1 : end]), end + 1


def _nests(lines: Sequence[Line], index: int, indent: int) -> bool:
    """Whether the line after `index` is a bullet that stands deeper than `indent`."""
    following = _BULLET.fullmatch(lines[index + 1].text) if index + 1 < len(lines) else None
    return following is not None and len(following["indent"]) > indent


def _read_lines(lines: Sequence[Line]) -> _Draft:
    draft, heading, index = _Draft(), "", 0
    while index < len(lines):
        line = lines[index]
        text, bullet = line.text.strip(), _BULLET.fullmatch(line.text)
        label = None if bullet else _LABEL.fullmatch(text)
        sub_heading = _SUB_HEADING.fullmatch(text)
        if fence_of(line.text) is not None:
            code, index = _code_block(lines, index)
            draft.items.append(_Item(code, line.number, heading, is_code=True))
            continue
        if sub_heading is not None:
            heading = sub_heading["text"]
        elif label is not None and label["label"].lower() not in draft.labels:
            draft.labels[label["label"].lower()] = label["text"].strip("* ")
        elif bullet is not None:
            draft.items.append(_Item(bullet["text"].strip(), line.number, heading))
            if _is_heading(text) and _nests(lines, index, len(bullet["indent"])):
                heading = bullet["text"].strip()
        elif _is_heading(text):
            heading = text
        elif text:
            draft.items.append(_Item(text, line.number, heading))
        index += 1
    return draft


def _metric_targets(item: _Item, document: str | None) -> tuple[MetricTarget, ...]:
    names = list(_METRIC.finditer(item.text))
    targets = []
    for found, following in zip_longest(names, names[1:]):
        place = Place(document, SECTION, item.line)
        name = validate_metric_name(found.group(), place=place)
        tail = item.text[found.end() : following.start() if following else None]
        target = _TARGET.search(tail)
        if target is None:
            targets.append(MetricTarget(name))
        else:
            targets.append(MetricTarget(name, _SIGNS[target["sign"]], float(target["number"])))
    return tuple(targets)


def _read_item(item: _Item, document: str | None) -> Iterator[Rule | MetricTarget | str]:
    """The rules, metric targets and notes (as text) of one item."""
    if item.is_code:
        if item.text:
            yield item.text
        return
    if item.heading == _PROSE_HEADING:
        yield item.text
        return
    ours = read_rule(item.text)
    if ours is not None:
        yield replace(ours, text=item.text, line=item.line)
        return
    if _METRICS_HEADING.search(item.heading):
        targets = _metric_targets(item, document)
        yield from targets
        if targets:
            return
    found = read_bullet(item.text, item.heading)
    place = Place(document, SECTION, item.line)
    for rule in found.rules:
        if rule.id == "signal.metric":
            validate_metric_name(str(rule.parameters["metric"]), place=place)
        yield replace(validate_rule(rule, place=place), text=item.text, line=item.line)
    yield from found.notes


def _kind(labels: dict[str, str], lines: Sequence[Line], is_network: bool) -> ProgramKind:
    stated = labels.get("kind", "").lower()
    if stated in tuple(ProgramKind):
        return ProgramKind(stated)
    text = "\n".join(line.text for line in lines).lower()
    if is_network or "network" in text:
        return ProgramKind.NETWORK
    return ProgramKind.FUSION if re.search(r"\bfus(?:ed|ion)\b", text) else ProgramKind.SINGLE


def _stage_id(labels: dict[str, str]) -> StageId | None:
    by_name = stage_id_of_name(labels.get("stage", "").strip(" ."))
    return by_name or stage_id_of_focus(labels.get("focus", ""))


def _refuse_unknown(stage: Stage, place: Place) -> None:
    """A stage of which nothing is known is no stage: an error, not an empty contract."""
    if stage.id is not None or any(rule.is_checkable for rule in stage.rules):
        return
    raise InputError(
        "unknown stage: neither its focus nor any of its rules is one we know",
        place=place,
        expected="a Focus: line of one of the stages " + ", ".join(known_stage_names()),
        got=repr(stage.focus[:120]),
        hint="`stages` shows the stages and how their rules are written",
    )


def parse_stage(
    lines: Sequence[Line], *, line: int, document: str | None = None, is_network: bool = False
) -> Stage:
    """The stage that these lines state. `line` is that of the section's heading.

    `is_network` says that other parts of the request speak of a network. Raises `InputError`
    for an unknown metric, and where neither the focus nor any rule is known.
    """
    draft = _read_lines(lines)
    if len(draft.items) > MAX_ITEMS:
        raise InputError(
            "the stage has too many bullets",
            place=Place(document, SECTION, draft.items[MAX_ITEMS].line),
            expected=f"at most {MAX_ITEMS}",
            got=f"{len(draft.items):,}",
        )
    found = [part for item in draft.items for part in _read_item(item, document)]
    notes = [part for part in found if isinstance(part, str)]
    identifier, name = _stage_id(draft.labels), draft.labels.get("stage", "")
    if name and stage_id_of_name(name.strip(" .")) is None:
        notes.insert(0, plain_text(name))
    rules: list[Rule] = []
    for part in found:  # a rule said twice is one rule
        if isinstance(part, Rule) and part not in rules:
            rules.append(part)
    stage = Stage(
        id=identifier,
        kind=_kind(draft.labels, lines, is_network),
        focus=draft.labels.get("focus", ""),
        rules=tuple(rules),
        metrics=tuple(dict.fromkeys(part for part in found if isinstance(part, MetricTarget))),
        notes=tuple(dict.fromkeys(notes)),
    )
    _refuse_unknown(stage, Place(document, SECTION, line))
    return stage


def _render_metric(target: MetricTarget) -> str:
    if target.comparison is None or target.target is None:
        return f"- {target.metric}"
    number = f"{target.target:.9f}".rstrip("0").rstrip(".")
    return f"- {target.metric} (target {target.comparison} {number})"


def _render_note(note: str) -> str:
    is_one_line = "\n" not in note and note == note.strip() and fence_of(note) is None
    return f"- {note}" if is_one_line else fenced(note, "text")


def render_stage(stage: Stage) -> str:
    """The stage section, from typed fields, in our own wording."""
    lines = [SECTION]
    if stage.id is not None:
        lines.append(f"Stage: {stage.id}")
    lines.append(f"Kind: {stage.kind}")
    focus = " ".join(stage.focus.split())
    if focus:
        lines.append(f"Focus: {focus}")
    if stage.metrics:
        lines += ["", "Metrics:", *map(_render_metric, stage.metrics)]
    if stage.rules:
        lines += ["", "Rules:", *(f"- {render_rule(rule)}" for rule in stage.rules)]
    if stage.notes:
        lines += ["", _PROSE_HEADING, *map(_render_note, stage.notes)]
    return "\n".join(lines)
