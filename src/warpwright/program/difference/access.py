"""Masks of memory accesses: which conditions they hold, and where a child's are weaker."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from warpwright.program.kernels import is_constexpr
from warpwright.program.normal_form import Definitions, Position, position_of
from warpwright.program.parsing import expression_of, text_of
from warpwright.program.resolve import Aliases

_MASK_INDEX = {"load": 1, "store": 2, "atomic_cas": None}
"""Position of `mask` among the arguments; atomics other than `cas` take it third."""


@dataclass(frozen=True, slots=True)
class _Access:
    name: str
    text: str
    pointer: str  # resolved
    base: str  # the kernel parameter that the pointer starts from, or its text
    conditions: frozenset[str]
    is_masked: bool  # by a mask, or by a block pointer's boundary check
    is_specialised: bool  # under an `if` on compile-time constants, such as EVEN_K
    line: int


def removed_masks(
    parent: ast.FunctionDef, child: ast.FunctionDef, old: Aliases, new: Aliases
) -> Iterator[tuple[str, str, int]]:
    """(before, after, line) of each access whose mask is gone, always true, or weaker.

    Weaker is told only where it is certain: some of the parent's conditions are missing and
    no other one stands in their place, or one is widened.
    """
    before, after = _accesses(parent, old), _accesses(child, new)
    for key in dict.fromkeys((access.name, access.base) for access in after):
        ours = [a for a in before if (a.name, a.base) == key]
        theirs = [a for a in after if (a.name, a.base) == key]
        for one, other in _pairs(ours, theirs):
            if other.is_specialised and not one.is_specialised and not other.is_masked:
                continue
            if _is_weaker(one, other):
                yield _shown(one, other), _shown(other, one), other.line


def _shown(access: _Access, versus: _Access) -> str:
    """The access as text; with its conditions where both are written alike."""
    if access.text != versus.text:
        return access.text
    return f"{access.text}  # {' & '.join(sorted(access.conditions)) or 'always true'}"


def _pairs(ours: list[_Access], theirs: list[_Access]) -> Iterator[tuple[_Access, _Access]]:
    if len(ours) == len(theirs):
        yield from zip(ours, theirs, strict=True)
        return
    for other in theirs:
        same = [a for a in ours if a.pointer == other.pointer]
        if same:
            yield same[0], other
        elif ours:
            yield max(ours, key=lambda a: _likeness(a, other)), other


def _likeness(one: _Access, other: _Access) -> float:
    return SequenceMatcher(None, one.pointer, other.pointer, autojunk=False).ratio()


def _is_weaker(one: _Access, other: _Access) -> bool:
    if not one.is_masked:
        return False
    if not other.is_masked:
        return True
    if not one.conditions:
        return False
    missing, extra = one.conditions - other.conditions, other.conditions - one.conditions
    if not missing:
        return False
    return not extra or all(any(_widens(e, m) for m in missing) for e in extra)


def _widens(condition: str, original: str) -> bool:
    """Whether `condition` holds wherever `original` does: `a or b`, `a <= n`, `a < n + 16`."""
    new, old = expression_of(condition), expression_of(original)
    assert new is not None and old is not None  # texts of nodes
    if isinstance(new, ast.BinOp) and isinstance(new.op, ast.BitOr):
        return original in _alternatives(new)
    if not (_is_less(new) and _is_less(old)):
        return False
    assert isinstance(new, ast.Compare) and isinstance(old, ast.Compare)
    if text_of(new.left) != text_of(old.left):
        return False
    limit, bound = new.comparators[0], old.comparators[0]
    if text_of(limit) == text_of(bound):
        return isinstance(new.ops[0], ast.LtE) and isinstance(old.ops[0], ast.Lt)
    if not (isinstance(limit, ast.BinOp) and isinstance(limit.op, (ast.Add, ast.Mult))):
        return False
    return text_of(bound) in (text_of(limit.left), text_of(limit.right))


def _alternatives(node: ast.expr) -> set[str]:
    """The parts that `|` joins."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _alternatives(node.left) | _alternatives(node.right)
    return {text_of(node)}


def _is_less(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Compare)
        and len(node.ops) == 1
        and isinstance(node.ops[0], (ast.Lt, ast.LtE))
    )


def _accesses(node: ast.FunctionDef, aliases: Aliases) -> list[_Access]:
    definitions = Definitions(node, node.body)
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    constants = {a.arg for a in arguments if is_constexpr(a.annotation, aliases)}
    parameters = {a.arg for a in arguments}
    found: list[_Access] = []
    for call, specialised in _calls(node.body, constants, False):
        name = aliases.triton_name(call.func)
        if name is None or not (name in ("load", "store") or name.startswith("atomic_")):
            continue
        pointer = call.args[0] if call.args else None
        if pointer is None:
            continue
        place = position_of(call)
        resolved = definitions.expand(pointer, place)
        mask = _mask_of(call, name)
        reader = _Conditions(definitions, aliases)
        conditions = frozenset() if mask is None else frozenset(reader.of(mask, place))
        checked = any(k.arg == "boundary_check" for k in call.keywords)
        found.append(
            _Access(
                name=name,
                text=text_of(call),
                pointer=text_of(resolved),
                base=_base(resolved, parameters),
                conditions=conditions,
                is_masked=checked or bool(conditions),
                is_specialised=specialised,
                line=call.lineno,
            )
        )
    return found


