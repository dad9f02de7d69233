"""What `__init__` makes of a parameter's values and keeps: stale once the parameter changes.

A weight packed there is right only for the values that it had then; `load_state_dict` or a step of
training changes these, and the work is not done in the calls that are timed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from warpwright.program.dotted_names import dotted, resolve
from warpwright.program.host import own_nodes
from warpwright.program.parsed import HostFunction

_OF_A_LAYER = frozenset({"weight", "bias", "in_proj_weight", "in_proj_bias"})
# What these say of a tensor does not change with its values.
_QUERIES = frozenset(
    {
        "shape", "size", "dtype", "device", "ndim", "dim", "numel", "nelement", "stride",
        "requires_grad", "is_contiguous", "layout", "element_size", "new_empty", "new_zeros",
        "new_ones", "new_full",
    }
)  # fmt: skip
_REGISTERS = frozenset({"register_buffer", "register_parameter"})


def kept_from_parameters(
    function: HostFunction, known: Mapping[str, str]
) -> Iterator[tuple[str, int]]:
    """Attributes and buffers of the model that hold something worked out from its parameters.

    The parameter itself under another name is no copy. Only `self`'s own parameters count: a
    layer made only to draw initial values is not kept.
    """
    parameters = _own_parameters(function.node, known)
    derived: set[str] = set()  # local names that hold values of a parameter
    statements = (n for n in own_nodes(function.node) if isinstance(n, (ast.Assign, ast.Expr)))
    for node in sorted(statements, key=lambda n: (n.lineno, n.col_offset)):
        reading = _Reading(parameters, derived, known)
        if isinstance(node, ast.Expr):
            yield from _registered(node, reading)
            continue
        made = reading.takes_values(node.value) and not reading.is_parameter(node.value)
        for target in node.targets:
            name = dotted(target) or ""
            if made and name.startswith("self."):
                yield f"{name}, made from a parameter's values", node.lineno
            elif isinstance(target, ast.Name) and reading.takes_values(node.value):
                derived.add(target.id)


def _registered(node: ast.Expr, reading: _Reading) -> Iterator[tuple[str, int]]:
    call = node.value
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return
    if call.func.attr in _REGISTERS and any(map(reading.takes_values, _values(call))):
        name = f"{dotted(call.func)}({ast.unparse(call.args[0]) if call.args else ''}, ...)"
        yield f"{name}, made from a parameter's values", node.lineno


def _values(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def _own_parameters(
    node: ast.FunctionDef | ast.AsyncFunctionDef, known: Mapping[str, str]
) -> set[str]:
    """`self.name` for each `nn.Parameter` that the function makes."""
    found: set[str] = set()
    for inner in own_nodes(node):
        if isinstance(inner, ast.Assign) and isinstance(inner.value, ast.Call):
            path = resolve(dotted(inner.value.func) or "", known)
            if path.startswith("torch.nn.") and path.split(".")[-1] == "Parameter":
                found |= {name for t in inner.targets if (name := dotted(t)) is not None}
    return {name for name in found if name.startswith("self.")}


class _Reading:
    """Whether expressions of `__init__` take the values of the model's parameters."""

    def __init__(self, parameters: set[str], derived: set[str], known: Mapping[str, str]) -> None:
        self._parameters = parameters
        self._derived = derived
        self._known = known

    def is_parameter(self, node: ast.expr) -> bool:
        """A parameter under its own name, or a local name of it or of what is made from it."""
        name = dotted(node)
        if name is None:
            return False
        parts = name.split(".")
        of_layer = parts[0] == "self" and len(parts) > 2 and parts[-1] in _OF_A_LAYER
        return name in self._parameters or of_layer

    def takes_values(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Attribute) and node.attr in _QUERIES:
            return False
        if isinstance(node, ast.Call) and self._is_harmless(node):
            return False
        if isinstance(node, ast.Name) and node.id in self._derived:
            return True
        if isinstance(node, ast.expr) and self.is_parameter(node):
            return True
        return any(self.takes_values(child) for child in ast.iter_child_nodes(node))

    def _is_harmless(self, call: ast.Call) -> bool:
        """Calls whose result holds no values: sizes, new tensors of a form, initialisers."""
        path = resolve(dotted(call.func) or "", self._known)
        name = path.split(".")[-1]
        return path.startswith("torch.nn.init.") or name == "len" or name.endswith("_like")
