"""`read_program`: everything that reading a program tells, as one `ProgramView`."""

from __future__ import annotations

import ast

from warpwright.program.kernels import read_kernel
from warpwright.program.launches import read_launches
from warpwright.program.parsed import ParsedProgram, once, parse_program
from warpwright.program.parsing import too_deep
from warpwright.program.resolve import read_imports
from warpwright.program.strict_sections import read_top_level
from warpwright.program.unbound_names import undefined_names
from warpwright.types.program import ProgramView


def read_program(source: str, *, document: str | None = None, first_line: int = 1) -> ProgramView:
    """Reads a program; executes nothing.

    Lines in the view are lines of `source`, from 1. Errors are told in lines of `document`,
    where the program starts at `first_line`. A program that is empty or has no kernel still
    gives a view. Raises `InputError` for source that is no Python, or is too long or too
    deeply nested to read.
    """
    program = parse_program(source, document=document, first_line=first_line)
    try:
        return view_of(program)
    except RecursionError:
        raise too_deep(document, first_line, None) from None


@once
def view_of(program: ParsedProgram) -> ProgramView:
    """The view of an already parsed program."""
    launches = read_launches(program)
    launched = frozenset(launch.kernel for launch in launches)
    tree = program.tree
    return ProgramView(
        source=program.source,
        imports=read_imports(tree),
        kernels=tuple(read_kernel(program, kernel, launched) for kernel in program.kernels),
        launches=launches,
        top_level=read_top_level(program),
        classes=tuple(node.name for node in tree.body if isinstance(node, ast.ClassDef)),
        functions=tuple(
            function.name for function in program.host_functions if function.class_name is None
        ),
        undefined=undefined_names(program.written, program.written_aliases, program.is_kernel),
    )
