"""Whether a reply can run on its target, by what tracing and compiling it told.

A refusal needs certainty that the reply fails on the target too. What only this machine, its
toolchain or a trace cannot do is "not verified".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from warpwright.costmodel.launchability import unlaunchable_grid
from warpwright.program.parsing import lines_of
from warpwright.sandbox.toolchain import missing_module, not_installed
from warpwright.tracing.trace import TraceFailed
from warpwright.types.compiled import CompileFailed, Unlaunchable
from warpwright.types.config import Config
from warpwright.types.launch_trace import Launch, Trace
from warpwright.types.program import Kernel, ProgramView
from warpwright.types.study import CompiledView, ConfigStudy, KernelStudy, Study
from warpwright.types.verdict import CheckResult, Status, Violation

if TYPE_CHECKING:
    from warpwright.analysis.wrapped_offsets import WrappedOffset

CHECK = "resources"
HOST_CODE = "program.runs"
CONFIGS = "configs.launchable"
GRID = "grid.launchable"
OFFSETS = "offsets.wide_enough"

# In Triton 3.3 and gone since: a reply for that version may use them.
OTHER_TRITON = ("_experimental_", "nv_tma_desc_type")
# Kernels that host code defines as it runs are not there when the module is only imported.
NOT_FOUND_HERE = "KernelLookupError: the program has no kernel named"
_LINE = re.compile(r"line (?P<line>\d+): (?P<words>.*)", re.DOTALL)  # the compiler's place


class End(Enum):
    """What a config that fails does to a program whose tuner lists it."""

    SKIPPED = auto()  # the tuner goes on to the next
    PROGRAM = auto()  # the program ends
    UNKNOWN = auto()  # it says nothing of the program


def host_code_failed(failed: TraceFailed) -> CheckResult:
    """The verdict on host code of which no trace could be made."""
    if failed.missing_module is not None:
        note = f"not verified: {not_installed(failed.missing_module)}"
        return CheckResult(CHECK, Status.NOT_VERIFIED, notes=(note,))
    if not failed.is_of_the_program:
        note = f"not verified: Warpwright cannot trace the launches: {failed.reason}"
        return CheckResult(CHECK, Status.NOT_VERIFIED, notes=(note,))
    expected = "host code that runs on the problem's inputs"
    violation = Violation(HOST_CODE, failed.line, expected, failed.reason)
    return CheckResult(CHECK, Status.FAIL, (violation,))


def configs_run(
    child: ProgramView, kernels: Mapping[str, KernelStudy], parent: Study, trace: Trace | None
) -> CheckResult:
    """Can each kernel run on the target with the configs that it lists?

    With a trace the specialisations are those of real launches, each of which must work;
    without, they are classes of arguments that may be passed, and one that works is enough.
    What the parent breaks in the same way is its own affair: the rules say whether a config that
    can never run must stay.
    """
    violations = [] if trace is None else _grids_too_large(trace, parent)
    told: list[str] = [] if trace is None else list(trace.notes)
    unknown: list[str] = [] if trace is None else list(_new_reads(trace, parent))
    for kernel in kernels.values():
        broken, skipped, unclear = _sorted_out(child, kernel, parent, traced=trace is not None)
        violations += broken
        told += skipped
        unknown += unclear
    status = Status.NOT_VERIFIED if unknown else Status.PASS
    if violations:
        status = Status.FAIL
    return CheckResult(CHECK, status, tuple(violations), notes=(*told, *unknown))


def _new_reads(trace: Trace, parent: Study) -> Iterator[str]:
    """Values that the host code reads where the parent's reads none: it may launch otherwise on
    other data."""
    if parent.trace is None or parent.trace.value_reads:
        return
    for read in dict.fromkeys(trace.value_reads):
        place = "" if read.line is None else f"line {read.line}: "
        yield (
            f"not verified: {place}the host code reads data ({read.reader}), the parent's reads "
            "none: its launches are known for the problem's inputs alone"
        )


def _grids_too_large(trace: Trace, parent: Study) -> list[Violation]:
    """Launches with more blocks than a GPU takes, where the parent's have not; once a kernel."""
    before = () if parent.trace is None else parent.trace.launches
    inherited = {launch.kernel for launch in before if _limits(launch)}
    expected = f"a grid that {parent.gpu.sheet.name} can launch"
    found = {
        launch.kernel: Violation(GRID, launch.line, expected, f"{launch.kernel}: {limits[0]}")
        for launch in reversed(trace.launches)
        if launch.kernel not in inherited and (limits := _limits(launch))
    }
    return list(found.values())


def _limits(launch: Launch) -> list[Unlaunchable]:
    return [limit for config in launch.configs for limit in unlaunchable_grid(config.grid)]


