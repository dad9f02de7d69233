"""Expressions of one program as expressions of several, which are lanes.

A value of a program has its own lanes, or none; of several programs it has one axis more, the last
one: a number becomes [programs], a vector [own lanes, programs].
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from warpwright.program.kernel_assignments import called_name
from warpwright.program.nodes import clone
from warpwright.proposers.rewrites.common.kernel_text import KernelText
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.statement_text import parsed
from warpwright.proposers.rewrites.common.value_axes import HINTS

OWN, PROGRAMS = "[:, None]", "[None, :]"
_REDUCTIONS = frozenset({"sum", "max", "min", "argmax", "argmin"})
_SCANS = frozenset({"cumsum", "cumprod"})
_ELEMENTWISE = frozenset({
    "where", "maximum", "minimum", "exp", "exp2", "log", "log2", "sqrt", "rsqrt", "abs", "cdiv",
    "fma", "floor", "ceil", "sigmoid", "sin", "cos", "erf", "cast", "clamp", "sqrt_rn", "div_rn",
})  # fmt: skip
_BUILTINS = frozenset({"min", "max", "abs"})
_CREATORS = frozenset({"zeros", "full"})
_LOADED_WITH = ("pointer", "mask", "other")
_STORED_WITH = ("pointer", "value", "mask")
_HINTS_OF_ACCESSES = frozenset({"cache_modifier", "eviction_policy", "volatile"})


@dataclass(frozen=True, slots=True)
class WideValue:
    """An expression. `own`: it has the program's own lanes; `wide`: one value for each program."""

    node: ast.expr
    own: bool = False
    wide: bool = False

    def as_tile(self) -> ast.expr:
        """With both axes, where it has one."""
        if self.own is self.wide:
            return self.node
        whole = self.node
        text = ast.unparse(whole)
        if not isinstance(whole, ast.Name | ast.Call | ast.Subscript):
            text = f"({text})"
        return parsed(text + (OWN if self.own else PROGRAMS))


