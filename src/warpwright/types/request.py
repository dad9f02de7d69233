"""A request: target GPU, stage, current program, profile, and what may stand around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from warpwright.types.gpu import StatedGpu
from warpwright.types.stage import Stage

MetricValue = float | None
"""None where the profiler gave no number (`nan`, `N/A`)."""


@dataclass(frozen=True, slots=True)
class KernelProfile:
    """Metrics of one kernel: one mapping per profiled launch, metric name → value.

    Units are those of Nsight Compute's metric names (`pct` is 0..100). `line` is the document's
    line that names the kernel, for messages.
    """

    kernel: str
    launches: tuple[Mapping[str, MetricValue], ...]
    line: int | None = field(default=None, compare=False)

    def metric(self, name: str) -> MetricValue:
        """The metric over the recorded launches: its value if they agree, else None."""
        values = {launch[name] for launch in self.launches if name in launch}
        return values.pop() if len(values) == 1 else None

    def values(self, name: str) -> tuple[float, ...]:
        """The metric of each launch that has it."""
        found = (launch.get(name) for launch in self.launches)
        return tuple(value for value in found if value is not None)


@dataclass(frozen=True, slots=True)
class Profile:
    """The profile section: kernels in document order. Empty: none was taken."""

    kernels: tuple[KernelProfile, ...] = ()

    def kernel(self, name: str) -> KernelProfile | None:
        return next((kernel for kernel in self.kernels if kernel.kernel == name), None)


@dataclass(frozen=True, slots=True)
class OutputRules:
    """The strict output format that the request asks for."""

    sections: tuple[str, ...] = ("imports", "kernels", "wrappers", "model")
    imports: tuple[str, ...] = ("torch", "torch.nn", "triton", "triton.language")
    forbidden: tuple[str, ...] = ("testing code", "if __name__", "get_inputs", "get_init_inputs")
    model_class: str = "ModelNew"


@dataclass(frozen=True, slots=True)
class Attempt:
    """An earlier try that the request tells of: what was tried, what came of it."""

    outcome: str
    code: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request document.

    `program_line` is the 1-based line of the document on which the program's first line
    stands, so that errors in the program can be told in the document's lines.
    """

    gpu: StatedGpu
    stage: Stage
    program: str
    profile: Profile = field(default_factory=Profile)
    output_rules: OutputRules = field(default_factory=OutputRules)
    task: str = field(default="", compare=False)
    problem: str | None = None
    history: tuple[Attempt, ...] = ()
    constraints: tuple[str, ...] = ()
    program_line: int = field(default=1, compare=False)
    document: str | None = field(default=None, compare=False)
