"""Reading a config's `pre_hook`: which arguments of a launch it overwrites before the kernel runs.

Triton calls the hook with a mapping from the kernel's arguments to their values, before every
launch of the tuner and before the launch that counts.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from warpwright.program.dotted_names import parse
from warpwright.program.parsing import expression_of
from warpwright.types.config import MetaValue

_OVERWRITES = frozenset({"zero_", "fill_", "copy_", "normal_", "uniform_"})


@dataclass(frozen=True, slots=True)
class HookEffect:
    """`overwritten`: arguments whose old content no launch sees. `readable` is False where the
    hook does something that reading cannot follow, so that it may overwrite more."""

    overwritten: frozenset[str] = frozenset()
    readable: bool = True


UNREADABLE = HookEffect(readable=False)


def read_hook(source: str, hook: str, meta: Mapping[str, MetaValue]) -> HookEffect:
    """What a hook does, under a config with these meta-parameters. `hook` is its text in the list:
    a function's name, a lambda, or a call that makes one."""
    tree, node = parse(source), expression_of(hook)
    if tree is None or node is None:
        return UNREADABLE
    found = _resolve(tree.body, node, {})
    if found is None:
        return UNREADABLE
    function, known = found
    arguments = [*function.args.posonlyargs, *function.args.args]
    free = [argument.arg for argument in arguments if argument.arg not in known]
    if not free:
        return UNREADABLE
    reader = _Reader(free[0], known, meta)
    if isinstance(function, ast.Lambda):
        reader.expression(function.body)
    else:
        reader.block(function.body)
    return HookEffect(frozenset(reader.overwritten), reader.readable)


_Function = ast.FunctionDef | ast.Lambda


def _resolve(
    body: Sequence[ast.stmt], node: ast.expr, known: Mapping[str, object], depth: int = 0
) -> tuple[_Function, dict[str, object]] | None:
    """The function that an expression stands for, and what is known of the names it closes over."""
    if depth > 8:
        return None
    if isinstance(node, ast.Lambda):
        return node, dict(known)
    if isinstance(node, ast.Name):
        for statement in body:
            if isinstance(statement, ast.FunctionDef) and statement.name == node.id:
                return statement, dict(known)
            if isinstance(statement, ast.Assign) and any(
                isinstance(target, ast.Name) and target.id == node.id
                for target in statement.targets
            ):
                return _resolve(body, statement.value, known, depth + 1)
        return None
    if not isinstance(node, ast.Call) or (
        node.keywords and any(k.arg is None for k in node.keywords)
    ):
        return None
    is_partial = ast.unparse(node.func).split(".")[-1] == "partial" and bool(node.args)
    inner = _resolve(body, node.args[0] if is_partial else node.func, known, depth + 1)
    if inner is None or (isinstance(inner[0], ast.Lambda) and not is_partial):
        return None
    function, names = inner
    given = {**names, **_bound(function, node, skipped=1 if is_partial else 0)}
    if is_partial:
        return function, given
    assert isinstance(function, ast.FunctionDef)
    last = function.body[-1]
    if not isinstance(last, ast.Return) or last.value is None:
        return None
    return _resolve([*function.body, *body], last.value, given, depth + 1)


def _bound(function: _Function, call: ast.Call, skipped: int) -> dict[str, object]:
    """Parameters of a function with the literal values that a call gives them."""
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    pairs = [*zip(names, call.args[skipped:], strict=False)]
    pairs += [(k.arg, k.value) for k in call.keywords if k.arg is not None]
    found: dict[str, object] = {}
    for name, value in pairs:
        try:
            found[name] = ast.literal_eval(value)
        except ValueError:
            found[name] = _UNKNOWN
    return found


_UNKNOWN = object()