def offsets_wrap(
    child: ProgramView, wrapped: Mapping[str, WrappedOffset], inherited: Set[str]
) -> list[Violation]:
    """Kernels that go by offsets which 32 bits do not hold, where the parent's (`inherited` are
    those that do) does not."""
    expected = "offsets in 64 bits where a tensor has 2³¹ elements and more"
    found = []
    for name, access in wrapped.items():
        kernel = child.kernel(name)
        if name not in inherited:
            line = None if kernel is None else kernel.line
            found.append(Violation(OFFSETS, line, expected, f"{name}: {access}"))
    return found


def _sorted_out(
    child: ProgramView, kernel: KernelStudy, parent: Study, *, traced: bool
) -> tuple[list[Violation], list[str], list[str]]:
    """A kernel's configs that end the program, that its tuner skips, that nothing is known of."""
    skipped: list[tuple[Config, Reason]] = []
    broken: list[tuple[Config, Reason]] = []
    unknown: list[str] = []
    source = child.kernel(kernel.kernel)
    before = _ends_in_parent(kernel.kernel, parent, traced=traced)
    for config in kernel.configs:
        view = _failure(config, traced=traced)
        if view is None:
            continue
        end, reason = _end(view, child, source), _reason(view)
        if end is End.UNKNOWN:
            unknown.append(f"not verified: {kernel.kernel} {config.config}: {reason.text}")
        elif before.get(config.config) not in (end, End.PROGRAM):
            (skipped if end is End.SKIPPED else broken).append((config.config, reason))
    if not (kernel.autotuned and len(skipped) < len(kernel.configs) > 1):
        return _told(kernel, [*broken, *skipped], parent), [], unknown
    told = [
        f"{kernel.kernel} {config}: {reason.text}: the tuner passes over this config"
        for config, reason in skipped
    ]
    return _told(kernel, broken, parent), told, unknown


def _told(
    kernel: KernelStudy, failed: Sequence[tuple[Config, Reason]], parent: Study
) -> list[Violation]:
    """A violation for each reason, with the first config that has it."""
    expected = f"a config that can run on {parent.gpu.sheet.name}"
    found = []
    for reason in dict.fromkeys(reason for _, reason in failed):
        first, *others = [config for config, other in failed if other == reason]
        more = f", and {len(others)} more" if others else ""
        text = f"{kernel.kernel} {first}{more}: {reason.text}"
        line = reason.line if reason.line is not None else first.line
        found.append(Violation(CONFIGS, line, expected, text))
    return found


def _ends_in_parent(name: str, parent: Study, *, traced: bool) -> dict[Config, End]:
    kernel = parent.kernel(name)
    source = parent.view.kernel(name)
    views = {} if kernel is None else {c.config: _failure(c, traced=traced) for c in kernel.configs}
    return {c: _end(view, parent.view, source) for c, view in views.items() if view is not None}


def _failure(config: ConfigStudy, *, traced: bool) -> CompiledView | None:
    """How a config fails: in one of its launches, or in every class of arguments."""
    failing = [view for view in config.compiled if not view.launchable]
    return failing[0] if failing and (traced or len(failing) == len(config.compiled)) else None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a config cannot run; `line` of the program, where the compiler names one."""

    text: str
    line: int | None = None


def _reason(view: CompiledView) -> Reason:
    if not isinstance(view.result, CompileFailed):
        return Reason(str(view.unlaunchable[0]))
    said = _LINE.fullmatch(view.result.reason)
    if said is None or not view.result.refused:
        return Reason(view.result.told)
    return Reason(f"does not compile: {said['words']}", int(said["line"]))


def _end(view: CompiledView, program: ProgramView, kernel: Kernel | None) -> End:
    """What becomes of a program that has this config in its tuner's list.

    Triton's tuner goes on after resources run out, `tl.static_assert` and errors of ptxas
    (`Autotuner._bench` in `triton/runtime/autotuner.py`, 3.3 to 3.9).
    """
    result = view.result
    if not isinstance(result, CompileFailed):
        return End.SKIPPED
    not_here = any(words in result.reason for words in (NOT_FOUND_HERE, *OTHER_TRITON))
    if result.kind != "error" or not_here or missing_module(result.reason):
        return End.UNKNOWN
    asserted = kernel is not None and _at_static_assert(view, program, kernel)
    return End.SKIPPED if asserted or result.reason.startswith("ptxas ") else End.PROGRAM


def _at_static_assert(view: CompiledView, program: ProgramView, kernel: Kernel) -> bool:
    """The failure is a `tl.static_assert` of the kernel itself, not of a function it calls."""
    line, lines = _reason(view).line, lines_of(program.source)
    if line is None or not kernel.line <= line <= min(kernel.end_line, len(lines)):
        return False
    return "static_assert(" in lines[line - 1]
