"""Normal forms: what must compare equal when only comments, layout or local names differ."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from warpwright.program.evaluate import outside_functions
from warpwright.program.nodes import clone
from warpwright.program.parsing import text_of
from warpwright.program.plain_spelling import FunctionNode

MAX_EXPANDED_NODES = 250
"""An expanded expression above this keeps its names: expansion can grow exponentially."""


@dataclass(frozen=True, slots=True)
class NormalLine:
    """One statement, or the header of a compound one, in canonical layout."""

    depth: int
    text: str
    line: int

    @property
    def key(self) -> tuple[int, str]:
        return self.depth, self.text


def body_lines(body: Iterable[ast.stmt], depth: int = 0) -> list[NormalLine]:
    """The statements as lines. Docstrings, `pass` and annotations of locals do not count."""
    found: list[NormalLine] = []
    for node in body:
        found += _statement_lines(node, depth)
    return found


def _statement_lines(node: ast.stmt, depth: int) -> list[NormalLine]:
    if isinstance(node, ast.Pass) or _is_text(node):
        return []
    if isinstance(node, ast.AnnAssign):
        if node.value is None:
            return []
        plain = ast.Assign([node.target], node.value, lineno=node.lineno)
        return [NormalLine(depth, text_of(plain), node.lineno)]
    header = _header(node)
    if header is None:
        return [NormalLine(depth, text_of(node), node.lineno)]
    decorators = [
        NormalLine(depth, "@" + text_of(decorator), decorator.lineno)
        for decorator in getattr(node, "decorator_list", [])
    ]
    found = [*decorators, NormalLine(depth, header, node.lineno)]
    for label, block in _blocks(node):
        if label and block:
            found.append(NormalLine(depth, label, block[0].lineno))
        found += body_lines(block, depth + 1)
    return found


def _header(node: ast.stmt) -> str | None:
    """First line of a compound statement; None for a simple one (and for `match`, kept whole)."""
    if isinstance(node, (ast.If, ast.While)):
        return f"{'if' if isinstance(node, ast.If) else 'while'} {text_of(node.test)}:"
    if isinstance(node, (ast.For, ast.AsyncFor)):
        return f"for {text_of(node.target)} in {text_of(node.iter)}:"
    if isinstance(node, (ast.With, ast.AsyncWith)):
        return f"with {', '.join(text_of(item) for item in node.items)}:"
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        returns = f" -> {text_of(node.returns)}" if node.returns else ""
        return f"def {node.name}({text_of(node.args)}){returns}:"
    if isinstance(node, ast.ClassDef):
        bases = [*map(text_of, node.bases), *map(text_of, node.keywords)]
        return f"class {node.name}({', '.join(bases)}):"
    return "try:" if isinstance(node, ast.Try) else None


def _blocks(node: ast.stmt) -> Iterator[tuple[str | None, list[ast.stmt]]]:
    yield None, getattr(node, "body", [])
    for handler in getattr(node, "handlers", []):
        yield f"except {text_of(handler.type)} as {handler.name}:", handler.body
    yield "else:", getattr(node, "orelse", [])
    yield "finally:", getattr(node, "finalbody", [])


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


class _Renamer(ast.NodeTransformer):
    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.copy_location(ast.Name(self._names.get(node.id, node.id), node.ctx), node)


def renamed_lines(function: FunctionNode) -> list[tuple[int, str]]:
    """Body lines with parameters and locals numbered in order: equal under renaming."""
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    names = {argument.arg: f"p{index}" for index, argument in enumerate(arguments)}
    for node in _in_order(function.body):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.setdefault(node.id, f"v{len(names)}")
    renamer = _Renamer(names)
    return [line.key for line in body_lines(renamer.visit(clone(s)) for s in function.body)]


def _in_order(body: list[ast.stmt]) -> list[ast.AST]:
    nodes = [node for statement in body for node in outside_functions(statement)]
    located = [node for node in nodes if hasattr(node, "lineno")]
    return sorted(located, key=position_of)


Position = tuple[int, int]


def position_of(node: ast.AST) -> Position:
    """Line and column: the order of reading."""
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


class Definitions:
    """What local names stand for at a place of a function: their nearest definition above."""

    def __init__(self, function: FunctionNode | None, body: list[ast.stmt]) -> None:
        self._found: dict[str, list[tuple[Position, ast.expr | None]]] = {}
        if function is not None:
            every = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
            for argument in every:
                self._add(argument.arg, (0, 0), None)
        for node in _in_order(body):
            self._read(node)

    def _add(self, name: str, position: Position, value: ast.expr | None) -> None:
        self._found.setdefault(name, []).append((position, value))

    def _read(self, node: ast.AST) -> None:
        # A definition counts from the end of its statement on, so that `x = x.view(...)`
        # does not stand for itself.
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                self._assign(target, node.value, _end(node))
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            before = ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target)
            value = ast.copy_location(ast.BinOp(before, node.op, node.value), node)
            self._add(node.target.id, _end(node), value)
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            self._assign(node.target, None, _end(node.iter))
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            self._assign(node.optional_vars, None, position_of(node.optional_vars))
        elif isinstance(node, ast.NamedExpr):
            self._add(node.target.id, _end(node), node.value)

    def _assign(self, target: ast.expr, value: ast.expr | None, position: Position) -> None:
        if isinstance(target, ast.Name):
            self._add(target.id, position, value)
        elif isinstance(target, ast.Starred):
            self._assign(target.value, None, position)
        elif isinstance(target, (ast.Tuple, ast.List)):
            starred = any(isinstance(part, ast.Starred) for part in target.elts)
            for index, part in enumerate(target.elts):
                self._assign(part, None if starred else _item(value, index), position)

    def lookup(self, name: str, before: Position) -> tuple[ast.expr, Position] | None:
        """The nearest definition above `before`: its value and place.

        None where the name is a parameter, a loop variable, or nothing local.
        """
        for position, value in reversed(self._found.get(name, [])):
            if position <= before:
                return None if value is None else (value, position)
        return None

    def expand(
        self, node: ast.expr, before: Position, fixed: Mapping[str, ast.expr] | None = None
    ) -> ast.expr:
        """The expression with local names replaced by what they stand for at `before`.

        Names in `fixed` are replaced by that node and not followed further.
        """
        expander = _Expander(self, fixed or {})
        return expander.expand(clone(node), before)


class _Expander:
    def __init__(self, definitions: Definitions, fixed: Mapping[str, ast.expr]) -> None:
        self._definitions = definitions
        self._fixed = fixed
        self._budget = MAX_EXPANDED_NODES

    def expand(self, node: ast.expr, before: Position, depth: int = 0) -> ast.expr:
        return _Substitution(self, before, depth).visit(node)  # type: ignore[no-any-return]

    def name(self, node: ast.Name, before: Position, depth: int) -> ast.expr:
        if node.id in self._fixed:
            return clone(self._fixed[node.id])
        found = self._definitions.lookup(node.id, before)
        if found is None or depth > 12:
            return node
        value, position = found
        size = sum(1 for _ in ast.walk(value))
        if size > self._budget:
            return node
        self._budget -= size
        # Names in the value are read as they were just before that definition.
        earlier = (position[0], position[1] - 1)
        return self.expand(clone(value), earlier, depth + 1)


class _Substitution(ast.NodeTransformer):
    def __init__(self, expander: _Expander, before: Position, depth: int) -> None:
        self._expander = expander
        self._before = before
        self._depth = depth

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if not isinstance(node.ctx, ast.Load):
            return node
        return self._expander.name(node, self._before, self._depth)

    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:
        return node  # its parameters are no locals; callers open it first


def _item(value: ast.expr | None, index: int) -> ast.expr | None:
    if value is None:
        return None
    if isinstance(value, (ast.Tuple, ast.List)):
        return value.elts[index] if index < len(value.elts) else None
    item = ast.Subscript(value, ast.Constant(index), ast.Load())
    return ast.fix_missing_locations(ast.copy_location(item, value))


def _end(node: ast.AST) -> Position:
    return getattr(node, "end_lineno", 0) or 0, getattr(node, "end_col_offset", 0) or 0
