"""Writing configs: in the style of the list they join, or in a plain one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import libcst as cst

from warpwright.types.config import Config

MAX_COLUMNS = 100

_DEFAULTS = {"num_warps": 4, "num_stages": 3, "num_ctas": 1, "maxnreg": None}


@dataclass(frozen=True, slots=True)
class ConfigStyle:
    """How configs are written: `function` is "triton.Config" or its alias; `order` is the
    order of meta-parameters; `template` is an existing config that new ones copy."""

    function: str
    quote: str
    order: tuple[str, ...]
    template: cst.Call | None = None


def write_config(config: Config, style: ConfigStyle, indent: int) -> str:
    """The config as source; `indent` is the column at which it will stand."""
    if style.template is not None:
        written = _like(style.template, config)
        if written is not None:
            return written
    return _plain(config, style, indent)


def _plain(config: Config, style: ConfigStyle, indent: int) -> str:
    quote = style.quote
    meta = config.meta_dict
    names = [name for name in style.order if name in meta]
    names += [name for name in meta if name not in names]
    pairs = ", ".join(f"{quote}{name}{quote}: {_value(meta[name], quote)}" for name in names)
    arguments = ["{" + pairs + "}"]
    arguments += [f"num_warps={config.num_warps}", f"num_stages={config.num_stages}"]
    if config.num_ctas != 1:
        arguments.append(f"num_ctas={config.num_ctas}")
    if config.maxnreg is not None:
        arguments.append(f"maxnreg={config.maxnreg}")
    if config.pre_hook is not None:
        arguments.append(f"pre_hook={config.pre_hook}")
    arguments += [f"{name}={text}" for name, text in config.others]
    line = f"{style.function}({', '.join(arguments)})"
    if indent + len(line) < MAX_COLUMNS:
        return line
    inner = "\n".join(f"{' ' * (indent + 4)}{argument}," for argument in arguments)
    return f"{style.function}(\n{inner}\n{' ' * indent})"


def _value(value: object, quote: str) -> str:
    plain = isinstance(value, str) and value.isprintable() and not {"\\", quote} & {*value}
    return f"{quote}{value}{quote}" if plain else repr(value)


def _like(template: cst.Call, config: Config) -> str | None:
    """The template with the config's values; None where the config does not fit it."""
    meta = config.meta_dict
    seen: set[str] = set()
    arguments: list[cst.Arg] = []
    for index, argument in enumerate(template.args):
        name = argument.keyword.value if argument.keyword else None
        if (index == 0 and name is None) or name == "kwargs":
            mapping = _mapping_like(argument.value, meta)
            if mapping is None:
                return None
            arguments.append(argument.with_changes(value=mapping))
        elif name == "pre_hook":
            seen.add(name)
            if config.pre_hook is not None:
                hook = cst.parse_expression(config.pre_hook)
                arguments.append(argument.with_changes(value=hook))
        elif name in _DEFAULTS and getattr(config, name) is not None:
            seen.add(name)
            value = cst.parse_expression(repr(getattr(config, name)))
            arguments.append(argument.with_changes(value=value))
        else:
            return None
    unsaid = set(_DEFAULTS) - seen
    hook_unsaid = config.pre_hook is not None and "pre_hook" not in seen
    if hook_unsaid or config.others or any(getattr(config, n) != _DEFAULTS[n] for n in unsaid):
        return None
    if not arguments and meta:
        return None
    if arguments and len(arguments) < len(template.args):
        arguments[-1] = arguments[-1].with_changes(comma=template.args[-1].comma)
    changed = template.with_changes(args=arguments).visit(_NoComments())
    assert isinstance(changed, cst.Call)
    return cst.Module([]).code_for_node(changed)


def _mapping_like(node: cst.BaseExpression, meta: Mapping[str, object]) -> cst.Dict | None:
    if not isinstance(node, cst.Dict):
        return None
    names: list[str] = []
    elements: list[cst.DictElement] = []
    for element in node.elements:
        key = element.key if isinstance(element, cst.DictElement) else None
        if not isinstance(key, cst.SimpleString) or not isinstance(element, cst.DictElement):
            return None
        name = str(key.evaluated_value)
        if name not in meta:
            return None
        names.append(name)
        value = cst.parse_expression(_value(meta[name], key.quote))
        elements.append(element.with_changes(value=value))
    return node.with_changes(elements=elements) if sorted(names) == sorted(meta) else None


