"""What measuring the candidates of a request came to. Everything in here is *measured*."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from warpwright.types.candidate import Move
from warpwright.types.config import Config
from warpwright.types.measurement import Burst, Comparison, MeasuredGpu
from warpwright.types.verdict import AccuracyCase, CheckResult

LEAST_GAIN_PCT = 1.0
"""Less than this is not worth edits beyond the configs: screening cannot tell it from nothing."""


@dataclass(frozen=True, slots=True)
class Measuring:
    """Whether and how much an answer is measured.

    `wanted` None: where the target is the GPU of this machine and shapes are known. `effort` is
    one of `bench.statistics.budget.BUDGETS`. `device` "cpu" times Triton's interpreter: for tests.
    """

    wanted: bool | None = None
    effort: str = "normal"
    device: str = "cuda"


@dataclass(frozen=True, slots=True)
class ConfigTrial:
    """One config of a kernel, screened: the program with this config alone beside the parent.

    `time_us` and `parent_us` are medians of device time a call. `gain_pct` is parent time over
    the config's, minus one, in percent: it chooses who is measured again and decides nothing.
    `failure`: why there is no time (it failed, died, hung, or its output is wrong).
    """

    kernel: str
    config: Config
    proposed: bool  # False: the program had it
    accuracy: CheckResult | None = None
    time_us: float | None = None
    parent_us: float | None = None
    gain_pct: float | None = None
    failure: str | None = None
    wrong: bool = False  # the failure is its output
    bursts: tuple[Burst, ...] = ()


@dataclass(frozen=True, slots=True)
class MovesTrial:
    """A list of moves, screened: the program that it gives beside the parent, with one config of
    each kernel. Times and gain as in `ConfigTrial`."""

    moves: tuple[Move, ...]
    time_us: float | None = None
    parent_us: float | None = None
    gain_pct: float | None = None
    failure: str | None = None
    bursts: tuple[Burst, ...] = ()

    @property
    def is_worth_following(self) -> bool:
        """Whether configs are tried on top of it, unless another gains more."""
        gains = self.gain_pct is not None and self.gain_pct >= LEAST_GAIN_PCT
        return gains and self.failure is None


@dataclass(frozen=True, slots=True)
class Apart:
    """What device time does not hold, of one program.

    `first_call_s`: wall time to the first result with nothing compiled: compiling and tuning.
    `host_us`: host time to issue a call with the device idle. `do_bench_us`: Triton's own
    benchmark. `cuda_graph`, `torch_compile`: whether it works there, in words.
    """

    chosen: Mapping[str, Config] = field(default_factory=dict)  # kernel → what its tuner took
    first_call_s: float | None = None
    host_us: float | None = None
    do_bench_us: float | None = None
    cuda_graph: str | None = None
    torch_compile: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OtherShape:
    """Parent and answer on other inputs than the problem's: medians of a few calls, no decision.

    `shapes`: those of all inputs. `parent_ready_s`, `answer_ready_s`: wall time until the first
    calls there were done, compiling and tuning for the new shape included.
    """

    shapes: str
    parent_us: float | None = None
    answer_us: float | None = None
    gain_pct: float | None = None
    parent_ready_s: float | None = None
    answer_ready_s: float | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """Everything that was measured for an answer.

    `comparison` is the decision on the emitted program, from timings taken after it was chosen;
    None where nothing was worth deciding on. `bursts` are its raw samples. `light` says what the
    times are beside the floor of what must be moved. `cases`: accuracy at full size. `budget` is
    the name of the effort.
    """

    gpu: MeasuredGpu | None
    budget: str
    configs: tuple[ConfigTrial, ...] = ()
    comparison: Comparison | None = None
    bursts: tuple[Burst, ...] = ()
    accuracy: CheckResult | None = None
    cases: tuple[AccuracyCase, ...] = ()
    light: str | None = None
    floor_us: float | None = None
    parent: Apart | None = None
    answer: Apart | None = None
    repaired: str | None = None  # why the answer stands whatever its time
    resumed: bool = False
    failure: str | None = None  # why measuring could not be done
    moves: tuple[MovesTrial, ...] = ()  # lists of moves, screened before the configs
    other_shapes: tuple[OtherShape, ...] = ()
