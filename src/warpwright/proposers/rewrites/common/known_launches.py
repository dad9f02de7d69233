"""Whether every use of a kernel is a launch that the text shows, before its parameters change."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from warpwright.program.launches import find_launches
from warpwright.proposers.rewrites.common.kernel_text import KernelText, stored_names
from warpwright.proposers.rewrites.common.refusal import DoesNotApply

_Name = ast.Name | ast.Attribute


def check_known_launches(kernel: KernelText) -> None:
    """Raises DoesNotApply where the program may run the kernel otherwise than by a known launch.

    A list of kernels, a call from another kernel, a name of it that is handed on: what stands
    there would run the changed kernel with the grid and the arguments of the old one. A name that
    host code gives it (`k = one if wide else other`, `self.k = one`) is followed.
    """
    tree = kernel.program.tree
    elsewhere = _where_local(kernel)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    launched = {
        launch.call.func.value
        for launch in find_launches(kernel.program)
        if isinstance(launch.call.func, ast.Subscript)
    }
    waiting, seen = [kernel.node.name], set[str]()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        for node in _reads(tree, name):
            if node in elsewhere:
                continue
            whole = _choice_of(node, parents)
            target = _given_to(whole, parents)
            if target is not None and target not in seen:
                waiting.append(target)
            compared = isinstance(above := parents[node], ast.Compare) and all(
                isinstance(operator, ast.Is | ast.IsNot) for operator in above.ops
            )
            if whole not in launched and not compared and target is None:
                raise DoesNotApply(f"{name} is used but to launch {kernel.node.name}")


def _where_local(kernel: KernelText) -> set[ast.AST]:
    """Nodes of kernels in which a name means something of their own: all names that they assign or
    take."""
    found: set[ast.AST] = set()
    for one in kernel.program.kernels:
        own = {argument.arg for argument in ast.walk(one.node) if isinstance(argument, ast.arg)}
        own |= set(stored_names(one.node.body))
        found |= {n for n in ast.walk(one.node) if isinstance(n, ast.Name) and n.id in own}
    return found


def _reads(tree: ast.AST, name: str) -> Iterator[_Name]:
    for node in ast.walk(tree):
        word = node.id if isinstance(node, ast.Name) else getattr(node, "attr", None)
        if isinstance(node, _Name) and word == name and isinstance(node.ctx, ast.Load):
            yield node


def _choice_of(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> ast.AST:
    """The choice `one if wide else other` that a node is a side of; else the node."""
    above = parents[node]
    while isinstance(above, ast.IfExp) and node is not above.test:
        node, above = above, parents[above]
    return node


def _given_to(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> str | None:
    """The name that an assignment gives the node's value; None where it is none."""
    above = parents[node]
    if not isinstance(above, ast.Assign) or len(above.targets) != 1 or above.value is not node:
        return None
    target = above.targets[0]
    if isinstance(target, ast.Name):
        return target.id
    return target.attr if isinstance(target, ast.Attribute) else None
