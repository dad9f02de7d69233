"""The statements that an entry point needs, joined to one program text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from warpwright.entrypoints.modules import Modules, SourceModule, Statement, bound_names
from warpwright.entrypoints.name_uses import (
    NameUse,
    Span,
    binds_at_module_level,
    local_names,
    nested_imports,
)
from warpwright.entrypoints.needed import DefinedName, Follower, KeptImport
from warpwright.types.entry import EntryPoint, JoinedProgram, Piece

FUTURES = "from __future__ import annotations"
TAKEN = {"ModelNew", "Model", "get_inputs", "get_init_inputs"}
"""Names that the joined text itself defines."""


@dataclass
class Joiner:
    """Joins modules; each origin gets a name of its own in the joined text."""

    modules: Modules
    names: dict[DefinedName, str] = field(default_factory=dict)
    libraries: dict[str, KeptImport] = field(default_factory=dict)
    local: set[str] = field(default_factory=set)  # of functions; no new name may be one

    def __post_init__(self) -> None:
        self.follower = Follower(self.modules)

    def definition(self, file: Path, name: str) -> DefinedName:
        """Where a name of a file is defined; it and what it needs is joined.

        Raises InputError for names and modules that are not found.
        """
        return self.follower.follow(self.modules.read(file), name)

    def join(self, entry: EntryPoint | None) -> JoinedProgram:
        """What `definition` was asked for, as one text; `names` tells what each is called there."""
        self.libraries["torch"] = KeptImport("torch", None, "torch")  # what calls them needs it
        needed = self.follower.needed
        hidden = self._hidden()
        for one in needed.modules:
            self._name_all(one, hidden)
        for one in needed.modules:  # names of imports are settled before any text is written
            for statement in needed.of(one):
                self._edits(one, statement)
        head = [FUTURES] if needed.futures else []
        imports = {library.text() for library in self.libraries.values()}
        imports |= {f"import {part}" for part in needed.parts}
        head += sorted(imports, key=_import_order)
        lines = [*head, ""]
        pieces: list[Piece] = []
        for one in needed.modules:
            for statement in needed.of(one):
                lines += self._space(one, statement, pieces)
                piece = self._piece(one, statement, len(lines) + 1)
                pieces.append(piece)
                lines += piece.joined.split("\n")
        files = {one.path: one.text for one in needed.modules}
        source = "\n".join(lines).rstrip() + "\n"
        return JoinedProgram(source, entry, tuple(pieces), files)

    def _space(self, module: SourceModule, statement: Statement, pieces: list[Piece]) -> list[str]:
        """Empty lines before a statement: as many as stand there in its file, two at most."""
        if not pieces or pieces[-1].file != module.path:
            return [""] * (2 if pieces else 1)
        above = module.lines[pieces[-1].last_line : statement.first_line - 1]
        return [""] * min(2, sum(not line.strip() for line in above))

    def _hidden(self) -> set[DefinedName]:
        """Definitions that a statement uses by another name than their own, which is a local one
        there: in the joined text they need a name that nothing hides."""
        found: set[DefinedName] = set()
        needed = self.follower.needed
        for module in needed.modules:
            for statement in needed.of(module):
                local = {name for node in statement.nodes for name in local_names(node)}
                self.local |= local
                for use in self.follower.references(module, statement):
                    resolved = self.follower.resolve(module, use.parts)
                    meaning = None if resolved is None else resolved.meaning
                    if isinstance(meaning, DefinedName) and meaning.name in local:
                        found.add(meaning)
                for node, alias in self.follower.joined_imports(module, statement):
                    meaning = self._imported_inside(module, node, alias)
                    if meaning is not None and meaning.name in local - {alias.asname or alias.name}:
                        found.add(meaning)
        return found

    def _imported_inside(
        self, module: SourceModule, node: ast.ImportFrom, alias: ast.alias
    ) -> DefinedName | None:
        """What an import inside a statement binds, if it is joined."""
        path = self.modules.imported(node, module.path)
        if path is None:
            return None
        resolved = self.follower.resolve(self.modules.read(path), (alias.name,))
        found = None if resolved is None else resolved.meaning
        return found if isinstance(found, DefinedName) else None

    def _name_all(self, module: SourceModule, hidden: set[DefinedName]) -> None:
        """Names for what a module defines and imports, its own where they are free."""
        taken = {*self.names.values(), *self.libraries, *TAKEN}
        for name, library in self.follower.needed.libraries.get(module.path, {}).items():
            known = self.libraries.get(name)
            if known is None and name not in taken:
                self.libraries[name] = library
        for statement in self.follower.needed.of(module):
            for node in statement.nodes:
                for name in bound_names(node):
                    found = self.follower.resolve(module, (name,))
                    if found is not None and isinstance(found.meaning, KeptImport):
                        continue  # a block that imports a part of a library
                    origin = DefinedName(module.path, name)
                    if origin not in self.names:
                        own = name == "ModelNew" and name not in self.names.values()
                        barred = taken | self.local if origin in hidden else taken
                        self.names[origin] = (
                            name if own else _free(name, module.path, barred, self.local)
                        )
                        taken.add(self.names[origin])

    def _library_name(self, library: KeptImport, module: SourceModule) -> str:
        """The name of an import in the joined text; another where its own means another thing."""
        name = library.asname
        taken = {*self.names.values(), *TAKEN}
        if self.libraries.get(name) in (None, library) and name not in taken:
            self.libraries[name] = library
            return name
        for used, known in self.libraries.items():
            if (known.module, known.name) == (library.module, library.name):
                return used
        free = _free(name, module.path, {*taken, *self.libraries}, self.local)
        self.libraries[free] = KeptImport(library.module, library.name, free)
        return free

    def _piece(self, module: SourceModule, statement: Statement, at: int) -> Piece:
        lines = module.lines[statement.first_line - 1 : statement.last_line]
        joined = list(lines)
        edits = self._edits(module, statement)
        spelled = {new: module.lines[span.line - 1][span.start : span.end] for span, new in edits}
        for span, text in sorted(edits, key=lambda e: (e[0].line, e[0].start), reverse=True):
            index = span.line - statement.first_line
            line = joined[index]
            joined[index] = line[: span.start] + text + line[span.end :]
        self._without_joined_imports(module, statement, joined)
        names = tuple(dict.fromkeys(n for node in statement.nodes for n in bound_names(node)))
        return Piece(
            module.path,
            statement.first_line,
            statement.last_line,
            at,
            "\n".join(lines),
            "\n".join(joined),
            tuple(self.names.get(DefinedName(module.path, name), name) for name in names),
            spelled,
        )

    def _edits(self, module: SourceModule, statement: Statement) -> list[tuple[Span, str]]:
        found = []
        for reference in self.follower.references(module, statement):
            named = self._named(module, reference)
            if named is not None and named[1] != ".".join(reference.parts[: named[0]]):
                found.append((reference.span(named[0]), named[1]))
        return [*found, *self._imported_otherwise(module, statement)]

    def _imported_otherwise(
        self, module: SourceModule, statement: Statement
    ) -> Iterator[tuple[Span, str]]:
        """Names that a block imports from libraries, where they are called otherwise here."""
        for outer in statement.nodes:
            for node in nested_imports(outer):
                if not binds_at_module_level(outer, node):
                    continue
                for alias in node.names:
                    name = alias.asname or alias.name
                    new = self.names.get(DefinedName(module.path, name), name)
                    if new != name and alias.end_col_offset is not None:
                        span = Span(alias.lineno, alias.col_offset, alias.end_col_offset)
                        yield span, f"{alias.name} as {new}"

    def _named(self, module: SourceModule, reference: NameUse) -> tuple[int, str] | None:
        """How many parts of a reference mean one thing of the joined text, and its name there."""
        resolved = self.follower.resolve(module, reference.parts)
        if resolved is None:
            return None
        if isinstance(resolved.meaning, KeptImport):
            if resolved.meaning.module == "__future__":
                return None
            return resolved.parts, self._library_name(resolved.meaning, module)
        name = self.names.get(resolved.meaning)
        return None if name is None else (resolved.parts, name)

    def _without_joined_imports(
        self, module: SourceModule, statement: Statement, joined: list[str]
    ) -> None:
        """Imports inside a statement of what is joined: the name is there already, or is bound."""
        by_node: dict[ast.ImportFrom, list[str]] = {}
        for node, alias in self.follower.joined_imports(module, statement):
            texts = by_node.setdefault(node, [])
            meaning = self._imported_inside(module, node, alias)
            name = alias.asname or alias.name
            if any(binds_at_module_level(outer, node) for outer in statement.nodes):
                name = self.names.get(DefinedName(module.path, name), name)
            if meaning is not None:
                new = self.names.get(meaning, name)
                if new != name:
                    texts.append(f"{name} = {new}")
        for node, texts in by_node.items():
            first = node.lineno - statement.first_line
            last = (node.end_lineno or node.lineno) - statement.first_line
            line = joined[first]
            indent = line[: len(line) - len(line.lstrip())]
            joined[first] = indent + ("; ".join(texts) or "pass")
            for index in range(first + 1, last + 1):
                joined[index] = ""


def _free(name: str, path: Path, taken: set[str], local: set[str]) -> str:
    """The name, or one that says where it is from, that nothing else has."""
    if name not in taken:
        return name
    stem = path.parent.name if path.stem == "__init__" else path.stem
    candidate = f"{stem}_{name.lstrip('_')}" if stem.isidentifier() else f"other_{name}"
    while candidate in taken or candidate in local:
        candidate += "_"
    return candidate


def _import_order(text: str) -> tuple[int, str]:
    """Standard order: `import x` before `from x import y`, by name."""
    return (text.startswith("from"), text)
