"""Which statements of which modules an entry point needs: names followed through imports."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from warpwright.entrypoints.modules import Modules, SourceModule, Statement
from warpwright.entrypoints.name_uses import NameUse, name_uses, nested_imports
from warpwright.errors import InputError, Place

Import = ast.Import | ast.ImportFrom
MOST_STATEMENTS = 2000


@dataclass(frozen=True, slots=True)
class DefinedName:
    """Where a name is defined: the user's file and its name there."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class KeptImport:
    """A name that stays imported: `import module as …` or `from module import name as …`."""

    module: str
    name: str | None
    asname: str

    def text(self) -> str:
        if self.name is not None:
            behind = "" if self.asname == self.name else f" as {self.asname}"
            return f"from {self.module} import {self.name}{behind}"
        behind = "" if self.asname == self.module.split(".")[0] else f" as {self.asname}"
        return f"import {self.module}{behind}"


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a reference means, and how many of its parts say so."""

    meaning: DefinedName | KeptImport
    parts: int


@dataclass
class Needed:
    """All statements that are needed, by module."""

    taken: list[SourceModule] = field(default_factory=list)
    imported: dict[Path, list[Path]] = field(default_factory=dict)  # by the module that imports
    statements: dict[Path, dict[int, Statement]] = field(default_factory=dict)
    libraries: dict[Path, dict[str, KeptImport]] = field(default_factory=dict)
    parts: set[str] = field(default_factory=set)  # `import a.b` beside `import a`
    futures: bool = False

    @property
    def modules(self) -> list[SourceModule]:
        """The modules, each behind those that it imports."""
        by_path = {module.path: module for module in self.taken}
        done: dict[Path, None] = {}

        def visit(path: Path, above: frozenset[Path]) -> None:
            for other in self.imported.get(path, ()):
                if other not in done and other not in above:
                    visit(other, above | {path})
            done.setdefault(path)

        for path in by_path:
            visit(path, frozenset())
        return [by_path[path] for path in done if path in by_path]

    def of(self, module: SourceModule) -> list[Statement]:
        chosen = self.statements.get(module.path, {})
        return [chosen[line] for line in sorted(chosen)]


class Follower:
    """Follows names from an entry point."""

    def __init__(self, modules: Modules) -> None:
        self._modules = modules
        self.needed = Needed()
        self._resolving: set[tuple[Path, str]] = set()
        self._waiting: list[tuple[SourceModule, Statement]] = []
        self._references: dict[tuple[Path, int], list[NameUse]] = {}

    def follow(self, module: SourceModule, name: str) -> DefinedName:
        """Everything that `name` of `module` needs. Raises InputError where it is not defined."""
        resolved = self.resolve(module, (name,))
        self._follow_all()
        if resolved is None or not isinstance(resolved.meaning, DefinedName):
            functions = [n for n in module.bound if not n.startswith("_")]
            raise InputError(
                f"there is no {name}",
                place=Place(str(module.path)),
                expected=f"a name of the module: {', '.join(functions[:12])}",
            )
        return resolved.meaning

    def resolve(self, module: SourceModule, parts: tuple[str, ...]) -> Resolved | None:
        """What a chain of names means in a module, with what it needs taken in; None for what is
        no name of a module (a builtin, a name that nothing binds)."""
        place = (module.path, parts[0])
        if place in self._resolving:
            return None  # modules that import a name from each other, and none has it
        self._resolving.add(place)
        try:
            return self._resolved(module, parts)
        finally:
            self._resolving.discard(place)

    def _resolved(self, module: SourceModule, parts: tuple[str, ...]) -> Resolved | None:
        name = parts[0]
        statements = module.bound.get(name)
        if statements is None:
            return self._starred(module, parts)
        imports = [s for s in statements if s.is_import]
        if len(imports) == len(statements):
            return self._through(module, *_binding(imports, parts), parts)
        for statement in statements:
            if not statement.is_import:
                self._take(module, statement)
        if imports and all(self._imports_library(module, s, name) for s in statements):
            return self._through(module, *_binding(imports, parts), parts)
        for statement in imports:
            self._take(module, statement)
        return Resolved(DefinedName(module.path, name), 1)

    def _imports_library(self, module: SourceModule, statement: Statement, name: str) -> bool:
        """Whether a statement binds a name only as the library of that name (`import torch.x`)."""
        found = [
            (node, alias)
            for outer in statement.nodes
            for node in nested_imports(outer)
            for alias in node.names
            if (alias.asname or alias.name.split(".")[0]) == name
        ]
        return bool(found) and all(
            isinstance(node, ast.Import)
            and alias.asname is None
            and self._modules.imported(node, module.path, alias.name) is None
            for node, alias in found
        )

    def _starred(self, module: SourceModule, parts: tuple[str, ...]) -> Resolved | None:
        if hasattr(builtins, parts[0]):
            return None
        for node in module.starred:
            path = self._modules.imported(node, module.path)
            if path is None:
                continue
            other = self._modules.read(path)
            if (found := self.resolve(other, parts)) is not None:
                self._note(module, other)
                return found
        return None

    def _through(
        self, module: SourceModule, node: Import, alias: ast.alias, parts: tuple[str, ...]
    ) -> Resolved | None:
        """What a chain means whose first name an import statement binds."""
        if isinstance(node, ast.ImportFrom):
            path = self._modules.imported(node, module.path)
            if path is None:
                if node.level:
                    raise _not_found(module, node, "." * node.level + (node.module or ""))
                return self._library(module, KeptImport(node.module or "", alias.name, parts[0]))
            return self._in_module(self._modules.read(path), (alias.name, *parts[1:]), module, node)
        path = self._modules.imported(node, module.path, alias.name)
        if path is None:
            if alias.asname is None and "." in alias.name:  # it binds the first part alone
                self.needed.parts.add(alias.name)
                first = alias.name.split(".")[0]
                return self._library(module, KeptImport(first, None, first))
            asname = alias.asname or alias.name
            return self._library(module, KeptImport(alias.name, None, asname))
        if alias.asname is not None:
            return self._attribute(self._modules.read(path), parts, 1, module, node)
        dotted = alias.name.split(".")
        if parts[: len(dotted)] != tuple(dotted):
            raise _not_followed(module, node, ".".join(parts))
        return self._attribute(self._modules.read(path), parts, len(dotted), module, node)

    def _in_module(
        self, other: SourceModule, parts: tuple[str, ...], module: SourceModule, node: Import
    ) -> Resolved | None:
        """`from other import parts[0]`: a name of the module, or a module of the package."""
        self._note(module, other)
        resolved = self.resolve(other, parts)
        if resolved is not None:
            return resolved
        path = self._modules.submodule(other.path, parts[0])
        if path is None:
            raise InputError(
                f"{other.path.name} has no {parts[0]}, which is imported from it",
                place=Place(str(module.path), line=node.lineno),
                expected=f"a name that {other.path} binds at module level",
                hint="names that are made while a module runs cannot be followed; import it from "
                "where it is written",
            )
        return self._attribute(self._modules.read(path), parts, 1, module, node)

    def _note(self, module: SourceModule, other: SourceModule) -> None:
        found = self.needed.imported.setdefault(module.path, [])
        if other.path not in found:
            found.append(other.path)

    def _attribute(
        self,
        other: SourceModule,
        parts: tuple[str, ...],
        used: int,
        module: SourceModule,
        node: Import,
    ) -> Resolved | None:
        """`other.name…`, of which `used` parts name the module."""
        if len(parts) <= used:
            raise _not_followed(module, node, ".".join(parts))
        resolved = self._in_module(other, parts[used:], module, node)
        return None if resolved is None else Resolved(resolved.meaning, used + resolved.parts)

    def _library(self, module: SourceModule, library: KeptImport) -> Resolved:
        if library.module != "__future__":
            self.needed.libraries.setdefault(module.path, {})[library.asname] = library
        return Resolved(library, 1)

    def _take(self, module: SourceModule, statement: Statement) -> None:
        """A statement; what it needs is followed later."""
        chosen = self.needed.statements.setdefault(module.path, {})
        if statement.first_line in chosen:
            return
        chosen[statement.first_line] = statement
        self._waiting.append((module, statement))
        if module not in self.needed.taken:
            self.needed.taken.append(module)
            self.needed.futures |= _has_futures(module)
        if sum(map(len, self.needed.statements.values())) > MOST_STATEMENTS:
            raise InputError(
                "the entry point needs too many statements to follow",
                place=Place(str(module.path), line=statement.first_line),
                expected=f"at most {MOST_STATEMENTS} top-level statements",
                hint="name a function nearer to the kernels",
            )

    def _follow_all(self) -> None:
        """What the statements that were taken need, until nothing new is."""
        while self._waiting:
            module, statement = self._waiting.pop()
            for use in self.references(module, statement):
                self.resolve(module, use.parts)
            for node, alias in self.joined_imports(module, statement):
                self._through(module, node, alias, (alias.asname or alias.name,))
            self._take_effects(module)

    def _take_effects(self, module: SourceModule) -> None:
        """Statements that bind nothing and change or register what is taken."""
        chosen = self.needed.statements[module.path]
        names = {n for s in chosen.values() for node in s.nodes for n in _defined(node)}
        for statement in module.statements:
            if statement.first_line in chosen or not _is_effect(statement):
                continue
            if {use.parts[0] for use in self.references(module, statement)} & names:
                self._take(module, statement)

    def references(self, module: SourceModule, statement: Statement) -> list[NameUse]:
        """Module-level names that a statement speaks of."""
        place = (module.path, statement.first_line)
        if place not in self._references:
            found = [r for node in statement.nodes for r in name_uses(node, module.lines)]
            self._references[place] = found
        return self._references[place]

    def joined_imports(
        self, module: SourceModule, statement: Statement
    ) -> Iterator[tuple[ast.ImportFrom, ast.alias]]:
        """Imports inside a statement, of modules whose statements are joined."""
        for outer in statement.nodes:
            tried = _tried(outer)
            for node in nested_imports(outer):
                if isinstance(node, ast.ImportFrom):
                    if self._modules.imported(node, module.path) is not None:
                        yield from ((node, alias) for alias in node.names)
                    elif node.level and node not in tried:
                        raise _not_found(module, node, "." * node.level + (node.module or ""))


def _binding(statements: Sequence[Statement], parts: tuple[str, ...]) -> tuple[Import, ast.alias]:
    """The import that binds the first of the parts; of `import a.b` and `import a.c` the one that
    the parts go on with."""
    found = [
        (node, alias)
        for statement in statements
        for node in statement.nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (alias.asname or alias.name.split(".")[0]) == parts[0]
    ]
    for node, alias in reversed(found):
        dotted = alias.name.split(".")
        if alias.asname is None and tuple(dotted) == parts[: len(dotted)]:
            return node, alias
    return found[-1]


def _tried(statement: ast.stmt) -> set[ast.AST]:
    """What stands in a `try`: an import there may fail (it does in the joined text, too)."""
    return {
        inner
        for node in ast.walk(statement)
        if isinstance(node, ast.Try) and node.handlers
        for tried in node.body
        for inner in ast.walk(tried)
    }


def _defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (t.id for t in targets if isinstance(t, ast.Name))


def _is_effect(statement: Statement) -> bool:
    """Whether it is run for what it does, and not by the test of `__name__`."""
    for node in statement.nodes:
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            return False
        if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant):
            return True
        if isinstance(node, ast.AugAssign):
            return True
        if isinstance(node, ast.Assign):
            return not any(isinstance(target, ast.Name) for target in node.targets)
    return False


def _has_futures(module: SourceModule) -> bool:
    return any(
        isinstance(node, ast.ImportFrom) and node.module == "__future__"
        for node in module.tree.body
    )


def _not_found(module: SourceModule, node: Import, dotted: str) -> InputError:
    return InputError(
        f"the module {dotted} is not found",
        place=Place(str(module.path), line=node.lineno),
        expected="a file beside this one, or in the package around it",
        hint="give the folder that holds the outermost package by --root",
    )


def _not_followed(module: SourceModule, node: Import, used: str) -> InputError:
    return InputError(
        f"{used} is used as a module, which cannot be followed into one program text",
        place=Place(str(module.path), line=node.lineno),
        expected="functions and kernels of it, by name",
        hint="import the names that are needed",
    )
