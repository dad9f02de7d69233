"""Reading host code without running it: dotted names, aliases, calls and where they stand."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

from warpwright.errors import InputError
from warpwright.program.parsed import ParsedProgram, once, parse_program


@dataclass(frozen=True, slots=True)
class Reference:
    """A dotted name in host code, its aliases resolved.

    `name` is e.g. `torch.nn.functional.conv2d`, whatever it was called in the source;
    `scope` the qualified name of the function or class it stands in, "" at module level.
    """

    name: str
    line: int
    scope: str
    written: str
    is_stored: bool = False  # assigned to or deleted
    is_imported: bool = False  # the first part is an import or an alias of one


def program_of(source: str) -> ParsedProgram | None:
    """The program as all readers see it, or None where the source cannot be read."""
    try:
        return parse_program(source)
    except (InputError, RecursionError):
        return None


@once
def host_digest(program: ParsedProgram) -> str:
    """A short text that is equal where the host code is, whatever kernels and imports are."""
    host = [
        ast.unparse(statement)
        for statement in program.tree.body
        if not (program.is_kernel(statement) or program.makes_kernel(statement))
        and not isinstance(statement, (ast.Import, ast.ImportFrom))
    ]
    return sha256("\n".join(host).encode()).hexdigest()[:8]


def parse(source: str) -> ast.Module | None:
    """The syntax tree in the plain spelling, or None where the source cannot be read."""
    program = program_of(source)
    return None if program is None else program.tree


def dotted(node: ast.AST) -> str | None:
    """`a.b.c` of a name or an attribute chain; None for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(parts)])


def host_nodes(
    program: ParsedProgram, tree: ast.AST | None = None, scope: str = ""
) -> Iterator[tuple[ast.AST, str]]:
    """Every node outside kernels, with its scope; of the plain tree unless another is given."""
    for child in ast.iter_child_nodes(program.tree if tree is None else tree):
        if program.is_kernel(child):
            continue
        inner = scope
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inner = f"{scope}.{child.name}" if scope else child.name
        yield child, inner
        yield from host_nodes(program, child, inner)


@once
def plain_aliases(program: ParsedProgram) -> Mapping[str, str]:
    """Local name → what it stands for in the plain tree: imports, and assignments of imported
    dotted names."""
    return _aliases(program.tree)


@once
def written_aliases(program: ParsedProgram) -> Mapping[str, str]:
    """The same in the tree as written."""
    return _aliases(program.written)


def _aliases(tree: ast.Module) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for item in node.names:
                found[item.asname or item.name.split(".")[0]] = (
                    item.name if item.asname else item.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            for item in node.names:
                found[item.asname or item.name] = f"{node.module}.{item.name}"
    _follow_assignments(tree, found)
    return found


def _follow_assignments(tree: ast.Module, found: dict[str, str]) -> None:
    """Add `name = torch.something` and chains of them, as long as something new turns up."""
    pairs = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
            if isinstance(target, ast.Name) and (name := dotted(value)):
                pairs.append((target.id, name))
        elif isinstance(node, ast.NamedExpr) and (name := dotted(node.value)):
            pairs.append((node.target.id, name))
    changed = True
    while changed:
        changed = False
        for target_name, name in pairs:
            root, _, rest = name.partition(".")
            if root in found and target_name not in found:
                found[target_name] = found[root] + ("." + rest if rest else "")
                changed = True


def resolve(name: str, known: Mapping[str, str]) -> str:
    """The dotted name with its first part replaced by what it is an alias of."""
    root, _, rest = name.partition(".")
    base = known.get(root)
    if base is None:
        return name
    return base + ("." + rest if rest else "")


@once
def references(program: ParsedProgram) -> tuple[Reference, ...]:
    """Every dotted name of the host code, longest form only, aliases resolved.

    As written: what is changed in a library under an alias is told by the import.
    """
    known = written_aliases(program)
    inner: set[int] = set()
    found = []
    for node, scope in host_nodes(program, program.written):
        if not isinstance(node, (ast.Attribute, ast.Name)) or id(node) in inner:
            continue
        part: ast.AST = node
        while isinstance(part, ast.Attribute):
            part = part.value
            inner.add(id(part))
        written = dotted(node)
        if written is None:
            continue
        stored = not isinstance(node.ctx, ast.Load)
        imported = written.partition(".")[0] in known
        name = resolve(written, known)
        found.append(Reference(name, node.lineno, scope, written, stored, imported))
    return tuple(found)
