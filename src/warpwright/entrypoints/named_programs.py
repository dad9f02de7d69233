"""What a command line calls a program: a file, `FILE.py:function`, `package.module:function`."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from warpwright.entrypoints.harness import Signature, model_text, signature_of
from warpwright.entrypoints.join import Joiner
from warpwright.entrypoints.modules import LIBRARIES, Modules, SourceModule, module_of
from warpwright.entrypoints.needed import Follower
from warpwright.errors import InputError, Place
from warpwright.program.parsed import parse_program
from warpwright.types.entry import EntryPoint, JoinedProgram

MODEL = "ModelNew"
BACKWARD = ".backward"
_NAMED = re.compile(r"(?P<place>.+):(?P<name>[A-Za-z_]\w*)(?P<backward>\.backward)?")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_NO_ENTRY = ("test_", "bench", "main", "run_", "profile_")


@dataclass(frozen=True, slots=True)
class NamedProgram:
    """A program by an entry point: its text, and how the entry point is called."""

    joined: JoinedProgram
    signature: Signature
    label: str

    @property
    def source(self) -> str:
        return self.joined.source


def split_subject(subject: str) -> tuple[str, str | None, bool]:
    """Place, name and whether backward is meant, of what stands on the command line."""
    match = _NAMED.fullmatch(subject)
    if match is None or Path(subject).exists():
        return subject, None, False
    place = match["place"]
    if not (place.endswith(".py") or _DOTTED.fullmatch(place)):
        return subject, None, False
    return place, match["name"], match["backward"] is not None


def named_program(
    subject: str, roots: Sequence[Path] = (), texts: Mapping[Path, str] | None = None
) -> NamedProgram | None:
    """The program that a subject names; None for a file that is a whole program as it stands
    (`ModelNew` and its kernels, or kernels alone), and for what is no Python file.

    `texts` stand in for files. Raises InputError where the name is not found, where a file has
    several entry points, and where an import of it cannot be followed.
    """
    place, name, backward = split_subject(subject)
    if name is None and not (place.endswith(".py") and Path(place).is_file()):
        return None
    file = _file_of(place, roots)
    modules = Modules(file, roots, texts)
    try:
        module = modules.read(file)
    except InputError:
        if name is not None:
            raise
        return None  # told by who reads it as what it is
    chosen = name or _obvious(modules, module)
    if chosen is None:
        return None
    joiner = Joiner(modules)
    origin = joiner.definition(file, chosen)
    _expect_installed(joiner)
    joined = joiner.join(EntryPoint(file, chosen, backward))
    if chosen == MODEL:
        signature = signature_of(_definition(module, MODEL))
        return NamedProgram(joined, signature, place)
    label = str(EntryPoint(Path(place) if place.endswith(".py") else file, chosen, backward))
    signature = signature_of(_definition(modules.read(origin.path), origin.name))
    model = model_text(joiner.names[origin], signature, chosen, backward=backward)
    return NamedProgram(replace(joined, source=joined.source + model), signature, label)


def _expect_installed(joiner: Joiner) -> None:
    """Raise InputError for a module that the program imports and that is nowhere."""
    needed = joiner.follower.needed
    for path, imports in needed.libraries.items():
        module = joiner.modules.read(path)
        for name, kept in imports.items():
            first = kept.module.split(".")[0]
            if first in LIBRARIES or first in sys.stdlib_module_names or find_spec(first):
                continue
            raise InputError(
                f"the module {kept.module} is not found",
                place=Place(str(path), line=module.bound[name][-1].nodes[0].lineno),
                expected="a module below the file's own folder, --root or PYTHONPATH, or one that "
                "is installed where Warpwright runs",
                hint=f"--root FOLDER, where {first} lies in FOLDER; or `pip install` its package",
            )


def _file_of(place: str, roots: Sequence[Path]) -> Path:
    if place.endswith(".py"):
        if not Path(place).is_file():
            raise InputError(
                "there is no such file",
                place=Place(place),
                expected="FILE.py, FILE.py:function or package.module:function",
            )
        return Path(place).resolve()
    found = Modules(None, roots).find(place)
    if found is None:
        raise InputError(
            f"the module {place} is not found",
            place=Place("command line"),
            expected="a module below this folder, --root or PYTHONPATH, or an installed package "
            "with Triton kernels",
            hint="give the folder that holds the outermost package by --root, or its file: "
            "FILE.py:function",
        )
    return found


def _obvious(modules: Modules, module: SourceModule) -> str | None:
    """The entry point of a file for which none was named: its model if kernels of others stand
    behind it, else its one public function that launches kernels."""
    if MODEL in module.bound:
        follower = Follower(modules)
        follower.follow(module, MODEL)
        return MODEL if len(follower.needed.modules) > 1 else None
    launching = _launching(modules, module)
    if not launching:
        return None
    called = {name for own, needed in launching.items() for name in needed if name != own}
    public = [name for name in launching if name not in called]
    if len(public) == 1:
        return public[0]
    raise InputError(
        "several functions of the file launch kernels",
        place=Place(str(module.path)),
        expected=f"{module.path.name}:FUNCTION with one of {', '.join(public)}",
    )


def _launching(modules: Modules, module: SourceModule) -> dict[str, set[str]]:
    """Public functions that need a kernel → names of the module that they need."""
    found: dict[str, set[str]] = {}
    kernels = set(parse_program(module.text).kernel_names)
    for node in module.tree.body:
        if not isinstance(node, ast.FunctionDef) or node.name.startswith(("_", *_NO_ENTRY)):
            continue
        if node.name in kernels:
            continue
        follower = Follower(modules)
        try:
            follower.follow(module, node.name)
        except InputError:
            continue
        if any(
            parse_program(other.text).is_kernel(inner)
            for other in follower.needed.modules
            for statement in follower.needed.of(other)
            for inner in statement.nodes
        ):
            own = follower.needed.of(module)
            needed = {n.name for s in own for n in s.nodes if isinstance(n, ast.FunctionDef)}
            found[node.name] = needed
    return found


def model_signature(source: str) -> Signature:
    """How the `ModelNew` of a whole program is called, if it has one."""
    return signature_of(_definition(module_of(Path("program.py"), source), MODEL))


def _definition(module: SourceModule, name: str) -> ast.stmt | None:
    return next((s.nodes[-1] for s in module.bound.get(name, [])), None)
