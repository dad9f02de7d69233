"""Time configs on this machine's GPU: one after another, each call with a cold L2."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

import torch

from config_grids import kernels
from config_grids.compiling import launch_options
from config_grids.grids import Grid, references
from warpwright.types.config import Config

FLUSHED_BYTES = 256 * 2**20
"""Several times the L2 of any card; writing it also gives the host time to queue the launch."""
TARGET_MS = 12.0  # what the timed calls of a config take together
LEAST_CALLS, MOST_CALLS = 3, 15
TOLERANCE = {"fp32": 2e-2, "fp16": 2e-2}  # of the reference's largest value: TF32, fp16
DTYPES = {"fp32": torch.float32, "fp16": torch.float16}


class Bench:
    """One kernel's tensors, its expected output, and times of its configs."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._kernel = getattr(kernels, grid.kernel)
        generator = torch.Generator(device="cuda").manual_seed(1)
        self._tensors = tuple(
            torch.randn(shape, device="cuda", generator=generator).to(DTYPES[dtype])
            for dtype, shape in grid.tensors
        )
        self._expected = references(self._tensors, grid.kernel).float()
        self._flushed = torch.empty(FLUSHED_BYTES, dtype=torch.int8, device="cuda")

    def first(self, config: Config) -> dict[str, Any]:
        """Load, check and time a config: `ms`, `registers` and `spills`, or `failure`."""
        self._tensors[-1].zero_()
        try:
            loaded = self._launch(config)
            torch.cuda.synchronize()
        except Exception as error:  # out of shared memory, of registers: this config's result
            return {"failure": f"{type(error).__name__}: {str(error).splitlines()[0][:160]}"}
        told = {"registers": loaded.n_regs, "spills": loaded.n_spills}
        far = (self._tensors[-1].float() - self._expected).abs().max().item()
        limit = TOLERANCE[self._grid.tensors[-1][0]] * self._expected.abs().max().item()
        if not far <= limit:
            return {**told, "failure": f"wrong output: off by {far:.3g}, allowed {limit:.3g}"}
        once = self.times(config, 2)[-1]
        calls = int(min(MOST_CALLS, max(LEAST_CALLS, TARGET_MS / once)))
        return {**told, "ms": median(self.times(config, calls))}

    def times(self, config: Config, calls: int) -> Sequence[float]:
        """Milliseconds of each of some calls."""
        events = []
        for _ in range(calls):
            self._flushed.zero_()
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            self._launch(config)
            end.record()
            events.append((begin, end))
        torch.cuda.synchronize()
        return [begin.elapsed_time(end) for begin, end in events]

    def _launch(self, config: Config) -> Any:
        meta = {name: int(value or 0) for name, value in config.meta}
        return self._kernel[self._grid.launch(meta)](
            *self._tensors, *self._grid.scalars, **launch_options(self._grid, config)
        )
