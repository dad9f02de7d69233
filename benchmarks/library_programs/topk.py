"""The k largest of each row with their places, for small k: the largest is taken k times."""

import torch
import triton
import triton.language as tl


@triton.jit
def _topk_kernel(
    x_ptr,
    values_ptr,
    indices_ptr,
    x_row_stride,
    n_cols,
    K: tl.constexpr,
    K_PADDED: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK_N)
    x = tl.load(x_ptr + row * x_row_stride + cols, mask=cols < n_cols, other=-float("inf"))
    x = x.to(tl.float32)
    slots = tl.arange(0, K_PADDED)
    values = tl.full([K_PADDED], -float("inf"), tl.float32)
    indices = tl.zeros([K_PADDED], tl.int32)
    for k in tl.static_range(K):
        value, index = tl.max(x, axis=0, return_indices=True)
        values = tl.where(slots == k, value, values)
        indices = tl.where(slots == k, index, indices)
        x = tl.where(cols == index, -float("inf"), x)
    mask = slots < K
    tl.store(values_ptr + row * K + slots, values.to(values_ptr.dtype.element_ty), mask=mask)
    tl.store(indices_ptr + row * K + slots, indices.to(tl.int64), mask=mask)


def topk(x: torch.Tensor, k: int):
    """Values and indices of the `k` largest along the last dimension, largest first."""
    assert k <= 32, "for larger k sort the rows"
    rows = x.reshape(-1, x.shape[-1]).contiguous()
    n_rows, n_cols = rows.shape
    values = torch.empty((n_rows, k), dtype=x.dtype, device=x.device)
    indices = torch.empty((n_rows, k), dtype=torch.int64, device=x.device)
    block = triton.next_power_of_2(n_cols)
    _topk_kernel[(n_rows,)](
        rows,
        values,
        indices,
        rows.stride(0),
        n_cols,
        K=k,
        K_PADDED=triton.next_power_of_2(k),
        BLOCK_N=block,
        num_warps=min(max(block // 256, 1), 16),
    )
    shape = (*x.shape[:-1], k)
    return values.view(shape), indices.view(shape)
