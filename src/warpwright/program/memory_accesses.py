"""Reading a kernel's body: which pointers it reads and writes, under which masks, how often.

All by name and by assignment, without running anything. What cannot be read is left out: the
callers refuse only what is certain, and leave the rest to the comparison of outputs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from warpwright.program.branch_paths import Path, branch_paths
from warpwright.program.dotted_names import dotted, program_of
from warpwright.program.evaluate import Evaluator, Unreadable
from warpwright.program.loop_texts import TripCount, inlined, single_assignments, trip_counts
from warpwright.program.nodes import clone, names_in
from warpwright.program.resolve import Aliases
from warpwright.types.config import MetaValue

_POINTER_CALLS = ("make_block_ptr", "make_tensor_descriptor", "advance", "multiple_of",
                  "max_contiguous", "broadcast_to", "cast", "to", "view", "reshape")  # fmt: skip
_DEEPEST = 40
Constants = tuple[tuple[str, MetaValue], ...]
"""Compile-time arguments of a kernel, by name in order."""


@dataclass(frozen=True, slots=True)
class Access:
    """A load, store or atomic: the kernel parameter it goes through, and its mask.

    `mask` holds the parts that are joined by `&`, local names put in their place; None where
    there is no mask. `pointer` is None where the parameter cannot be told. `path`: the branches
    that it stands in (`branch_paths`).
    """

    kind: str  # "load", "store", "atomic_add", ...
    pointer: str | None
    mask: frozenset[str] | None
    line: int
    address: str = ""
    mask_node: ast.expr | None = None  # as it is written
    mask_names: frozenset[str] = frozenset()  # with local names put in their place
    path: Path = ()
    address_node: ast.expr | None = None  # as it is written


@dataclass(frozen=True, slots=True)
class KernelMemory:
    """What one kernel does to memory, and how its loops run."""

    accesses: tuple[Access, ...]
    trips: tuple[TripCount, ...]

    def pointers(self, *kinds: str) -> frozenset[str]:
        """Parameters that are accessed in one of these ways (`atomic`: any atomic)."""
        return frozenset(
            access.pointer
            for access in self.accesses
            if access.pointer is not None
            and any(access.kind == kind or access.kind.startswith(kind + "_") for kind in kinds)
        )


@lru_cache(maxsize=128)
def kernel_node(source: str, kernel: str, constants: Constants = ()) -> ast.FunctionDef | None:
    """A kernel's syntax tree, which is not to be changed, without the branches that constants
    leave out. Lines are those of the source."""
    node, program = _function(source, kernel), program_of(source)
    if node is None or program is None or not constants:
        return node
    return decided(clone(node), program.aliases, dict(constants))


@lru_cache(maxsize=128)
def read_body(source: str, kernel: str, constants: Constants = ()) -> KernelMemory:
    """The body of a kernel by name; empty where there is none. `constants`: compile-time
    arguments, whose branches are decided."""
    node = kernel_node(source, kernel, constants)
    return KernelMemory((), ()) if node is None else memory_of(node)


def memory_of(node: ast.FunctionDef) -> KernelMemory:
    """The same of a kernel's syntax tree."""
    names = single_assignments(node)
    assigned = _all_assignments(node)
    parameters = {argument.arg for argument in _arguments(node)} - _scalars(node, assigned)
    accesses = tuple(_accesses(node, names, assigned, parameters))
    return KernelMemory(accesses, tuple(trip_counts(node, names)))


def written_pointers(source: str, kernel: str) -> frozenset[str]:
    """Parameters that a kernel changes by stores or atomics, in functions that it calls too."""
    return _written(source, kernel, frozenset())


