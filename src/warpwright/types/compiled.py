"""What compiling a kernel config for a target tells (origin: compiled)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from warpwright.types.config import Config


@dataclass(frozen=True, slots=True)
class Toolchain:
    """Versions that decide what the compiler makes; recorded with every report."""

    triton: str
    ptxas: str | None = None
    torch: str | None = None
    python: str | None = None


@dataclass(frozen=True, slots=True)
class Specialization:
    """What Triton specialises a kernel on: a signature, constants, 16-byte divisibility.

    `signature` maps each parameter to Triton's type (`*fp32`, `i32`, `constexpr`, ...);
    `constants` holds the value of every `constexpr`, integers equal to 1 included, except
    for the meta-parameters of the config; `divisible_by_16` names parameters.
    """

    kernel: str
    signature: Mapping[str, str]
    constants: Mapping[str, int | float | bool | str | None]
    divisible_by_16: tuple[str, ...]
    label: str = "as called"  # or e.g. "all sizes divisible by 16"


@dataclass(frozen=True, slots=True)
class Resources:
    """What one block of a compiled kernel uses."""

    registers_per_thread: int
    stack_bytes: int
    local_bytes: int  # spilled registers and local arrays, per thread
    shared_bytes: int  # static + dynamic, per block
    threads_per_block: int


@dataclass(frozen=True, slots=True)
class Compiled:
    """A config that compiled. `cubin_sha256` is the identity: equal cubins are one kernel."""

    config: Config
    specialization: str  # label
    resources: Resources
    cubin_sha256: str
    toolchain: Toolchain
    facts: Mapping[str, int | float | str | bool] = field(default_factory=dict)
    """Counts read off the assembly: `mma`, `cp_async`, `ldmatrix`, `bar`, `code_bytes`."""
    code: bytes = field(default=b"", repr=False, compare=False)
    """The cubin, deflated (zlib)."""
    parameters: tuple[str, ...] = field(default=(), repr=False)
    """Names of what a launch passes at run time, in order."""

    @property
    def spill_bytes(self) -> int:
        """Bytes a thread spills from registers, as the assembler reports; else local memory."""
        spilled = self.facts.get("spill_store_bytes")
        return spilled if isinstance(spilled, int) else self.resources.local_bytes


@dataclass(frozen=True, slots=True)
class CompileFailed:
    """A config that did not compile: why, in the compiler's words, first line first."""

    config: Config
    specialization: str
    reason: str
    kind: str = "error"  # "error", "timeout", "crash", "out of memory", "lookup", "tool"

    @property
    def refused(self) -> bool:
        """Whether the compiler refused the config; else nothing is known of it."""
        return self.kind == "error"

    @property
    def told(self) -> str:
        """What became of it, in the words that its kind allows."""
        if self.refused:
            return f"does not compile: {self.reason}"
        return f"not verified, Warpwright could not compile it here: {self.reason}"


CompileResult = Compiled | CompileFailed


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Blocks and warps that fit on one SM, and what caps them."""

    blocks_per_sm: int
    warps_per_sm: int
    occupancy_pct: float
    limiters: tuple[str, ...]  # among "warps", "blocks", "registers", "shared memory"
    limits: Mapping[str, int]  # limiter → blocks per SM it alone would allow


@dataclass(frozen=True, slots=True)
class Unlaunchable:
    """Why a compiled config can never run on this GPU: the number and the limit it breaks."""

    limit: str  # e.g. "shared memory per block"
    needs: int
    allowed: int
    unit: str

    def __str__(self) -> str:
        return f"{self.needs:,} {self.unit} {self.limit} > {self.allowed:,} {self.unit}"
