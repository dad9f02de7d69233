"""Block-sparse by dense matmul: the blocks of A are in compressed rows."""

import torch
import triton
import triton.language as tl


@triton.autotune(
    configs=[
        triton.Config({"BLOCK_N": 64}, num_stages=3, num_warps=4),
        triton.Config({"BLOCK_N": 128}, num_stages=3, num_warps=4),
        triton.Config({"BLOCK_N": 128}, num_stages=4, num_warps=8),
    ],
    key=["N", "BLOCK"],
)
@triton.jit
def _block_sparse_kernel(
    values_ptr,
    row_offsets_ptr,
    columns_ptr,
    b_ptr,
    c_ptr,
    N,
    stride_vb,
    stride_vm,
    stride_vk,
    stride_bk,
    stride_bn,
    stride_cm,
    stride_cn,
    BLOCK: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    row = tl.program_id(0)
    pid_n = tl.program_id(1)
    offs = tl.arange(0, BLOCK)
    offs_n = pid_n * BLOCK_N + tl.arange(0, BLOCK_N)
    n_mask = offs_n[None, :] < N
    start = tl.load(row_offsets_ptr + row)
    end = tl.load(row_offsets_ptr + row + 1)
    acc = tl.zeros((BLOCK, BLOCK_N), dtype=tl.float32)
    tile = offs[:, None] * stride_vm + offs[None, :] * stride_vk
    for index in range(start, end):
        column = tl.load(columns_ptr + index)
        a = tl.load(values_ptr + index.to(tl.int64) * stride_vb + tile)
        b_rows = column * BLOCK + offs
        b = tl.load(
            b_ptr + b_rows[:, None] * stride_bk + offs_n[None, :] * stride_bn,
            mask=n_mask,
            other=0.0,
        )
        acc = tl.dot(a, b, acc)
    rows = row * BLOCK + offs
    tl.store(
        c_ptr + rows[:, None] * stride_cm + offs_n[None, :] * stride_cn,
        acc.to(c_ptr.dtype.element_ty),
        mask=n_mask,
    )


def block_sparse_matmul(values, row_offsets, columns, b):
    """values [blocks, BLOCK, BLOCK], row_offsets [rows + 1], columns [blocks], b [K, N]."""
    block = values.shape[1]
    block_rows = row_offsets.numel() - 1
    n = b.shape[1]
    c = torch.empty((block_rows * block, n), device=b.device, dtype=b.dtype)
    grid = lambda meta: (block_rows, triton.cdiv(n, meta["BLOCK_N"]))
    _block_sparse_kernel[grid](
        values,
        row_offsets,
        columns,
        b,
        c,
        n,
        *values.stride(),
        *b.stride(),
        *c.stride(),
        BLOCK=block,
    )
    return c
