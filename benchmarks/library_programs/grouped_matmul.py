"""Grouped matmul: consecutive rows of A belong to groups, each with a matrix of its own.

As many blocks as the card has multiprocessors go through the tiles of all groups.
"""

import torch
import triton
import triton.language as tl


@triton.autotune(
    configs=[
        triton.Config({"BLOCK_M": 128, "BLOCK_N": 128, "BLOCK_K": 32}, num_stages=4, num_warps=8),
        triton.Config({"BLOCK_M": 64, "BLOCK_N": 128, "BLOCK_K": 64}, num_stages=3, num_warps=4),
        triton.Config({"BLOCK_M": 64, "BLOCK_N": 64, "BLOCK_K": 64}, num_stages=4, num_warps=4),
    ],
    key=["N", "K", "GROUPS"],
)
@triton.jit
def _grouped_matmul_kernel(
    a_ptr,
    b_ptr,
    c_ptr,
    group_ends_ptr,
    N,
    K,
    stride_am,
    stride_bg,
    stride_bk,
    stride_cm,
    GROUPS: tl.constexpr,
    NUM_SMS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    tile = tl.program_id(0)
    done = 0
    row_start = 0
    n_tiles = tl.cdiv(N, BLOCK_N)
    offs_k = tl.arange(0, BLOCK_K)
    for group in range(GROUPS):
        row_end = tl.load(group_ends_ptr + group)
        tiles = tl.cdiv(row_end - row_start, BLOCK_M) * n_tiles
        while tile >= done and tile < done + tiles:
            in_group = tile - done
            offs_m = row_start + (in_group // n_tiles) * BLOCK_M + tl.arange(0, BLOCK_M)
            offs_n = (in_group % n_tiles) * BLOCK_N + tl.arange(0, BLOCK_N)
            m_mask = offs_m[:, None] < row_end
            n_mask = offs_n[None, :] < N
            a_ptrs = a_ptr + offs_m[:, None].to(tl.int64) * stride_am + offs_k[None, :]
            b_ptrs = b_ptr + group.to(tl.int64) * stride_bg
            b_ptrs += offs_k[:, None] * stride_bk + offs_n[None, :]
            acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
            for k in range(0, K, BLOCK_K):
                a = tl.load(a_ptrs, mask=m_mask & (offs_k[None, :] < K - k), other=0.0)
                b = tl.load(b_ptrs, mask=(offs_k[:, None] < K - k) & n_mask, other=0.0)
                acc = tl.dot(a, b, acc)
                a_ptrs += BLOCK_K
                b_ptrs += BLOCK_K * stride_bk
            c_ptrs = c_ptr + offs_m[:, None].to(tl.int64) * stride_cm + offs_n[None, :]
            tl.store(c_ptrs, acc.to(c_ptr.dtype.element_ty), mask=m_mask & n_mask)
            tile += NUM_SMS
        done += tiles
        row_start = row_end


def grouped_matmul(a, b, group_ends):
    """Rows `group_ends[g - 1] : group_ends[g]` of a [rows, K], times b[g] of [groups, K, N].

    The last end is the number of rows.
    """
    rows, k = a.shape
    groups, _, n = b.shape
    c = torch.empty((rows, n), device=a.device, dtype=a.dtype)
    num_sms = torch.cuda.get_device_properties(a.device).multi_processor_count
    _grouped_matmul_kernel[(num_sms,)](
        a,
        b,
        c,
        group_ends,
        n,
        k,
        a.stride(0),
        b.stride(0),
        b.stride(1),
        c.stride(0),
        GROUPS=groups,
        NUM_SMS=num_sms,
    )
    return c
