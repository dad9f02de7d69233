"""What a program's host code does: every kernel launch, captured without a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from warpwright.types.config import Config
from warpwright.types.host_behaviour import HostBehaviour


@dataclass(frozen=True, slots=True)
class TensorArgument:
    """A tensor passed to a kernel.

    `dtype` is torch's name without the prefix (`float32`); `strides` are in elements.
    `aligned`: its address is a multiple of 16 bytes.
    """

    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    aligned: bool = True
    storage: int = 0  # same number: same storage

    @property
    def reach(self) -> int:
        """How far its last element lies from its first, in elements."""
        pairs = zip(self.shape, self.strides, strict=True)
        return sum((size - 1) * abs(stride) for size, stride in pairs)


@dataclass(frozen=True, slots=True)
class ScalarArgument:
    """An int, float or bool; `type` is Triton's (`i32`, `i64`, `fp32`, `u1`).

    `annotated`: the kernel states the type, so that an integer equal to 1 is no constant.
    """

    value: int | float | bool
    type: str
    annotated: bool = False


@dataclass(frozen=True, slots=True)
class ConstantArgument:
    """A `tl.constexpr` or None argument; `value` is JSON-able, `text` its repr.

    Two kinds of values that JSON lacks are strings here and have a `text` of the same form:
    a Triton dtype is `tl.float32`, a `@triton.jit` function `@name`.
    """

    value: int | float | bool | str | None
    text: str


@dataclass(frozen=True, slots=True)
class DescriptorArgument:
    """A tensor descriptor: the block it loads from a tensor of this dtype and shape."""

    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    block: tuple[int, ...]


Argument = TensorArgument | ScalarArgument | ConstantArgument | DescriptorArgument


@dataclass(frozen=True, slots=True)
class TracedConfig:
    """One config of a launch: the grid it gives, and the constants heuristics add."""

    config: Config
    grid: tuple[int, ...]
    heuristic_values: Mapping[str, int | float | bool | str | None] = field(default_factory=dict)
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    """Arguments that this config's pre_hook changes (the block of a tensor descriptor)."""
    place: int | None = None
    """Its index in the tuner's whole list, before the program's own pruning; None: no tuner."""

    @property
    def blocks(self) -> int:
        """Number of blocks launched: the product of the grid."""
        total = 1
        for extent in self.grid:
            total *= extent
        return total


@dataclass(frozen=True, slots=True)
class Launch:
    """One captured launch. `configs` has one entry where the kernel is not autotuned.

    `arguments` holds every parameter that neither config nor heuristics set, defaults
    included. `unspecialized` names parameters whose value Triton does not look at
    (`do_not_specialize`), `unaligned` those whose divisibility by 16 it ignores.
    """

    kernel: str
    order: int
    arguments: Mapping[str, Argument]
    configs: tuple[TracedConfig, ...]
    autotuned: bool
    line: int | None = None
    unspecialized: tuple[str, ...] = ()
    unaligned: tuple[str, ...] = ()
    options: Mapping[str, int | float | bool | str | None] = field(default_factory=dict)
    """Launch options other than a config's, e.g. `launch_pdl`."""
    pruned: tuple[TracedConfig, ...] = ()
    """Configs of the tuner that the program's own pruning left out of this launch; no grid."""


@dataclass(frozen=True, slots=True)
class HostOperation:
    """A torch function that the host code called during the forward pass."""

    name: str  # e.g. "empty_like", "conv2d", "Tensor.contiguous"
    line: int | None
    count: int = 1


@dataclass(frozen=True, slots=True)
class ValueRead:
    """A place where the host code read a tensor's value (`item`, `tolist`, …)."""

    reader: str
    line: int | None


@dataclass(frozen=True, slots=True)
class Trace:
    """All launches of one forward pass, in order, and the output it returned."""

    launches: tuple[Launch, ...]
    inputs: tuple[TensorArgument, ...] = ()
    outputs: tuple[TensorArgument, ...] = ()
    notes: tuple[str, ...] = ()
    host_operations: tuple[HostOperation, ...] = ()
    evaluation_mode: bool = False
    """The model was put into `eval()` first, because it launches nothing in training mode."""
    behaviour: HostBehaviour = field(default_factory=HostBehaviour)
    value_reads: tuple[ValueRead, ...] = ()
    """Where the host code read values of tensors: what follows holds for these inputs alone."""

    @property
    def kernels(self) -> tuple[str, ...]:
        """Launched kernels by name, each once, in order of first launch."""
        return tuple(dict.fromkeys(launch.kernel for launch in self.launches))
