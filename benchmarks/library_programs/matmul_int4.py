"""Matmul of float16 by int4 weights, which the kernel unpacks: eight to an int32, with groups."""

import torch
import triton
import triton.language as tl


@triton.autotune(
    configs=[
        triton.Config({"BLOCK_M": 16, "BLOCK_N": 64, "BLOCK_K": 64}, num_stages=4, num_warps=4),
        triton.Config({"BLOCK_M": 16, "BLOCK_N": 128, "BLOCK_K": 64}, num_stages=4, num_warps=4),
        triton.Config({"BLOCK_M": 32, "BLOCK_N": 64, "BLOCK_K": 64}, num_stages=3, num_warps=4),
        triton.Config({"BLOCK_M": 64, "BLOCK_N": 64, "BLOCK_K": 64}, num_stages=3, num_warps=4),
        triton.Config({"BLOCK_M": 64, "BLOCK_N": 128, "BLOCK_K": 32}, num_stages=3, num_warps=4),
        triton.Config({"BLOCK_M": 128, "BLOCK_N": 128, "BLOCK_K": 32}, num_stages=3, num_warps=8),
    ],
    key=["M", "N", "K"],
)
@triton.jit
def _int4_matmul_kernel(
    a_ptr,
    qweight_ptr,
    scales_ptr,
    zeros_ptr,
    c_ptr,
    M,
    N,
    K,
    stride_am,
    stride_ak,
    stride_qk,
    stride_qn,
    stride_sg,
    stride_sn,
    stride_zg,
    stride_zn,
    stride_cm,
    stride_cn,
    GROUP_SIZE: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    pid_n = tl.program_id(0)
    pid_m = tl.program_id(1)
    offs_m = pid_m * BLOCK_M + tl.arange(0, BLOCK_M)
    offs_n = pid_n * BLOCK_N + tl.arange(0, BLOCK_N)
    offs_k = tl.arange(0, BLOCK_K)
    n_mask = offs_n < N
    a_ptrs = a_ptr + offs_m[:, None] * stride_am + offs_k[None, :] * stride_ak
    q_ptrs = qweight_ptr + (offs_k[:, None] // 8) * stride_qk + offs_n[None, :] * stride_qn
    shift = (offs_k % 8) * 4
    zero_shift = (offs_n % 8) * 4
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for k in range(0, K, BLOCK_K):
        a = tl.load(a_ptrs, mask=(offs_m[:, None] < M) & (k + offs_k[None, :] < K), other=0.0)
        q = tl.load(q_ptrs, mask=(k + offs_k[:, None] < K) & n_mask[None, :], other=0)
        group = k // GROUP_SIZE
        scale = tl.load(scales_ptr + group * stride_sg + offs_n * stride_sn, mask=n_mask, other=0.0)
        packed_zero = tl.load(
            zeros_ptr + group * stride_zg + (offs_n // 8) * stride_zn, mask=n_mask, other=0
        )
        zero = (packed_zero >> zero_shift) & 0xF
        weight = ((q >> shift[:, None]) & 0xF) - zero[None, :]
        weight = (weight.to(tl.float32) * scale[None, :].to(tl.float32)).to(a.dtype)
        acc = tl.dot(a, weight, acc)
        a_ptrs += BLOCK_K * stride_ak
        q_ptrs += (BLOCK_K // 8) * stride_qk
    c_ptrs = c_ptr + offs_m[:, None] * stride_cm + offs_n[None, :] * stride_cn
    tl.store(c_ptrs, acc.to(c_ptr.dtype.element_ty), mask=(offs_m[:, None] < M) & n_mask[None, :])


def int4_matmul(x, qweight, scales, qzeros):
    """`x @ weight` with weight `(q - zero) * scale`.

    x [..., K] float16; qweight [K / 8, N] int32, scales [groups, N] float16, qzeros
    [groups, N / 8] int32.
    """
    flat = x.reshape(-1, x.shape[-1])
    m, k = flat.shape
    n = qweight.shape[1]
    group_size = k // scales.shape[0]
    out = torch.empty((m, n), device=x.device, dtype=x.dtype)
    grid = lambda meta: (triton.cdiv(n, meta["BLOCK_N"]), triton.cdiv(m, meta["BLOCK_M"]))
    _int4_matmul_kernel[grid](
        flat,
        qweight,
        scales,
        qzeros,
        out,
        m,
        n,
        k,
        flat.stride(0),
        flat.stride(1),
        qweight.stride(0),
        qweight.stride(1),
        scales.stride(0),
        scales.stride(1),
        qzeros.stride(0),
        qzeros.stride(1),
        out.stride(0),
        out.stride(1),
        GROUP_SIZE=group_size,
    )
    return out.view(*x.shape[:-1], n)
