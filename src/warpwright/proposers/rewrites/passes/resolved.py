"""Values of loops written without the loops' own names, so that two loops can be compared.

`x` is `tl.load(x_ptr + row * N + start + lanes)` in one loop, `again` the same under other names in
a second one. Both are `tl.load(x_ptr + row * N + §0 + lanes)`, where `§0` is the counter of either.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from warpwright.program.kernel_assignments import called_name
from warpwright.proposers.rewrites.common.kernel_text import KernelText, stored_names
from warpwright.proposers.rewrites.common.reaching import Reaching
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.value_axes import is_elementwise

COUNTER = "§"
MOST_NODES = 2000
"""Of a value without names: what is read again and again grows with each name looked through."""
_LOAD = ("mask", "other")
_HINTS = frozenset({"cache_modifier", "eviction_policy"})


class Resolver:
    """Looks through the names that some statements assign; `levels` are loops of them whose
    counters are told by their depth."""

    def __init__(
        self,
        kernel: KernelText,
        reaching: Reaching,
        statements: Sequence[ast.stmt],
        levels: Sequence[ast.For],
    ) -> None:
        self._kernel, self._reaching = kernel, reaching
        self._stored = set(stored_names(statements))
        self._own = {node for root in statements for node in ast.walk(root)}
        self._levels = {(n.lineno, n.col_offset): depth for depth, n in enumerate(levels)}
        self._nodes = 0

    def of(self, node: ast.expr, statement: ast.stmt) -> ast.expr:
        """A new tree of an expression of the statement. Raises DoesNotApply where a name in it has
        no one value that is known."""
        self._nodes = 0
        return self._copied(node, statement)

    def followed(self, node: ast.expr, statement: ast.stmt) -> tuple[ast.expr, ast.stmt]:
        """What a name stands for, as the text has it, and in which statement."""
        while isinstance(node, ast.Name) and node.id in self._stored:
            found = self._reaching.definition(node.id, statement)
            if found is None or found.value is None or found.statement not in self._own:
                break
            assert found.statement is not None
            node, statement = found.value, found.statement
        return node, statement

    def _copied(self, node: ast.expr, statement: ast.stmt) -> ast.expr:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise DoesNotApply("a value of the loops is too long to compare")
        if isinstance(node, ast.Name):
            return self._name(node.id, statement)
        if _is_least(node):
            return ast.Constant(float("-inf"))
        if isinstance(node, ast.Call) and self._kernel.called(node) == "load":
            return self._load(node, statement)
        return self._parts(node, statement)

    def _parts(self, node: ast.expr, statement: ast.stmt) -> ast.expr:
        fields: dict[str, object] = {}
        for name, value in ast.iter_fields(node):
            if isinstance(value, ast.expr):
                fields[name] = self._copied(value, statement)
            elif isinstance(value, list):
                fields[name] = [self._item(item, statement) for item in value]
            else:
                fields[name] = value
        made = node.__class__.__new__(node.__class__)
        made.__dict__.update(fields)
        return _in_order(made)

    def _item(self, item: object, statement: ast.stmt) -> object:
        if isinstance(item, ast.expr):
            return self._copied(item, statement)
        if isinstance(item, ast.keyword):
            return ast.keyword(item.arg, self._copied(item.value, statement))
        return item

    def _load(self, node: ast.Call, statement: ast.stmt) -> ast.expr:
        """A load with its mask by name; what it asks of the caches is left out."""
        named = {k.arg: k.value for k in node.keywords if k.arg not in _HINTS}
        named |= dict(zip(_LOAD, node.args[1:], strict=False))
        if len(node.args) > 1 + len(_LOAD) or not node.args or not set(named) <= set(_LOAD):
            raise DoesNotApply(f"{ast.unparse(node)} is more than a plain load")
        keywords = [
            ast.keyword(name, self._copied(named[name], statement))
            for name in _LOAD
            if name in named
        ]
        address = _summed(_addends(self._copied(node.args[0], statement)))
        return ast.Call(self._copied(node.func, statement), [address], keywords)

    def _name(self, name: str, statement: ast.stmt) -> ast.expr:
        if name not in self._stored:
            return ast.Name(name, ast.Load())
        found = self._reaching.definition(name, statement)
        if found is None:
            raise DoesNotApply(f"{name} is left by another step, or by one of several assignments")
        if found.place in self._levels:
            return ast.Name(f"{COUNTER}{self._levels[found.place]}", ast.Load())
        if found.statement is None or found.statement not in self._own:
            return ast.Name(name, ast.Load())
        assert found.value is not None
        return self._copied(found.value, found.statement)


def _is_least(node: ast.expr) -> bool:
    """Whether it is minus infinity: `float("-inf")`, `-float("inf")`."""
    negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    call = node.operand if negative else node  # type: ignore[attr-defined]
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.keywords:
        return False
    if call.func.id != "float" or len(call.args) != 1 or not isinstance(call.args[0], ast.Constant):
        return False
    word = str(call.args[0].value).strip().lower().removesuffix("inity")
    return word == ("inf" if negative else "-inf") or (negative and word == "+inf")


def _in_order(node: ast.expr) -> ast.expr:
    """A sum of two, whose order tells nothing, in one order; so too all that `&` joins."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _summed([node.left, node.right])
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd):
        return _summed(_addends(node, ast.BitAnd), ast.BitAnd)
    return node


