"""The `OUTPUT RULES` and `API CONSTRAINTS` sections: text ⇄ `OutputRules` and constraints.

A line of the output rules that no field holds is handed on as a constraint, never dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from warpwright.formats.documents import Line, fence_end, fence_of
from warpwright.types.request import OutputRules

_ITEM = re.compile(r"\s*(?:(?:\d{1,2}[.)]|[-*•])\s+)?(?P<text>\S.*)")
_ORDER = re.compile(r"\bin this (?:exact )?order\b|\bexact order\b", re.IGNORECASE)
_FORBIDDEN = re.compile(r"do not include\s*:\s*(?P<names>.+)", re.IGNORECASE)
_IMPORTS = re.compile(r"imports?\s*:\s*(?P<names>.+)", re.IGNORECASE)
_CLASS = re.compile(r"\bclass (?P<name>[A-Za-z_]\w*)")
_MODULE = re.compile(r"[A-Za-z_][\w.]*")
_SECTIONS = (
    ("imports", re.compile(r"imports?\b", re.IGNORECASE)),
    ("model", re.compile(r"(?:the )?(?:class|model)\b", re.IGNORECASE)),
    ("wrappers", re.compile(r"(?:the )?(?:wrappers?|host)\b", re.IGNORECASE)),
    ("kernels", re.compile(r"@?triton\.jit\b|(?:the )?kernels?\b", re.IGNORECASE)),
)
_OURS = {
    "kernels": "Kernels, decorated with @triton.jit",
    "wrappers": "Wrapper functions that compute the grid and launch the kernels",
}


def _section_of(text: str) -> str | None:
    return next((name for name, pattern in _SECTIONS if pattern.match(text.lstrip("`*"))), None)


def _modules(names: str) -> tuple[str, ...]:
    """`torch, triton.language as tl` → torch, triton.language."""
    found = (_MODULE.match(name.strip(" `*")) for name in names.split(","))
    return tuple(match.group() for match in found if match is not None)


def text_items(lines: Sequence[Line]) -> Iterator[str]:
    """The text of each bullet or plain line; code blocks are left out."""
    index = 0
    while index < len(lines):
        if fence_of(lines[index].text) is not None:
            end = fence_end(lines, index)
            index = len(lines) if end is None else end + 1
            continue
        found = _ITEM.fullmatch(lines[index].text)
        if found is not None:
            yield found["text"].strip()
        index += 1


def parse_output_rules(lines: Sequence[Line]) -> tuple[OutputRules, tuple[str, ...]]:
    """The output rules, and the lines that no field of them holds."""
    sections, rest = list[str](), list[str]()
    imports: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    model_class = OutputRules().model_class
    for text in text_items(lines):
        stated, named = _FORBIDDEN.match(text), _section_of(text)
        if stated is not None:
            forbidden += tuple(name.strip() for name in stated["names"].split(",") if name.strip())
        elif named is not None and named not in sections:
            sections.append(named)
            listed, defined = _IMPORTS.match(text), _CLASS.search(text)
            if named == "imports" and listed is not None:
                imports = _modules(listed["names"])
            if named == "model" and defined is not None:
                model_class = defined["name"]
        elif not _ORDER.search(text):
            rest.append(text)
    return OutputRules(tuple(sections), imports, forbidden, model_class), tuple(rest)


def _render_section(name: str, rules: OutputRules) -> str:
    if name == "imports":
        return f"Imports: {', '.join(rules.imports)}" if rules.imports else "Imports"
    if name == "model":
        return f"class {rules.model_class}(nn.Module), which calls the kernels"
    return _OURS.get(name, name)


def render_output_rules(rules: OutputRules) -> str:
    """The section in our own wording, with the empty code block that closes a request."""
    lines = ["OUTPUT RULES (STRICT):", "1. One code block with the whole program, in this order:"]
    lines += [
        f"   {number}. {_render_section(name, rules)}"
        for number, name in enumerate(rules.sections, 1)
    ]
    if rules.forbidden:
        lines.append(f"2. Do NOT include: {', '.join(rules.forbidden)}")
    return "\n".join([*lines, "", "```python", "# the faster program", "```"])


def parse_constraints(lines: Sequence[Line], rest: str) -> tuple[str, ...]:
    """One constraint a bullet; `rest` is what stands on the heading's line."""
    return tuple(text for text in (rest.strip(), *text_items(lines)) if text)


def render_constraints(constraints: Sequence[str]) -> str:
    return "\n".join(["API CONSTRAINTS:", *(f"- {text}" for text in constraints)])
