"""A request document of our own, whose parts each test may replace."""

from __future__ import annotations

from collections.abc import Callable

import pytest

GPU = """# Target GPU
GPU Name: RTX 3090
Architecture: Ampere
• Compute Capability: 8.6
• Number of SMs: 82
• Memory Bandwidth: 936 GB/s
• FP16 Tensor Core TFLOPS: 71.2 with dense
• Shared memory capacity per SM: 100 KB
• L2 cache (global, all SM shared): 6 MB
• Cooling: two fans
"""

STAGE = """[OPTIMIZATION STAGE]

## Current Optimization Stage

Focus: Final micro-tuning.

Params:
- num_warps ∈ {2,4,8,16}
- num_stages ∈ {2,3,4}

Rules:
- Change num_stages by ±1 only
- Do NOT modify grid or BLOCK sizes
- Sing while you work

Autotune:
- 3–6 nearby configs
- Revert if gain <1–2% or unstable
"""

PROGRAM = """import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def double_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y_ptr + at, 2 * tl.load(x_ptr + at, mask=at < n), mask=at < n)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        double_kernel[(triton.cdiv(x.numel(), 256),)](x, y, x.numel(), BLOCK=256)
        return y
"""

METRICS = """{
  "double_kernel": {
    "launch__grid_size": 4096,
    "dram__throughput.avg.pct_of_peak_sustained_elapsed": 91.5,
    "lts__t_sector_hit_rate.pct": null
  }
}
"""

CLOSING = """**Task**: Make it faster.

TRITON API CONSTRAINTS (CRITICAL):
- There is no tl.tanh

OUTPUT RULES (STRICT):
1. Follow this exact order:
   1. Imports: torch, torch.nn, triton, triton.language as tl
   2. @triton.jit decorated kernel function(s)
   3. Wrapper function(s) for grid calculation and kernel launch
   4. class ModelNew(nn.Module) that calls your kernels
2. Do NOT include: testing code, if __name__

```python
# <optimized Triton code>
```
"""


def _document(
    *,
    gpu: str = GPU,
    stage: str = STAGE,
    program: str = PROGRAM,
    metrics: str = METRICS,
    between: str = "",
    closing: str = CLOSING,
) -> str:
    code = f"[CURRENT CODE]\n```python\n{program}```\n" if program else ""
    profile = f"[NCU PROFILING METRICS]\n{metrics}" if metrics else ""
    parts = ("You write kernels.\n", gpu, stage, between, code, profile, closing)
    return "\n".join(part for part in parts if part)


@pytest.fixture(scope="session")
def document() -> Callable[..., str]:
    """Writes a whole request; each part can be given, or left out with an empty string."""
    return _document


@pytest.fixture(scope="session")
def program() -> str:
    return PROGRAM
