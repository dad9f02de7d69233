"""The kernel's half of `widen`: numbers of a program become one each row, vectors get an axis more.

What follows from the program's number along the widened axis is *many*: [rows, 1] for a number,
[rows, lanes] for a vector. A vector that does not is [1, lanes]. With `lanes_first` the two axes
change places.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from warpwright.proposers.rewrites.common.block_extents import BlockExtents, reduction_of
from warpwright.proposers.rewrites.common.kernel_text import KernelText, stored_names
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.splice import (
    Splice,
    inserted_after,
    replaced,
    whole_lines,
)
from warpwright.proposers.rewrites.common.statement_text import margin_of
from warpwright.proposers.rewrites.common.value_axes import Shape, is_elementwise

_ACCESSES = frozenset({"load", "store", "atomic_add", "atomic_max", "atomic_min"})
_PLAIN = frozenset({"float", "int", "range", "static_range", "cdiv", "program_id"})
_CREATORS = frozenset({"zeros", "full"})
_STATEMENTS = (ast.Assign, ast.AugAssign, ast.Expr, ast.For, ast.If, ast.Return, ast.Pass)


@dataclass(frozen=True, slots=True)
class Widening:
    """`axis` of the grid; `rows`: the name of the constant; `alive`: of the mask, if any."""

    axis: int
    rows: str
    alive: str
    lanes_first: bool

    def many(self, text: str) -> str:
        return f"{text}[{'None, :' if self.lanes_first else ':, None'}]"

    def lanes(self, text: str) -> str:
        return f"{text}[{':, None' if self.lanes_first else 'None, :'}]"

    def shape(self, rows: str, lanes: str) -> str:
        return f"({lanes}, {rows})" if self.lanes_first else f"({rows}, {lanes})"

    @property
    def along(self) -> int:
        """The axis of the lanes."""
        return 0 if self.lanes_first else 1


class WidenedKernel:
    """Reads a kernel and writes it for several neighbouring programs. Raises DoesNotApply."""

    def __init__(self, kernel: KernelText, how: Widening) -> None:
        self._kernel, self._how = kernel, how
        self._local = dict.fromkeys(stored_names(kernel.node.body), Shape.UNKNOWN)
        self._many = self._follow()
        self._guards: list[tuple[ast.If, str]] = []
        self._splices: list[Splice] = []

    def splices(self) -> list[Splice]:
        """All edits of the body. Raises DoesNotApply."""
        if not any(self._is_number(node) for node in ast.walk(self._kernel.node)):
            raise DoesNotApply(f"the kernel asks for no number along axis {self._how.axis}")
        body = self._kernel.node.body
        for place, node in enumerate(body):
            if place == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue
            self._statement(node, top=True)
        for inner in (inner for node in body for inner in ast.walk(node)):
            if isinstance(inner, ast.Call) and self._kernel.called(inner) in _ACCESSES:
                self._masked(inner)
        if not any(self._is_number(node) for node in ast.walk(self._kernel.node)):
            raise DoesNotApply(
                f"the kernel does not ask for its number along axis {self._how.axis}"
            )
        return self._splices

    def _follow(self) -> set[str]:
        """Names that follow from the program's number."""
        many: set[str] = set()
        while True:
            before = len(many)
            for node in ast.walk(self._kernel.node):
                if isinstance(node, ast.Assign | ast.AugAssign) and self._is_many(node.value, many):
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    many |= set(stored_names(targets))
            if len(many) == before:
                return many

    def _is_many(self, node: ast.AST, many: set[str] | None = None) -> bool:
        names = self._many if many is None else many
        return any(
            self._is_number(inner) or (isinstance(inner, ast.Name) and inner.id in names)
            for inner in ast.walk(node)
        )

    def _is_number(self, node: ast.AST) -> bool:
        if not isinstance(node, ast.Call) or self._kernel.called(node) != "program_id":
            return False
        values = [*node.args, *(keyword.value for keyword in node.keywords)]
        if len(values) != 1 or not isinstance(values[0], ast.Constant):
            raise DoesNotApply("the axis of a program's number is no plain number")
        return values[0].value == self._how.axis

    def _statement(self, node: ast.stmt, *, top: bool) -> None:
        if not isinstance(node, _STATEMENTS):
            raise DoesNotApply(f"line {node.lineno} is more than the move can read")
        if isinstance(node, ast.If):
            self._branch(node, top=top)
        elif isinstance(node, ast.For):
            if self._is_many(node.iter) or node.orelse:
                raise DoesNotApply("the steps of a loop follow from the program's number")
            self._expression(node.iter, node)
            for inner in node.body:
                self._statement(inner, top=False)
        elif isinstance(node, ast.Assign | ast.AugAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if not isinstance(target, ast.Name) or stored_names([node]) != [target.id]:
                raise DoesNotApply("a statement assigns several names")
            if not self._started(target.id, node):
                self._expression(node.value, node)
        elif isinstance(node, ast.Expr):
            self._expression(node.value, node)
        elif isinstance(node, ast.Return):
            raise DoesNotApply("the kernel returns in the middle")

    def _branch(self, node: ast.If, *, top: bool) -> None:
        """A branch of the whole program; or one that ends programs without work."""
        if not self._is_many(node.test):
            ends = all(isinstance(inner, ast.Return) for inner in node.body)
            self._expression(node.test, node)
            for inner in [*node.body, *node.orelse]:
                if not (ends and inner in node.body):
                    self._statement(inner, top=False)
            return
        ends = len(node.body) == 1 and isinstance(node.body[0], ast.Return)
        if not top or not ends or node.orelse or node.body[0].value is not None:  # type: ignore[attr-defined]
            raise DoesNotApply("a branch depends on the program's number")
        test = node.test
        either = isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or)
        parts = test.values if either else [test]  # type: ignore[attr-defined]
        if not all(isinstance(part, ast.Compare) and len(part.ops) == 1 for part in parts):
            raise DoesNotApply("a branch that ends programs is no comparison")
        for part in parts:
            self._expression(part, node)
        source = self._kernel.source
        texts = [f"({ast.get_source_segment(source, part)})" for part in parts]
        value = f"~{texts[0]}" if len(texts) == 1 else f"~({' | '.join(texts)})"
        if self._guards:
            value = f"{self._how.alive} & {value}"
        if any(self._has_edits(part) for part in parts):
            raise DoesNotApply("a branch that ends programs does more than compare")
        self._guards.append((node, value))
        line = f"{margin_of(source, node)}{self._how.alive} = {value}\n"
        self._splices.append(whole_lines(node, node, line))

    def _has_edits(self, node: ast.expr) -> bool:
        return any(
            isinstance(inner, ast.Call) and self._kernel.called(inner) not in ("cdiv", "float")
            for inner in ast.walk(node)
        )

    def _started(self, name: str, node: ast.Assign | ast.AugAssign) -> bool:
        """Whether an assignment starts a value that is many later: it gets its shape here."""
        if name not in self._many or isinstance(node, ast.AugAssign) or self._is_many(node.value):
            return False
        value, how = node.value, self._how
        called = self._kernel.called(value)
        full, float32 = self._kernel.builtin("full"), self._kernel.builtin("float32")
        if _is_float(value):
            text = ast.get_source_segment(self._kernel.source, value)
            shape = how.shape(how.rows, "1")
            self._splices.append(replaced(value, f"{full}({shape}, {text}, dtype={float32})"))
            return True
        if called in _CREATORS and isinstance(value, ast.Call):
            self._created(value, how.rows)
            return True
        if self._carried(name):
            raise DoesNotApply(f"{name} starts as one value for all programs")
        return False

    def _carried(self, name: str) -> bool:
        """Whether a loop or a branch may change it, behind which it has to have one shape."""
        blocks = [n for n in ast.walk(self._kernel.node) if isinstance(n, ast.For | ast.If)]
        return any(name in stored_names([*block.body, *block.orelse]) for block in blocks)

    def _created(self, call: ast.Call, rows: str) -> None:
        """`tl.zeros((B,), …)` and `tl.zeros((), …)` with an axis more."""
        size = call.args[0] if call.args else None
        if not isinstance(size, ast.Tuple | ast.List) or len(size.elts) > 1:
            raise DoesNotApply("a value starts in a shape that the move does not know")
        lanes = ast.unparse(size.elts[0]) if size.elts else "1"
        self._splices.append(replaced(size, self._how.shape(rows, lanes)))

    def _expression(self, node: ast.expr, statement: ast.stmt) -> None:
        """Edits within an expression. Raises DoesNotApply for what the move does not know."""
        if isinstance(node, ast.Subscript | ast.Lambda | ast.Starred | ast.NamedExpr):
            raise DoesNotApply(f"{ast.unparse(node)} is more than the move can read")
        decided = node.test if isinstance(node, ast.IfExp) else node
        if isinstance(node, ast.BoolOp | ast.IfExp) and self._is_many(decided):
            raise DoesNotApply(f"{ast.unparse(node)} is decided once for all")
        if isinstance(node, ast.Call):
            self._call(node, statement)
            return
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self._expression(child, statement)

    def _call(self, node: ast.Call, statement: ast.stmt) -> None:
        how, name = self._how, self._kernel.called(node) or ""
        if name == "program_id":
            if self._is_number(node):
                text = ast.get_source_segment(self._kernel.source, node) or ""
                lanes = f"{self._kernel.builtin('arange')}(0, {how.rows})"
                self._splices.append(replaced(node, how.many(f"({text} * {how.rows} + {lanes})")))
            return
        if name == "arange":
            text = ast.get_source_segment(self._kernel.source, node) or ""
            self._splices.append(replaced(node, how.lanes(text)))
            return
        if name in _CREATORS:
            self._created(node, "1" if node.args and _sides(node.args[0]) else how.rows)
            return
        reduction = reduction_of(self._kernel, node)
        if reduction is not None:
            self._reduced(node, reduction[0], statement)
        elif name in _ACCESSES:
            self._access(node, name)
        elif name not in _PLAIN and not is_elementwise(node, self._local):
            raise DoesNotApply(f"{ast.unparse(node.func)} may not work element by element")
        values = [*node.args, *(keyword.value for keyword in node.keywords)]
        if isinstance(node.func, ast.Attribute):
            values.append(node.func.value)
        for value in values:
            self._expression(value, statement)

    def _reduced(self, node: ast.Call, value: ast.expr, statement: ast.stmt) -> None:
        found = BlockExtents(self._kernel, statement).of(value)
        if found is None or len(found) != 1 or not self._is_many(value):
            raise DoesNotApply(f"{ast.unparse(node)} reduces no vector of the program's own")
        extra = [*node.args[1:], *(keyword.value for keyword in node.keywords)]
        if extra and isinstance(extra[0], ast.Constant) and extra[0].value == 0:
            self._splices.append(replaced(extra[0], str(self._how.along)))
            self._splices.append(inserted_after(extra[0], ", keep_dims=True"))
        elif not extra:
            text = f", axis={self._how.along}, keep_dims=True"
            self._splices.append(inserted_after(node.args[0], text))
        else:
            raise DoesNotApply(f"{ast.unparse(node)} names its axis in another way")

    def _access(self, node: ast.Call, name: str) -> None:
        given = {keyword.arg for keyword in node.keywords}
        if len(node.args) > (1 if name == "load" else 2) or None in given:
            raise DoesNotApply("a mask is given by position")
        if given & {"boundary_check", "padding_option"}:
            raise DoesNotApply("it reads by a block pointer")
        if name != "load" and not self._is_many(node.args[0]):
            raise DoesNotApply("all programs write to one place")
        if name == "load" and not self._is_many(node.args[0]):
            masks = [k.value for k in node.keywords if k.arg in ("mask", "other")]
            if any(self._is_many(mask) for mask in masks):
                raise DoesNotApply("a mask has an axis more than the address")

    def _masked(self, node: ast.Call) -> None:
        """Programs that would have ended neither read nor write."""
        if not self._guards or not self._is_many(node.args[0]):
            return
        if node.lineno < self._guards[-1][0].lineno:
            raise DoesNotApply("memory is read before programs end")
        alive = self._how.alive
        mask = next((keyword for keyword in node.keywords if keyword.arg == "mask"), None)
        if mask is None:
            last = [*node.args, *(keyword.value for keyword in node.keywords)][-1]
            self._splices.append(inserted_after(last, f", mask={alive}"))
            return
        text = ast.get_source_segment(self._kernel.source, mask.value) or ""
        text = text if isinstance(mask.value, ast.Name) else f"({text})"
        if any(isinstance(inner, ast.Call) for inner in ast.walk(mask.value)):
            raise DoesNotApply("a mask does more than compare")
        self._splices.append(replaced(mask.value, f"{text} & {alive}"))


def _sides(node: ast.expr) -> Sequence[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple | ast.List) else []


def _is_float(node: ast.expr) -> bool:
    """A number with a point, or `float("-inf")`, either with a sign."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _is_float(node.operand)
    if isinstance(node, ast.Constant):
        return type(node.value) is float
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    return called and node.func.id == "float"  # type: ignore[attr-defined]
