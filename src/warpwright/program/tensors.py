"""Which expressions of a host function are tensors, as far as reading shows for certain."""

from __future__ import annotations

import ast

from warpwright.program.evaluate import outside_functions
from warpwright.program.parsed import HostFunction, ParsedProgram
from warpwright.program.parsing import text_of
from warpwright.program.torch_calls import CallKind, method_kind, torch_kind

_TENSOR_ATTRIBUTES = frozenset(("shape", "dtype", "device", "is_cuda", "ndim", "T", "grad"))
_TENSOR_METHODS = frozenset((
    "contiguous", "is_contiguous", "stride", "numel", "view", "reshape", "permute", "transpose",
    "unsqueeze", "size", "dim", "new_empty", "new_zeros", "detach", "data_ptr", "expand",
    "flatten", "element_size",
))  # fmt: skip
_NO_TENSOR = (CallKind.QUERY, CallKind.PYTHON, CallKind.UNKNOWN)
_SEVERAL = frozenset(("chunk", "split", "unbind", "tensor_split", "tolist", "numpy", "topk"))
_SCALARS = frozenset(("int", "float", "bool", "str", "tuple", "list"))


class TensorNames:
    """Local names known to hold tensors, and names that stand for modules.

    A name is a tensor where its annotation says so, where a torch call made it, or where the
    function asks it for `.shape`, `.contiguous()` and the like. Nothing else is assumed.
    """

    def __init__(
        self,
        program: ParsedProgram,
        function: HostFunction,
        modules: dict[tuple[str, str], str],
    ) -> None:
        self._program = program
        self._class_name = function.class_name or ""
        self._modules = modules
        self._parameters = _parameter_attributes(program, self._class_name)
        self._returning = _returning_tensors(program)
        self._nodes = [n for s in function.node.body for n in outside_functions(s)]
        self._names = self._from_arguments(function) | self._from_use()
        self._scalars = self._scalar_arguments(function)
        self._names -= self._scalars
        for _ in range(3):  # names made from names: a few rounds reach a fixed point
            self._names |= self._from_assignments()

    def is_tensor(self, node: ast.expr) -> bool:
        """Whether the expression is a tensor for certain."""
        if isinstance(node, ast.Name):
            return node.id in self._names
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                return node.attr in self._parameters
            if node.attr in ("T", "mT", "data", "grad") and self.is_tensor(node.value):
                return True
            return node.attr in ("weight", "bias") and self._is_module(node.value)
        if isinstance(node, ast.Subscript):
            return self.is_tensor(node.value)
        if isinstance(node, ast.BinOp):
            return self.is_tensor(node.left) or self.is_tensor(node.right)
        if isinstance(node, ast.UnaryOp):
            return not isinstance(node.op, ast.Not) and self.is_tensor(node.operand)
        if isinstance(node, ast.IfExp):
            return self.is_tensor(node.body) or self.is_tensor(node.orelse)
        return isinstance(node, ast.Call) and self._makes_tensor(node)

    def module_value(self, name: str) -> ast.expr | None:
        """What a local name that may be a module stands for: its value, or what is looped over."""
        for node in self._nodes:
            if isinstance(node, ast.For):
                if _binds(node.target, name):
                    return _iterated(node.iter)
            elif isinstance(node, ast.Assign) and _binds(node.targets[0], name):
                plain = isinstance(node.value, (ast.Attribute, ast.Subscript, ast.Call))
                return node.value if plain else None
        return None

    def _is_module(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Subscript):
            return self._is_module(node.value)
        return (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
            and (self._class_name, node.attr) in self._modules
        )

    def _makes_tensor(self, node: ast.Call) -> bool:
        path = self._program.aliases.path(node.func)
        if path is not None:
            made = path.startswith("torch.") and torch_kind(path) not in _NO_TENSOR
            is_module = path.startswith("torch.nn.") and ".functional." not in path
            return made and not is_module and path.split(".")[-1] not in _SEVERAL
        if isinstance(node.func, ast.Name):
            return node.func.id in self._returning
        if not isinstance(node.func, ast.Attribute) or node.func.attr in _SEVERAL:
            return False
        if self._is_module(node.func):
            return True
        if not self.is_tensor(node.func.value):
            return False
        return method_kind(node.func.attr, on_tensor=True) not in _NO_TENSOR

    def _from_arguments(self, function: HostFunction) -> set[str]:
        arguments = function.node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        found = {a.arg for a in every if _annotation(a).split(".")[-1].strip("'\"") == "Tensor"}
        if function.class_name and function.node.name == "forward":
            # What a model is called with first is a tensor.
            found |= {argument.arg for argument in arguments.args[1:2]}
        return found

    def _scalar_arguments(self, function: HostFunction) -> set[str]:
        arguments = function.node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        return {a.arg for a in every if _annotation(a) in _SCALARS}

    def _from_use(self) -> set[str]:
        found: set[str] = set()
        for node in self._nodes:
            if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
                continue
            name = node.value.id
            if name == "self" or self._program.aliases.path(node.value) is not None:
                continue
            if node.attr in _TENSOR_ATTRIBUTES or node.attr in _TENSOR_METHODS:
                found.add(name)
        return found

    def _from_assignments(self) -> set[str]:
        found: set[str] = set()
        for node in self._nodes:
            if isinstance(node, ast.Assign):
                targets = node.targets
            elif isinstance(node, ast.AnnAssign):
                targets = [node.target]
            else:
                continue
            if node.value is None or not self.is_tensor(node.value):
                continue
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
        return found - self._scalars


