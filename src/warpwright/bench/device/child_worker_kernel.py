"""Inside a worker: a kernel of our own, to see that Triton, its compiler and the GPU work."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator]
def fill_kernel(target, count, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # noqa: N803
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(target + offsets, offsets.to(tl.float32), mask=offsets < count)


def fill(target: Any) -> None:
    """Write 0, 1, 2, … into a contiguous float32 CUDA tensor."""
    count = target.numel()
    fill_kernel[(triton.cdiv(count, 256),)](target, count, BLOCK=256)