@dataclass(slots=True)
class _Reader:
    """Walks a hook's statements. `arguments` is the name of its mapping."""

    arguments: str
    known: dict[str, object]
    meta: Mapping[str, MetaValue]
    overwritten: set[str] = field(default_factory=set)
    readable: bool = True
    tensors: dict[str, str] = field(default_factory=dict)  # local name → argument

    def block(self, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            if isinstance(statement, ast.Return):
                if statement.value is not None:
                    self.expression(statement.value)
                return
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Expr):
            self.expression(node.value)
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            self.assignment(node.targets[0], node.value)
        elif isinstance(node, ast.If):
            self.branch(node)
        elif isinstance(node, ast.For):
            self.loop(node)
        elif not isinstance(node, ast.Pass):
            self.readable = False

    def branch(self, node: ast.If) -> None:
        """One side where the config settles the test; else what both sides overwrite."""
        test = self.value(node.test)
        if test is not _UNKNOWN:
            self.block(node.body if test else node.orelse)
            return
        before = set(self.overwritten)
        self.block(node.body)
        first, self.overwritten = self.overwritten, set(before)
        self.block(node.orelse)
        if first != self.overwritten:
            self.readable = False  # it depends on what is not known here
        self.overwritten &= first

    def loop(self, node: ast.For) -> None:
        items = self.value(node.iter)
        if not isinstance(items, (list, tuple)) or not isinstance(node.target, ast.Name):
            self.readable = False
            return
        for item in items:
            self.known[node.target.id] = item
            self.block(node.body)

    def assignment(self, target: ast.expr, value: ast.expr) -> None:
        tensor = self.tensor(value)
        if isinstance(target, ast.Name) and tensor is not None:
            self.tensors[target.id] = tensor
        elif isinstance(target, ast.Name):
            self.known[target.id] = self.value(value)
        elif isinstance(target, ast.Subscript) and (whole := self.tensor(target.value)):
            if ast.unparse(target.slice) in (":", "..."):
                self.overwritten.add(whole)
            else:
                self.readable = False
        elif not isinstance(target, (ast.Attribute, ast.Tuple)):
            self.readable = False

    def expression(self, node: ast.expr) -> None:
        """A call that overwrites an argument; several in a tuple or joined by `and`."""
        if isinstance(node, (ast.Tuple, ast.List)):
            for item in node.elts:
                self.expression(item)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            tensor = self.tensor(node.func.value)
            if tensor is not None and node.func.attr in _OVERWRITES:
                self.overwritten.add(tensor)
            else:
                self.readable = False
        elif not isinstance(node, ast.Constant):
            self.readable = False

    def tensor(self, node: ast.expr) -> str | None:
        """The argument that an expression is: `nargs["c"]`, `nargs.get("c")`, a name of it."""
        if isinstance(node, ast.Name):
            return self.tensors.get(node.id)
        if isinstance(node, ast.Attribute) and node.attr in ("data", "base"):
            return self.tensor(node.value)
        key: ast.expr | None = None
        if isinstance(node, ast.Subscript) and self.is_mapping(node.value):
            key = node.slice
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "get"
            and self.is_mapping(node.func.value)
            and node.args
        ):
            key = node.args[0]
        name = _UNKNOWN if key is None else self.value(key)
        return name if isinstance(name, str) and name not in self.meta else None

    def is_mapping(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id == self.arguments

    def value(self, node: ast.expr) -> object:
        """A value that the config or the call that made the hook settles; `_UNKNOWN` else."""
        if isinstance(node, ast.Name):
            return self.known.get(node.id, _UNKNOWN)
        if isinstance(node, ast.Subscript) and self.is_mapping(node.value):
            key = self.value(node.slice)
            return self.meta[key] if isinstance(key, str) and key in self.meta else _UNKNOWN
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            return self.compared(node)
        try:
            return ast.literal_eval(node)
        except ValueError:
            return _UNKNOWN

    def compared(self, node: ast.Compare) -> object:
        left, right = self.value(node.left), self.value(node.comparators[0])
        if left is _UNKNOWN or right is _UNKNOWN:
            return _UNKNOWN
        match node.ops[0]:
            case ast.Eq():
                return left == right
            case ast.NotEq():
                return left != right
        if not isinstance(left, (int, float)) or not isinstance(right, (int, float)):
            return _UNKNOWN
        match node.ops[0]:
            case ast.Gt():
                return left > right
            case ast.GtE():
                return left >= right
            case ast.Lt():
                return left < right
            case ast.LtE():
                return left <= right
        return _UNKNOWN