def _annotation(argument: ast.arg) -> str:
    return text_of(argument.annotation)


def _returning_tensors(program: ParsedProgram) -> frozenset[str]:
    """Own functions that say, or show in their last line, that they return a tensor."""
    found: set[str] = set()
    for function in program.host_functions:
        node = function.node
        returned = [n.value for n in ast.walk(node) if isinstance(n, ast.Return)]
        allocated = {
            target.id
            for n in ast.walk(node)
            if isinstance(n, ast.Assign) and isinstance(n.value, ast.Call)
            for target in n.targets
            if isinstance(target, ast.Name) and _allocates(n.value, program)
        }
        shows = bool(returned) and all(
            isinstance(v, ast.Name) and v.id in allocated for v in returned
        )
        says = text_of(node.returns).strip("'\"").split(".")[-1] == "Tensor"
        if shows or says:
            found.add(node.name)
    return frozenset(found)


def _allocates(node: ast.Call, program: ParsedProgram) -> bool:
    path = program.aliases.path(node.func)
    if path is not None:
        return path.startswith("torch.") and torch_kind(path) is CallKind.ALLOCATION
    return isinstance(node.func, ast.Attribute) and node.func.attr.startswith("new_")


def _binds(target: ast.expr, name: str) -> bool:
    if isinstance(target, ast.Tuple):
        return any(_binds(part, name) for part in target.elts)
    return isinstance(target, ast.Name) and target.id == name


def _iterated(node: ast.expr) -> ast.expr:
    """`enumerate(self.layers)`, `self.layers.values()` → `self.layers`."""
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.args:
            return _iterated(node.args[0])
        if isinstance(node.func, ast.Attribute) and not node.args:
            return _iterated(node.func.value)
    return node


def _parameter_attributes(program: ParsedProgram, class_name: str) -> frozenset[str]:
    """`self.x = nn.Parameter(...)` and registered buffers of a class."""
    found: set[str] = set()
    for function in program.host_functions:
        if function.class_name != class_name:
            continue
        for node in ast.walk(function.node):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                path = program.aliases.path(node.value.func) or ""
                if path.split(".")[-1] in ("Parameter", "Buffer"):
                    found |= {t.attr for t in node.targets if isinstance(t, ast.Attribute)}
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                first = node.args[0] if node.args else None
                registers = node.func.attr in ("register_buffer", "register_parameter")
                if registers and isinstance(first, ast.Constant) and isinstance(first.value, str):
                    found.add(first.value)
    return frozenset(found)