@dataclass(frozen=True, slots=True)
class Widener:
    """Rewrites the expressions of a kernel. `axis`: whose programs are lanes, which `identity`
    numbers; `live`: the name of the mask of lanes that are programs; `own`, `wide`: names that have
    these axes."""

    kernel: KernelText
    axis: int
    identity: str
    live: str
    own: Collection[str]
    wide: Collection[str]

    def of(self, node: ast.expr) -> WideValue:
        """Raises DoesNotApply for what is not known to work for each program by itself."""
        if isinstance(node, ast.Constant):
            return WideValue(node)
        if isinstance(node, ast.Name):
            return WideValue(clone(node), node.id in self.own, node.id in self.wide)
        if isinstance(node, ast.Attribute):
            return WideValue(clone(node))
        if isinstance(node, ast.BinOp):
            (left, right), value = self._together([node.left, node.right])
            return _like(ast.BinOp(left, node.op, right), value)
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            (left, right), value = self._together([node.left, node.comparators[0]])
            return _like(ast.Compare(left, list(node.ops), [right]), value)
        if isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.Not):
            value = self.of(node.operand)
            return _like(ast.UnaryOp(node.op, value.node), value)
        if isinstance(node, ast.Call):
            return self._call(node)
        return self._unchanged(node)

    def _unchanged(self, node: ast.expr) -> WideValue:
        """An expression of numbers that all programs share."""
        names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
        calls = any(isinstance(inner, ast.Call) for inner in ast.walk(node))
        if calls or names & {*self.own, *self.wide}:
            raise DoesNotApply(f"{ast.unparse(node)} is not computed lane by lane")
        return WideValue(clone(node))

    def _together(self, nodes: Sequence[ast.expr]) -> tuple[list[ast.expr], WideValue]:
        """Operands of an elementwise operation, each with the axes of the result."""
        values = [self.of(node) for node in nodes]
        own, wide = any(v.own for v in values), any(v.wide for v in values)
        if own and wide:
            return [value.as_tile() for value in values], WideValue(nodes[0], own, wide)
        return [value.node for value in values], WideValue(nodes[0], own, wide)

    def _call(self, node: ast.Call) -> WideValue:
        called = self.kernel.called(node)
        if called == "program_id":
            if _axis(node) == self.axis:
                return WideValue(parsed(self.identity), wide=True)
            return WideValue(clone(node))
        if called == "arange":
            return WideValue(clone(node), own=True)
        if called in _CREATORS:
            return self._created(node)
        if called == "load":
            return self._loaded(node)
        path = self.kernel.path(node.func)
        if path in _REDUCTIONS or path in _SCANS:
            return self._reduced(node, path in _SCANS)
        if path in HINTS:
            inner = self.of(node.args[0])
            return inner if inner.wide else WideValue(clone(node), inner.own)
        method = path is None and isinstance(node.func, ast.Attribute)
        if method and called_name(node) == "to":
            assert isinstance(node.func, ast.Attribute)
            inner = self.of(node.func.value)
            func = ast.Attribute(inner.node, "to", ast.Load())
            return _like(ast.Call(func, node.args, node.keywords), inner)
        builtin = isinstance(node.func, ast.Name) and node.func.id in _BUILTINS
        constant = isinstance(node.func, ast.Name) and node.func.id == "float"
        if constant and all(isinstance(a, ast.Constant) for a in node.args):
            return WideValue(clone(node))
        if builtin or (path or "").split(".")[-1] in _ELEMENTWISE:
            return self._elementwise(node)
        raise DoesNotApply(f"{ast.unparse(node)} is not known to work lane by lane")

    def _elementwise(self, node: ast.Call) -> WideValue:
        operands = [*node.args, *(keyword.value for keyword in node.keywords)]
        nodes, value = self._together(operands)
        count = len(node.args)
        keywords = [
            ast.keyword(k.arg, v) for k, v in zip(node.keywords, nodes[count:], strict=True)
        ]
        return _like(ast.Call(node.func, nodes[:count], keywords), value)

    def _created(self, node: ast.Call) -> WideValue:
        shape = node.args[0] if node.args else None
        if not isinstance(shape, ast.Tuple | ast.List) or len(shape.elts) > 1:
            raise DoesNotApply(f"{ast.unparse(node)} has another form than a vector")
        return WideValue(clone(node), own=len(shape.elts) == 1)

    def _reduced(self, node: ast.Call, scan: bool) -> WideValue:
        """A reduction, or a scan, along the program's own lanes, the first axis."""
        value = self.of(node.args[0])
        keywords = {k.arg: k.value for k in node.keywords}
        axis = node.args[1] if len(node.args) > 1 else keywords.pop("axis", None)
        zero = axis is None or (isinstance(axis, ast.Constant) and axis.value in (0, None))
        if not value.own or len(node.args) > 2 or not zero or set(keywords) - {"tie_break_left"}:
            raise DoesNotApply(f"{ast.unparse(node)} is no plain reduction of a vector")
        if not value.wide:
            return WideValue(clone(node), own=scan)
        rest = [ast.keyword("axis", ast.Constant(0))]
        rest += [k for k in node.keywords if k.arg != "axis"]
        return WideValue(ast.Call(node.func, [value.node], rest), own=scan, wide=True)

    def _loaded(self, node: ast.Call) -> WideValue:
        parts, hints = self._parts(node, _LOADED_WITH)
        operands = {name: self.of(value) for name, value in parts.items()}
        pointer = operands["pointer"]
        if not pointer.wide:
            if any(value.wide for value in operands.values()):
                raise DoesNotApply(f"{ast.unparse(node)} is masked by the program alone")
            return WideValue(clone(node), pointer.own)
        new = self._access(node, operands, hints)
        return WideValue(new, pointer.own, True)

    def store(self, node: ast.Call) -> ast.expr:
        """A store, or an atomic operation, for each program. Raises DoesNotApply."""
        parts, hints = self._parts(node, _STORED_WITH)
        operands = {name: self.of(value) for name, value in parts.items()}
        if "value" not in operands or not operands["pointer"].wide:
            raise DoesNotApply("all programs write to one place")
        return self._access(node, operands, hints)

    def _access(
        self, node: ast.Call, operands: dict[str, WideValue], hints: Sequence[ast.keyword]
    ) -> ast.expr:
        pointer = operands["pointer"]
        if any(value.own for value in operands.values()) and not pointer.own:
            raise DoesNotApply(f"{ast.unparse(node)} has more lanes than addresses")
        nodes = {n: v.as_tile() if pointer.own else v.node for n, v in operands.items()}
        live = parsed(self.live + (PROGRAMS if pointer.own else ""))
        mask = nodes.get("mask")
        whole = live if mask is None else ast.BinOp(mask, ast.BitAnd(), live)
        named = [ast.keyword("mask", whole)]
        if "other" in nodes:
            named.append(ast.keyword("other", nodes["other"]))
        placed = [nodes[name] for name in ("pointer", "value") if name in nodes]
        return ast.Call(node.func, placed, [*named, *hints])

    def _parts(
        self, node: ast.Call, names: Sequence[str]
    ) -> tuple[dict[str, ast.expr], list[ast.keyword]]:
        """An access's operands by name, and its hints."""
        parts = dict(zip(names, node.args, strict=False))
        alias = {"val": "value"}
        for keyword in node.keywords:
            name = alias.get(keyword.arg or "", keyword.arg)
            if name in names:
                parts[str(name)] = keyword.value
        hints = [k for k in node.keywords if alias.get(k.arg or "", k.arg) not in names]
        plain = {k.arg for k in hints} <= _HINTS_OF_ACCESSES and len(node.args) <= len(names)
        if not plain or "pointer" not in parts:
            raise DoesNotApply(f"{ast.unparse(node)} is no plain access")
        return parts, hints


def _like(node: ast.expr, value: WideValue) -> WideValue:
    return WideValue(node, value.own, value.wide)


def _axis(node: ast.Call) -> int | None:
    arguments = [*node.args, *(k.value for k in node.keywords if k.arg == "axis")]
    value = arguments[0] if len(arguments) == 1 else None
    is_int = isinstance(value, ast.Constant) and type(value.value) is int
    return value.value if is_int else None  # type: ignore[union-attr]
