"""Edits of a program's source that keep every comment and the layout of what they leave."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from warpwright.errors import InputError, InternalError, Place
from warpwright.program.configs import config_reader, read_config
from warpwright.program.edit.config_text import (
    MAX_COLUMNS,
    ConfigStyle,
    ListItem,
    closing_lines,
    kept_items,
    quote_of,
    read_items,
    write_config,
    write_list,
)
from warpwright.program.edit.launch_options import free_launches
from warpwright.program.edit.tree import (
    Change,
    calls_by_span,
    expressions_by_span,
    find_function,
    parse_tree,
    replace_nodes,
    span_of,
)
from warpwright.program.edit.write_out import written_out
from warpwright.program.evaluate import Evaluator, Unreadable
from warpwright.program.kernel_forms import KernelNode
from warpwright.program.parsed import ParsedProgram, parse_program
from warpwright.program.parsing import SECTION, lines_of
from warpwright.program.syntax import syntax_tree
from warpwright.program.view import read_program
from warpwright.types.config import Config


def set_configs(
    source: str,
    kernel: str,
    configs: Sequence[Config],
    *,
    comments: Mapping[Config, str] | None = None,
) -> str:
    """The source with exactly these configs in the kernel's `@triton.autotune`.

        configs=[                                       configs=[
            # small tiles                                   # small tiles
            triton.Config({'B': 32}, num_warps=2),   →      triton.Config({'B': 32}, num_warps=2),
            triton.Config({'B': 64}, num_warps=4),          triton.Config({'B': 64}, num_warps=8),
        ],                                              ],

    Configs that stay keep their text, comments and order; new ones follow, written like those
    that are there, with `comments[config]` above. A list that is built by code is replaced by
    a literal one. Raises `InternalError` for a kernel that is not there or not autotuned, and
    for an empty `configs`.
    """
    program = parse_program(source)
    if not configs:
        raise InternalError(f"kernel {kernel}: an autotune needs at least one config")
    _check_writable(kernel, configs)
    found = read_program(source).kernel(kernel)
    if found and found.autotune and found.autotune.configs == tuple(configs) and not comments:
        return source
    tree = parse_tree(source)
    target, node = _configs_node(tree, program, kernel)
    editor = _ListEditor(tree, program, _kernel_node(program, kernel), node)
    written = editor.write(configs, comments or {})
    changed = cst.parse_expression(written, config=tree.config_for_parsing)
    return _verified(replace_nodes(tree, {target: lambda _: changed}).code, kernel, configs)


def add_autotune(
    source: str,
    kernel: str,
    configs: Sequence[Config],
    key: Sequence[str],
    *,
    reset_to_zero: Sequence[str] = (),
    restore_value: Sequence[str] = (),
) -> str:
    """The source with `@triton.autotune` above a kernel that has none.

    Launch options (`num_warps=4`) and meta-parameters that the configs now set are taken out
    of the kernel's launches, because Triton refuses a value that is given twice; a grid that
    used such a value reads it from `meta`. Raises `InputError` where a launch is written so
    that this cannot be done safely, `InternalError` where the kernel is not there or has
    an autotune already.
    """
    program = parse_program(source)
    node = _kernel_node(program, kernel)
    if not configs:
        raise InternalError(f"kernel {kernel}: an autotune needs at least one config")
    if node.tuners:
        raise InternalError(f"kernel {kernel} has an autotune already: use set_configs")
    names = {name for config in configs for name in config.meta_dict}
    sets_registers = any(config.maxnreg is not None for config in configs)
    source = written_out(source, kernel)
    source = free_launches(source, parse_program(source), kernel, names, sets_registers)
    program = parse_program(source)
    tree = parse_tree(source)
    quote = quote_of(source)
    prefix = _prefix(program)
    order = tuple(argument.arg for argument in node.node.args.args)
    style = ConfigStyle(f"{prefix}.Config", quote, order)
    items = [ListItem(write_config(config, style, 8), config) for config in configs]
    lines = [f"{prefix}.autotune(", f"    configs={write_list(items, (), 8, 4)},"]
    for name, values in (
        ("key", key), ("reset_to_zero", reset_to_zero), ("restore_value", restore_value)
    ):  # fmt: skip
        if values or name == "key":
            listed = ", ".join(f"{quote}{value}{quote}" for value in values)
            lines.append(f"    {name}=[{listed}],")
    text = "\n".join([*lines, ")"])
    expression = cst.parse_expression(text, config=tree.config_for_parsing)
    changed = replace_nodes(tree, _around(tree, parse_program(source), kernel, expression))
    return _verified(_with_import(changed, program, prefix).code, kernel, configs)


def _around(
    tree: cst.Module, program: ParsedProgram, kernel: str, tuner: cst.BaseExpression
) -> dict[cst.CSTNode, Change]:
    """The change that puts a tuner around a kernel: above it, or around the call that makes it."""
    makers = _kernel_node(program, kernel).makers
    if not makers:

        def decorated(node: cst.CSTNode) -> cst.CSTNode:
            assert isinstance(node, cst.FunctionDef)
            return node.with_changes(decorators=[cst.Decorator(tuner), *node.decorators])

        return {find_function(tree, kernel): decorated}

    def wrapped(node: cst.CSTNode) -> cst.CSTNode:
        assert isinstance(node, cst.Call)
        return cst.Call(tuner, [cst.Arg(node)])

    calls = calls_by_span(tree)
    return {calls[span_of(program.source, maker)]: wrapped for maker in makers}


class _ListEditor:
    """Writes a new config list in the place and style of the old one."""

    def __init__(
        self, tree: cst.Module, program: ParsedProgram, kernel: KernelNode, node: cst.BaseExpression
    ) -> None:
        self._tree = tree
        self._program = program
        self._kernel = kernel
        self._node = node
        self._list = node if isinstance(node, cst.List) else None

    def write(self, configs: Sequence[Config], comments: Mapping[Config, str]) -> str:
        items = self._items()
        readable = all(item.config is not None for item in items)
        kept = kept_items(items, configs) if readable else []
        kept = [_with_comment(item, comments) for item in kept]
        indent, closing_indent = self._indents()
        style = self._style()
        present = {item.config for item in kept}
        for config in dict.fromkeys(configs):
            if config not in present:
                text = write_config(config, style, indent)
                above = tuple(f"# {line}" for line in comments.get(config, "").splitlines())
                kept.append(ListItem(text, config, above))
        closing = closing_lines(self._list) if self._list is not None else ()
        line = self._one_line(kept)
        return line if line is not None else write_list(kept, closing, indent, closing_indent)

    def _items(self) -> list[ListItem]:
        if self._list is None:
            return []
        names = self._program.values_around(self._kernel.outer)
        aliases = self._program.written_aliases
        evaluator = Evaluator(aliases, names, config_reader(aliases))
        configs: list[Config | None] = []
        for element in self._list.elements:
            node = syntax_tree(cst.Module([]).code_for_node(element.value), "eval").body
            try:
                if not isinstance(node, ast.Call) or isinstance(element, cst.StarredElement):
                    raise Unreadable("no config")
                configs.append(read_config(node, evaluator))
            except Unreadable:
                configs.append(None)
        return read_items(self._list, configs)

    def _style(self) -> ConfigStyle:
        order = tuple(argument.arg for argument in self._kernel.node.args.args)
        quote = quote_of(self._program.source)
        elements = self._list.elements if self._list is not None else ()
        calls = [e.value for e in elements if isinstance(e.value, cst.Call)]
        if not calls:
            return ConfigStyle(f"{_prefix(self._program)}.Config", quote, order)
        function = cst.Module([]).code_for_node(calls[-1].func)
        return ConfigStyle(function, quote, order, calls[-1])

    def _is_multiline(self) -> bool:
        return self._list is not None and isinstance(
            self._list.lbracket.whitespace_after, cst.ParenthesizedWhitespace
        )

    def _one_line(self, items: Sequence[ListItem]) -> str | None:
        """The list on one line, where it was so, still fits and carries no comment."""
        if self._list is None or self._is_multiline():
            return None
        line = f"[{', '.join(item.text for item in items)}]"
        plain = not any("\n" in item.text or item.above or item.beside for item in items)
        return line if plain and self._column() + len(line) < MAX_COLUMNS else None

    def _column(self) -> int:
        positions = MetadataWrapper(self._tree, unsafe_skip_copy=True).resolve(PositionProvider)
        return int(positions[self._node].start.column)

    def _indents(self) -> tuple[int, int]:
        """Columns of the elements and of the closing bracket, relative to the block."""
        if self._is_multiline() and self._list is not None:
            opening = self._list.lbracket.whitespace_after
            assert isinstance(opening, cst.ParenthesizedWhitespace)
            first = len(opening.last_line.value)
            last = self._list.elements[-1].comma if self._list.elements else None
            closing: cst.BaseParenthesizableWhitespace = self._list.rbracket.whitespace_before
            if isinstance(last, cst.Comma) and isinstance(
                last.whitespace_after, cst.ParenthesizedWhitespace
            ):
                closing = last.whitespace_after
            if isinstance(closing, cst.ParenthesizedWhitespace):
                return first, len(closing.last_line.value)
            return first, max(0, first - 4)
        positions = MetadataWrapper(self._tree, unsafe_skip_copy=True).resolve(PositionProvider)
        line = lines_of(self._program.source)[positions[self._node].start.line - 1]
        own = len(line) - len(line.lstrip())
        outer = self._kernel.outer
        block = self._kernel.node.col_offset if outer else 0
        base = max(0, own - block)
        return base + 4, base


def _check_writable(kernel: str, configs: Sequence[Config]) -> None:
    """Raises InputError for a hook that has no text by which a new list could name it."""
    for config in configs:
        for text in (config.pre_hook, *(text for _, text in config.others)):
            if text is not None and not _is_expression(text):
                raise InputError(
                    f"the configs of kernel {kernel} cannot be written anew",
                    place=Place(None, SECTION),
                    expected="hooks that the module knows by a name",
                    got=f"{text} of {config}",
                    hint="give the hook a name of its own at module level",
                )


def _is_expression(text: str) -> bool:
    try:
        syntax_tree(text, "eval")
    except SyntaxError:
        return False
    return True


def _with_comment(item: ListItem, comments: Mapping[Config, str]) -> ListItem:
    if item.config is None or item.config not in comments:
        return item
    added = tuple(f"# {line}" for line in comments[item.config].splitlines())
    if item.above[-len(added) :] == added:
        return item
    return ListItem(item.text, item.config, (*item.above, *added), item.beside)


def _configs_node(
    tree: cst.Module, program: ParsedProgram, kernel: str
) -> tuple[cst.BaseExpression, cst.BaseExpression]:
    """(the node to replace, the list whose style counts).

    A module-level list that only this decorator reads is edited where it stands; one that
    others read too is left, and the decorator gets a list of its own.
    """
    value = _configs_of(program, kernel)
    expressions = expressions_by_span(tree)
    if isinstance(value, ast.Name):
        uses = sum(isinstance(n, ast.Name) and n.id == value.id for n in ast.walk(program.tree))
        for statement in tree.body:
            node = _assigned(statement, value.id)
            if node is not None and uses == 2 and value.id in program.constants:
                return node, node
    span = span_of(program.source, value)
    others = [k.node.name for k in program.kernels if k.tuners and k.node.name != kernel]
    if any(span_of(program.source, _configs_of(program, other)) == span for other in others):
        raise InputError(
            f"the configs of kernel {kernel} cannot be edited",
            place=Place(None, SECTION, value.lineno),
            expected="a list of its own",
            got=f"one that {', '.join(others)} has too",
            hint="give each kernel its list as an argument of the function that wraps it",
        )
    found = expressions[span]
    return found, found


def _configs_of(program: ParsedProgram, kernel: str) -> ast.expr:
    """The expression of a kernel's configs; in the source it stands where the list is given."""
    tuners = _kernel_node(program, kernel).tuners
    if not tuners:
        raise InternalError(f"kernel {kernel} has no autotune: use add_autotune")
    named = [keyword.value for keyword in tuners[0].keywords if keyword.arg == "configs"]
    value = next(iter(named or tuners[0].args[:1]), None)
    if value is None:
        raise InternalError("the autotune has no configs argument")
    return value


