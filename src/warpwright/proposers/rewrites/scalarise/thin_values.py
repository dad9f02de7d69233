"""What of a kernel becomes scalar where all lanes of a block have the same quotient.

Goes through the statements behind a flat index with three things known of each name: its form as
the program has it, its form once quotients are scalars, and which digit of the index it is.
Collects the edits that the new text needs; most statements need none, as scalars spread by
themselves.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from warpwright.program.kernel_assignments import called_name
from warpwright.proposers.rewrites.common.kernel_text import KernelText, stored_names
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.splice import (
    Splice,
    end_of,
    replaced,
    start_of,
)
from warpwright.proposers.rewrites.common.value_axes import (
    HINTS,
    Shape,
    is_elementwise,
    join,
    new_axes,
    shape_of,
    shapes_before,
)
from warpwright.proposers.rewrites.digits.extent import ONE, Extent
from warpwright.proposers.rewrites.scalarise.flat_index import (
    FlatIndex,
    IndexDigit,
    Sizes,
    digit_of,
)
from warpwright.proposers.rewrites.scalarise.live_lanes import lanes_are_independent

_MAKERS = frozenset({
    "zeros", "full", "arange", "program_id", "num_programs", "cdiv", "range", "static_range",
    "static_print", "static_assert", "float", "int", "constexpr",
})  # fmt: skip
_ELEMENTWISE = frozenset({
    "tanh", "erf", "expm1", "log1p", "pow", "rint", "tan", "fdiv", "div_rn", "sqrt_rn", "float",
})  # fmt: skip
_BELOW = (ast.Lt, ast.LtE)
_ABOVE = (ast.Gt, ast.GtE)


@dataclass
class ThinValues:
    """`level`: digits from this place up are one number for a block. `first`: its first index, as
    source. `edits`: by the place of the statement behind the index; `thin`: names that became
    scalar, `readers`: places that read one."""

    kernel: KernelText
    index: FlatIndex
    level: Extent
    first: str
    sizes: Sizes
    old: dict[str, Shape] = field(default_factory=dict)
    new: dict[str, Shape] = field(default_factory=dict)
    digits: dict[str, IndexDigit] = field(default_factory=dict)
    edits: dict[int, list[Splice]] = field(default_factory=dict)
    thin: set[str] = field(default_factory=set)
    readers: set[int] = field(default_factory=set)
    scalar_loads: int = 0
    _place: int = 0
    _assigned: set[str] = field(default_factory=set)

    def read(self) -> None:
        """Raises DoesNotApply where a value that became scalar must have lanes."""
        behind = self.index.behind
        if not behind:
            raise DoesNotApply(f"nothing follows {self.index.name}")
        self.old = shapes_before(self.kernel.node, behind[0])
        self.new = dict(self.old)
        self.digits = {self.index.name: IndexDigit(ONE, None)}
        later = set(stored_names(behind))
        before = set(stored_names([self.kernel.node])) - later
        self._assigned = before | {p.arg for p in self.kernel.parameters}
        self._assigned |= {name for name, shape in self.old.items() if shape is not Shape.UNKNOWN}
        for self._place, statement in enumerate(behind):
            self._statement(statement)

    def _edit(self, splice: Splice) -> None:
        self.edits.setdefault(self._place, []).append(splice)

    # --- statements ---------------------------------------------------------------------------

    def _body(self, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            self._assign(node.targets[0], node.value)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            self._assign(node.target, node.value)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            self._change(node, node.target.id)
        elif isinstance(node, ast.Expr):
            self._shape(node.value)
        elif isinstance(node, ast.For | ast.While):
            self._loop(node)
        elif isinstance(node, ast.If):
            self._branches(node)
        elif not isinstance(node, ast.Pass):
            self._unchanged(node, f"line {node.lineno} is not understood")

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if not isinstance(target, ast.Name):
            self._unchanged(value, "several names are assigned at once")
            for name in stored_names([target]):
                self._enter(name, Shape.UNKNOWN, Shape.UNKNOWN, None)
            return
        digit = digit_of(value, self.digits, self.sizes)
        old = shape_of(value, self.old)
        self._enter(target.id, old, self._shape(value, whole=True), digit)

    def _change(self, node: ast.AugAssign, name: str) -> None:
        """`t //= W` as `t = t // W`."""
        value = ast.copy_location(
            ast.BinOp(ast.copy_location(ast.Name(name, ast.Load()), node), node.op, node.value),
            node,
        )
        digit = digit_of(value, self.digits, self.sizes)
        before = self.new.get(name, Shape.UNKNOWN)
        old = join([self.old.get(name, Shape.UNKNOWN), shape_of(node.value, self.old)])
        text = None if before is Shape.SCALAR or digit is None else self._digit_text(digit)
        if text is None:
            self._note(name)
            self._enter(name, old, join([before, self._shape(node.value)]), digit)
            return
        self._edit(replaced(node, f"{name} = {text}"))
        thin = digit is not None and self._is_thin(digit)
        self._enter(name, old, Shape.SCALAR if thin else old, digit)

    def _enter(self, name: str, old: Shape, new: Shape, digit: IndexDigit | None) -> None:
        self.old[name], self.new[name] = old, new
        self._assigned.add(name)
        self.digits.pop(name, None)
        if digit is not None:
            self.digits[name] = digit
        if old is not new:
            self.thin.add(name)

    def _loop(self, node: ast.For | ast.While) -> None:
        stored = set(stored_names([node]))
        for name in stored:
            self.digits.pop(name, None)
        if isinstance(node, ast.For):
            self._unchanged(node.iter, "a loop runs over what became scalar")
            if isinstance(node.target, ast.Name):
                self._enter(node.target.id, Shape.SCALAR, Shape.SCALAR, None)
        else:
            self._unchanged(node.test, "a loop asks for what became scalar")
        carried = stored & self._assigned
        before = {name: (self.old.get(name), self.new.get(name)) for name in carried}
        self._body(node.body)
        for name in carried:
            now = (self.old.get(name), self.new.get(name))
            if now != before[name] and (self._differs(now) or self._differs(before[name])):
                raise DoesNotApply(f"{name} is no scalar in every step of a loop")
        for name in stored:
            self.digits.pop(name, None)

    @staticmethod
    def _differs(forms: tuple[Shape | None, Shape | None]) -> bool:
        return forms[0] is not forms[1]

    def _branches(self, node: ast.If) -> None:
        self._unchanged(node.test, "a branch asks for what became scalar")
        stored = set(stored_names([node]))
        assigned = set(self._assigned)
        old, new, digits = dict(self.old), dict(self.new), dict(self.digits)
        self._body(node.body)
        one = (self.old, self.new)
        self.old, self.new, self.digits = old, new, digits
        self._body(node.orelse)
        elsewhere = set(stored_names(node.orelse))
        for name in stored:
            mine = (self.old.get(name), self.new.get(name))
            other = (one[0].get(name), one[1].get(name))
            if name not in assigned and name not in elsewhere:
                self.old[name], self.new[name] = one[0][name], one[1][name]  # one way to read it
            elif mine != other:
                if self._differs(mine) or self._differs(other):
                    raise DoesNotApply(f"{name} is a scalar in one branch alone")
                self.old[name] = self.new[name] = Shape.UNKNOWN
            self.digits.pop(name, None)

    def _unchanged(self, node: ast.AST, reason: str) -> None:
        """Reads what must keep its form. Raises DoesNotApply where it would not."""
        for child in ast.iter_child_nodes(node) if isinstance(node, ast.stmt) else [node]:
            if isinstance(child, ast.expr) and self._shape(child) is not shape_of(child, self.old):
                raise DoesNotApply(reason)

    # --- expressions --------------------------------------------------------------------------

    def _is_thin(self, digit: IndexDigit) -> bool:
        return digit.low.over(self.level) is not None

    def _digit_text(self, digit: IndexDigit) -> str | None:
        """A digit by the block's first index; None where each lane must work it out."""
        if self._is_thin(digit):
            return digit.text(self.first)
        if digit.low == ONE and digit.high is not None and digit.high.over(self.level) is not None:
            arange = self.kernel.builtin("arange")
            return f"{digit.text(self.first)} + {arange}(0, {self.index.lanes})"
        return None

    def _note(self, name: str) -> None:
        if name in self.thin:
            self.readers.add(self._place)

    def _shape(self, node: ast.expr, *, whole: bool = False) -> Shape:
        """The new form of an expression; edits on the way. `whole`: it is all of a value."""
        if isinstance(node, ast.Name):
            self._note(node.id)
            return self.new.get(node.id, Shape.SCALAR)
        if isinstance(node, ast.BinOp) and shape_of(node, self.old) is Shape.VECTOR:
            digit = digit_of(node, self.digits, self.sizes)
            text = None if digit is None else self._digit_text(digit)
            if digit is not None and text is not None and self._peek(node.left) != Shape.SCALAR:
                self._edit(replaced(node, text if whole else f"({text})"))
                return Shape.SCALAR if self._is_thin(digit) else Shape.VECTOR
        if isinstance(node, ast.Subscript):
            return self._subscript(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        parts = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
        shapes = [self._shape(part) for part in parts]
        changed = any(
            shape is not shape_of(part, self.old) for part, shape in zip(parts, shapes, strict=True)
        )
        plain = isinstance(node, ast.BinOp | ast.Compare | ast.BoolOp | ast.UnaryOp)
        if not changed or (isinstance(node, ast.Attribute) and node.attr == "dtype"):
            return shape_of(node, self.old)
        found = join(shapes)
        if not plain or found is Shape.UNKNOWN:
            raise DoesNotApply(f"the form of {ast.unparse(node)} is not known")
        return found

    @contextmanager
    def _without_edits(self) -> Iterator[None]:
        kept = {place: list(edits) for place, edits in self.edits.items()}
        counted = self.scalar_loads
        yield
        self.edits, self.scalar_loads = kept, counted

    def _peek(self, node: ast.expr) -> Shape:
        with self._without_edits():
            return self._shape(node)

    def _subscript(self, node: ast.Subscript) -> Shape:
        inner = self._shape(node.value)
        if inner is shape_of(node.value, self.old):
            return shape_of(node, self.old)
        if inner is not Shape.SCALAR or new_axes(node) is None:
            raise DoesNotApply(f"{ast.unparse(node)} is no vector with a new axis")
        self._edit(Splice(self._bracket(node), end_of(node), ""))
        return Shape.SCALAR

    def _bracket(self, node: ast.Subscript) -> tuple[int, int]:
        """Where the subscript's `[` stands."""
        line, column = start_of(node.slice)
        text = self.kernel.source.encode().splitlines()[line - 1][:column]
        if not text.rstrip().endswith(b"["):
            raise DoesNotApply("a subscript starts on another line")
        return line, text.rindex(b"[")

    def _call(self, node: ast.Call) -> Shape:
        called = self.kernel.called(node) or called_name(node)
        if called == "load":
            return self._load(node)
        keywords = [keyword.value for keyword in node.keywords]
        method = isinstance(node.func, ast.Attribute) and self.kernel.called(node) is None
        owner = [node.func.value] if method else []  # type: ignore[attr-defined]
        parts = [*owner, *node.args, *keywords]
        old = [shape_of(part, self.old) for part in parts]
        new = [self._shape(part) for part in parts]
        if old == new or called in _MAKERS:
            return shape_of(node, self.old)
        if called == "store" or called.startswith("atomic_"):
            if old[0] is not new[0]:
                raise DoesNotApply("all lanes of a block write to one place")
            return shape_of(node, self.old)
        last = called.split(".")[-1]
        if called in HINTS or not (is_elementwise(node, self.old) or last in _ELEMENTWISE):
            raise DoesNotApply(f"{called} may need lanes for what became scalar")
        found = join(new)
        if found is Shape.UNKNOWN:
            raise DoesNotApply(f"the form of {ast.unparse(node)} is not known")
        return found

    # --- loads --------------------------------------------------------------------------------

    def _load(self, node: ast.Call) -> Shape:
        arguments = dict(zip(("pointer", "mask", "other"), node.args, strict=False))
        arguments |= {keyword.arg or "": keyword.value for keyword in node.keywords}
        pointer, mask, other = (arguments.get(name) for name in ("pointer", "mask", "other"))
        if pointer is None:
            raise DoesNotApply("a load names its pointer by keyword")
        old, new = shape_of(pointer, self.old), self._peek(pointer)
        if old is not new and new is Shape.SCALAR:
            self.scalar_loads += 1
            if mask is not None and self._peek(mask) is not Shape.SCALAR:
                return self._masked(node, pointer, mask, other)
        parts = [part for part in (pointer, mask, other) if part is not None]
        found = join([self._shape(part) for part in parts])
        if found is Shape.UNKNOWN and old is not Shape.UNKNOWN:
            raise DoesNotApply(f"the form of {ast.unparse(node)} is not known")
        return found

    def _masked(
        self, node: ast.Call, pointer: ast.expr, mask: ast.expr, other: ast.expr | None
    ) -> Shape:
        """A load of one address under a mask with lanes."""
        if shape_of(pointer, self.old) is not Shape.VECTOR:
            raise DoesNotApply("a tile of one address is loaded under a mask of a tile")
        self._shape(pointer)
        parts = self._conditions(mask, 0)
        if parts is None:
            broadcast = self.kernel.builtin("broadcast_to")
            self._edit(Splice(start_of(pointer), start_of(pointer), f"{broadcast}("))
            self._edit(Splice(end_of(pointer), end_of(pointer), f", [{self.index.lanes}])"))
            self._shape(mask)
            return Shape.VECTOR
        live = [ast.unparse(part) for part, scalar in parts if scalar is None]
        texts = [text for part, text in ((p, s or self._first_inside(p)) for p, s in parts)]
        texts = list(dict.fromkeys(texts))
        one = texts[0] if len(texts) == 1 else " & ".join(f"({text})" for text in texts)
        self._edit(replaced(mask, one))
        if other is None or lanes_are_independent(self.kernel, self.sizes, live):
            return Shape.SCALAR
        where = self.kernel.builtin("where")
        lanes = " & ".join(f"({text})" if " " in text else text for text in dict.fromkeys(live))
        self._edit(Splice(start_of(node), start_of(node), f"{where}({lanes}, "))
        self._edit(Splice(end_of(node), end_of(node), f", {ast.unparse(other)})"))
        return Shape.VECTOR

    def _conditions(self, mask: ast.expr, depth: int) -> list[tuple[ast.expr, str | None]] | None:
        """The parts of a mask: scalars with their text, `index < bound` with None; None where
        another part has lanes."""
        if self._peek(mask) is Shape.SCALAR:
            return [(mask, ast.unparse(mask))]
        if isinstance(mask, ast.BinOp) and isinstance(mask.op, ast.BitAnd):
            left = self._conditions(mask.left, depth)
            right = self._conditions(mask.right, depth)
            return None if left is None or right is None else [*left, *right]
        if isinstance(mask, ast.Name):
            value = self.sizes.value(mask.id)
            if value is None or depth > 4:
                return None
            found = self._conditions(value, depth + 1)
            if found is not None and len(found) == 1 and found[0][1] is None:
                return [(ast.copy_location(ast.Name(mask.id, ast.Load()), mask), None)]
            return None
        return [(mask, None)] if self._first_inside(mask) else None

    def _first_inside(self, node: ast.expr) -> str:
        """`index < bound` for the block's first index; empty for any other condition."""
        if isinstance(node, ast.Name):
            value = self.sizes.value(node.id)
            return "" if value is None else self._first_inside(value)
        if not isinstance(node, ast.Compare) or len(node.ops) != 1:
            return ""
        sides = (node.left, node.comparators[0])
        known = [digit_of(side, self.digits, self.sizes) == IndexDigit(ONE, None) for side in sides]
        for at, signs in ((0, _BELOW), (1, _ABOVE)):
            bound = sides[1 - at]
            if known[at] and isinstance(node.ops[0], signs) and self._is_steady(bound):
                symbol = "<=" if isinstance(node.ops[0], ast.LtE | ast.GtE) else "<"
                return f"{self.first} {symbol} {ast.unparse(bound)}"
        return ""

    def _is_steady(self, bound: ast.expr) -> bool:
        """Whether a bound is one number that nothing changes."""
        given = [parameter.arg for parameter in self.kernel.parameters]
        stored = [*given, *stored_names(self.kernel.node.body)]
        names = [inner.id for inner in ast.walk(bound) if isinstance(inner, ast.Name)]
        steady = all(stored.count(name) <= 1 for name in names)
        return steady and shape_of(bound, self.old) is Shape.SCALAR
