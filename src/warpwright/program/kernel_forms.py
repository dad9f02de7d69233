"""What is a kernel: the one place that decides it, for every check, comparison and edit.

A kernel is a function that `triton.jit` wraps, as a decorator or in a call, by whatever name:

    @triton.autotune(...)            kern = triton.autotune(...)(triton.jit(body))
    @triton.jit                      tuned = triton.autotune(...)
    def body(...): ...               @tuned ...

Functions and classes of the program that stand between are followed (`program.house_wrappers`).
So is a function whose body computes with `triton.language`: whatever wraps it, it runs on a GPU.
Works on the plain tree (`program.plain`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from warpwright.program.evaluate import outside_functions, single_assignments
from warpwright.program.house_wrappers import Owner, Returned, mentioned, returned_by
from warpwright.program.plain_spelling import FunctionNode, bound_in
from warpwright.program.resolve import Aliases

JIT, AUTOTUNE, HEURISTICS = "triton.jit", "triton.autotune", "triton.heuristics"
_TUNER_CLASS = ("triton.runtime.Autotuner", "triton.runtime.autotuner.Autotuner")
_TUNER_CLASS_PARAMETERS = ("fn", "arg_names", "configs", "key", "reset_to_zero", "restore_value")
_NO_TUNER = frozenset({"triton.KernelInterface", "triton.runtime.KernelInterface"})
_DEEPEST = 8  # wrappers that stand for wrappers
_ON_THE_HOST = frozenset({"cdiv", "constexpr", "next_power_of_2", "dtype", "pointer_type"})
"""What host code may call of `triton.language`, beside dtypes."""


@dataclass(frozen=True, slots=True)
class KernelNode:
    """A kernel, with the functions around it where it is nested, and what wraps it."""

    node: ast.FunctionDef
    outer: tuple[FunctionNode, ...]
    jit: ast.expr | None = None  # bare, or the call that holds its options
    tuners: tuple[ast.Call, ...] = ()  # `triton.autotune(...)`
    heuristics: tuple[ast.Call, ...] = ()
    makers: tuple[ast.Call, ...] = ()  # the outermost calls that make it of a plain function
    unread: tuple[ast.expr, ...] = ()  # wrappers that reading does not follow


@dataclass(frozen=True, slots=True)
class Kernels:
    """The kernels of a program. `made`: id of a call that makes or wraps one → its name."""

    nodes: tuple[KernelNode, ...]
    made: Mapping[int, str]
    wrappers: frozenset[int]  # ids of statements that only name a wrapper: `tuned = autotune(...)`


@dataclass(slots=True)
class _Wrapping:
    """What stands around one function, collected."""

    decorators: list[ast.expr] = field(default_factory=list)
    unread: list[ast.expr] = field(default_factory=list)
    makers: list[ast.Call] = field(default_factory=list)


Functions = Iterable[tuple[FunctionNode, tuple[FunctionNode, ...]]]


def find_kernels(tree: ast.Module, aliases: Aliases, functions: Functions) -> Kernels:
    """Every kernel, in the order of `functions`: each with the functions around it."""
    functions = list(functions)
    reader = WrapperReader(tree, aliases, [node for node, _ in functions])
    around = {id(node): _Wrapping() for node, _ in functions}
    for node, outer in functions:
        names = reader.names_in(outer)
        for decorator in node.decorator_list:
            chain = reader.wrappers(decorator, names)
            around[id(node)].decorators += chain or ()
            followed = chain or reader.tunes_nothing(decorator)
            around[id(node)].unread += [] if followed else [decorator]
    made: dict[int, str] = {}
    for call, names, hidden in _calls(tree, functions, reader):
        if id(call) in made:
            continue
        chain, inner, passed = reader.unwrapped(call, names)
        function = reader.function(inner)
        if not chain or function is None or function.name in hidden:
            continue
        wrapping = around[id(function)]
        wrapping.decorators += [one for one in chain if one not in wrapping.decorators]
        wrapping.makers.append(call)
        made.update((id(one), function.name) for one in passed)
    nodes = []
    for node, outer in functions:
        if isinstance(node, ast.FunctionDef):
            kernel = _kernel(node, outer, around[id(node)], aliases)
            nodes += [] if kernel is None else [kernel]
    names_of = {kernel.node.name for kernel in nodes}
    kept = {call: name for call, name in made.items() if name in names_of}
    return Kernels(tuple(nodes), kept, frozenset(_naming(tree, reader)))


def _kernel(
    node: ast.FunctionDef,
    outer: tuple[FunctionNode, ...],
    wrapping: _Wrapping,
    aliases: Aliases,
) -> KernelNode | None:
    by_path: dict[str | None, list[ast.expr]] = {}
    for one in wrapping.decorators:
        target = one.func if isinstance(one, ast.Call) else one
        by_path.setdefault(aliases.path(target), []).append(one)
    jit = next(iter(by_path.get(JIT, ())), None)
    if jit is None and not _computes_on_gpu(node, aliases):
        return None
    calls = {
        path: tuple(one for one in by_path.get(path, ()) if isinstance(one, ast.Call))
        for path in (AUTOTUNE, HEURISTICS)
    }
    return KernelNode(
        node,
        outer,
        jit,
        calls[AUTOTUNE],
        calls[HEURISTICS],
        tuple(wrapping.makers),
        tuple(wrapping.unread),
    )


def _computes_on_gpu(function: ast.FunctionDef, aliases: Aliases) -> bool:
    for statement in function.body:
        for node in outside_functions(statement):
            name = aliases.triton_name(node.func) if isinstance(node, ast.Call) else None
            if name is not None and name not in _ON_THE_HOST:
                return True
    return False


def _calls(
    tree: ast.Module, functions: Functions, reader: WrapperReader
) -> Iterator[tuple[ast.Call, dict[str, ast.expr], set[str]]]:
    """Every call, the outer before the inner, with the names of its scope and its parameters."""
    scopes: list[tuple[list[ast.stmt], tuple[FunctionNode, ...]]] = [(tree.body, ())]
    scopes += [(node.body, (*outer, node)) for node, outer in functions]
    for body, around in scopes:
        names = reader.names_in(around)
        hidden = {argument.arg for function in around for argument in function.args.args}
        stack: list[ast.AST] = list(reversed(body))
        while stack:
            node = stack.pop()
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            if isinstance(node, ast.Call):
                yield node, names, hidden
            stack.extend(reversed(list(ast.iter_child_nodes(node))))


def _naming(tree: ast.Module, reader: WrapperReader) -> Iterator[int]:
    """Module-level statements that give a wrapper a name."""
    names = reader.names_in(())
    for statement in tree.body:
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
            value = statement.value
            if isinstance(value, (ast.Call, ast.Lambda)) and reader.wrappers(value, names):
                yield id(statement)


class WrapperReader:
    """Reads expressions that wrap functions as kernels, or stand for something that does."""

    def __init__(
        self, tree: ast.Module, aliases: Aliases, functions: Iterable[FunctionNode]
    ) -> None:
        self._aliases = aliases
        self._functions = {node.name: node for node in functions}
        self._constants = single_assignments(tree.body)
        self._classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}

    def names_in(self, functions: tuple[FunctionNode, ...]) -> dict[str, ast.expr]:
        """Names with one defining expression: module level, then each function."""
        return names_around(self._constants, functions)

    def function(self, node: ast.expr) -> FunctionNode | None:
        """The function that a name stands for."""
        return self._functions.get(node.id) if isinstance(node, ast.Name) else None

    def unwrapped(
        self, node: ast.expr, names: Mapping[str, ast.expr], depth: int = 0
    ) -> tuple[list[ast.expr], ast.expr, list[ast.expr]]:
        """`autotune(...)(jit(f))` → wrappers, outermost first; `f`; the calls on the way."""
        chain: list[ast.expr] = []
        passed: list[ast.expr] = []
        for _ in range(_DEEPEST):
            if isinstance(node, ast.Name) and self.function(node) is None and chain:
                node = names.get(node.id, node)
            inner = _wrapped(node)
            if not isinstance(node, ast.Call) or inner is None:
                break
            is_jit = self._aliases.path(node.func) == JIT
            made = [node] if is_jit else self._tuner_object(node)
            wrappers = made or self.wrappers(node.func, names, depth + 1)
            if not wrappers:
                break
            passed.append(node)
            chain += wrappers
            node = inner
        return chain, node, passed

    def wrappers(
        self, node: ast.expr, names: Mapping[str, ast.expr], depth: int = 0
    ) -> list[ast.expr]:
        """The wrappers of Triton that an expression stands for, outermost first; [] for none."""
        if depth > _DEEPEST:
            return []
        if self._aliases.path(node) == JIT:
            return [node]
        if isinstance(node, ast.Call):
            path = self._aliases.path(node.func)
            if path in (AUTOTUNE, HEURISTICS) or (path == JIT and _wrapped(node) is None):
                return [node]
            if path == "functools.partial" and node.args:
                call = ast.Call(node.args[0], node.args[1:], node.keywords)
                return self.wrappers(ast.copy_location(call, node), names, depth + 1)
            return self._of_house(node, names, depth) or self._tuner_from_elsewhere(node)
        if isinstance(node, ast.Lambda) and len(node.args.args) == 1:
            return self._around(node.args.args[0].arg, node.body, names, depth)
        if not isinstance(node, ast.Name):
            return []
        function = self._functions.get(node.id)
        if function is not None:
            returned = sole_return(function)
            if returned is None or len(function.args.args) != 1:
                return []
            return self._around(function.args.args[0].arg, returned, names, depth)
        value = names.get(node.id)
        return [] if value is None else self.wrappers(value, names, depth + 1)

    def _of_house(
        self, call: ast.Call, names: Mapping[str, ast.expr], depth: int
    ) -> list[ast.expr]:
        """The wrappers that a call of a function of the program returns, where all its ways to
        return give the same list of configs."""
        function = self.function(call.func)
        returned = None if function is None else returned_by(call, function)
        if function is None or returned is None:
            return []
        inner = {**names, **self.names_in((function,))}
        chains = [self._returned(one, inner, depth) for one in returned]
        lists = {tuple(map(_list_of, chain)) for chain in chains}
        if len(lists) != 1:
            return []
        passed = {id(node) for node in ast.walk(call)}
        return [one if id(one) in passed else _standing_at(one, call) for one in chains[0]]

    def _returned(
        self, returned: Returned, names: Mapping[str, ast.expr], depth: int
    ) -> list[ast.expr]:
        if returned.parameter is None:
            return self.wrappers(returned.value, names, depth + 1)
        return self._around(returned.parameter, returned.value, names, depth + 1)

    def _tuner_from_elsewhere(self, call: ast.Call) -> list[ast.expr]:
        """`@tuned(configs=[triton.Config(…)], key=…)`, where `tuned` is imported from a module
        that is not Triton's: what takes configs by that name is a tuner."""
        path = self._aliases.path(call.func)
        if path is None or path.split(".")[0] in ("triton", "torch"):
            return []
        if not any(keyword.arg == "configs" for keyword in call.keywords) or call.args:
            return []
        return [_tuner(call.keywords, call)]

    def _tuner_object(self, call: ast.Call) -> list[ast.expr]:
        """`Autotuner(fn, arg_names, configs, key, …)`, and such a call of a class made of it."""
        owner = self._classes.get(call.func.id) if isinstance(call.func, ast.Name) else None
        bases = [call.func] if owner is None else owner.bases
        if not any(self._aliases.path(base) in _TUNER_CLASS for base in bases):
            return []
        named = zip(_TUNER_CLASS_PARAMETERS, call.args, strict=False)
        keywords = [ast.keyword(name, value) for name, value in named]
        keywords = [k for k in (*keywords, *call.keywords) if k.arg not in ("fn", "arg_names")]
        return [_tuner(keywords, call)]

    def tunes_nothing(self, decorator: ast.expr) -> bool:
        """Whether a decorator is a function or class of the program in which nothing of Triton
        wraps anything: what it stands around has no other tuner by it."""
        named = decorator.func if isinstance(decorator, ast.Call) else decorator
        known: dict[str, Owner] = {**self._functions, **self._classes}
        owner = known.get(named.id) if isinstance(named, ast.Name) else None
        if owner is None:
            return False
        paths = {self._aliases.path(node) for node in mentioned(owner, known)}
        return not any(
            path in (JIT, AUTOTUNE, HEURISTICS) or path.startswith("triton.runtime.")
            for path in paths - _NO_TUNER
            if path is not None
        )

    def _around(
        self, parameter: str, body: ast.expr, names: Mapping[str, ast.expr], depth: int
    ) -> list[ast.expr]:
        """The wrappers that a function of one parameter puts around it."""
        if depth >= _DEEPEST:
            return []
        hidden = {name: value for name, value in names.items() if name != parameter}
        chain, inner, _ = self.unwrapped(body, hidden, depth + 1)
        return chain if isinstance(inner, ast.Name) and inner.id == parameter else []


