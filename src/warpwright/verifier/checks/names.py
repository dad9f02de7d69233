"""Names: nothing undefined, only the allowed imports, nothing that escapes reading."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass

from warpwright.program.dotted_names import (
    Reference,
    dotted,
    host_nodes,
    program_of,
    references,
    resolve,
    written_aliases,
)
from warpwright.program.parsed import ParsedProgram
from warpwright.types.program import ProgramView
from warpwright.types.request import OutputRules
from warpwright.types.verdict import CheckResult, Status, Violation

ALLOWED_MODULES = frozenset(
    {"torch", "torch.nn", "torch.nn.functional", "triton", "triton.language"}
)
"""What a candidate may import, besides standard-library modules its parent imports."""

_BANNED_BUILTINS = frozenset(
    {
        "exec", "eval", "compile", "__import__", "open", "input", "breakpoint", "globals",
        "locals", "vars", "__builtins__", "delattr", "memoryview", "__loader__", "__spec__",
    }
)  # fmt: skip

_BANNED_MODULES = frozenset(
    {
        "builtins", "importlib", "ctypes", "cffi", "subprocess", "threading", "multiprocessing",
        "concurrent", "asyncio", "socket", "os", "sys", "gc", "inspect", "pickle", "marshal",
        "runpy", "signal", "shutil", "tempfile", "pathlib", "io", "atexit", "time", "timeit",
        "random", "numpy", "cupy", "weakref", "types", "code", "mmap", "resource",
    }
)  # fmt: skip

_BANNED_PREFIXES = (
    ("torch.cuda.Stream", "work on another stream"),
    ("torch.cuda.stream", "work on another stream"),
    ("torch.cuda.set_stream", "work on another stream"),
    ("torch.cuda.ExternalStream", "work on another stream"),
    ("torch.cuda.default_stream", "work on another stream"),
    ("torch.Stream", "work on another stream"),
    ("torch.cuda.CUDAGraph", "replaying a recorded graph"),
    ("torch.cuda.graph", "replaying a recorded graph"),
    ("torch.cuda.make_graphed_callables", "replaying a recorded graph"),
    ("torch.utils.cpp_extension", "loading native code"),
    ("torch.utils.dlpack", "memory of other owners"),
    ("torch.ops.load_library", "loading native code"),
    ("torch.classes.load_library", "loading native code"),
    ("torch.library", "registering operators"),
    ("torch.load", "reading files"),
    ("torch.save", "writing files"),
    ("torch.from_file", "reading files"),
    ("torch.hub", "reading files"),
    ("torch.multiprocessing", "other processes"),
    ("torch.distributed", "other processes"),
    ("torch.futures", "other threads"),
    ("torch.jit.fork", "other threads"),
    ("torch.set_num_threads", "global settings"),
    ("torch.set_default_dtype", "global settings"),
    ("torch.set_default_device", "global settings"),
    ("torch.use_deterministic_algorithms", "global settings"),
    ("torch.set_float32_matmul_precision", "global settings"),
    ("torch.manual_seed", "global settings"),
    ("torch.overrides", "tensor subclasses and modes"),
    ("torch.utils._python_dispatch", "tensor subclasses and modes"),
    ("torch._C", "torch's insides"),
)


@dataclass(frozen=True, slots=True)
class _Finding:
    place: tuple[str, str]
    violation: Violation


def check_names(
    parent: ProgramView, child: ProgramView, rules: OutputRules | None = None
) -> CheckResult:
    """Undefined names, imports that are not allowed, and dynamic code.

    A candidate may import torch, torch.nn, torch.nn.functional, triton, triton.language, what
    `rules` adds, and whatever module its parent imports already. What the parent has too (the
    same name, in the same function) is told as a note.
    """
    allowed = ALLOWED_MODULES | set((rules or OutputRules()).imports)
    inherited = {finding.place for finding in _findings(parent, allowed)}
    violations = []
    notes = []
    for finding in _findings(child, allowed):
        if finding.place in inherited:
            notes.append(f"inherited from the parent: {finding.violation}")
        else:
            violations.append(finding.violation)
    status = Status.FAIL if violations else Status.PASS
    return CheckResult("names", status, tuple(violations), tuple(dict.fromkeys(notes)))


def _findings(view: ProgramView, allowed: frozenset[str] | set[str]) -> list[_Finding]:
    program = program_of(view.source)
    if program is None:
        return []  # the format check tells it
    return [*_undefined(view), *_imports(view, allowed), *_banned(program), *_dynamic(program)]


def _undefined(view: ProgramView) -> list[_Finding]:
    found = []
    for undefined in view.undefined:
        hint = ""
        if undefined.name in sys.stdlib_module_names:
            hint = f" (a module that is not imported: import {undefined.name}, if allowed)"
        violation = Violation(
            "names.undefined", undefined.line, "a defined name", f"`{undefined.name}`{hint}"
        )
        found.append(_Finding(("names.undefined", undefined.name), violation))
    return found


def _imports(view: ProgramView, allowed: frozenset[str] | set[str]) -> list[_Finding]:
    found = []
    for item in view.imports:
        whole = f"{item.module}.{item.name}" if item.name else item.module
        if item.name != "*" and (item.module in allowed or whole in allowed):
            continue
        text = f"import of {item.module}" if item.name is None else f"import of {whole}"
        expected = "only " + ", ".join(sorted(allowed)) + ", or a module that the parent imports"
        violation = Violation("names.imports", item.line, expected, text)
        # The parent's import of a harmless module allows all of it, a part only that part.
        place = whole if item.module in _BANNED_MODULES or item.name == "*" else item.module
        found.append(_Finding(("names.imports", place), violation))
    return found


def _banned(program: ParsedProgram) -> list[_Finding]:
    """Names that start other work, load code, or reach around what can be read."""
    found = []
    for reference in references(program):
        reason = _ban_reason(reference)
        if reason is None:
            continue
        violation = Violation(
            "names.banned", reference.line, f"no {reason}", f"`{reference.written}`"
        )
        found.append(_Finding(("names.banned", f"{reference.scope}:{reference.name}"), violation))
    return found


def _ban_reason(reference: Reference) -> str | None:
    name = reference.name
    root = name.split(".")[0]
    if reference.is_stored:
        changes_library = reference.is_imported and "." in reference.written
        return "assignment to an attribute of a library" if changes_library else None
    if name in _BANNED_BUILTINS:
        return "code or data that cannot be read here"
    for prefix, reason in _BANNED_PREFIXES:
        if name == prefix or name.startswith(prefix + "."):
            return reason
    if reference.is_imported and root in _BANNED_MODULES:
        return f"use of the module {root}"
    last = name.split(".")[-1]
    if last.startswith("__") and last.endswith("__") and last not in _PLAIN_DUNDERS:
        return "reaching into objects by their special names"
    return None


_PLAIN_DUNDERS = frozenset(
    {"__init__", "__name__", "__class__", "__doc__", "__version__", "__all__", "__call__"}
)


def _dynamic(program: ParsedProgram) -> list[_Finding]:
    """`getattr(torch, …)` and `setattr(torch, …)`: names that only exist when run."""
    known = written_aliases(program)
    found = []
    for node, scope in host_nodes(program, program.written):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id not in ("getattr", "setattr") or not node.args:
            continue
        target = resolve(dotted(node.args[0]) or "", known)
        root = target.split(".")[0]
        literal = len(node.args) > 1 and isinstance(node.args[1], ast.Constant)
        if root not in ("torch", "triton") and (literal or node.func.id == "setattr"):
            continue
        text = ast.unparse(node)
        violation = Violation(
            "names.dynamic", node.lineno, "names that can be read in the source", f"`{text[:80]}`"
        )
        found.append(_Finding(("names.dynamic", f"{scope}:{text}"), violation))
    return found
