"""Terms that a row's exponentials are added up from: `tl.exp(x - m)` and its other spellings."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from warpwright.proposers.rewrites.common.kernel_text import KernelText, stored_names
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.passes.resolved import (
    Resolver,
    counts,
    is_least_outside,
    same,
    where_true,
)

_EXPONENTIALS = frozenset({"exp", "exp2", "math.exp", "math.exp2"})


@dataclass(frozen=True, slots=True)
class Exponential:
    """`function(x - base)`; with `factor` `function((x - base) * factor)`, or with `scaled`
    `function(x * factor - base)`. In lanes where `mask` is false it is zero.

    `x` and `mask` are without names; `function`, `base` and `factor` as the second loop's text has
    them, for statements behind it.
    """

    function: str
    x: ast.expr
    base: str
    factor: str
    scaled: bool
    mask: ast.expr | None

    def of(self, value: str) -> str:
        """The text of the term for another value than `x`."""
        if not self.factor:
            return f"{self.function}({value} - {self.base})"
        if self.scaled:
            return f"{self.function}({value} * {self.factor} - {self.base})"
        return f"{self.function}(({value} - {self.base}) * {self.factor})"

    def of_gap(self, gap: str) -> str:
        """By how much a term shrinks when what is taken off grows by that much."""
        return f"{self.function}(-{gap}{f' * {self.factor}' if self.factor else ''})"


class TermReader:
    """Reads terms of a second loop. `whole` looks through all names from the first loop on, `own`
    through those of the second loop alone."""

    def __init__(self, kernel: KernelText, whole: Resolver, own: Resolver) -> None:
        self._kernel, self._whole, self._own = kernel, whole, own

    def read(self, value: ast.expr, statement: ast.stmt, row: ast.expr) -> Exponential:
        """The term as an exponential of `row`, a value without names. Raises DoesNotApply."""
        mask = None
        value, statement = self._whole.followed(value, statement)
        if self._kernel.called(value) == "where" and isinstance(value, ast.Call):
            condition, value, other = _three(value)
            if not isinstance(other, ast.Constant) or other.value != 0:
                raise DoesNotApply("lanes outside the mask add more than zero")
            mask = self._whole.of(condition, statement)
            value, statement = self._whole.followed(value, statement)
        called = self._kernel.called(value)
        plain = isinstance(value, ast.Call) and len(value.args) == 1 and not value.keywords
        if not plain or called not in _EXPONENTIALS:
            raise DoesNotApply("the second loop adds no exponentials up")
        assert isinstance(value, ast.Call)
        inner, where = self._whole.followed(value.args[0], statement)
        factor, inner, where = self._factor(inner, where)
        if not isinstance(inner, ast.BinOp) or not isinstance(inner.op, ast.Sub):
            raise DoesNotApply("nothing is taken off before the exponential")
        base = self._own.of(inner.right, where)
        if counts(base):
            raise DoesNotApply("what is taken off changes from step to step")
        left = self._whole.of(inner.left, where)
        scaled = False
        if mask is not None:
            if not is_least_outside(row, mask):
                raise DoesNotApply("masked lanes may have a part in the maximum")
            left, row = where_true(left, mask), where_true(row, mask)
        if not same(left, row):
            if factor or not (factor := self._scale(left, row)):
                raise DoesNotApply("the second loop reads other values than the first one")
            scaled = True
        function = ast.unparse(value.func)
        return Exponential(function, left, _bracketed(base), factor, scaled, mask)

    def _factor(self, node: ast.expr, where: ast.stmt) -> tuple[str, ast.expr, ast.stmt]:
        """A positive number that multiplies what is left; no factor where there is none."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            for one, other in ((node.left, node.right), (node.right, node.left)):
                if text := self._positive(self._whole.followed(other, where)[0]):
                    return text, *self._whole.followed(one, where)
        return "", node, where

    def _scale(self, scaled: ast.expr, row: ast.expr) -> str:
        """The positive number that the row is multiplied by; empty where it is not."""
        if isinstance(scaled, ast.BinOp) and isinstance(scaled.op, ast.Mult):
            for one, other in ((scaled.left, scaled.right), (scaled.right, scaled.left)):
                if same(one, row):
                    return self._positive(other)
        return ""

    def _positive(self, node: ast.expr) -> str:
        """The text of a plain positive number, or of a name for one; else empty."""
        value = self._named(node.id) if isinstance(node, ast.Name) else node
        if value is not None and self._kernel.called(value) == "constexpr":
            value = value.args[0] if isinstance(value, ast.Call) and value.args else None
        is_number = isinstance(value, ast.Constant) and type(value.value) in (int, float)
        return ast.unparse(node) if is_number and value.value > 0 else ""  # type: ignore[union-attr]

    def _named(self, name: str) -> ast.expr | None:
        """What a name is that the kernel, or else its module, assigns once."""
        if any(parameter.arg == name for parameter in self._kernel.parameters):
            return None
        stored = stored_names(self._kernel.node.body).count(name)
        if not stored:
            return self._kernel.program.constants.get(name)
        for node in self._kernel.node.body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and stored_names([node]) == [name]:
                return node.value if stored == 1 else None
        return None


def _three(node: ast.Call) -> tuple[ast.expr, ast.expr, ast.expr]:
    if len(node.args) != 3 or node.keywords:
        raise DoesNotApply("the second loop adds no exponentials up")
    return node.args[0], node.args[1], node.args[2]


def _bracketed(node: ast.expr) -> str:
    """The text of what is taken off, in brackets where it needs them."""
    return ast.unparse(ast.BinOp(ast.Name("x"), ast.Sub(), node)).split(" - ", 1)[1]
