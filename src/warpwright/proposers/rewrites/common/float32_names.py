"""Names of a kernel that are surely float32, where all tensors that it is given are."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

from warpwright.proposers.rewrites.common.kernel_text import KernelText, stored_names

_SAME_TYPE = frozenset({
    "exp", "exp2", "log", "log2", "sqrt", "rsqrt", "abs", "floor", "ceil", "sigmoid", "sin", "cos",
    "erf", "maximum", "minimum", "fma", "clamp", "sum", "max", "min",
})  # fmt: skip
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div)
_OTHERS = frozenset({
    "float64", "float16", "bfloat16", "float8e5", "float8e4nv", "pointer_type", "bitcast",
    "make_block_ptr",
})  # fmt: skip


class Float32Names:
    """Tells which expressions of a kernel are float32.

    Beside a float32 block every number, parameter and whole-number block takes on that type; so
    one side of an operation is enough, as long as the kernel names no other type of such numbers.
    A plain number with a point is float32 too.
    """

    def __init__(self, kernel: KernelText) -> None:
        self._kernel = kernel
        self._wide = any(_word(node) in _OTHERS for node in ast.walk(kernel.node))
        values = dict(_assigned(kernel))
        plain = {name: [v for v in found if v is not None] for name, found in values.items()}
        self._names = {name for name, found in values.items() if None not in found}
        while lost := {n for n in self._names if not all(map(self.has, plain[n]))}:
            self._names -= lost

    def has(self, node: ast.expr) -> bool:
        """Whether an expression is surely float32."""
        if self._wide:
            return False
        if isinstance(node, ast.Constant):
            return type(node.value) is float
        if isinstance(node, ast.Name):
            return node.id in self._names
        if isinstance(node, ast.Subscript):
            return self.has(node.value)
        if isinstance(node, ast.UnaryOp):
            return isinstance(node.op, ast.USub) and self.has(node.operand)
        if isinstance(node, ast.BinOp):
            sides = self.has(node.left) or self.has(node.right)
            return sides and isinstance(node.op, _ARITHMETIC)
        return isinstance(node, ast.Call) and self._called(node)

    def _called(self, node: ast.Call) -> bool:
        name = self._kernel.called(node)
        if name in ("load", "float"):
            return True
        if name is None and isinstance(node.func, ast.Attribute) and node.func.attr == "to":
            return any(self._is_type(argument) for argument in node.args)
        if name in ("cast", "zeros", "full"):
            given = [*node.args[1:], *(keyword.value for keyword in node.keywords)]
            return any(self._is_type(argument) for argument in given)
        name = (name or "").removeprefix("math.")
        if name == "where":
            return len(node.args) == 3 and any(map(self.has, node.args[1:]))
        return name in _SAME_TYPE and any(map(self.has, node.args))

    def _is_type(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Attribute) and node.attr == "dtype":
            return self.has(node.value)
        return self._kernel.path(node) == "float32"


def _assigned(kernel: KernelText) -> Iterator[tuple[str, Collection[ast.expr | None]]]:
    """Each name with all values that it is given; None for one that is not read."""
    found: dict[str, list[ast.expr | None]] = {}
    parameters = [parameter.arg for parameter in kernel.parameters]
    for name in parameters:
        found.setdefault(name, []).append(None)
    for node in ast.walk(kernel.node):
        if isinstance(node, ast.Assign) and all(isinstance(t, ast.Name) for t in node.targets):
            for target in node.targets:
                found.setdefault(target.id, []).append(node.value)  # type: ignore[attr-defined]
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            value = ast.BinOp(ast.Name(node.target.id, ast.Load()), node.op, node.value)
            found.setdefault(node.target.id, []).append(value)
    stored = stored_names(kernel.node.body)
    for name in stored:
        if stored.count(name) > len(found.setdefault(name, [])):
            found[name].append(None)
    yield from found.items()


def _word(node: ast.AST) -> str | None:
    for field in ("attr", "id", "arg"):
        if isinstance(word := getattr(node, field, None), str):
            return word
    return None
