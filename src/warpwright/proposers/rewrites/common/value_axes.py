"""How many axes the values of a kernel have, by its text."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from enum import StrEnum

from warpwright.program.kernel_assignments import called_name
from warpwright.proposers.rewrites.common.kernel_text import stored_names


class Shape(StrEnum):
    """The form of a value. A column is [n, 1], a row [1, n]."""

    SCALAR = "scalar"
    VECTOR = "vector"
    COLUMN = "column"
    ROW = "row"
    TILE = "tile"
    UNKNOWN = "unknown"


_CREATORS = {0: Shape.SCALAR, 1: Shape.VECTOR, 2: Shape.TILE}
_SCALARS = ("program_id", "num_programs")
_ELEMENTWISE = frozenset({
    "load", "where", "maximum", "minimum", "exp", "exp2", "log", "log2", "sqrt", "rsqrt", "abs",
    "cdiv", "fma", "floor", "ceil", "sigmoid", "sin", "cos", "erf", "cast", "clamp",
})  # fmt: skip
_BUILTINS = frozenset({"min", "max"})
"""Python's own, which Triton takes for elementwise ones. `tl.max` is a reduction."""
_NUMBERS = frozenset({"float", "int"})
"""Python's own, which make a number: `float("-inf")`."""
HINTS = frozenset({"multiple_of", "max_contiguous", "max_constancy"})


def join(shapes: Iterable[Shape]) -> Shape:
    """The form of an elementwise operation on values of these forms."""
    found = {shape for shape in shapes if shape is not Shape.SCALAR}
    if not found:
        return Shape.SCALAR
    if len(found) == 1:
        return found.pop()
    if Shape.UNKNOWN in found or Shape.VECTOR in found:
        return Shape.UNKNOWN
    return Shape.TILE


def shapes_before(function: ast.FunctionDef, stop: ast.stmt) -> dict[str, Shape]:
    """The form of each name when `stop` is reached; parameters are scalars."""
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    known = dict.fromkeys(stored_names([function]), Shape.UNKNOWN)
    known |= {argument.arg: Shape.SCALAR for argument in every}
    _walk(function.body, known, stop)
    return known


def _walk(body: list[ast.stmt], known: dict[str, Shape], stop: ast.stmt) -> bool:
    for statement in body:
        if statement is stop:
            return True
        if isinstance(statement, ast.Assign):
            assign(statement, known)
        elif isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
            before = known.get(statement.target.id, Shape.UNKNOWN)
            known[statement.target.id] = join([before, shape_of(statement.value, known)])
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            value = statement.value
            known[statement.target.id] = shape_of(value, known) if value else Shape.UNKNOWN
        elif isinstance(statement, ast.For | ast.While):
            if isinstance(statement, ast.For) and isinstance(statement.target, ast.Name):
                known[statement.target.id] = Shape.SCALAR
            if _walk(statement.body, known, stop):
                return True
        elif isinstance(statement, ast.If) and _branches(statement, known, stop):
            return True
    return False


def _branches(statement: ast.If, known: dict[str, Shape], stop: ast.stmt) -> bool:
    """Both branches; a name that they give two forms has none that is known."""
    other = dict(known)
    if _walk(statement.body, known, stop):
        return True
    if _walk(statement.orelse, other, stop):
        known |= other
        return True
    for name, shape in other.items():
        if known.get(name, shape) is not shape:
            known[name] = Shape.UNKNOWN
    return False


def assign(statement: ast.Assign, known: dict[str, Shape]) -> None:
    """Enter what an assignment gives its names."""
    for target in statement.targets:
        if isinstance(target, ast.Name):
            known[target.id] = shape_of(statement.value, known)
        else:
            for node in ast.walk(target):
                if isinstance(node, ast.Name):
                    known[node.id] = Shape.UNKNOWN


def shape_of(node: ast.expr, known: Mapping[str, Shape]) -> Shape:
    """The form of an expression; a name that is not known is a global, a scalar."""
    if isinstance(node, ast.Name):
        return known.get(node.id, Shape.SCALAR)
    if isinstance(node, ast.Subscript):
        return _subscripted(node, known)
    if isinstance(node, ast.Call):
        return _called(node, known)
    if isinstance(node, ast.Attribute):
        return Shape.SCALAR if node.attr != "T" else Shape.UNKNOWN
    parts = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    return join(shape_of(part, known) for part in parts)


def new_axes(node: ast.Subscript) -> tuple[bool, ...] | None:
    """For `x[:, None]` which axes are new; None for any other subscript."""
    if not isinstance(node.slice, ast.Tuple):
        return None
    axes = []
    for part in node.slice.elts:
        if isinstance(part, ast.Constant) and part.value is None:
            axes.append(True)
        elif (isinstance(part, ast.Slice) and part == ast.Slice()) or ast.unparse(part) == ":":
            axes.append(False)
        else:
            return None
    return tuple(axes)


def _subscripted(node: ast.Subscript, known: Mapping[str, Shape]) -> Shape:
    axes = new_axes(node)
    inner = shape_of(node.value, known)
    if inner is Shape.VECTOR and axes == (False, True):
        return Shape.COLUMN
    if inner is Shape.VECTOR and axes == (True, False):
        return Shape.ROW
    return Shape.UNKNOWN


def _called(node: ast.Call, known: Mapping[str, Shape]) -> Shape:
    name = called_name(node)
    if name == "arange":
        return Shape.VECTOR
    if name in _SCALARS or (isinstance(node.func, ast.Name) and name in _NUMBERS):
        return Shape.SCALAR
    if name in ("zeros", "full") and node.args:
        size = node.args[0]
        count = len(size.elts) if isinstance(size, ast.Tuple | ast.List) else -1
        return _CREATORS.get(count, Shape.UNKNOWN)
    if name in HINTS and node.args:
        return shape_of(node.args[0], known)
    if not is_elementwise(node, known):
        return Shape.UNKNOWN
    keywords = [keyword.value for keyword in node.keywords]
    return join(shape_of(value, known) for value in (*_owner(node, known), *node.args, *keywords))


def is_elementwise(node: ast.Call, known: Mapping[str, Shape]) -> bool:
    """Whether a call computes each element from the same element of its arguments."""
    name = called_name(node)
    if isinstance(node.func, ast.Name):
        plain = all(isinstance(argument, ast.Constant) for argument in node.args)
        return name in _BUILTINS or (name == "float" and plain)  # `float("inf")`
    return name == "to" if _owner(node, known) else name in _ELEMENTWISE


def _owner(node: ast.Call, known: Mapping[str, Shape]) -> list[ast.expr]:
    """The value whose method is called (`x.to(…)`); none where it is a function of a module."""
    if not isinstance(node.func, ast.Attribute):
        return []
    root = node.func.value
    while isinstance(root, ast.Attribute):
        root = root.value
    module = isinstance(root, ast.Name) and root.id not in known
    return [] if module else [node.func.value]
