"""A reading of host code: every call it makes, and what each one is."""

from __future__ import annotations

import ast
import builtins
from dataclasses import dataclass, replace

from warpwright.program.guards import guarded_nodes
from warpwright.program.launches import MODULE, find_launches
from warpwright.program.parsed import HostFunction, ParsedProgram, once, parse_program
from warpwright.program.parsing import text_of
from warpwright.program.reach import Reach, read_reach
from warpwright.program.resolve import literal_getattr
from warpwright.program.tensors import TensorNames
from warpwright.program.torch_calls import (
    CONTAINER_MODULES,
    PYTHON_METHODS,
    CallKind,
    method_kind,
    module_kind,
    torch_kind,
)

_OPERATORS = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%",
    ast.Pow: "**", ast.MatMult: "@", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^",
    ast.LShift: "<<", ast.RShift: ">>",
}  # fmt: skip
_BUILTINS = frozenset(dir(builtins))
_OPAQUE = frozenset(("eval", "exec", "__import__", "compile", "globals", "locals", "getattr"))
"""What these give or do is not to be told by reading."""
_LIBRARY = ("triton.", "math.", "os.", "sys.", "typing.", "functools.", "itertools.", "operator.")


@dataclass(frozen=True, slots=True)
class HostCall:
    """One call (or tensor operator) in host code.

    `name` is the resolved name: "torch.nn.functional.conv2d", "torch.nn.Conv2d (self.conv)",
    ".sum", "operator @". `guard` is the text of the conditions it stands under, None where
    there are none. `reachable`: `forward` of the model reaches it, by reading.
    """

    name: str
    kind: CallKind
    text: str
    line: int
    function: str
    guard: str | None = None
    reachable: bool = True

    @property
    def computes(self) -> bool:
        """Torch does work here that a kernel should do: a reachable call of an operator."""
        return self.kind is CallKind.COMPUTE and self.reachable


def host_calls(source: str) -> tuple[HostCall, ...]:
    """Every call in host code, kernels and decorators left out, in order of lines.

    Operators on what reading knows to be a tensor count as calls (`x @ w`, `x + 1`), and so do
    torch operators passed on as values. Calls in `__init__`, and in functions that only
    `__init__` calls, are parameter creation. Raises `InputError` if the source cannot be read.
    """
    return calls_of(parse_program(source))


@once
def calls_of(program: ParsedProgram) -> tuple[HostCall, ...]:
    """The same, of an already parsed program."""
    reader = _Reader(program)
    found: list[HostCall] = []
    for function in program.host_functions:
        found += reader.calls_in(function)
    found += reader.calls_at_module_level()
    return tuple(sorted(found, key=lambda call: call.line))


