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
    """All statements that are needed, by module; modules so that imported ones come first."""

    modules: list[SourceModule] = field(default_factory=list)
    statements: dict[Path, dict[int, Statement]] = field(default_factory=dict)
    libraries: dict[Path, dict[str, KeptImport]] = field(default_factory=dict)
    futures: bool = False

    def of(self, module: SourceModule) -> list[Statement]:
        chosen = self.statements.get(module.path, {})
        return [chosen[line] for line in sorted(chosen)]


class Follower:
    """Follows names from an entry point."""

    def __init__(self, modules: Modules) -> None:
        self._modules = modules
        self.needed = Needed()
        self._reading: list[Path] = []
        self._references: dict[tuple[Path, int], list[NameUse]] = {}

    def follow(self, module: SourceModule, name: str) -> DefinedName:
        """Everything that `name` of `module` needs. Raises InputError where it is not defined."""
        resolved = self.resolve(module, (name,))
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
        name = parts[0]
        statements = module.bound.get(name)
        if statements is None:
            return self._starred(module, parts)
        imports = [s for s in statements if s.is_import]
        if len(imports) == len(statements):
            return self._through(module, *_binding(imports, parts), parts)
        for statement in statements:
            self._take(module, statement)
        return Resolved(DefinedName(module.path, name), 1)

    def _starred(self, module: SourceModule, parts: tuple[str, ...]) -> Resolved | None:
        if hasattr(builtins, parts[0]):
            return None
        for node in module.starred:
            path = self._modules.imported(node, module.path)
            if path is None:
                continue
            other = self._modules.read(path)
            if (found := self.resolve(other, parts)) is not None:
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
            asname = alias.asname or alias.name.split(".")[0]
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
        """A statement, and what it needs."""
        chosen = self.needed.statements.setdefault(module.path, {})
        if statement.first_line in chosen:
            return
        chosen[statement.first_line] = statement
        if sum(map(len, self.needed.statements.values())) > MOST_STATEMENTS:
            raise InputError(
                "the entry point needs too many statements to follow",
                place=Place(str(module.path), line=statement.first_line),
                expected=f"at most {MOST_STATEMENTS} top-level statements",
                hint="name a function nearer to the kernels",
            )
        for reference in self.references(module, statement):
            self.resolve(module, reference.parts)
        for node, alias in self.joined_imports(module, statement):
            self._through(module, node, alias, (alias.asname or alias.name,))
        if module not in self.needed.modules:
            self.needed.modules.append(module)  # what it imports was taken before
            self.needed.futures |= _has_futures(module)
        self._take_effects(module)

    def _take_effects(self, module: SourceModule) -> None:
        """Statements that bind nothing and change or register what is taken."""
        if module.path in self._reading:
            return
        self._reading.append(module.path)
        chosen = self.needed.statements[module.path]
        names = {n for s in chosen.values() for node in s.nodes for n in _defined(node)}
        for statement in module.statements:
            if statement.first_line in chosen or not _is_effect(statement):
                continue
            read = {r.parts[0] for r in self.references(module, statement)}
            if read & names:
                self._take(module, statement)
        self._reading.remove(module.path)

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
            for node in nested_imports(outer):
                if isinstance(node, ast.ImportFrom):
                    if self._modules.imported(node, module.path) is not None:
                        yield from ((node, alias) for alias in node.names)
                    elif node.level:
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
