"""Batched matmul with a bias and an activation, batches in the third grid axis."""

import torch
import triton
import triton.language as tl


@triton.autotune(
    configs=[
        triton.Config({"TILE_M": 32, "TILE_N": 32, "TILE_K": 32, "GROUP": 1}, num_warps=4),
        triton.Config({"TILE_M": 64, "TILE_N": 64, "TILE_K": 32, "GROUP": 2}, num_warps=4),
        triton.Config(
            {"TILE_M": 128, "TILE_N": 64, "TILE_K": 32, "GROUP": 2}, num_warps=4, num_stages=3
        ),
        triton.Config(
            {"TILE_M": 128, "TILE_N": 128, "TILE_K": 32, "GROUP": 4}, num_warps=8, num_stages=3
        ),
    ],
    key=["M", "N", "K"],
)
@triton.heuristics(
    {
        "DIVISIBLE_M": lambda args: args["M"] % args["TILE_M"] == 0,
        "DIVISIBLE_N": lambda args: args["N"] % args["TILE_N"] == 0,
        "DIVISIBLE_K": lambda args: args["K"] % args["TILE_K"] == 0,
    }
)
@triton.jit
def _bmm_kernel(
    A,
    B,
    O,
    M,
    N,
    K,
    stride_ab,
    stride_am,
    stride_ak,
    stride_bb,
    stride_bk,
    stride_bn,
    stride_ob,
    stride_om,
    stride_on,
    TILE_M: tl.constexpr,
    TILE_N: tl.constexpr,
    TILE_K: tl.constexpr,
    GROUP: tl.constexpr,
    DIVISIBLE_M: tl.constexpr,
    DIVISIBLE_N: tl.constexpr,
    DIVISIBLE_K: tl.constexpr,
):
    batch = tl.program_id(2).to(tl.int64)
    A += batch * stride_ab
    B += batch * stride_bb
    O += batch * stride_ob
    pid_m, pid_n = tl.swizzle2d(
        tl.program_id(0), tl.program_id(1), tl.num_programs(0), tl.num_programs(1), GROUP
    )
    offs_m = pid_m * TILE_M + tl.arange(0, TILE_M)
    offs_n = pid_n * TILE_N + tl.arange(0, TILE_N)
    offs_k = tl.arange(0, TILE_K)
    mask_m = offs_m[:, None] < M
    mask_n = offs_n[None, :] < N
    a_ptrs = A + offs_m[:, None] * stride_am + offs_k[None, :] * stride_ak
    b_ptrs = B + offs_k[:, None] * stride_bk + offs_n[None, :] * stride_bn
    acc = tl.zeros((TILE_M, TILE_N), dtype=tl.float32)
    for k in range(0, K, TILE_K):
        if DIVISIBLE_K and DIVISIBLE_M:
            a = tl.load(a_ptrs)
        else:
            a = tl.load(a_ptrs, mask=mask_m & (k + offs_k[None, :] < K), other=0.0)
        if DIVISIBLE_K and DIVISIBLE_N:
            b = tl.load(b_ptrs)
        else:
            b = tl.load(b_ptrs, mask=(k + offs_k[:, None] < K) & mask_n, other=0.0)
        acc += tl.dot(a, b, allow_tf32=False)
        a_ptrs += TILE_K * stride_ak
        b_ptrs += TILE_K * stride_bk
    o_ptrs = O + offs_m[:, None] * stride_om + offs_n[None, :] * stride_on
    if DIVISIBLE_M and DIVISIBLE_N:
        tl.store(o_ptrs, acc)
    else:
        tl.store(o_ptrs, acc, mask=mask_m & mask_n)


def bmm(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """`a @ b` for a [batch, M, K] and b [batch, K, N] with any strides."""
    batch, m, k = a.shape
    n = b.shape[2]
    out = torch.empty((batch, m, n), dtype=a.dtype, device=a.device)
    grid = lambda meta: (
        triton.cdiv(m, meta["TILE_M"]),
        triton.cdiv(n, meta["TILE_N"]),
        batch,
    )
    _bmm_kernel[grid](a, b, out, m, n, k, *a.stride(), *b.stride(), *out.stride())
    return out
