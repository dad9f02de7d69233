"""Which integer parameters of a kernel may become compile-time constants, bit for bit.

A constant is folded in Python's arithmetic where Triton's would have been used at run time. The
two agree on sums, products and comparisons of small numbers; where they do not (division of
negative numbers, true division, numbers beyond 31 bits) a parameter stays a run-time value.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping, Set

from warpwright.program.nodes import names_in
from warpwright.proposers.rewrites.common.kernel_text import KernelText, stored_names

LARGEST = 2**31 - 1
HINTS = {"multiple_of", "max_contiguous", "max_constancy"}
"""Statements that tell the compiler what it knows of a constant; Triton refuses them for one."""
_TAKE_NO_CONSTANTS = HINTS | {"assume", "device_print"}
_MAX_DEPTH = 6


def unfit_parameters(
    kernel: KernelText, values: Mapping[str, int], known: Mapping[str, int] | None = None
) -> Mapping[str, str]:
    """Parameter → why it must stay a run-time value; parameters not named may be constants.

    `values`: the candidates with the value that every launch gives them. `known`: the largest
    value of parameters that are constants already, where it is known.
    """
    return _Reader(kernel, values, known or {}, 0).unfit()


class _Reader:
    def __init__(
        self, kernel: KernelText, values: Mapping[str, int], known: Mapping[str, int], depth: int
    ) -> None:
        self._kernel = kernel
        self._values = values
        self._known = known
        self._depth = depth
        self._unfit: dict[str, str] = {}

    def unfit(self) -> dict[str, str]:
        for name in stored_names(self._kernel.node.body):
            self._refuse({name}, "the kernel assigns it")
        for name, value in self._values.items():
            if abs(value) > LARGEST:
                self._refuse({name}, "it does not fit 32 bits")
        for statement in self._kernel.node.body:
            dropped = [
                node.value
                for node in ast.walk(statement)
                if isinstance(node, ast.Expr) and is_hint(self._kernel, node, self._values)
            ]
            for node in ast.walk(statement):
                if node not in dropped:
                    self._look(node)
        return self._unfit

    def _refuse(self, names: Set[str], reason: str) -> None:
        for name in names & self._values.keys():
            self._unfit.setdefault(name, reason)

    def _look(self, node: ast.AST) -> None:
        if isinstance(node, ast.Attribute) and self._is_pure(node.value):
            self._refuse(names_in(node.value), f"the kernel uses its .{node.attr}")
        elif isinstance(node, ast.Subscript) and self._is_pure(node.value):
            self._refuse(names_in(node.value), "the kernel subscripts it")
        elif isinstance(node, ast.Call):
            self._look_at_call(node)
        elif isinstance(node, ast.BinOp) and self._is_pure(node):
            self._look_at_arithmetic(node)

    def _look_at_arithmetic(self, node: ast.BinOp) -> None:
        """An operation that would be folded."""
        names = names_in(node)
        value = self._value(node)
        if isinstance(node.op, (ast.Div, ast.Pow)) or type(value) is not int:
            self._refuse(names, "it stands in arithmetic that rounds otherwise when folded")
        elif abs(value) > LARGEST:
            self._refuse(names, "a product of it does not fit 32 bits")
        elif isinstance(node.op, (ast.FloorDiv, ast.Mod)):
            sides = (self._value(node.left), self._value(node.right))
            if any(side is None or side < 0 for side in sides):
                self._refuse(names, "a negative number is divided, which folds otherwise")

    def _look_at_call(self, node: ast.Call) -> None:
        called = self._kernel.called(node)
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        if called is not None and called.split(".")[-1] in _TAKE_NO_CONSTANTS:
            for argument in arguments:
                if self._is_pure(argument):
                    self._refuse(names_in(argument), f"it is passed to {called}")
        elif isinstance(node.func, ast.Name):
            helper = next(
                (k.node for k in self._kernel.program.kernels if k.node.name == node.func.id), None
            )
            if helper is not None:
                self._look_into(helper, node)

    def _look_into(self, helper: ast.FunctionDef, node: ast.Call) -> None:
        """What a helper does with an argument holds for the parameters in it."""
        text = KernelText(self._kernel.program, helper)
        passed = dict(zip((p.arg for p in text.parameters), node.args, strict=False))
        passed |= {k.arg: k.value for k in node.keywords if k.arg is not None}
        inner: dict[str, int] = {}
        for name, argument in passed.items():
            value = self._value(argument)
            if self._is_pure(argument) and type(value) is int:
                inner[name] = value
        splatted = any(isinstance(argument, ast.Starred) for argument in node.args)
        deep = splatted or self._depth >= _MAX_DEPTH
        found = {} if deep else _Reader(text, inner, {}, self._depth + 1).unfit()
        for name, argument in passed.items():
            if deep:
                self._refuse(names_in(argument), f"it is passed to {helper.name}")
            elif name in found:
                self._refuse(names_in(argument), f"in {helper.name}: {found[name]}")

    def _is_pure(self, node: ast.AST) -> bool:
        """Whether an expression would be folded: candidates and numbers alone, at least one."""
        return self._folds(node) and bool(names_in(node))

    def _folds(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Name):
            return node.id in self._values or node.id in self._kernel.constants
        if isinstance(node, ast.Constant):
            return isinstance(node.value, (int, float))
        if isinstance(node, ast.UnaryOp):
            return self._folds(node.operand)
        return isinstance(node, ast.BinOp) and self._folds(node.left) and self._folds(node.right)

    def _value(self, node: ast.AST) -> int | float | None:
        """The folded value; None where a name of it has no single known value."""
        if isinstance(node, ast.Name):
            return self._values.get(node.id, self._known.get(node.id))
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return node.value
        if isinstance(node, ast.UnaryOp):
            inner = self._value(node.operand)
            return None if inner is None else -inner if isinstance(node.op, ast.USub) else inner
        if isinstance(node, ast.BinOp):
            return self._operation(node)
        return None

    def _operation(self, node: ast.BinOp) -> int | float | None:
        left, right = self._value(node.left), self._value(node.right)
        if left is None or right is None:
            return None
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Sub):
            return left - right
        if isinstance(node.op, ast.Mult):
            return left * right
        if isinstance(node.op, (ast.FloorDiv, ast.Mod)) and right:
            return left // right if isinstance(node.op, ast.FloorDiv) else left % right
        return None


def is_hint(kernel: KernelText, node: ast.Expr, names: Collection[str]) -> bool:
    """Whether a statement does nothing but tell the compiler something of one of these names."""
    call = node.value
    return (
        isinstance(call, ast.Call)
        and kernel.called(call) in HINTS
        and bool(call.args)
        and isinstance(call.args[0], ast.Name)
        and call.args[0].id in names
    )
