"""What a value in a kernel is worked out from, by all assignments of each name on the way."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator

from warpwright.program.nodes import names_in


def values_behind(node: ast.FunctionDef, start: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """The expression, under "", and what each name behind it is assigned anywhere in the kernel, a
    loop's variable the bounds of its loop; under that name."""
    assigned: defaultdict[str, list[ast.expr]] = defaultdict(list)
    for inner in ast.walk(node):
        if isinstance(inner, ast.Assign | ast.AugAssign | ast.AnnAssign) and inner.value:
            targets = inner.targets if isinstance(inner, ast.Assign) else [inner.target]
            for name in (name for target in targets for name in names_in(target)):
                assigned[name].append(inner.value)
        elif isinstance(inner, ast.For):
            for name in names_in(inner.target):
                assigned[name].append(inner.iter)
    yield "", start
    seen = set(names_in(start))
    todo = sorted(seen)
    while todo:
        name = todo.pop()
        for value in assigned[name]:
            yield name, value
            new = names_in(value) - seen
            seen |= new
            todo += sorted(new)


def names_behind(node: ast.FunctionDef, start: ast.expr) -> frozenset[str]:
    """The names in an expression, and all that they are worked out from."""
    return frozenset().union(*(names_in(value) for _, value in values_behind(node, start)))
