"""The body of a reduction loop, rewritten for digits in another order."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from warpwright.proposers.rewrites.common.kernel_text import loaded_names, stored_names
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.statement_text import parsed
from warpwright.proposers.rewrites.digits.order import Order
from warpwright.proposers.rewrites.digits.read_digits import (
    DigitLanes,
    Digits,
    Reader,
    Scalar,
    axis_of,
)
from warpwright.proposers.rewrites.digits.scalars import is_scalar

Readdress = Callable[[ast.expr], ast.expr | None]
"""A load's pointer as the loop had it → another, or None to keep it."""

_ELEMENTWISE = {"where", "minimum", "maximum", "abs"}


class _Always(ast.expr):
    """A mask that is true for every lane; it never reaches the text."""


@dataclass
class BodyWriter:
    """Rewrites statements one by one; what they assign of the index is known by name."""

    reader: Reader
    order: Order
    scalars: set[str]
    readdress: Readdress
    wide: set[str] = field(default_factory=set)
    """Names that spanned the step's lanes in the loop as it was."""
    spans: set[str] = field(default_factory=set)
    """Names that still do."""

    def write(self, body: Sequence[ast.stmt]) -> list[ast.stmt]:
        """The new statements, without those that only took the index apart."""
        written = [new for statement in body for new in self._statement(statement)]
        return without_unused(written, self._outside(body))

    def _outside(self, body: Sequence[ast.stmt]) -> set[str]:
        """Names read before or after the loop, or carried around it."""
        inside = loaded_names(body)
        everywhere = loaded_names(self.reader.kernel.node.body)
        for name in inside:
            everywhere.remove(name)
        return set(everywhere)

    def _statement(self, node: ast.stmt) -> list[ast.stmt]:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            if isinstance(target, ast.Name):
                return self._assignment(node, target.id)
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            if node.target.id in self.reader.names:
                raise DoesNotApply(f"{node.target.id}, a part of the index, is changed in the loop")
            value = self._value(node.value)
            if self._is_thin(node.value, value):
                raise DoesNotApply("a term of the sum no longer spans the step")
            return [ast.AugAssign(node.target, node.op, value)]
        if isinstance(node, ast.Expr):
            if isinstance(node.value, ast.Constant):
                return []
            call = node.value
            hinted = isinstance(call, ast.Call) and call.args and self._known(call.args[0])
            return [] if hinted else [ast.Expr(self._value(node.value))]
        raise DoesNotApply(f"the loop holds more than assignments (line {node.lineno})")

    def _known(self, node: ast.expr) -> bool:
        return self.reader.known(node) is not None

    def _assignment(self, node: ast.Assign, name: str) -> list[ast.stmt]:
        known = self.reader.known(node.value)
        if known is not None:
            if name in self._outside([self._loop()]):
                raise DoesNotApply(f"{name}, a part of the index, is read outside of the loop")
            self.reader.learn(name, known)
            return []
        was_wide = self._was_wide(node.value)
        value = self._value(node.value)
        self.reader.learn(name, None)
        for names, holds in (
            (self.wide, was_wide),
            (self.spans, self._spans(value)),
            (self.scalars, is_scalar(self.reader.kernel, value, self.scalars)),
        ):
            (names.add if holds else names.discard)(name)
        return [ast.Assign([ast.Name(name, ast.Store())], value)]

    def _loop(self) -> ast.For:
        assert self.reader.header is not None
        return self.reader.header.loop

    def _value(self, node: ast.expr) -> ast.expr:
        new = self._expression(node)
        if isinstance(new, _Always):
            raise DoesNotApply("a mask of the whole step is used as a value")
        return new

    def _expression(self, node: ast.expr) -> ast.expr:
        known = self.reader.known(node)
        if known is Scalar.ALWAYS:
            return _Always()
        if known is Scalar.BASE or isinstance(known, DigitLanes):
            return node
        if isinstance(known, Digits):
            return parsed(self.order.text(known))
        if isinstance(node, ast.Subscript):
            return self._subscript(node)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd):
            return self._both(self._expression(node.left), self._expression(node.right))
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.BinOp):
            return ast.BinOp(self._value(node.left), node.op, self._value(node.right))
        if isinstance(node, ast.UnaryOp):
            return ast.UnaryOp(node.op, self._value(node.operand))
        if isinstance(node, ast.Compare):
            others = [self._value(other) for other in node.comparators]
            return ast.Compare(self._value(node.left), node.ops, others)
        if isinstance(node, ast.Attribute):
            return ast.Attribute(self._value(node.value), node.attr, ast.Load())
        if isinstance(node, (ast.Name, ast.Constant)):
            return node
        if isinstance(node, (ast.Tuple, ast.List)) and not self._was_wide(node):
            return node
        raise DoesNotApply(f"an expression of the loop is not understood: {ast.unparse(node)}")

    @staticmethod
    def _both(left: ast.expr, right: ast.expr) -> ast.expr:
        if isinstance(left, _Always):
            return right
        return left if isinstance(right, _Always) else ast.BinOp(left, ast.BitAnd(), right)

    def _subscript(self, node: ast.Subscript) -> ast.expr:
        base = self._value(node.value)
        if axis_of(node.slice) is not None and is_scalar(self.reader.kernel, base, self.scalars):
            return base
        return ast.Subscript(base, node.slice, ast.Load())

    def _call(self, node: ast.Call) -> ast.expr:
        called = self.reader.kernel.called(node)
        if called == "where" and len(node.args) == 3 and self.reader.is_always(node.args[0]):
            return self._expression(node.args[1])
        if called == "load":
            return self._load(node)
        method = isinstance(node.func, ast.Attribute) and called is None
        function = self._value(node.func) if method else node.func
        arguments = [self._value(argument) for argument in node.args]
        keywords = [ast.keyword(k.arg, self._value(k.value)) for k in node.keywords]
        if called not in _ELEMENTWISE and not (method and node.func.attr == "to"):  # type: ignore[attr-defined]
            old = [*node.args, *(k.value for k in node.keywords)]
            new = [*arguments, *(k.value for k in keywords)]
            if any(self._is_thin(a, b) for a, b in zip(old, new, strict=True)):
                raise DoesNotApply(f"an argument of {called or 'a call'} no longer spans the step")
        return ast.Call(function, arguments, keywords)

    def _load(self, node: ast.Call) -> ast.expr:
        """A load without what is always true of its mask."""
        if not node.args or len(node.args) > 3:
            raise DoesNotApply("a load names its pointer by keyword")
        pointer = self.readdress(node.args[0]) or self._value(node.args[0])
        if self._is_thin(node.args[0], pointer):
            raise DoesNotApply("a load no longer spans the step: its address lacks the lane digit")
        names = ("mask", "other")
        given = [*zip(names, node.args[1:], strict=False)]
        given += [(k.arg or "", k.value) for k in node.keywords]
        keywords = []
        for name, value in given:
            new = self._expression(value)
            if isinstance(new, _Always):
                if name != "mask":
                    raise DoesNotApply("a mask of the whole step is used as a value")
                continue
            keywords.append(ast.keyword(name, new))
        if not any(keyword.arg == "mask" for keyword in keywords):
            keywords = [keyword for keyword in keywords if keyword.arg != "other"]
        return ast.Call(node.func, [pointer], keywords)

    def _is_thin(self, old: ast.expr, new: ast.expr) -> bool:
        return self._was_wide(old) and not self._spans(new)

    def _was_wide(self, node: ast.expr) -> bool:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name):
                known = self.reader.known(inner)
                if inner.id in self.wide or isinstance(known, (Digits, DigitLanes)):
                    return True
            elif isinstance(inner, ast.Call) and isinstance(self.reader.known(inner), DigitLanes):
                return True
        return False

    def _spans(self, node: ast.expr) -> bool:
        lane = self.order.lane_digit.name
        return any(
            (isinstance(inner, ast.Name) and (inner.id in self.spans or inner.id == lane))
            or (isinstance(inner, ast.expr) and isinstance(self.reader.known(inner), DigitLanes))
            for inner in ast.walk(node)
        )


def without_unused(body: Sequence[ast.stmt], needed: set[str]) -> list[ast.stmt]:
    """The statements without assignments that nothing reads any more."""
    kept = list(body)
    while True:
        read = set(loaded_names(kept)) | needed
        shorter = [
            node
            for node in kept
            if not isinstance(node, ast.Assign) or set(stored_names([node])) & read
        ]
        if len(shorter) == len(kept):
            return kept
        kept = shorter
