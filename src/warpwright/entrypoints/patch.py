"""What a changed program means for the files that it was joined from: their new texts, as a diff.

Each top-level definition of the changed text is found again by the names that it binds, whatever
its place; lines that did not change are taken from the file, so its own names and layout stay.
"""

from __future__ import annotations

import ast
import difflib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from warpwright.entrypoints.modules import (
    Modules,
    SourceModule,
    Statement,
    bound_names,
    module_of,
)
from warpwright.entrypoints.name_uses import name_uses
from warpwright.entrypoints.named_programs import NamedProgram, named_program
from warpwright.entrypoints.needed import Follower
from warpwright.errors import InputError, InternalError, Place
from warpwright.types.entry import JoinedProgram, Piece

MODEL = "ModelNew"


@dataclass(frozen=True, slots=True)
class Patch:
    """New texts of files, and what they were. Empty where nothing changes."""

    before: Mapping[Path, str]
    after: Mapping[Path, str]

    def diff(self, base: Path) -> str:
        """A unified diff with paths from the folder `base`, for `git apply` and `patch -p1`."""
        parts: list[str] = []
        for path in sorted(self.after):
            name = os.path.relpath(path, base)
            parts += difflib.unified_diff(
                self.before[path].splitlines(keepends=True),
                self.after[path].splitlines(keepends=True),
                f"a/{name}",
                f"b/{name}",
            )
        return "".join(line if line.endswith("\n") else f"{line}\n{NO_NEWLINE}\n" for line in parts)

    def apply(self) -> None:
        """Write all files, or none. Raises InputError where a file is no longer what was read, and
        where one cannot be written."""
        for path, text in self.before.items():
            if path in self.after and _bytes_of(path) != text.encode():
                raise _changed(path)
        written: list[Path] = []
        try:
            for path, text in self.after.items():
                _replace(path, text)
                written.append(path)
        except OSError as error:
            for path in written:
                _replace(path, self.before[path])
            raise InputError(
                f"cannot be written, so no file was changed: {error.strerror}",
                place=Place(str(path)),
            ) from error


NO_NEWLINE = "\\ No newline at end of file"


def _bytes_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _replace(path: Path, text: str) -> None:
    """A whole file at once, with its permissions."""
    mode = path.stat().st_mode
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(text.encode())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def whole_file(path: Path, read: str, after: str) -> Patch:
    """The patch of a program that is one file, which was read as `read` (without a byte order
    mark). Line ends stay. Raises InputError where the file changed since."""
    found = _bytes_of(path)
    before = "" if found is None else found.decode(errors="replace")
    if before.removeprefix("\ufeff") != read:
        raise _changed(path)
    if read == after:
        return Patch({path: before}, {})
    mark = before[: len(before) - len(read)]
    ended = after.replace("\n", "\r\n") if "\r\n" in read and "\r" not in after else after
    return Patch({path: before}, {path: mark + ended})


def _changed(path: Path) -> InputError:
    return InputError(
        "the file changed since it was read, so nothing was written",
        place=Place(str(path)),
        hint="start again from the file as it is now",
    )


def checked_patch(named: NamedProgram, changed: str, roots: Sequence[Path] = ()) -> Patch:
    """`patch_of`, shown to be the change: joined again from the new texts, the definitions are
    those of `changed`. Raises InternalError where they are not."""
    patch = patch_of(named.joined, changed)
    entry = named.joined.entry
    if not patch.after or entry is None:
        return patch
    subject = str(entry) if entry.name != MODEL else str(entry.file)
    again = named_program(subject, roots, patch.after)
    if again is None or _definitions(again.source) != _definitions(changed):
        raise InternalError(
            f"the patch of {subject} does not make the program that was checked; take the program "
            "itself (without --diff and --apply)"
        )
    return patch


def _definitions(source: str) -> list[str]:
    """What `ModelNew` needs of what stands at module level, in any order."""
    path = Path("/joined.py")  # the text stands in for it; nothing is read
    modules = Modules(None, (), {path: source})
    module = modules.read(path)
    follower = Follower(modules)
    follower.follow(module, MODEL)
    return sorted(ast.dump(n) for s in follower.needed.of(module) for n in s.nodes)


def patch_of(joined: JoinedProgram, changed: str) -> Patch:
    """The patch that makes of the files what `changed` is of the joined text.

    Raises InputError where the call of the entry point itself was changed, or where a new
    definition belongs to no file: such a change cannot be told as one of the files.
    """
    if changed == joined.source:
        return Patch(joined.files, {})
    return _Patching(joined, changed).patch()


@dataclass(frozen=True, slots=True)
class _Edit:
    """Lines `first` to `last` of a file (1-based; `last` = `first` - 1 inserts) become others."""

    first: int
    last: int
    lines: tuple[str, ...]