@lru_cache(maxsize=128)
def _written(source: str, kernel: str, callers: frozenset[str]) -> frozenset[str]:
    node = _function(source, kernel)
    if node is None or kernel in callers:
        return frozenset()
    assigned = _all_assignments(node)
    parameters = {argument.arg for argument in _arguments(node)} - _scalars(node, assigned)
    found = set(read_body(source, kernel).pointers("store", "atomic"))
    for call in ast.walk(node):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            continue
        callee = _function(source, call.func.id)
        if callee is None:
            continue
        given = dict(zip((a.arg for a in _arguments(callee)), call.args, strict=False))
        given |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
        changed = _written(source, callee.name, callers | {kernel})
        roots = (_pointer(given[name], assigned, parameters) for name in changed if name in given)
        found |= {root for root in roots if root is not None}
    return frozenset(found)


def stores_of(source: str, kernel: str) -> frozenset[str] | None:
    """Parameters that a kernel may change; None where reading does not tell all of them: one
    that is not there, or stores through what cannot be followed."""
    if _function(source, kernel) is None:
        return None
    called = [kernel, *_callees(source, kernel)]
    stores = [a for name in called for a in read_body(source, name).accesses if a.kind != "load"]
    if any(access.pointer is None for access in stores):
        return None
    return written_pointers(source, kernel)


def _callees(source: str, kernel: str) -> Iterator[str]:
    """Functions of the program that a kernel calls, and those that these call."""
    seen, left = {kernel}, [kernel]
    while left:
        node = _function(source, left.pop())
        for call in ast.walk(node) if node is not None else ():
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                continue
            name = call.func.id
            if name not in seen and _function(source, name) is not None:
                seen.add(name)
                left.append(name)
                yield name


def _function(source: str, kernel: str) -> ast.FunctionDef | None:
    program = program_of(source)
    kernels = () if program is None else program.kernels
    return next((found.node for found in kernels if found.node.name == kernel), None)


def _arguments(node: ast.FunctionDef) -> list[ast.arg]:
    return [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]


def _scalars(node: ast.FunctionDef, assigned: Mapping[str, list[ast.expr]]) -> set[str]:
    """Parameters that are sizes, strides or paddings, since no pointer is used that way.

    A pointer is never multiplied, divided, subtracted or compared (except with None), so
    whatever such an operand is summed from is a number.
    """
    names = {argument.arg for argument in _arguments(node)}
    products = (ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)
    found: set[str] = set()
    for inner in ast.walk(node):
        sides: list[ast.expr] = []
        if isinstance(inner, ast.BinOp) and isinstance(inner.op, products):
            sides = [inner.left, inner.right]
        elif isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Sub):
            sides = [inner.right]
        elif isinstance(inner, ast.Compare) and not _with_none(inner):
            sides = [inner.left, *inner.comparators]
        for side in sides:
            found |= _roots(side, assigned, names, frozenset())
    return found


def _with_none(node: ast.Compare) -> bool:
    return any(isinstance(c, ast.Constant) and c.value is None for c in node.comparators)


def _all_assignments(node: ast.FunctionDef) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = {}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Assign):
            for target in inner.targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append(inner.value)
        elif isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
            found.setdefault(inner.target.id, []).extend([inner.value] if inner.value else [])
    return found


def _accesses(
    node: ast.FunctionDef,
    names: Mapping[str, ast.expr],
    assigned: Mapping[str, list[ast.expr]],
    parameters: set[str],
) -> Iterator[Access]:
    paths = branch_paths(node)
    for call in sorted(
        (inner for inner in ast.walk(node) if isinstance(inner, ast.Call)),
        key=lambda inner: (inner.lineno, inner.col_offset),
    ):
        kind, address = _access_kind(call)
        if kind is None or address is None:
            continue
        pointer = _pointer(address, assigned, parameters)
        text = ast.unparse(inlined(address, names))
        mask = _mask_of(kind, call)
        whole = None if mask is None else inlined(mask, names)
        parts = None if whole is None else frozenset(_conjuncts(whole))
        yield Access(
            kind, pointer, parts, call.lineno, text, mask, names_in(whole), paths[call], address
        )