class _NoComments(cst.CSTTransformer):
    """Comments inside a template speak of the config they stand in."""

    def leave_TrailingWhitespace(  # noqa: N802
        self, _: cst.TrailingWhitespace, updated_node: cst.TrailingWhitespace
    ) -> cst.TrailingWhitespace:
        if updated_node.comment is None:
            return updated_node
        return updated_node.with_changes(comment=None, whitespace=cst.SimpleWhitespace(""))

    def leave_ParenthesizedWhitespace(  # noqa: N802
        self, _: cst.ParenthesizedWhitespace, updated_node: cst.ParenthesizedWhitespace
    ) -> cst.ParenthesizedWhitespace:
        lines = [line for line in updated_node.empty_lines if line.comment is None]
        return updated_node.with_changes(empty_lines=lines)


@dataclass(frozen=True, slots=True)
class ListItem:
    """One config of a list as text, with the comment lines above it and beside it.

    `above` holds whole lines without indentation; "" is an empty line.
    """

    text: str
    config: Config | None
    above: tuple[str, ...] = ()
    beside: str = ""


def read_items(node: cst.List, configs: Sequence[Config | None]) -> list[ListItem]:
    """The elements of a list as text. `configs` says what each one is, where it can be read."""
    module = cst.Module([])
    items: list[ListItem] = []
    above = _lines(node.lbracket.whitespace_after)
    for element, config in zip(node.elements, configs, strict=True):
        after = element.comma
        space = after.whitespace_after if isinstance(after, cst.Comma) else None
        if space is None:
            space = node.rbracket.whitespace_before
        beside = _beside(space)
        text = module.code_for_node(element.value)
        items.append(ListItem(text, config, tuple(above), beside))
        above = _lines(space)
    return items


def closing_lines(node: cst.List) -> tuple[str, ...]:
    """Comment lines between the last element and the closing bracket."""
    last = node.elements[-1].comma if node.elements else None
    if isinstance(last, cst.Comma):
        lines = _lines(last.whitespace_after)
        if lines:
            return tuple(lines)
    return tuple(_lines(node.rbracket.whitespace_before)) if isinstance(last, cst.Comma) else ()


def _lines(space: cst.BaseParenthesizableWhitespace) -> list[str]:
    if not isinstance(space, cst.ParenthesizedWhitespace):
        return []
    return [line.comment.value if line.comment else "" for line in space.empty_lines]


def _beside(space: cst.BaseParenthesizableWhitespace) -> str:
    if not isinstance(space, cst.ParenthesizedWhitespace):
        return ""
    comment = space.first_line.comment
    return f"{space.first_line.whitespace.value}{comment.value}" if comment else ""


def kept_items(items: Sequence[ListItem], kept: Sequence[Config]) -> list[ListItem]:
    """The items whose config is kept, each once, in their order.

    A comment that heads a group (an item and those below it without a comment of their own)
    stays as long as one item of the group does.
    """
    found: list[ListItem] = []
    heading: tuple[str, ...] = ()
    seen: set[Config] = set()
    for item in items:
        if any(item.above):
            heading = item.above
        elif item.above:
            heading = heading or item.above
        stays = item.config is not None and item.config in kept and item.config not in seen
        if stays and item.config is not None:
            seen.add(item.config)
            found.append(ListItem(item.text, item.config, heading, item.beside))
            heading = ()
    return found


def write_list(
    items: Sequence[ListItem], closing: Sequence[str], indent: int, closing_indent: int
) -> str:
    """The list, one config after the other, each on its own line or lines."""
    lines = ["["]
    pad = " " * indent
    for index, item in enumerate(items):
        above = item.above
        if index == 0:
            while above and not above[0]:  # no empty line right after the bracket
                above = above[1:]
        lines += [f"{pad}{line}" if line else "" for line in above]
        lines.append(f"{pad}{item.text},{item.beside}")
    lines += [f"{pad}{line}" if line else "" for line in closing]
    lines.append(" " * closing_indent + "]")
    return "\n".join(lines)


def quote_of(source: str) -> str:
    """The quotation mark that a program mostly uses."""
    return '"' if source.count('"') - 3 * source.count('"""') > source.count("'") else "'"