class _Patching:
    def __init__(self, joined: JoinedProgram, changed: str) -> None:
        self._joined = joined
        self._module = module_of(Path("changed"), changed)
        self._old = {piece.names: piece for piece in joined.pieces if piece.names}
        self._texts = {piece.joined for piece in joined.pieces}
        self._edits: dict[Path, list[_Edit]] = {}

    def patch(self) -> Patch:
        kept: set[tuple[str, ...]] = set()
        fresh: list[Statement] = []
        model = _model_of(module_of(Path("joined"), self._joined.source))
        for statement in self._module.statements:
            names = self._names(statement)
            piece = self._old.get(names)
            if statement.is_import and piece and piece.joined != self._text(statement):
                piece = None  # `import torch` beside a block that imports a part of it
            if piece is not None:
                kept.add(names)
                self._changed(piece, statement)
            elif MODEL in names:
                if self._text(statement) != model:
                    raise self._beyond("the call of the entry point was changed")
            elif not statement.is_import and self._text(statement) not in self._texts:
                fresh.append(statement)
        for piece in self._joined.pieces:
            if piece.names and piece.names not in kept:
                self._add(piece.file, _Edit(piece.first_line, piece.last_line, ()))
        for statement in fresh:
            self._inserted(statement)
        self._imported()
        before = self._joined.files
        after = {path: _edited(before[path], edits) for path, edits in self._edits.items()}
        return Patch(before, {p: text for p, text in after.items() if text != before[p]})

    def _names(self, statement: Statement) -> tuple[str, ...]:
        return tuple(dict.fromkeys(n for node in statement.nodes for n in bound_names(node)))

    def _text(self, statement: Statement) -> str:
        lines = self._module.lines[statement.first_line - 1 : statement.last_line]
        return "\n".join(lines)

    def _changed(self, piece: Piece, statement: Statement) -> None:
        """The lines of a statement that are not as they were."""
        old, own = piece.joined.split("\n"), piece.text.split("\n")
        new = self._text(statement).split("\n")
        matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
        for tag, i1, i2, j1, j2 in matcher.get_opcodes():
            if tag != "equal":
                lines = tuple(_own_names(line, piece) for line in new[j1:j2])
                self._add(
                    piece.file, _Edit(piece.first_line + i1, piece.first_line + i2 - 1, lines)
                )
        assert len(old) == len(own)

    def _inserted(self, statement: Statement) -> None:
        """A new definition before the first one of the files that uses it."""
        names = set(self._names(statement))
        user = self._first_user(names)
        if user is None:
            raise self._beyond(f"{', '.join(sorted(names)) or 'a statement'} is new, and unused")
        lines = [_own_names(line, user) for line in self._text(statement).split("\n")]
        at = user.first_line
        gap = ["", ""] if isinstance(statement.nodes[0], ast.FunctionDef | ast.ClassDef) else [""]
        self._add(user.file, _Edit(at, at - 1, (*lines, *gap)))

    def _first_user(self, names: set[str]) -> Piece | None:
        """The first statement of a file that uses one of the names, through new ones too."""
        users: list[Statement] = []
        for statement in self._module.statements:
            read = {r.parts[0] for n in statement.nodes for r in name_uses(n, self._module.lines)}
            if read & names and not names & set(self._names(statement)):
                users.append(statement)
        for statement in users:
            piece = self._old.get(self._names(statement))
            if piece is not None:
                return piece
        for statement in users:
            more = set(self._names(statement))
            if more and MODEL not in more and (piece := self._first_user(more)) is not None:
                return piece
        return None

    def _imported(self) -> None:
        """Imports that the changed text has and the joined one has not, where they are used."""
        old = ast.parse(self._joined.source)
        had = {n for node in old.body if _is_import(node) for n in bound_names(node)}
        for statement in self._module.statements:
            new = [n for n in self._names(statement) if n not in had] if statement.is_import else []
            if not new:
                continue
            user = self._first_user(set(new))
            if user is None:
                continue
            text = self._joined.files[user.file]
            at = _after_imports(module_of(user.file, text).tree)
            self._add(user.file, _Edit(at, at - 1, tuple(self._text(statement).split("\n"))))

    def _add(self, path: Path, edit: _Edit) -> None:
        self._edits.setdefault(path, []).append(edit)

    def _beyond(self, what: str) -> InputError:
        return InputError(
            f"the answer cannot be told as a change of the files: {what}",
            place=Place(str(self._joined.entry)),
            hint="take the program itself (without --diff and --apply)",
        )


def _own_names(line: str, piece: Piece) -> str:
    """A line with the names by which the piece's file knows things."""
    if not piece.spelled:
        return line
    names = "|".join(map(re.escape, piece.spelled))
    return re.sub(rf"(?<![\w.])(?:{names})\b", lambda match: piece.spelled[match[0]], line)


def _model_of(module: SourceModule) -> str:
    for statement in module.bound.get(MODEL, []):
        return "\n".join(module.lines[statement.first_line - 1 : statement.last_line])
    return ""


def _is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def _after_imports(tree: ast.Module) -> int:
    """The line behind the last import at the head of a file."""
    last = 0
    for node in tree.body:
        if _is_import(node):
            last = node.end_lineno or node.lineno
        elif last or not _is_docstring(node):
            break
        else:
            last = node.end_lineno or node.lineno
    return last + 1


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _edited(text: str, edits: Sequence[_Edit]) -> str:
    lines = text.split("\n")
    ending = "\r" if lines[0].endswith("\r") else ""
    for edit in _from_below(edits):
        lines[edit.first - 1 : edit.last] = [line + ending for line in edit.lines]
    return "\n".join(lines)


def _from_below(edits: Sequence[_Edit]) -> Iterator[_Edit]:
    """The last lines first; of several at one place the one that came first stands above."""
    numbered = list(enumerate(edits))
    return (edit for _, edit in sorted(numbered, key=lambda e: (e[1].first, e[0]), reverse=True))