class _Reader:
    def __init__(self, program: ParsedProgram) -> None:
        self.program = program
        self.aliases = program.aliases
        self.reach: Reach = read_reach(program)
        self.launches = {id(launch.call): launch for launch in find_launches(program)}

    def calls_in(self, function: HostFunction) -> list[HostCall]:
        tensors = TensorNames(self.program, function, self.reach.modules)
        reachable = function.name in self.reach.reachable
        is_init = function.name in self.reach.init_only
        found: list[HostCall] = []
        for node, guards in guarded_nodes(function.node.body):
            for call in self._classify(node, function, tensors):
                guard = " and ".join(guards) or None
                if is_init and call.kind in (CallKind.COMPUTE, CallKind.UNKNOWN):
                    call = replace(call, kind=CallKind.PARAMETER_INIT)
                found.append(replace(call, guard=guard, reachable=reachable))
        return found

    def calls_at_module_level(self) -> list[HostCall]:
        body = [
            statement
            for statement in self.program.tree.body
            if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        ]
        found: list[HostCall] = []
        for node, guards in guarded_nodes(body):
            for call in self._classify(node, None, None):
                found.append(replace(call, guard=" and ".join(guards) or None))
        return found

    def _classify(
        self, node: ast.AST, function: HostFunction | None, tensors: TensorNames | None
    ) -> list[HostCall]:
        where = function.name if function else MODULE
        if isinstance(node, ast.Call):
            found = [self._call(node, function, tensors)]
            values = [*node.args, *(keyword.value for keyword in node.keywords)]
            return found + self._passed_on(values, where)
        if isinstance(node, (ast.Tuple, ast.List)):
            return self._passed_on(node.elts, where)
        if isinstance(node, ast.Return) and node.value is not None:
            return self._passed_on([node.value], where)
        if isinstance(node, ast.BinOp) and tensors is not None:
            either = tensors.is_tensor(node.left) or tensors.is_tensor(node.right)
            if either or isinstance(node.op, ast.MatMult):
                return [_operator(node, _OPERATORS[type(node.op)], where)]
        if isinstance(node, ast.AugAssign) and tensors is not None:
            either = tensors.is_tensor(node.target) or tensors.is_tensor(node.value)
            if either or isinstance(node.op, ast.MatMult):
                return [_operator(node, _OPERATORS[type(node.op)] + "=", where)]
        signs = {ast.USub: "-", ast.Invert: "~"}
        if isinstance(node, ast.UnaryOp) and type(node.op) in signs and tensors is not None:  # noqa: SIM102
            if tensors.is_tensor(node.operand):
                return [_operator(node, signs[type(node.op)], where)]
        return []

    def _passed_on(self, values: list[ast.expr], where: str) -> list[HostCall]:
        """Torch operators handed on as values, as in `map(F.relu, xs)`."""
        found: list[HostCall] = []
        for value in values:
            path = (
                self.aliases.path(value) if isinstance(value, (ast.Attribute, ast.Name)) else None
            )
            if path is None or not path.startswith(("torch.nn.functional.", "torch.Tensor.")):
                continue
            if torch_kind(path) is CallKind.COMPUTE and not path.split(".")[-1][:1].isupper():
                found.append(HostCall(path, CallKind.COMPUTE, text_of(value), value.lineno, where))
        return found

    def _call(
        self, node: ast.Call, function: HostFunction | None, tensors: TensorNames | None
    ) -> HostCall:
        name, kind = self._name_and_kind(node, function, tensors)
        where = function.name if function else MODULE
        return HostCall(name, kind, text_of(node), node.lineno, where)

    def _name_and_kind(
        self, node: ast.Call, function: HostFunction | None, tensors: TensorNames | None
    ) -> tuple[str, CallKind]:
        literal = literal_getattr(node.func)
        target = node.func if literal is None else ast.Attribute(literal[0], literal[1], ast.Load())
        text = text_of(target)
        if id(node) in self.launches:
            return self.launches[id(node)].kernel, CallKind.LAUNCH
        class_path = self._module_class(target, function, tensors)
        if class_path is not None:
            if class_path in self.reach.own_modules:
                return f"{class_path} ({text})", CallKind.PYTHON
            return f"{class_path} ({text})", module_kind(class_path)
        path = self.aliases.path(target)
        if path is not None:
            return self._path_kind(path)
        if isinstance(target, ast.Name):
            return self._plain_kind(target.id)
        if isinstance(target, ast.Attribute):
            return self._method_kind(target, function, tensors)
        return text, CallKind.UNKNOWN

    def _path_kind(self, path: str) -> tuple[str, CallKind]:
        if path.startswith("torch."):
            return path, torch_kind(path)
        known = path.startswith(_LIBRARY) or path.split(".")[0] in ("collections", "warnings")
        return path, CallKind.PYTHON if known else CallKind.UNKNOWN

    def _plain_kind(self, name: str) -> tuple[str, CallKind]:
        own = {function.name for function in self.program.host_functions}
        own |= {function.node.name for function in self.program.host_functions}
        if name in _OPAQUE:
            return name, CallKind.UNKNOWN
        if name in own or name in self.reach.classes or name in _BUILTINS:
            return name, CallKind.PYTHON
        return name, CallKind.UNKNOWN

    def _method_kind(
        self, target: ast.Attribute, function: HostFunction | None, tensors: TensorNames | None
    ) -> tuple[str, CallKind]:
        receiver, method = target.value, target.attr
        if _is_super(receiver):
            return self._super_kind(method, function)
        if isinstance(receiver, ast.Name) and receiver.id in ("self", "cls") and function:
            if f"{function.class_name}.{method}" in self.reach.functions:
                return text_of(target), CallKind.PYTHON
            # What `__init__` put there; a tensor method of that name it is not.
            known = method in PYTHON_METHODS
            return text_of(target), CallKind.PYTHON if known else CallKind.UNKNOWN
        if isinstance(receiver, ast.Name) and receiver.id in self.reach.classes:
            return text_of(target), CallKind.PYTHON
        if isinstance(receiver, ast.Constant):
            return text_of(target), CallKind.PYTHON
        if method == "forward" and tensors is not None:
            class_path = self._module_class(receiver, function, tensors)
            if class_path is not None and class_path not in self.reach.own_modules:
                return f"{class_path} ({text_of(target)})", module_kind(class_path)
        on_tensor = tensors is not None and tensors.is_tensor(receiver)
        if not on_tensor and method in ("max", "min", "sum", "sort", "index", "all", "any"):
            on_tensor = not isinstance(receiver, (ast.List, ast.Tuple, ast.Dict))
        return f".{method}", method_kind(method, on_tensor=on_tensor)

    def _super_kind(self, method: str, function: HostFunction | None) -> tuple[str, CallKind]:
        base = self.reach.bases.get(function.class_name or "") if function else None
        name = f"super().{method} of {base or 'object'}"
        if method in ("__init__", "__setattr__", "train", "eval", "extra_repr", "to", "_apply"):
            return name, CallKind.PYTHON
        if base in self.reach.classes:
            return name, CallKind.PYTHON
        return name, CallKind.COMPUTE

    def _module_class(
        self, target: ast.expr, function: HostFunction | None, tensors: TensorNames | None
    ) -> str | None:
        """The class of the module that `target` is: `self.conv`, `nn.ReLU()`, a loop over them."""
        if isinstance(target, ast.Call):
            path = self.aliases.path(target.func)
            is_class = path is not None and path.startswith("torch.nn.")
            if path is not None and is_class and path.split(".")[-1][:1].isupper():
                return path
            if isinstance(target.func, ast.Name) and target.func.id in self.reach.own_modules:
                return target.func.id
            return None
        if isinstance(target, ast.Subscript):
            return self._module_class(target.value, function, tensors)
        if isinstance(target, ast.Name) and tensors is not None:
            value = tensors.module_value(target.id)
            if value is None or value is target:
                return None
            return self._module_class(value, function, tensors)
        if isinstance(target, ast.Attribute) and function is not None:
            class_name = function.class_name or ""
            if isinstance(target.value, ast.Name) and target.value.id == "self":
                return self.reach.modules.get((class_name, target.attr))
            inner = self._module_class(target.value, function, tensors)
            if inner is not None:
                if inner in self.reach.own_modules:
                    return self.reach.modules.get((inner, target.attr))
                if inner.split(".")[-1] in CONTAINER_MODULES and not hasattr(list, target.attr):
                    return inner
        return None


def _operator(node: ast.expr | ast.stmt, sign: str, where: str) -> HostCall:
    return HostCall(f"operator {sign}", CallKind.COMPUTE, text_of(node), node.lineno, where)


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and text_of(node.func) == "super"
