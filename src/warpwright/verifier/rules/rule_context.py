"""What the verifier judges from: parent, candidate, rules and evidence, all plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from warpwright.types.compiled import CompileResult, Occupancy, Unlaunchable
from warpwright.types.config import Config
from warpwright.types.edit import Edit
from warpwright.types.gpu import GpuSheet
from warpwright.types.launch_trace import Trace
from warpwright.types.program import Kernel, ProgramView
from warpwright.types.request import OutputRules, Profile
from warpwright.types.stage import Stage

ConfigKey = tuple[str, Config]
"""A kernel's name, and one of its configs as the source shows it."""


@dataclass(frozen=True, slots=True)
class CompileEvidence:
    """What compiling and running one program's configs told. Empty where Triton is absent.

    Keys are `(kernel, config)` with the config as `read_program` gives it; for a kernel
    without autotune, the config of its launch.
    """

    results: Mapping[ConfigKey, CompileResult] = field(default_factory=dict)
    occupancy: Mapping[ConfigKey, Occupancy] = field(default_factory=dict)
    unlaunchable: Mapping[ConfigKey, Unlaunchable] = field(default_factory=dict)
    wrong: Mapping[ConfigKey, str] = field(default_factory=dict)  # its output: why


@dataclass(frozen=True, slots=True)
class RuleContext:
    """All that the pure checks read. Evidence may be empty; a check then says what it lacks.

    `active` maps a kernel to the configs that may have been active when the profile was
    taken: one, several where the profile does not tell them apart; a kernel that is absent
    is unknown. `exhausted` names kernels of the candidate for which compiling every config
    that the rules allow has found no further distinct one; only who compiled them knows.
    `parent_trace`, `child_trace`: launches and host operations on the problem's inputs.
    """

    stage: Stage
    parent: ProgramView
    child: ProgramView
    edits: tuple[Edit, ...] = ()
    output_rules: OutputRules = field(default_factory=OutputRules)
    sheet: GpuSheet | None = None
    profile: Profile = field(default_factory=Profile)
    active: Mapping[str, frozenset[Config]] = field(default_factory=dict)
    parent_evidence: CompileEvidence = field(default_factory=CompileEvidence)
    child_evidence: CompileEvidence = field(default_factory=CompileEvidence)
    exhausted: frozenset[str] = frozenset()
    parent_trace: Trace | None = None
    child_trace: Trace | None = None


@dataclass(frozen=True, slots=True)
class KernelPair:
    """A kernel of the parent and what became of it in the candidate."""

    parent: Kernel
    child: Kernel

    @property
    def renamed(self) -> bool:
        return self.parent.name != self.child.name


@dataclass(frozen=True, slots=True)
class KernelMatch:
    """Which kernels of the candidate answer which of the parent. Helpers are left out."""

    pairs: tuple[KernelPair, ...]
    removed: tuple[Kernel, ...]
    added: tuple[Kernel, ...]


def match_kernels(parent: ProgramView, child: ProgramView) -> KernelMatch:
    """Pair launched kernels by name; one left over on each side counts as renamed.

    Two left over on a side are not guessed at: they are removed and added.
    """
    pairs = []
    removed = []
    for kernel in parent.launched_kernels:
        same = child.kernel(kernel.name)
        if same is None or same.is_helper:
            removed.append(kernel)
        else:
            pairs.append(KernelPair(kernel, same))
    taken = {pair.child.name for pair in pairs}
    added = [kernel for kernel in child.launched_kernels if kernel.name not in taken]
    if len(removed) == 1 and len(added) == 1 and _look_alike(removed[0], added[0]):
        pairs.append(KernelPair(removed.pop(), added.pop()))
    return KernelMatch(tuple(pairs), tuple(removed), tuple(added))


def _look_alike(first: Kernel, second: Kernel) -> bool:
    """More than half of the parameters of both have the same names."""
    names = {parameter.name for parameter in first.parameters}
    other = {parameter.name for parameter in second.parameters}
    return 2 * len(names & other) > max(len(names), len(other))
