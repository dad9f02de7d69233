"""What host code keeps from one call to the next: the way to skip work after the first."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from warpwright.program.dotted_names import dotted, resolve
from warpwright.program.host import HostCode, assignments, is_allocation, own_nodes
from warpwright.program.parsed import HostFunction
from warpwright.verifier.checks.stale_parameters import kept_from_parameters

_IDENTITY_METHODS = frozenset({"data_ptr", "_version", "untyped_storage", "storage"})
_MUTATORS = frozenset(
    {"append", "extend", "insert", "update", "setdefault", "add", "pop", "popitem", "clear"}
)


def kept_between_calls(host: HostCode) -> Iterator[tuple[str, str, int]]:
    """State that outlives a call, as (function, what, line).

    Attributes set outside `__init__` (of the model, of a tensor, of a function), globals, caches,
    mutable defaults, identities of tensors, which only a cache needs, and what `__init__` makes
    from a parameter's values.
    """
    containers = {
        target.id
        for node in host.tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value, (ast.Dict, ast.List, ast.Call))
    }
    for function in host.functions.values():
        in_init = function.node.name in ("__init__", "reset_parameters", "_init_weights")
        for what, line in _state_of(function, containers, in_init, host):
            yield function.name, what, line
        if in_init:
            for what, line in kept_from_parameters(function, host.known):
                yield function.name, what, line


def _state_of(
    function: HostFunction, containers: set[str], in_init: bool, host: HostCode
) -> Iterator[tuple[str, int]]:
    local = set(assignments(function.node))
    for decorator in function.node.decorator_list:
        name = (dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)) or ""
        if resolve(name, host.known).split(".")[-1] in ("lru_cache", "cache", "cached_property"):
            yield f"@{name}", decorator.lineno
    for default in [*function.node.args.defaults, *function.node.args.kw_defaults]:
        empty = isinstance(default, ast.Call) and dotted(default.func) in ("dict", "list", "set")
        if default is not None and (empty or isinstance(default, (ast.Dict, ast.List, ast.Set))):
            yield f"default argument {ast.unparse(default)}", default.lineno
    for node in own_nodes(function.node):
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            yield f"{type(node).__name__.lower()} {', '.join(node.names)}", node.lineno
        elif isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign)) and not in_init:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                yield from _stored(target, containers - local, function, host)
        elif isinstance(node, ast.Call):
            yield from _identity_or_mutation(node, containers - local, in_init)


def _stored(
    target: ast.expr, containers: set[str], function: HostFunction, host: HostCode
) -> Iterator[tuple[str, int]]:
    if isinstance(target, (ast.Tuple, ast.List)):
        for item in target.elts:
            yield from _stored(item, containers, function, host)
        return
    base = target.value if isinstance(target, ast.Subscript) else target
    name = dotted(base)
    if name is None:
        if isinstance(base, ast.Attribute):  # type(self).kept, self.layers[0].kept
            yield f"assignment to {ast.unparse(base)[:60]}", target.lineno
        return
    root = name.split(".")[0]
    if root == "self" and "." in name:
        yield f"assignment to {name}", target.lineno
    elif isinstance(target, ast.Subscript) and root in containers:
        yield f"assignment to {name}[...]", target.lineno
    elif isinstance(target, ast.Attribute) and _outlives(root, target.attr, function, host):
        yield f"assignment to {name}", target.lineno


def _outlives(root: str, attribute: str, function: HostFunction, host: HostCode) -> bool:
    """Whether an attribute of `root` is there in the next call: not where the call made it."""
    if root == "ctx" or attribute in ("requires_grad", "grad"):
        return False  # autograd's own place for one call
    if root in host.known:
        return False  # a setting of a library, which the names check judges
    made = assignments(function.node).get(root, [])
    return not made or not all(is_allocation(value, host.known) for value in made)


def _identity_or_mutation(
    call: ast.Call, containers: set[str], in_init: bool
) -> Iterator[tuple[str, int]]:
    if isinstance(call.func, ast.Name) and call.func.id in ("id", "hash"):
        yield f"{call.func.id}() of an object", call.lineno
    if (dotted(call.func) or "").split(".")[-1] in ("setattr", "__setattr__") and not in_init:
        yield f"{ast.unparse(call)[:60]}", call.lineno
    if not isinstance(call.func, ast.Attribute):
        return
    name = dotted(call.func) or ""
    root = name.split(".")[0]
    if call.func.attr in _IDENTITY_METHODS:
        yield f"{call.func.attr}() of a tensor", call.lineno
    elif call.func.attr in _MUTATORS:
        kept = root in containers or (root == "self" and name.count(".") > 1)
        if kept and not in_init:
            yield f"{name}(...)", call.lineno
    elif call.func.attr == "register_buffer" and not in_init:
        yield f"{name}(...)", call.lineno
