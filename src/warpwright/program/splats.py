"""Launches through `*args` and `**options`, read as if they were written out.

    opts = dict(BLOCK=128, num_warps=4)
    kernel[grid](x, y, **opts)               →  kernel[grid](x, y, BLOCK=128, num_warps=4)

Only what reading settles: a name with one value that nothing changes or hands on. What may have
changed stays as it is, and is unknown to whoever reads the launch.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

from warpwright.program.kernel_forms import returned, sole_return
from warpwright.program.nodes import clone
from warpwright.program.parsed import HostFunction, ParsedProgram
from warpwright.program.parsing import text_of
from warpwright.program.plain_spelling import FunctionNode, bound_in

_DEEPEST = 8
_READING = frozenset({"items", "keys", "values", "get", "copy"})
_HARMLESS = frozenset({
    "cdiv", "next_power_of_2", "min", "max", "int", "len", "dict", "print", "sorted", "list",
    "tuple", "set", "any", "all", "enumerate", "isinstance",
})  # fmt: skip
_PASSING = (
    ast.BinOp, ast.Compare, ast.BoolOp, ast.UnaryOp, ast.Expr, ast.FormattedValue, ast.If,
    ast.While, ast.Assert, ast.For, ast.comprehension,
)  # fmt: skip

Options = dict[str, ast.expr]


class Splats:
    """Writes out the arguments of the launches in one host function, or at module level."""

    def __init__(self, program: ParsedProgram, function: HostFunction | None) -> None:
        self._program = program
        self._around = () if function is None else (*function.outer, function.node)
        self._names = program.names_around(self._around)
        self._parents: dict[int, ast.AST] | None = None
        self._names_only = False

    def arguments(self, call: ast.Call) -> tuple[ast.expr, ...]:
        """Positional arguments; `*name` stays where its items are not known."""
        found: list[ast.expr] = []
        for argument in call.args:
            items = self._items(argument.value) if isinstance(argument, ast.Starred) else None
            found += [argument] if items is None else items
        return tuple(found)

    def keywords(self, call: ast.Call) -> tuple[ast.keyword, ...]:
        """Keyword arguments; `**name` stays where its mapping is not known."""
        found: list[ast.keyword] = []
        for keyword in call.keywords:
            options = self._options(keyword.value) if keyword.arg is None else None
            if options is None:
                found.append(keyword)
            else:
                found += [ast.keyword(name, value) for name, value in options.items()]
        return tuple(found)

    def constants(self, node: ast.expr) -> dict[str, ast.Constant] | None:
        """What a mapping holds, where all of it are known constants."""
        options = self._options(node) or {}
        found = {name: value for name, value in options.items() if isinstance(value, ast.Constant)}
        return found if found and len(found) == len(options) else None

    def names(self, node: ast.expr, depth: int = 0) -> list[str] | None:
        """The names that a mapping holds, also where their values are open; None: not known.

        Of a function of the program: what each of its ways to return has. (Who gets a mapping from
        a function may change its values; that it takes other names is left to who runs it.)
        """
        self._names_only = True
        options = self._options(node, depth)
        if options is not None or depth > _DEEPEST:
            return None if options is None else list(options)
        if isinstance(node, ast.Name):
            value = self._value(node)
            return None if value is None else self.names(value, depth + 1)
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            return None
        for function in self._program.host_functions:
            if function.name == node.func.id:
                inner = Splats(self._program, function)
                found = [inner.names(value, depth + 1) for value in returned(function.node)]
                first = found[0] if found else None
                same = first is not None and all(f and set(f) == set(first) for f in found)
                return first if same else None
        return None

    def _items(self, node: ast.expr) -> list[ast.expr] | None:
        if isinstance(node, ast.Name):
            node = self._value(node) or node
        if not isinstance(node, (ast.Tuple, ast.List)):
            return None
        return None if any(isinstance(i, ast.Starred) for i in node.elts) else list(node.elts)

    def _options(self, node: ast.expr, depth: int = 0) -> Options | None:
        """What a mapping holds, by name; None where it cannot be told."""
        if depth > _DEEPEST:
            return None
        if isinstance(node, ast.Dict):
            return self._joined(list(zip(node.keys, node.values, strict=True)), depth)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return self._joined([(None, node.left), (None, node.right)], depth)
        if isinstance(node, ast.IfExp):
            both = self._options(node.body, depth + 1), self._options(node.orelse, depth + 1)
            return _either(node.test, *both)
        if isinstance(node, ast.Name):
            value = self._value(node)
            return None if value is None else self._options(value, depth + 1)
        if isinstance(node, ast.Subscript):
            return self._entry(node, depth)
        if isinstance(node, ast.Attribute):
            return self._attribute(node, depth)
        return self._called(node, depth) if isinstance(node, ast.Call) else None

    def _joined(self, pairs: list[tuple[ast.expr | None, ast.expr]], depth: int) -> Options | None:
        """Names with values, and mappings (under no name) that are put in; the later wins."""
        found: Options = {}
        for key, value in pairs:
            if key is None:
                inner = self._options(value, depth + 1)
                if inner is None:
                    return None
                found |= inner
            elif isinstance(key, ast.Constant) and isinstance(key.value, str):
                found[key.value] = value
            else:
                return None
        return found

    def _called(self, node: ast.Call, depth: int) -> Options | None:
        """`dict(base, BLOCK=64)`, `opts.copy()`, and a function that only returns a mapping."""
        if isinstance(node.func, ast.Attribute):
            copies = node.func.attr == "copy" and not node.args
            return self._options(node.func.value, depth + 1) if copies else None
        if not isinstance(node.func, ast.Name) or any(
            isinstance(a, ast.Starred) for a in node.args
        ):
            return None
        if node.func.id == "dict" and len(node.args) <= 1:
            pairs: list[tuple[ast.expr | None, ast.expr]] = [(None, a) for a in node.args]
            for keyword in node.keywords:
                name = None if keyword.arg is None else ast.Constant(keyword.arg)
                pairs.append((name, keyword.value))
            return self._joined(pairs, depth)
        for function in self._program.host_functions:
            if function.name == node.func.id and isinstance(function.node, ast.FunctionDef):
                body = _as_called(function.node, node)
                return None if body is None else self._options(body, depth + 1)
        return None

    def _entry(self, node: ast.Subscript, depth: int) -> Options | None:
        """`TABLE[key]`: the entry of a known key, else what all entries have in common."""
        table = node.value
        if isinstance(table, ast.Name):
            table = self._value(table) or table
        entries = _entries(table)
        if not entries:
            return None
        if isinstance(node.slice, ast.IfExp):
            test, keys = node.slice.test, (node.slice.body, node.slice.orelse)
            both = [entries.get(text_of(key)) for key in keys]
            found = [None if e is None else self._options(e, depth + 1) for e in both]
            return _either(test, found[0], found[1])
        if isinstance(node.slice, ast.Constant):
            entry = entries.get(text_of(node.slice))
            return None if entry is None else self._options(entry, depth + 1)
        every = [self._options(entry, depth + 1) for entry in entries.values()]
        first = every[0]
        if first is None or any(e is None or e.keys() != first.keys() for e in every):
            return None
        return {
            name: value
            if all(text_of(e[name]) == text_of(value) for e in every if e is not None)
            else _column(node, table, [e[name] for e in every if e is not None])
            for name, value in first.items()
        }

    def _attribute(self, node: ast.Attribute, depth: int) -> Options | None:
        """`self.options`, assigned once, with values that mean the same everywhere."""
        same = [
            other
            for other in ast.walk(self._program.tree)
            if isinstance(other, ast.Attribute) and other.attr == node.attr
        ]
        stored = [other for other in same if isinstance(other.ctx, ast.Store)]
        if len(stored) != 1 or not all(self._only_read(o) for o in same if o is not stored[0]):
            return None
        statement = self._parent(stored[0])
        if not isinstance(statement, ast.Assign) or not isinstance(
            statement.value, (ast.Dict, ast.Call)
        ):
            return None
        options = self._options(statement.value, depth + 1)
        constants = self._program.constants
        for value in (options or {}).values():
            names = {n.id for n in ast.walk(value) if isinstance(n, ast.Name)}
            if not names <= constants.keys():
                return None
        return options

    def _value(self, name: ast.Name) -> ast.expr | None:
        """The one value of a name that nothing changes afterwards."""
        value = self._names.get(name.id)
        return value if value is not None and self._is_safe(name.id) else None

    def _is_safe(self, name: str, depth: int = 0) -> bool:
        """Whether all uses of a name only read what it holds."""
        if depth > _DEEPEST:
            return False
        own: FunctionNode | None = None
        for function in self._around:
            own = function if name in bound_in(function) else own
        nodes = ast.walk(self._program.tree if own is None else own)
        uses = [n for n in nodes if isinstance(n, ast.Name) and n.id == name]
        return all(isinstance(n.ctx, ast.Store) or self._only_read(n, depth) for n in uses)

    def _only_read(self, node: ast.expr, depth: int = 0) -> bool:
        """Whether a use reads values, puts them into a call by `**`, or names them again."""
        parent = self._parent(node)
        while True:
            if isinstance(parent, ast.Subscript) and parent.value is node:
                if not isinstance(parent.ctx, ast.Load):
                    return False
            elif not (isinstance(parent, ast.IfExp) and parent.test is not node):
                break
            node, parent = parent, self._parent(parent)
        if isinstance(parent, ast.Assign):
            targets = parent.targets
            return all(isinstance(t, ast.Name) and self._is_safe(t.id, depth + 1) for t in targets)
        if isinstance(parent, ast.keyword):
            call = self._parent(parent)
            return parent.arg is None or (isinstance(call, ast.Call) and _is_harmless(call))
        if isinstance(parent, ast.Dict):
            return any(
                k is None and v is node for k, v in zip(parent.keys, parent.values, strict=True)
            )
        if isinstance(parent, ast.Attribute):
            return parent.attr in _READING
        if isinstance(parent, ast.Starred):
            return True
        if isinstance(parent, ast.Return):
            return self._names_only
        if isinstance(parent, ast.Call):
            looked_up = self._names_only and isinstance(node, ast.Subscript)
            return parent.func is not node and (looked_up or _is_harmless(parent))
        if isinstance(parent, ast.Subscript):  # as an index
            return True
        return isinstance(parent, (*_PASSING, ast.IfExp))

    def _parent(self, node: ast.AST) -> ast.AST | None:
        if self._parents is None:
            tree = self._program.tree
            self._parents = {
                id(child): one for one in ast.walk(tree) for child in ast.iter_child_nodes(one)
            }
        return self._parents.get(id(node))


def _is_harmless(call: ast.Call) -> bool:
    """A launch, or a function that keeps and changes nothing that it is given."""
    if isinstance(call.func, ast.Subscript):
        return True
    return text_of(call.func).split(".")[-1] in _HARMLESS


def _either(test: ast.expr, one: Options | None, other: Options | None) -> Options | None:
    """Both mappings under a condition, where they have the same names."""
    if one is None or other is None or one.keys() != other.keys():
        return None
    return {
        name: value
        if text_of(value) == text_of(other[name])
        else ast.copy_location(ast.IfExp(test, value, other[name]), test)
        for name, value in one.items()
    }


def _entries(table: ast.expr) -> Mapping[str, ast.expr]:
    """The entries of a table that is written out, by the text of their key or position."""
    if isinstance(table, ast.Dict) and all(isinstance(k, ast.Constant) for k in table.keys):
        return {text_of(k): v for k, v in zip(table.keys, table.values, strict=True)}
    items = table.elts if isinstance(table, (ast.Tuple, ast.List)) else []
    if any(isinstance(item, ast.Starred) for item in items):
        return {}
    return {str(index): item for index, item in enumerate(items)}


def _column(node: ast.Subscript, table: ast.expr, values: list[ast.expr]) -> ast.expr:
    """`TABLE[key]["x"]` → `{"a": 1, "b": 2}[key]`: the values are part of what is compared."""
    if isinstance(table, ast.Dict):
        column: ast.expr = ast.Dict(list(table.keys), values)
    else:
        column = ast.Tuple(values, ast.Load())
    made = ast.Subscript(column, node.slice, ast.Load())
    return ast.fix_missing_locations(ast.copy_location(made, node))


def _as_called(function: ast.FunctionDef, call: ast.Call) -> ast.expr | None:
    """What a function of one `return` gives for the arguments of a call."""
    body = sole_return(function)
    names = [argument.arg for argument in function.args.args]
    given = dict(zip(names, call.args, strict=False))
    given |= {k.arg: k.value for k in call.keywords if k.arg is not None}
    if body is None or len(call.args) > len(names) or given.keys() != set(names):
        return None
    if any(keyword.arg is None for keyword in call.keywords):
        return None
    replaced = _Given(given).visit(clone(body))
    assert isinstance(replaced, ast.expr)
    return replaced


class _Given(ast.NodeTransformer):
    def __init__(self, given: Mapping[str, ast.expr]) -> None:
        self._given = given

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._given.get(node.id, node)