def _tuner(keywords: list[ast.keyword], place: ast.expr) -> ast.expr:
    """`triton.autotune(…)` as if it stood at a place."""
    func = ast.Attribute(ast.Name("triton", ast.Load()), "autotune", ast.Load())
    return _standing_at(ast.Call(func, [], list(keywords)), place)


def _standing_at(node: ast.expr, place: ast.expr) -> ast.expr:
    """The node with the position of another; its arguments keep theirs."""
    return ast.fix_missing_locations(ast.copy_location(node, place))


def _list_of(wrapper: ast.expr) -> str:
    """What kind of wrapper it is, and the text of the configs or values that it is given."""
    if not isinstance(wrapper, ast.Call):
        return ast.unparse(wrapper)
    named = [k.value for k in wrapper.keywords if k.arg in ("configs", "values")]
    return ast.unparse(ast.Call(wrapper.func, (wrapper.args[:1] or named[:1]), []))


def _wrapped(node: ast.expr) -> ast.expr | None:
    """The function that a call is given to wrap."""
    if not isinstance(node, ast.Call):
        return None
    if node.args:
        return None if isinstance(node.args[0], ast.Starred) else node.args[0]
    return next((keyword.value for keyword in node.keywords if keyword.arg == "fn"), None)


def names_around(
    constants: Mapping[str, ast.expr], functions: tuple[FunctionNode, ...]
) -> dict[str, ast.expr]:
    """Names with one defining expression: `constants`, then each function, outermost first."""
    names = dict(constants)
    for function in functions:
        local = single_assignments(function.body)
        for name in bound_in(function):
            names.pop(name, None)
        names.update(local)
    return names


def returned(function: FunctionNode) -> list[ast.expr]:
    """Every expression that a function returns."""
    nodes = [node for statement in function.body for node in outside_functions(statement)]
    return [node.value for node in nodes if isinstance(node, ast.Return) and node.value is not None]


def sole_return(function: FunctionNode) -> ast.expr | None:
    """The expression of a function whose body is one `return` (a docstring may precede)."""
    body = function.body
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    if len(body) == 1 and isinstance(body[0], ast.Return):
        return body[0].value
    return None
