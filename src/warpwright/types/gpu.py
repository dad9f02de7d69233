"""GPU sheets: what a board is and what one of its multiprocessors can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ComputeCapability = tuple[int, int]
"""Major and minor, e.g. `(8, 9)`."""


@dataclass(frozen=True, slots=True)
class SmLimits:
    """What one streaming multiprocessor and one block may use, per compute capability.

    Source: the CUDA programming guide's table of technical specifications and
    `cuda_occupancy.h`.
    """

    compute_capability: ComputeCapability
    warps_per_sm: int
    blocks_per_sm: int
    threads_per_sm: int
    shared_bytes_per_sm: int
    max_shared_bytes_per_block: int
    reserved_shared_bytes_per_block: int
    shared_allocation_unit_bytes: int
    registers_per_sm: int = 65536
    registers_per_block: int = 65536
    max_registers_per_thread: int = 255
    register_allocation_unit: int = 256  # registers, per warp
    max_threads_per_block: int = 1024
    warp_size: int = 32
    sub_partitions: int = 4


@dataclass(frozen=True, slots=True)
class GpuSheet:
    """One board. Rates are dense; FP16/BF16 accumulate in FP32. Missing is None.

    `sources` says for each field where its number comes from, the fields of `limits`
    included. `tensor_boost_mhz` is set where the published tensor rates hold at another
    clock than `boost_mhz`.
    """

    name: str
    architecture: str
    compute_capability: ComputeCapability
    sm_count: int
    limits: SmLimits
    boost_mhz: float | None = None
    tensor_boost_mhz: float | None = None
    memory_bandwidth_gb_per_s: float | None = None
    l2_bytes: int | None = None
    fp32_tflops: float | None = None
    tf32_tflops: float | None = None
    fp16_tflops: float | None = None
    bf16_tflops: float | None = None
    fp8_tflops: float | None = None
    aliases: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def target(self) -> str:
        """The compiler's name of this board's architecture, e.g. `sm_89`."""
        major, minor = self.compute_capability
        return f"sm_{major}{minor}"


@dataclass(frozen=True, slots=True)
class StatedGpu:
    """A GPU sheet as a request states it: only what the document says.

    `fields` maps a field key (`sm_count`, `memory_bandwidth_gb_per_s`,
    `shared_bytes_per_sm`, ...; the names of `GpuSheet` and `SmLimits`) to its value in the
    unit that the key names. `unknown` keeps bullets that no field key covers.
    """

    name: str
    architecture: str | None = None
    fields: Mapping[str, int | float | str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SheetDisagreement:
    """The request's sheet and ours differ on a field; the request's value is used."""

    field: str
    stated: int | float | str
    ours: int | float | str
    source: str


@dataclass(frozen=True, slots=True)
class ResolvedGpu:
    """The sheet to work with: ours, with everything the request states laid over it.

    `notes` tells, in sentences, what was decided on the way: which board a name that fits
    several was taken for, that a board is known only as the request states it.
    """

    sheet: GpuSheet
    disagreements: tuple[SheetDisagreement, ...] = ()
    notes: tuple[str, ...] = ()
