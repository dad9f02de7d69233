"""Compile configs in several processes that share Triton's cache; nothing is launched here.

Each process is started anew, since a fork of one that holds a CUDA context cannot use the card.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import queue
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.pool import Pool
from typing import Any

from config_grids.grids import GRIDS, Grid
from warpwright.types.config import Config

NOT_IN_TIME = "not compiled in time"


@dataclass(frozen=True, slots=True)
class Compiled:
    """`failure`: why there is no binary; `digest` is of the binary."""

    kernel: str
    config: Config
    compile_s: float
    failure: str | None = None
    shared_bytes: int | None = None
    digest: str | None = None


class _NamedTarget:
    """Stands where Triton's driver does, so that a machine without a GPU compiles for sm_90."""

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, _device: int) -> int:
        return 0


def start_process(dry: bool) -> None:
    """What each process does first: load Triton, and name the target where no GPU does."""
    import torch  # noqa: F401
    import triton

    if dry:
        triton.runtime.driver.set_active(_NamedTarget())


def compile_one(kernel: str, config: Config) -> Compiled:
    """Compile as the later launch will ask for it."""
    import torch

    from config_grids import kernels

    grid = next(grid for grid in GRIDS if grid.kernel == kernel)
    dtypes = [getattr(torch, {"fp32": "float32", "fp16": "float16"}[d]) for d, _ in grid.tensors]
    began = time.monotonic()
    try:
        done = getattr(kernels, kernel).warmup(
            *dtypes, *grid.scalars, grid=(1,), **launch_options(grid, config)
        )
    except Exception as error:  # whatever the compiler raises is this config's result
        reason = f"{type(error).__name__}: {str(error).strip().splitlines()[-1][:200]}"
        return Compiled(kernel, config, time.monotonic() - began, failure=reason)
    digest = hashlib.sha256(done.asm["cubin"]).hexdigest()[:10]
    return Compiled(
        kernel, config, time.monotonic() - began, shared_bytes=done.metadata.shared, digest=digest
    )


def launch_options(grid: Grid, config: Config) -> dict[str, Any]:
    """A config as keyword arguments of a launch."""
    options = {"num_warps": config.num_warps, "num_stages": config.num_stages}
    return {**config.meta_dict, **grid.fixed, **options}


class Compilers:
    """Processes that compile; results come in the order in which they are ready."""

    def __init__(self, processes: int, *, dry: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self._pool: Pool = context.Pool(processes, initializer=start_process, initargs=(dry,))
        self._ready: queue.Queue[Compiled] = queue.Queue()

    def __enter__(self) -> Compilers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.terminate()

    def run(self, tasks: Sequence[tuple[str, Config]], ends: float) -> Iterator[Compiled]:
        """Each task once; those that are not ready at `ends` (monotonic) are told so."""
        waiting = set(tasks)
        for task in tasks:
            self._pool.apply_async(
                compile_one, task, callback=self._ready.put, error_callback=print
            )
        while waiting and (left := ends - time.monotonic()) > 0:
            try:
                compiled = self._ready.get(timeout=left)
            except queue.Empty:
                break
            waiting.discard((compiled.kernel, compiled.config))
            yield compiled
        for kernel, config in sorted(waiting, key=str):
            yield Compiled(kernel, config, 0.0, failure=NOT_IN_TIME)
