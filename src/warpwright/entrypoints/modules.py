"""A user's modules, found by the rules of Python's import system and read; none is imported."""

from __future__ import annotations

import ast
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from warpwright.errors import InputError, Place
from warpwright.formats.documents import MAX_DOCUMENT_BYTES, decode_document
from warpwright.formats.python_text import parse_python

LIBRARIES = frozenset({
    "torch", "triton", "numpy", "scipy", "transformers", "einops", "packaging", "jax", "pytest",
})  # fmt: skip
"""Installed packages that stay imports: programs are written on top of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """One top-level statement, or several on shared lines, with the comments right above."""

    nodes: tuple[ast.stmt, ...]
    first_line: int
    last_line: int

    @property
    def is_import(self) -> bool:
        return all(isinstance(node, ast.Import | ast.ImportFrom) for node in self.nodes)


@dataclass(frozen=True, eq=False)
class SourceModule:
    """A module's text, as it stands in its file, and its top-level statements."""

    path: Path
    text: str
    tree: ast.Module = field(repr=False)

    @cached_property
    def lines(self) -> list[str]:
        return source_lines(self.text)

    @cached_property
    def statements(self) -> tuple[Statement, ...]:
        return tuple(_statements(self.tree, self.lines))

    @cached_property
    def bound(self) -> dict[str, list[Statement]]:
        """Module-level name → the statements that bind it."""
        found: dict[str, list[Statement]] = {}
        for statement in self.statements:
            for name in dict.fromkeys(n for node in statement.nodes for n in bound_names(node)):
                found.setdefault(name, []).append(statement)
        return found

    @cached_property
    def starred(self) -> tuple[ast.ImportFrom, ...]:
        """`from m import *` at module level."""
        return tuple(
            node
            for node in self.tree.body
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
        )


def source_lines(text: str) -> list[str]:
    """Lines as Python counts them, without their ends."""
    return [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]


def _statements(tree: ast.Module, lines: Sequence[str]) -> Iterator[Statement]:
    held: list[ast.stmt] = []
    last = 0
    for node in tree.body:
        if held and node.lineno > last:
            yield _statement(held, lines)
            held = []
        held.append(node)
        last = node.end_lineno or node.lineno
    if held:
        yield _statement(held, lines)


def _statement(nodes: Sequence[ast.stmt], lines: Sequence[str]) -> Statement:
    decorators = getattr(nodes[0], "decorator_list", [])
    first = min([nodes[0].lineno, *(decorator.lineno for decorator in decorators)])
    while first > 1 and lines[first - 2].startswith("#") and not lines[first - 2].startswith("#!"):
        first -= 1
    return Statement(tuple(nodes), first, max(node.end_lineno or node.lineno for node in nodes))


def bound_names(node: ast.stmt) -> Iterator[str]:
    """Names that a module-level statement binds, in blocks of it too."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
        return
    if isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            if alias.name != "*":
                yield alias.asname or alias.name.split(".")[0]
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield from bound_names(child)
        elif isinstance(child, ast.ExceptHandler):
            for inner in child.body:
                yield from bound_names(inner)
        else:
            yield from _stored(child)


def _stored(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            yield inner.id


class Modules:
    """Finds modules below the roots of a program, and keeps what was read."""

    def __init__(
        self,
        file: Path | None = None,
        roots: Sequence[Path] = (),
        texts: Mapping[Path, str] | None = None,
    ) -> None:
        """`texts` stand in for the files of these paths."""
        self._roots = [*roots, *([] if file is None else _roots_of(file)), *_pythonpath()]
        self._texts = texts or {}
        self._read: dict[Path, SourceModule] = {}

    def read(self, path: Path) -> SourceModule:
        """Raises InputError for a file that cannot be read or is no Python."""
        path = path.resolve()
        if path not in self._read:
            text = self._texts.get(path)
            self._read[path] = _read(path) if text is None else module_of(path, text)
        return self._read[path]

    def imported(
        self, node: ast.ImportFrom | ast.Import, importer: Path, name: str | None = None
    ) -> Path | None:
        """The file of a module that `node` imports, if its statements are to be joined; of the
        name `name` of `import name`. None: it stays an import."""
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = importer.parent
            for _ in range(node.level - 1):
                folder = folder.parent
            return _module_in(folder, node.module or "")
        dotted = node.module if isinstance(node, ast.ImportFrom) else name
        return None if not dotted else self.find(dotted)

    def find(self, dotted: str) -> Path | None:
        """The file of a module by its dotted name, if it is the user's or a package of kernels."""
        first = dotted.split(".")[0]
        if first in sys.stdlib_module_names or first in LIBRARIES:
            return None
        for root in self._roots:
            if (found := _module_in(root, dotted)) is not None:
                return found
        for root in _installed():
            if (found := _module_in(root, dotted)) is not None and _uses_triton(found):
                return found
        return None

    def submodule(self, package: Path, name: str) -> Path | None:
        """The module `name` of a package whose `__init__.py` is given."""
        return _module_in(package.parent, name) if package.name == "__init__.py" else None


def _module_in(folder: Path, dotted: str) -> Path | None:
    place = folder.joinpath(*dotted.split(".")) if dotted else folder
    for candidate in (place / "__init__.py", place.with_suffix(".py") if dotted else place):
        if candidate.is_file() and candidate.suffix == ".py":
            return candidate.resolve()
    return None


def _roots_of(file: Path) -> list[Path]:
    """The file's own folder, as for a script, and the folder above its outermost package."""
    folder = file.resolve().parent
    top = folder
    while (top / "__init__.py").exists():
        top = top.parent
    return [folder, top] if top != folder else [folder]


def _pythonpath() -> list[Path]:
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    try:
        here = [Path.cwd()]
    except OSError:  # it was deleted
        here = []
    return [*here, *(Path(entry) for entry in given if entry)]


def _installed() -> list[Path]:
    """Where packages are installed for this interpreter."""
    paths = sysconfig.get_paths()
    return [Path(paths[key]) for key in ("purelib", "platlib") if key in paths]


def _uses_triton(path: Path) -> bool:
    """Whether a module, or where it is a package one of its modules, speaks of Triton."""
    files = path.parent.rglob("*.py") if path.name == "__init__.py" else [path]
    return any(b"triton" in file.read_bytes() for file in files)


def _read(path: Path) -> SourceModule:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}",
            place=Place(str(path)),
            hint="give the path of a Python file, with :FUNCTION behind it if it has several",
        ) from error
    decode_document(data, str(path))  # what is no text is refused
    return module_of(path, data.decode())


def module_of(path: Path, text: str) -> SourceModule:
    """Raises InputError for text that is no Python."""
    tree = parse_python("\n".join(source_lines(text)), document=str(path))
    return SourceModule(path, text, tree)