def _addends(node: ast.expr, operator: type[ast.operator] = ast.Add) -> list[ast.expr]:
    """The terms of a sum, in whatever brackets. Of whole numbers alone: others round."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, operator):
        return [*_addends(node.left, operator), *_addends(node.right, operator)]
    return [node]


def _summed(terms: Sequence[ast.expr], operator: type[ast.operator] = ast.Add) -> ast.expr:
    first, *rest = sorted(terms, key=ast.dump)
    for term in rest:
        first = ast.BinOp(first, operator(), term)
    return first


def same(one: ast.expr, other: ast.expr) -> bool:
    """Whether two values without names are the same text."""
    return ast.dump(one) == ast.dump(other)


def counts(node: ast.expr) -> bool:
    """Whether a value without names follows from a loop's counter."""
    return any(isinstance(n, ast.Name) and n.id.startswith(COUNTER) for n in ast.walk(node))


def where_true(node: ast.expr, mask: ast.expr) -> ast.expr:
    """A value without names in the lanes where the mask is true: what others get is left out.

    Only elementwise operations are looked into: elsewhere a lane may read what another one got.
    """
    if isinstance(node, ast.BinOp):
        return ast.BinOp(where_true(node.left, mask), node.op, where_true(node.right, mask))
    if isinstance(node, ast.UnaryOp):
        return ast.UnaryOp(node.op, where_true(node.operand, mask))
    if not isinstance(node, ast.Call) or not is_elementwise(node, {}):
        return node
    name = called_name(node)
    if name == "load":
        masks = [keyword.value for keyword in node.keywords if keyword.arg == "mask"]
        return ast.Call(node.func, node.args, []) if masks and same(masks[0], mask) else node
    if name == "where" and len(node.args) == 3 and same(node.args[0], mask):
        return where_true(node.args[1], mask)
    return ast.Call(node.func, [where_true(one, mask) for one in node.args], node.keywords)


def is_least_outside(node: ast.expr, mask: ast.expr) -> bool:
    """Whether a value without names is minus infinity wherever the mask is false."""
    if not isinstance(node, ast.Call):
        return False
    other: ast.expr | None = None
    named = {keyword.arg: keyword.value for keyword in node.keywords}
    if called_name(node) == "load" and "mask" in named and same(named["mask"], mask):
        other = named.get("other")
    elif called_name(node) == "where" and len(node.args) == 3 and same(node.args[0], mask):
        other = node.args[2]
    return isinstance(other, ast.Constant) and other.value == float("-inf")
