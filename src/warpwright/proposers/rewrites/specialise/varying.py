"""Which host values change from call to call of the same module: a batch, and what follows.

The first dimension of an input is taken for a batch: a program is called with other batches,
while its other sizes, strides, paddings and channel counts belong to the problem. An integer that
follows from a batch must stay a run-time value, or every new batch compiles the kernel again.
Nothing is executed; what cannot be read counts as varying.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from enum import IntEnum
from itertools import zip_longest

from warpwright.program.evaluate import outside_functions
from warpwright.program.parsed import HostFunction, ParsedProgram


class Constancy(IntEnum):
    """What is known of a host value; a larger one wins where branches disagree."""

    FIXED = 0  # the same in every call of the module
    VARIES = 1  # a number that may differ
    BATCHED = 2  # a tensor whose first size varies
    SIZES = 3  # the sizes of such a tensor: the first varies
    ALL_SIZES = 4  # sizes any of which may vary
    ANY_SIZE = 5  # a tensor any of whose sizes may vary


Value = Constancy | tuple["Value", ...]

_TENSOR_FACTS = {"dtype", "device", "is_cuda", "ndim", "layout", "requires_grad", "itemsize"}
_FIXED_METHODS = {"dim", "ndimension", "element_size", "is_contiguous", "is_floating_point",
                  "data_ptr", "get_device"}  # fmt: skip
_COUNTS = {"numel", "nelement", "item", "tolist", "__len__"}
_TURNS = {"permute", "transpose", "t", "movedim", "swapaxes", "swapdims", "unfold", "T", "mT"}
_SHAPES = {"view", "reshape", "expand", "repeat", "new_empty", "new_zeros", "new_full", "new_ones"}
_MAKERS = {"empty", "zeros", "ones", "full", "rand", "randn", "empty_strided"}
_TENSORS = (Constancy.BATCHED, Constancy.ANY_SIZE)


def flat(value: Value) -> Constancy:
    """The worst of a value's parts."""
    if isinstance(value, tuple):
        return max((flat(part) for part in value), default=Constancy.FIXED)
    return value


def join(first: Value, second: Value) -> Value:
    if isinstance(first, tuple) and isinstance(second, tuple) and len(first) == len(second):
        return tuple(join(a, b) for a, b in zip(first, second, strict=True))
    return max(flat(first), flat(second))


