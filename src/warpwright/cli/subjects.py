"""The program that a command line names, with its problem and its cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from warpwright.cli import options
from warpwright.cli.output import read_document
from warpwright.errors import InputError, Place
from warpwright.formats.request_text import looks_like_request
from warpwright.types.input_cases import InputCase
from warpwright.types.shapes import Problem

if TYPE_CHECKING:
    from warpwright.entrypoints.named_programs import NamedProgram
    from warpwright.entrypoints.patch import Patch

SUBJECT = (
    "FILE.py:function, package.module:function, a file with one function that launches kernels, or "
    "a whole program"
)
CasesOption = Annotated[
    Path | None,
    typer.Option(
        "--cases",
        help="Cases file: functions that return the arguments, a weight for how often each occurs, "
        "perhaps a reference. `warpwright cases` writes a first one.",
    ),
]
RootOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--root",
        help="Folder that holds the outermost package, where imports are not found without it; "
        "may be repeated.",
    ),
]


StageOption = Annotated[
    str | None,
    typer.Option(
        "--stage",
        "-s",
        help="Of a program: whose rules hold: grid, tiling, memory or tuning (the default).",
    ),
]
KindOption = Annotated[
    str | None,
    typer.Option("--kind", "-k", help="Of a program: single (the default), fusion or network."),
]


@dataclass(frozen=True, slots=True)
class GivenProgram:
    """A program's text and what it is called in messages; its cases, if a file gives some, and
    its problem, which is that of the first; and where it comes from, if that is an entry point."""

    text: str
    document: str
    problem: Problem | None = None
    cases: tuple[InputCase, ...] = ()
    named: NamedProgram | None = None
    roots: tuple[Path, ...] = ()

    @property
    def is_request(self) -> bool:
        """Whether it is a request document; what is none is told when it is read as one."""
        return self.named is None and (
            looks_like_request(self.text) or not self.document.endswith(".py")
        )

    @contextmanager
    def lines_told(self, first_line: int = 1) -> Iterator[None]:
        """Errors tell lines of the user's files. `first_line`: that of the text in its document."""
        try:
            yield
        except InputError as error:
            line = error.place.line
            if self.named is None or line is None or error.place.document != self.document:
                raise
            place = self.named.joined.place_of(line - first_line + 1)
            if place is None:
                raise
            told = {"expected": error.expected, "got": error.got, "hint": error.hint}
            where = Place(_short(place[0]), line=place[1])
            raise type(error)(error.what, place=where, **told) from error

    def place_of(self, line: int | None) -> Place:
        """A line of the text as one of the user's files."""
        place = None
        if self.named is not None and line is not None:
            place = self.named.joined.place_of(line)
        return (
            Place(self.document, line=line)
            if place is None
            else Place(_short(place[0]), line=place[1])
        )

    def patch(self, program: str) -> Patch:
        """What the program means for the user's files. Raises InputError where that cannot be
        told."""
        from warpwright.entrypoints.patch import checked_patch, whole_file

        if self.named is None:
            return whole_file(Path(self.document), self.text, program)
        return checked_patch(self.named, program, self.roots)


def given_program(
    subject: str,
    problem: Path | None = None,
    inputs: list[str] | None = None,
    init: str | None = None,
    cases: Path | None = None,
    roots: Sequence[Path] | None = None,
) -> GivenProgram:
    """What a command line names. Raises InputError for what is not found, and for options that
    contradict each other."""
    named = None
    if subject != "-":
        from warpwright.entrypoints.named_programs import named_program

        named = named_program(subject, tuple(roots or ()))
    given = options.problem_from(problem, inputs, init)
    found: tuple[InputCase, ...] = ()
    if cases is not None:
        if given is not None:
            raise InputError(
                "--cases and --problem or --input were both given",
                place=Place("command line"),
                expected="one of them",
            )
        found = _cases(cases, subject, named, roots or ())
        given = found[0].problem
    if named is None:
        return GivenProgram(read_document(subject), subject, given, found, None, tuple(roots or ()))
    return GivenProgram(named.source, named.label, given, found, named, tuple(roots or ()))


def request_of(
    given: GivenProgram, gpu: str | None, stage: str | None, kind: str | None
) -> tuple[str, int]:
    """The request document that is given, or that of a program; and the line of it on which the
    program begins, 1 for a document. Raises InputError for options that do not fit."""
    from warpwright import api

    if given.is_request:
        if stage is not None or kind is not None:
            raise InputError(
                f"{'--stage' if stage else '--kind'} with a request document",
                place=Place(given.document),
                expected="a program by its file or FILE.py:function: a request states its own",
            )
        return given.text, 1
    if gpu is None:
        raise InputError(
            "no target GPU",
            place=Place(given.document),
            expected="--gpu NAME with a program (a request document names its own)",
            hint="`warpwright gpus` lists the names",
        )
    problem = None if given.problem is None else given.problem.source
    with given.lines_told():
        text = api.request(
            given.text,
            gpu=gpu,
            stage=stage or "tuning",
            kind=kind or "single",
            problem=problem,
            document=given.document,
        )
    return text, text[: text.index(given.text)].count("\n") + 1


def _cases(
    path: Path, subject: str, named: NamedProgram | None, roots: Sequence[Path]
) -> tuple[InputCase, ...]:
    from warpwright.entrypoints.cases_file import read_cases
    from warpwright.entrypoints.named_programs import model_signature

    signature = model_signature(read_document(subject)) if named is None else named.signature
    entry = None if named is None else named.joined.entry
    return read_cases(path, signature, backward=entry is not None and entry.backward, roots=roots)


def _short(path: Path) -> str:
    """As seen from the current folder, where it lies below that."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def beside(given: GivenProgram, subject: str, roots: Sequence[Path] | None) -> GivenProgram:
    """Another program by the same entry point, where only its file is named."""
    if given.named is None or ":" in subject or not subject.endswith(".py"):
        return given_program(subject, roots=roots)
    entry = given.named.joined.entry
    assert entry is not None
    behind = f":{entry.name}{'.backward' if entry.backward else ''}"
    other = given_program(subject + behind, roots=roots)
    return replace(other, document=subject)