def _assigned(
    statement: cst.BaseStatement | cst.BaseSmallStatement, name: str
) -> cst.BaseExpression | None:
    for small in (
        getattr(statement, "body", ()) if isinstance(statement, cst.SimpleStatementLine) else ()
    ):
        if isinstance(small, cst.Assign) and len(small.targets) == 1:
            target = small.targets[0].target
            if isinstance(target, cst.Name) and target.value == name:
                return small.value
    return None


def _kernel_node(program: ParsedProgram, kernel: str) -> KernelNode:
    for node in program.kernels:
        if node.node.name == kernel:
            return node
    raise InternalError(f"the program has no kernel named {kernel}")


def _prefix(program: ParsedProgram) -> str:
    """The name under which the program imports triton."""
    for node in program.tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "triton":
                    return alias.asname or "triton"
    return "triton"


def _with_import(tree: cst.Module, program: ParsedProgram, prefix: str) -> cst.Module:
    """`import triton` after the last import, where the program has only `from triton import`."""
    imported = any(
        isinstance(node, ast.Import)
        and any((a.asname or a.name.split(".")[0]) == prefix for a in node.names)
        for node in program.tree.body
    )
    if imported:
        return tree
    last = max(
        (
            index
            for index, statement in enumerate(tree.body)
            if isinstance(statement, cst.SimpleStatementLine)
            and isinstance(statement.body[0], (cst.Import, cst.ImportFrom))
        ),
        default=-1,
    )
    added = cst.parse_statement("import triton\n", config=tree.config_for_parsing)
    return tree.with_changes(body=[*tree.body[: last + 1], added, *tree.body[last + 1 :]])


def _verified(source: str, kernel: str, configs: Sequence[Config]) -> str:
    """The source, if reading it back gives these configs: no edit leaves here unread."""
    found = read_program(source).kernel(kernel)
    autotune = found.autotune if found is not None else None
    if autotune is None or autotune.configs is None or set(autotune.configs) != set(configs):
        raise InputError(
            f"the configs of kernel {kernel} cannot be edited",
            place=Place(None, SECTION, found.line if found else None),
            expected="an autotune that reads back as the configs written",
            got=str(autotune.configs_text[:200] if autotune else "no autotune"),
            hint="write the configs as a literal list of triton.Config",
        )
    return source