class HostValues:
    """The origins of every name in the host functions, found by a fixed point over calls."""

    def __init__(self, program: ParsedProgram) -> None:
        self._functions = {function.name: function for function in program.host_functions}
        self._by_word: dict[str, list[HostFunction]] = {}
        for function in program.host_functions:
            self._by_word.setdefault(function.name.split(".")[-1], []).append(function)
        self._names: dict[str, dict[str, Value]] = {name: {} for name in self._functions}
        self._names[""] = {}
        self._attributes: dict[str, Value] = {}
        self._returns: dict[str, Value] = {}
        self._module = program.tree
        calls = [node for node in ast.walk(program.tree) if isinstance(node, ast.Call)]
        self._called = {target.name for node in calls for target in self._targets(node)}
        for _ in range(12):
            before = repr((self._names, self._attributes, self._returns))
            self._round()
            if before == repr((self._names, self._attributes, self._returns)):
                return

    def origin(self, node: ast.expr, function: HostFunction | None) -> Value:
        """Where an expression of a host function (None: the module) comes from."""
        return self._value(node, "" if function is None else function.name)

    def _round(self) -> None:
        self._statements(self._module.body, "")
        for name, function in self._functions.items():
            self._enter(name, function)
            self._statements(function.node.body, name)

    def _enter(self, name: str, function: HostFunction) -> None:
        """Parameters of a function that nobody is seen to call are inputs."""
        arguments = function.node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [extra for extra in (arguments.vararg, arguments.kwarg) if extra is not None]
        inner = function.outer and not name.endswith("forward")
        entry = name not in self._called and not name.endswith("__init__") and not inner
        for argument in every:
            fixed = argument.arg in ("self", "cls", "ctx") or not entry
            self._bind(name, argument.arg, Constancy.FIXED if fixed else Constancy.BATCHED)

    def _bind(self, scope: str, name: str, value: Value) -> None:
        names = self._names[scope]
        names[name] = join(names[name], value) if name in names else value

    def _statements(self, body: Sequence[ast.stmt], scope: str) -> None:
        for statement in body:
            for node in _own(statement):
                self._statement(node, scope)

    def _statement(self, node: ast.AST, scope: str) -> None:
        if isinstance(node, ast.Assign):
            value = self._value(node.value, scope)
            for target in node.targets:
                self._assign(target, value, scope)
        elif isinstance(node, (ast.AnnAssign, ast.AugAssign, ast.NamedExpr)) and node.value:
            self._assign(node.target, self._value(node.value, scope), scope)
        elif isinstance(node, (ast.For, ast.comprehension)):
            self._assign(node.target, flat(self._value(node.iter, scope)), scope)
        elif isinstance(node, ast.Return) and node.value is not None and scope:
            value = self._value(node.value, scope)
            before = self._returns.get(scope)
            self._returns[scope] = value if before is None else join(before, value)
        elif isinstance(node, ast.Call):
            self._value(node, scope)

    def _assign(self, target: ast.expr, value: Value, scope: str) -> None:
        if isinstance(target, ast.Name):
            self._bind(scope, target.id, value)
        elif isinstance(target, ast.Attribute):
            old = self._attributes.get(target.attr, Constancy.FIXED)
            self._attributes[target.attr] = join(old, value)
        elif isinstance(target, ast.Starred):
            self._assign(target.value, flat(value), scope)
        elif isinstance(target, (ast.Tuple, ast.List)):
            parts = _parts(value, len(target.elts))
            for item, part in zip(target.elts, parts, strict=True):
                self._assign(item, part, scope)

    def _lookup(self, name: str, scope: str) -> Value:
        function = self._functions.get(scope)
        if name in self._names[scope]:
            return self._names[scope][name]
        if function is not None:
            for outer in reversed(function.outer):
                for other in self._functions.values():
                    if other.node is outer and name in self._names[other.name]:
                        return self._names[other.name][name]
        return self._names[""].get(name, Constancy.FIXED)

    def _value(self, node: ast.expr, scope: str) -> Value:
        if isinstance(node, ast.Name):
            return self._lookup(node.id, scope)
        if isinstance(node, (ast.Constant, ast.Lambda, ast.JoinedStr)):
            return Constancy.FIXED
        if isinstance(node, (ast.Tuple, ast.List)):
            return tuple(self._value(item, scope) for item in node.elts)
        if isinstance(node, ast.Attribute):
            return self._attribute(node, scope)
        if isinstance(node, ast.Subscript):
            return self._subscript(node, scope)
        if isinstance(node, ast.Call):
            return self._call(node, scope)
        if isinstance(node, ast.IfExp):
            return join(self._value(node.body, scope), self._value(node.orelse, scope))
        if isinstance(node, ast.Compare) and all(
            isinstance(op, (ast.Is, ast.IsNot)) for op in node.ops
        ):
            return Constancy.FIXED
        parts = [
            flat(self._value(child, scope))
            for child in ast.iter_child_nodes(node)
            if isinstance(child, ast.expr)
        ]
        worst = max(parts, default=Constancy.FIXED)
        return Constancy.VARIES if worst in (Constancy.SIZES, Constancy.ALL_SIZES) else worst

    def _attribute(self, node: ast.Attribute, scope: str) -> Value:
        base = flat(self._value(node.value, scope))
        if base not in _TENSORS:
            of_self = isinstance(node.value, ast.Name) and node.value.id in ("self", "ctx")
            return self._attributes.get(node.attr, Constancy.FIXED) if of_self else base
        if node.attr == "shape":
            return Constancy.SIZES if base is Constancy.BATCHED else Constancy.ALL_SIZES
        if node.attr in _TENSOR_FACTS:
            return Constancy.FIXED
        return Constancy.ANY_SIZE if node.attr in _TURNS else base

    def _subscript(self, node: ast.Subscript, scope: str) -> Value:
        base = self._value(node.value, scope)
        index = _integer(node.slice)
        if isinstance(base, tuple):
            if index is not None and -len(base) <= index < len(base):
                return base[index]
            return flat(base)
        if base is Constancy.SIZES:
            if isinstance(node.slice, ast.Slice):
                lower = _integer(node.slice.lower) if node.slice.lower else 0
                return Constancy.SIZES if not lower else Constancy.FIXED
            return Constancy.FIXED if index is not None and index != 0 else Constancy.VARIES
        if base is Constancy.ALL_SIZES:
            return base if isinstance(node.slice, ast.Slice) else Constancy.VARIES
        if base in _TENSORS:
            new = any(isinstance(n, ast.Constant) and n.value is None for n in ast.walk(node.slice))
            return Constancy.ANY_SIZE if new else base
        return base

    def _call(self, node: ast.Call, scope: str) -> Value:
        arguments = [self._value(argument, scope) for argument in node.args]
        keywords = {k.arg: self._value(k.value, scope) for k in node.keywords}
        self._pass_on(node, arguments, keywords)
        every = [flat(value) for value in (*arguments, *keywords.values())]
        worst = max(every, default=Constancy.FIXED)
        if isinstance(node.func, ast.Attribute):
            base = flat(self._value(node.func.value, scope))
            if base in _TENSORS:
                return self._method(node, base, arguments)
            if node.func.attr in _MAKERS or node.func.attr in _SHAPES:
                return _of_sizes(arguments)
        word = node.func.attr if isinstance(node.func, ast.Attribute) else None
        word = node.func.id if isinstance(node.func, ast.Name) else word
        known = [self._returns[f.name] for f in self._targets(node) if f.name in self._returns]
        if known:
            result = known[0]
            for other in known[1:]:
                result = join(result, other)
            return result
        if word == "len":
            return Constancy.FIXED if worst is Constancy.FIXED else Constancy.VARIES
        return Constancy.VARIES if worst in (Constancy.SIZES, Constancy.ALL_SIZES) else worst

    def _method(self, node: ast.Call, base: Constancy, arguments: list[Value]) -> Value:
        assert isinstance(node.func, ast.Attribute)
        word = node.func.attr
        first = _integer(node.args[0]) if node.args else None
        if word == "size":
            sizes = Constancy.SIZES if base is Constancy.BATCHED else Constancy.ALL_SIZES
            if not node.args:
                return sizes
            return Constancy.FIXED if sizes is Constancy.SIZES and first else Constancy.VARIES
        if word == "stride":
            return Constancy.FIXED if base is Constancy.BATCHED else Constancy.VARIES
        if word in _FIXED_METHODS:
            return Constancy.FIXED
        if word in _COUNTS:
            return Constancy.VARIES
        if word in _TURNS:
            inner = first == 0 if word == "permute" else (first or 0) > 0
            return base if inner and len(node.args) > 1 else Constancy.ANY_SIZE
        if word in _SHAPES:
            return max(base, flat(_of_sizes(arguments, node.args)))
        if word == "unsqueeze":
            return base if first else Constancy.ANY_SIZE
        return base

    def _targets(self, node: ast.Call) -> list[HostFunction]:
        """Host functions that a call may reach, by the last word of its name."""
        if isinstance(node.func, ast.Name):
            return [f for f in self._by_word.get(node.func.id, []) if f.class_name is None]
        if isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if node.func.attr == "apply" and isinstance(owner, ast.Name):
                return [f for f in self._by_word.get("forward", []) if f.class_name == owner.id]
            if isinstance(owner, ast.Name):
                return [f for f in self._by_word.get(node.func.attr, []) if f.class_name]
        return []

    def _pass_on(
        self, node: ast.Call, arguments: list[Value], keywords: dict[str | None, Value]
    ) -> None:
        for function in self._targets(node):
            names = [a.arg for a in (*function.node.args.posonlyargs, *function.node.args.args)]
            if names and names[0] in ("self", "cls", "ctx"):
                names = names[1:]
            starred = any(isinstance(argument, ast.Starred) for argument in node.args)
            for index, value in enumerate(arguments):
                if index < len(names):
                    worst = max(map(flat, arguments)) if starred else value
                    self._bind(function.name, names[index], worst)
            for keyword, value in keywords.items():
                if keyword is not None:
                    self._bind(function.name, keyword, value)


