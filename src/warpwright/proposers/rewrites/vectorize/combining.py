"""How the terms of a block are put together: scanned where each element's value is read, reduced
where the last one is."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from warpwright.proposers.rewrites.common.kernel_text import KernelText
from warpwright.proposers.rewrites.common.statement_text import laid_out, parsed
from warpwright.proposers.rewrites.outer.nests import free_name
from warpwright.proposers.rewrites.outer.outer_axes import FIRST, LAST
from warpwright.proposers.rewrites.vectorize.block_steps import Combined
from warpwright.proposers.rewrites.vectorize.updates import LARGEST, PRODUCT, SMALLEST, SUM

NEUTRAL = {SUM: 0, PRODUCT: 1}
EXTREMES = {LARGEST: "maximum", SMALLEST: "minimum"}
SCANS = {SUM: "cumsum", PRODUCT: "cumprod"}
REDUCTIONS = {SUM: "sum", LARGEST: "max", SMALLEST: "min"}


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one value in a block: an expression of lanes (of a tile, with `tile`, whose last
    axis they are), and the condition under which a lane has one. `type_text`: the value's type."""

    value: ast.expr
    inside: ast.expr
    type_text: str
    floating: bool
    tile: bool
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Combiner:
    """Writes the lines for the blocks of one loop. `lane`: the name of the lanes' numbers;
    `helpers`: by operation, the function that a scan of extremes is given."""

    kernel: KernelText
    lane: str
    block: int
    helpers: dict[str, str]

    def lines(self, whole: Combined, terms: Terms, taken: set[str], columns: int) -> list[str]:
        """The value as each element finds and leaves it, and as the next block finds it."""
        name, operation = whole.name, whole.update.operation
        term = free_name(f"{name}_term", taken)
        lines = laid_out(f"{term} = ", self._cleared(name, operation, terms), "", columns)
        scanned = whole.before is not None or whole.after is not None or operation == PRODUCT
        scan = free_name(f"{name}_scan", taken) if scanned else ""
        if scanned:
            lines.append(f"{scan} = {self._scan(operation, term, terms.tile)}")
        own = f"{name}{FIRST}" if terms.tile else name
        if whole.before is not None:
            shifted = self._shifted(operation, scan, own)
            lines += laid_out(f"{whole.before} = ", parsed(shifted), "", columns)
        if whole.after is not None:
            lines.append(f"{whole.after} = {self._applied(operation, own, scan)}")
        return [*lines, self._carry(whole, term, scan, terms)]

    def _cleared(self, name: str, operation: str, terms: Terms) -> ast.expr:
        """The terms, of the value's type; in lanes that have none, what changes nothing."""
        if operation in EXTREMES:
            neutral = f"{name}{FIRST}" if terms.tile else name
        else:
            neutral = str(float(NEUTRAL[operation]) if terms.floating else NEUTRAL[operation])
        where, cast = (
            self.kernel.builtin("where"),
            _cast(terms.value, terms.type_text, apart=terms.apart),
        )
        return parsed(f"{where}({ast.unparse(terms.inside)}, {cast}, {neutral})")

    def _scan(self, operation: str, term: str, tile: bool) -> str:
        axis = int(tile)
        if operation in SCANS:
            return f"{self.kernel.builtin(SCANS[operation])}({term}, {axis})"
        scan = self.kernel.builtin("associative_scan")
        return f"{scan}({term}, {axis}, {self.helpers[operation]})"

    def _applied(self, operation: str, left: str, right: str) -> str:
        if operation in EXTREMES:
            return f"{self.kernel.builtin(EXTREMES[operation])}({left}, {right})"
        return f"{left} {operation} {right}"

    def _shifted(self, operation: str, scan: str, own: str) -> str:
        """The value before each element: what the lane before it has, in the first lane nothing."""
        gather, where = self.kernel.builtin("gather"), self.kernel.builtin("where")
        most = self.kernel.builtin("maximum")
        earlier = f"{gather}({scan}, {most}({self.lane} - 1, 0), 0)"
        combined = self._applied(operation, own, earlier)
        return f"{where}({self.lane} == 0, {own}, {combined})"

    def _carry(self, whole: Combined, term: str, scan: str, terms: Terms) -> str:
        """The value as the next block finds it.

        Of a scanned tile it is the last lane's: Triton 3.6 stops at a vector that a loop carries,
        to which a reduction is added, and that is read otherwise in the loop.
        """
        name, operation, axis = whole.name, whole.update.operation, int(terms.tile)
        if operation == PRODUCT or (terms.tile and whole.after is not None):
            last = f"({self.lane} == {self.block - 1}){LAST if terms.tile else ''}"
            taken = scan if whole.after is None else whole.after
            zero = "0.0" if terms.floating else "0"
            where, total = self.kernel.builtin("where"), self.kernel.builtin("sum")
            picked = f"{total}({where}({last}, {taken}, {zero}), {axis})"
            return f"{name} *= {picked}" if whole.after is None else f"{name} = {picked}"
        reduced = f"{self.kernel.builtin(REDUCTIONS[operation])}({term}, {axis})"
        if operation == SUM:
            return f"{name} += {reduced}"
        return f"{name} = {self._applied(operation, name, reduced)}"


def _cast(value: ast.expr, type_text: str, *, apart: bool) -> str:
    """A value as text, made of a type where it is not said to be of it.

    What is taken off is made of it before its sign turns: a number of bits without a sign has none.
    So is each of several terms (`apart`), which may not fit into their own type together.
    """
    if isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub):
        return f"-{_cast(value.operand, type_text, apart=False)}"
    if apart and isinstance(value, ast.BinOp):
        left = _cast(value.left, type_text, apart=_alike(value.left, value.op))
        right = _cast(value.right, type_text, apart=False)
        return f"{left} {'+' if isinstance(value.op, ast.Add) else '*'} {right}"
    text = ast.unparse(value)
    simple = isinstance(value, ast.Name | ast.Call | ast.Subscript | ast.Attribute)
    has = text.endswith(f".to({type_text})")
    return text if has else f"{text if simple else f'({text})'}.to({type_text})"


def _alike(value: ast.expr, operator: ast.operator) -> bool:
    return isinstance(value, ast.BinOp) and isinstance(value.op, type(operator))
