"""Histogram of integers: each block counts its share and adds its counts with atomics."""

import torch
import triton
import triton.language as tl


@triton.autotune(
    configs=[
        triton.Config({"BLOCK": 1024}, num_warps=4),
        triton.Config({"BLOCK": 2048}, num_warps=4),
        triton.Config({"BLOCK": 4096}, num_warps=8),
    ],
    key=["n", "BINS_PADDED"],
    reset_to_zero=["counts_ptr"],
)
@triton.jit
def _histogram_kernel(x_ptr, counts_ptr, n, bins, BINS_PADDED: tl.constexpr, BLOCK: tl.constexpr):
    offsets = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask, other=0).to(tl.int32)
    counts = tl.histogram(x, BINS_PADDED, mask=mask & (x >= 0) & (x < bins))
    slots = tl.arange(0, BINS_PADDED)
    tl.atomic_add(counts_ptr + slots, counts, mask=(slots < bins) & (counts > 0), sem="relaxed")


def histogram(x: torch.Tensor, bins: int) -> torch.Tensor:
    """How often each of the numbers below `bins` occurs; others are not counted."""
    counts = torch.zeros(bins, dtype=torch.int32, device=x.device)
    n = x.numel()
    grid = lambda meta: (triton.cdiv(n, meta["BLOCK"]),)
    _histogram_kernel[grid](x, counts, n, bins, BINS_PADDED=triton.next_power_of_2(bins))
    return counts