def _own(statement: ast.stmt) -> Iterator[ast.AST]:
    """The statement's nodes, inner functions and classes not entered."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return
    yield from outside_functions(statement)


def _parts(value: Value, count: int) -> list[Value]:
    if isinstance(value, tuple):
        if len(value) == count:
            return list(value)
        return [flat(value)] * count
    if value is Constancy.SIZES:
        return [Constancy.VARIES, *[Constancy.FIXED] * (count - 1)]
    if value is Constancy.ALL_SIZES:
        return [Constancy.VARIES] * count
    return [value] * count


def _of_sizes(arguments: list[Value], nodes: Sequence[ast.expr] = ()) -> Value:
    """The origin of a tensor made with these sizes."""
    sizes: list[Value] = list(arguments)
    if sizes and isinstance(sizes[0], tuple):
        sizes = list(sizes[0])
        first = nodes[0] if nodes else None
        nodes = first.elts if isinstance(first, (ast.Tuple, ast.List)) else ()
    elif sizes and sizes[0] in (Constancy.SIZES, Constancy.ALL_SIZES):
        return Constancy.BATCHED if sizes[0] is Constancy.SIZES else Constancy.ANY_SIZE
    free = [_integer(node) == -1 for node, _ in zip_longest(nodes, sizes) if node is not None]
    varies = [flat(size) is not Constancy.FIXED for size in sizes]
    if any(varies[1:]) or any(free[1:]):
        return Constancy.ANY_SIZE
    return Constancy.BATCHED if any(varies[:1]) or any(free[:1]) else Constancy.FIXED


def _integer(node: ast.AST | None) -> int | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _integer(node.operand)
        return None if inner is None else -inner
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    return None
