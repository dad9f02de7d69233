"""How long the axes of a kernel's values are, as its text says: `("BLOCK_M", "BLOCK_N")`."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence

from warpwright.program.syntax import syntax_tree
from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    loaded_names,
    stored_names,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.value_axes import (
    HINTS,
    Shape,
    is_elementwise,
    new_axes,
)

Extents = tuple[str, ...]
"""The text of each axis' length, `1` for one that is spread; no axis: a scalar."""

_REDUCTIONS = frozenset({"sum", "max", "min"})
_SCALARS = frozenset({"program_id", "num_programs", "float", "int"})
_CREATORS = frozenset({"zeros", "full"})


class BlockExtents:
    """The extents of names when a statement is reached.

    What a loop carries keeps its type in Triton, so the text is read once, from its beginning.
    """

    def __init__(self, kernel: KernelText, stop: ast.stmt) -> None:
        self._kernel = kernel
        self._local = dict.fromkeys(stored_names(kernel.node.body), Shape.UNKNOWN)
        self._names: dict[str, Extents | None] = dict.fromkeys(self._local)
        self._names |= {parameter.arg: () for parameter in kernel.parameters}
        self._walk(kernel.node.body, stop)

    def _walk(self, body: Sequence[ast.stmt], stop: ast.stmt) -> bool:
        """Enter what the statements assign; True where `stop` was among them."""
        for node in body:
            if node is stop:
                return True
            if isinstance(node, ast.If):
                before = dict(self._names)
                if self._walk(node.body, stop):
                    return True
                first, self._names = self._names, before
                if self._walk(node.orelse, stop):
                    return True
                self._names = {
                    name: one if one == first[name] else None for name, one in self._names.items()
                }
                continue
            for name, value in _assigned(node):
                self._names[name] = None if value is None else self.of(value)
            if isinstance(node, ast.For | ast.While) and self._walk(node.body, stop):
                return True
        return False

    def of(self, node: ast.expr) -> Extents | None:
        """The extents of an expression; None where the text does not tell them."""
        if isinstance(node, ast.Name):
            return self._names.get(node.id, ())
        if isinstance(node, ast.Constant):
            return ()
        if isinstance(node, ast.Subscript):
            return self._subscripted(node)
        if isinstance(node, ast.Attribute):
            return None if node.attr == "T" else ()
        if isinstance(node, ast.Call):
            return self._called(node)
        parts = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
        return joined(self.of(part) for part in parts)

    def _subscripted(self, node: ast.Subscript) -> Extents | None:
        axes, inner = new_axes(node), self.of(node.value)
        if axes is None or inner is None or axes.count(False) != len(inner):
            return None
        rest = iter(inner)
        return tuple("1" if new else next(rest) for new in axes)

    def _called(self, node: ast.Call) -> Extents | None:
        name = self._kernel.called(node) or ""
        if name in _SCALARS:
            return ()
        if name == "arange" and len(node.args) == 2 and not node.keywords:
            starts = isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
            return (ast.unparse(node.args[1]),) if starts else None
        if name in _CREATORS and node.args:
            size = node.args[0]
            given = size.elts if isinstance(size, ast.Tuple | ast.List) else None
            return None if given is None else tuple(map(ast.unparse, given))
        if name in HINTS and node.args:
            return self.of(node.args[0])
        if name in _REDUCTIONS:
            return self._reduced(node)
        if not is_elementwise(node, self._local):
            return None
        owner = [node.func.value] if isinstance(node.func, ast.Attribute) and name == "" else []
        values = [*owner, *node.args, *(keyword.value for keyword in node.keywords)]
        return joined(self.of(value) for value in values)

    def _reduced(self, node: ast.Call) -> Extents | None:
        kept = [k for k in node.keywords if k.arg == "keep_dims"]
        if any(not isinstance(k.value, ast.Constant) for k in kept):
            return None
        others = [k for k in node.keywords if k.arg != "keep_dims"]
        reduction = reduction_of(self._kernel, ast.Call(node.func, node.args, others))
        inner = None if reduction is None else self.of(reduction[0])
        if reduction is None or inner is None:
            return None
        axis = reduction[1]
        if axis is not None and axis >= len(inner):
            return None
        if kept and kept[0].value.value:  # type: ignore[attr-defined]
            return tuple("1" if axis in (None, n) else side for n, side in enumerate(inner))
        return () if axis is None else inner[:axis] + inner[axis + 1 :]


def joined(values: Iterable[Extents | None]) -> Extents | None:
    """The extents of an elementwise operation; scalars spread, so do axes of one element."""
    found: Extents = ()
    for value in values:
        if value is None:
            return None
        if not found or not value:
            found = found or value
            continue
        if len(found) != len(value):
            return None
        pairs = list(zip(found, value, strict=True))
        if any(a != b and "1" not in (a, b) for a, b in pairs):
            return None
        found = tuple(b if a == "1" else a for a, b in pairs)
    return found


def reduction_of(kernel: KernelText, node: ast.expr) -> tuple[ast.expr, int | None] | None:
    """What `tl.sum(x, axis=1)` reduces, and along which axis (None: all); None for anything else.

    One that keeps its axis, takes another type or counts axes from the last is something else.
    """
    if not isinstance(node, ast.Call) or kernel.called(node) not in _REDUCTIONS:
        return None
    if not kernel.path(node.func):
        return None
    extra = [*node.args[1:], *(k.value for k in node.keywords if k.arg == "axis")]
    if not node.args or len(extra) > 1 or any(k.arg != "axis" for k in node.keywords):
        return None
    if not extra or (isinstance(extra[0], ast.Constant) and extra[0].value is None):
        return node.args[0], None
    axis = extra[0]
    if isinstance(axis, ast.Constant) and type(axis.value) is int and axis.value >= 0:
        return node.args[0], axis.value
    return None


def constant_extents(kernel: KernelText, value: ast.expr, statement: ast.stmt) -> Extents:
    """The extents of a value in that statement, made of constants of the kernel and its module.

    Raises DoesNotApply where they are not, or where the text does not tell them.
    """
    found = BlockExtents(kernel, statement).of(value)
    if found is None:
        raise DoesNotApply(f"the text does not tell the shape of {ast.unparse(value)}")
    names = set(loaded_names([syntax_tree(side, "eval") for side in found]))
    own = {parameter.arg for parameter in kernel.parameters} | set(stored_names(kernel.node.body))
    if unknown := names & own - kernel.constants:
        raise DoesNotApply(f"{', '.join(sorted(unknown))} is no compile-time constant")
    return found


def _assigned(node: ast.stmt) -> Iterator[tuple[str, ast.expr | None]]:
    """The names that a statement assigns itself, with their values; None for what is not read."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Name):
                yield target.id, node.value
            else:
                yield from ((name, None) for name in stored_names([target]))
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id, node.value
    elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        name = ast.Name(node.target.id, ast.Load())
        yield node.target.id, ast.BinOp(name, node.op, node.value)
    elif isinstance(node, ast.For):
        yield from ((name, ast.Constant(0)) for name in stored_names([node.target]))