def _access_kind(call: ast.Call) -> tuple[str | None, ast.expr | None]:
    """`tl.load(p)`, `tl.store(p, v)`, `tl.atomic_add(p, v)`, `desc.load(...)` and the like."""
    if not isinstance(call.func, ast.Attribute):
        return None, None
    name = call.func.attr.removeprefix("experimental_").replace("_tensor_descriptor", "")
    name = name.removeprefix("descriptor_")
    if name not in ("load", "store") and not name.startswith("atomic_"):
        return None, None
    base = dotted(call.func.value)
    if base in ("tl", "triton.language", "language"):
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        address = call.args[0] if call.args else keywords.get("pointer")
        return name, address
    return name, call.func.value


def _mask_of(kind: str, call: ast.Call) -> ast.expr | None:
    mask: ast.expr | None = None
    position = 1 if kind == "load" else 2
    if dotted(call.func) in (f"tl.{kind}", f"triton.language.{kind}") and len(call.args) > position:
        mask = call.args[position]
    for keyword in call.keywords:
        if keyword.arg in ("mask", "boundary_check"):
            mask = keyword.value
    if mask is None or (isinstance(mask, ast.Constant) and mask.value in (None, True)):
        return None
    return mask


def _conjuncts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd):
        yield from _conjuncts(node.left)
        yield from _conjuncts(node.right)
    elif isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        for value in node.values:
            yield from _conjuncts(value)
    elif isinstance(node, ast.Subscript):
        # (a & b)[:, None] is a[:, None] & b[:, None]
        for text in _conjuncts(node.value):
            yield f"({text})[{ast.unparse(node.slice)}]"
    else:
        yield _without_brackets(ast.unparse(node))


def _without_brackets(text: str) -> str:
    return text.removeprefix("(").removesuffix(")") if text.startswith("((") else text


def _pointer(
    node: ast.expr, assigned: Mapping[str, list[ast.expr]], parameters: set[str]
) -> str | None:
    """The parameter that an address is computed from, if there is exactly one."""
    found = _roots(node, assigned, parameters, frozenset())
    return next(iter(found)) if len(found) == 1 else None


def _roots(
    node: ast.expr,
    assigned: Mapping[str, list[ast.expr]],
    parameters: set[str],
    seen: frozenset[str],
) -> set[str]:
    if len(seen) > _DEEPEST:
        return set()
    if isinstance(node, ast.Name):
        found = {node.id} if node.id in parameters else set()
        if node.id not in seen:
            for value in assigned.get(node.id, ()):
                found |= _roots(value, assigned, parameters, seen | {node.id})
        return found
    parts: list[ast.expr] = []
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
        parts = [node.left, node.right]
    elif isinstance(node, ast.Subscript):
        parts = [node.value]
    elif isinstance(node, ast.IfExp):
        parts = [node.body, node.orelse]
    elif isinstance(node, ast.Call):
        parts = _pointer_arguments(node)
    found = set()
    for part in parts:
        found |= _roots(part, assigned, parameters, seen)
    return found


def _pointer_arguments(call: ast.Call) -> list[ast.expr]:
    written = dotted(call.func) or str(getattr(call.func, "attr", ""))
    name = written.split(".")[-1]
    if name not in _POINTER_CALLS:
        return []
    if isinstance(call.func, ast.Attribute) and dotted(call.func.value) not in ("tl", "triton"):
        return [call.func.value]
    base = [keyword.value for keyword in call.keywords if keyword.arg == "base"]
    return [*call.args[:1], *base]


def decided(
    node: ast.FunctionDef, aliases: Aliases, constants: Mapping[str, MetaValue]
) -> ast.FunctionDef:
    """The kernel, which is changed, without the branches that its constants do not take.

    if SPLIT == 1:                       with SPLIT = 1
        tl.store(c, s)             →         tl.store(c, s)
    else:
        tl.atomic_add(c, s)
    """
    names = {name: ast.Constant(value) for name, value in constants.items()}
    _Deciding(Evaluator(aliases, names)).visit(node)
    return node


class _Deciding(ast.NodeTransformer):
    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        try:
            taken = bool(self._evaluator.value(node.test))
        except Unreadable:
            return node
        return (node.body if taken else node.orelse) or [ast.copy_location(ast.Pass(), node)]