def _calls(
    body: list[ast.stmt], constants: set[str], specialised: bool
) -> Iterator[tuple[ast.Call, bool]]:
    """Calls in source order, told whether they stand under an `if` on constants only."""
    for statement in body:
        inner = specialised
        if isinstance(statement, ast.If):
            names = {n.id for n in ast.walk(statement.test) if isinstance(n, ast.Name)}
            inner = specialised or (bool(names) and names <= constants)
        blocks = [getattr(statement, name, []) for name in ("body", "orelse")]
        own = [
            child
            for child in ast.iter_child_nodes(statement)
            if not isinstance(child, (ast.stmt, ast.ExceptHandler))
        ]
        calls = [n for child in own for n in ast.walk(child) if isinstance(n, ast.Call)]
        for call in sorted(calls, key=position_of):
            yield call, specialised
        for block in blocks:
            if isinstance(block, list):
                yield from _calls(block, constants, inner)


def _mask_of(call: ast.Call, name: str) -> ast.expr | None:
    for keyword in call.keywords:
        if keyword.arg == "mask":
            return None if _is_constant(keyword.value, None) else keyword.value
    index = _MASK_INDEX.get(name, 2)
    if index is None or len(call.args) <= index:
        return None
    return None if _is_constant(call.args[index], None) else call.args[index]


def _base(pointer: ast.expr, parameters: set[str]) -> str:
    """The leftmost parameter of a pointer expression."""
    names = [n for n in ast.walk(pointer) if isinstance(n, ast.Name) and n.id in parameters]
    pointers = [n.id for n in names if n.id.lower().endswith(("ptr", "ptrs", "pointer"))]
    if pointers:
        return pointers[0]
    node: ast.expr = pointer
    while isinstance(node, ast.BinOp):
        node = node.left
    return text_of(node)


class _Conditions:
    """The conditions that a mask joins with `&`, local names resolved, broadcasts removed."""

    def __init__(self, definitions: Definitions, aliases: Aliases) -> None:
        self._definitions = definitions
        self._aliases = aliases

    def of(self, node: ast.expr, place: Position, depth: int = 0) -> set[str]:
        if isinstance(node, ast.Name) and depth < 12:
            found = self._definitions.lookup(node.id, place)
            if found is not None:
                value, position = found
                return self.of(value, (position[0], position[1] - 1), depth + 1)
        node = self._unwrapped(node)
        if isinstance(node, ast.Name) and depth < 12:
            return self.of(node, place, depth + 1)
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitAnd, ast.Mult)):
            return self.of(node.left, place, depth + 1) | self.of(node.right, place, depth + 1)
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
            return set().union(*(self.of(value, place, depth + 1) for value in node.values))
        if isinstance(node, ast.Call) and self._aliases.triton_name(node.func) == "logical_and":
            return set().union(*(self.of(value, place, depth + 1) for value in node.args))
        resolved = _Plain(self._aliases).visit(self._definitions.expand(node, place))
        return set() if self._is_always_true(resolved) else {text_of(resolved)}

    def _unwrapped(self, node: ast.expr) -> ast.expr:
        """`mask[:, None]`, `tl.broadcast_to(mask, ...)`, `mask.to(tl.int1)` → `mask`."""
        while True:
            inner = _inside(node, self._aliases)
            if inner is None:
                return node
            node = inner

    def _is_always_true(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Constant):
            return bool(node.value)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return self._is_always_true(node.left) or self._is_always_true(node.right)
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            same = text_of(node.left) == text_of(node.comparators[0])
            return same and isinstance(node.ops[0], (ast.Eq, ast.LtE, ast.GtE))
        if isinstance(node, ast.Call):
            name = self._aliases.triton_name(node.func)
            if name == "full" and len(node.args) > 1:
                return self._is_always_true(node.args[1])
        return False


class _Plain(ast.NodeTransformer):
    """Removes broadcasts everywhere and turns `n > a` into `a < n`."""

    def __init__(self, aliases: Aliases) -> None:
        self._aliases = aliases

    def visit(self, node: ast.AST) -> ast.expr:
        inner = _inside(node, self._aliases) if isinstance(node, ast.expr) else None
        if inner is not None:
            return self.visit(inner)
        visited = self.generic_visit(node)
        if isinstance(visited, ast.Compare) and len(visited.ops) == 1:
            op = visited.ops[0]
            if isinstance(op, (ast.Gt, ast.GtE)):
                swapped = ast.Lt() if isinstance(op, ast.Gt) else ast.LtE()
                left, right = visited.left, visited.comparators[0]
                return ast.copy_location(ast.Compare(right, [swapped], [left]), visited)
        return visited  # type: ignore[return-value]


def _inside(node: ast.expr, aliases: Aliases) -> ast.expr | None:
    """What a broadcast or a cast to bool wraps; None if the node is neither."""
    if isinstance(node, ast.Subscript):
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        plain = all(_is_constant(part, None) or _is_full_slice(part) for part in parts)
        return node.value if plain else None
    if isinstance(node, ast.Call):
        name = aliases.triton_name(node.func)
        if name in ("broadcast_to", "expand_dims", "reshape", "view") and node.args:
            return node.args[0]
        if isinstance(node.func, ast.Attribute) and node.func.attr == "to" and node.args:
            return node.func.value if text_of(node.args[0]).endswith("int1") else None
    return None


def _is_full_slice(node: ast.expr) -> bool:
    return isinstance(node, ast.Slice) and not (node.lower or node.upper or node.step)


def _is_constant(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value
