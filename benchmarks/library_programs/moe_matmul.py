"""Matmul of a mixture of experts: tokens sorted by expert, each expert's share padded to blocks."""

import torch
import triton
import triton.language as tl


@triton.jit
def _moe_matmul_kernel(
    a_ptr,
    b_ptr,
    c_ptr,
    topk_weights_ptr,
    sorted_token_ids_ptr,
    expert_ids_ptr,
    num_tokens_post_padded_ptr,
    N,
    K,
    num_valid_tokens,
    stride_am,
    stride_ak,
    stride_be,
    stride_bk,
    stride_bn,
    stride_cm,
    stride_cn,
    MUL_ROUTED_WEIGHT: tl.constexpr,
    top_k: tl.constexpr,
    BLOCK_SIZE_M: tl.constexpr,
    BLOCK_SIZE_N: tl.constexpr,
    BLOCK_SIZE_K: tl.constexpr,
    GROUP_SIZE_M: tl.constexpr,
):
    pid = tl.program_id(axis=0)
    num_tokens_post_padded = tl.load(num_tokens_post_padded_ptr)
    num_pid_m = tl.cdiv(num_tokens_post_padded, BLOCK_SIZE_M)
    num_pid_n = tl.cdiv(N, BLOCK_SIZE_N)
    num_pid_in_group = GROUP_SIZE_M * num_pid_n
    group_id = pid // num_pid_in_group
    first_pid_m = group_id * GROUP_SIZE_M
    group_size_m = min(num_pid_m - first_pid_m, GROUP_SIZE_M)
    # The grid is made for the most blocks that there can be; the rest have nothing to do.
    if first_pid_m >= num_pid_m:
        return
    pid_m = first_pid_m + ((pid % num_pid_in_group) % group_size_m)
    pid_n = (pid % num_pid_in_group) // group_size_m

    offs_token_id = pid_m * BLOCK_SIZE_M + tl.arange(0, BLOCK_SIZE_M)
    offs_token = tl.load(sorted_token_ids_ptr + offs_token_id).to(tl.int64)
    token_mask = offs_token < num_valid_tokens
    expert = tl.load(expert_ids_ptr + pid_m).to(tl.int64)
    offs_n = pid_n * BLOCK_SIZE_N + tl.arange(0, BLOCK_SIZE_N)
    offs_bn = offs_n % N
    offs_k = tl.arange(0, BLOCK_SIZE_K)
    a_ptrs = a_ptr + (offs_token[:, None] // top_k) * stride_am + offs_k[None, :] * stride_ak
    b_ptrs = b_ptr + expert * stride_be
    b_ptrs += offs_k[:, None] * stride_bk + offs_bn[None, :] * stride_bn
    accumulator = tl.zeros((BLOCK_SIZE_M, BLOCK_SIZE_N), dtype=tl.float32)
    for k in range(tl.cdiv(K, BLOCK_SIZE_K)):
        k_mask = offs_k < K - k * BLOCK_SIZE_K
        a = tl.load(a_ptrs, mask=token_mask[:, None] & k_mask[None, :], other=0.0)
        b = tl.load(b_ptrs, mask=k_mask[:, None], other=0.0)
        accumulator += tl.dot(a, b)
        a_ptrs += BLOCK_SIZE_K * stride_ak
        b_ptrs += BLOCK_SIZE_K * stride_bk
    if MUL_ROUTED_WEIGHT:
        weight = tl.load(topk_weights_ptr + offs_token, mask=token_mask, other=0)
        accumulator = accumulator * weight[:, None]
    c_ptrs = c_ptr + offs_token[:, None] * stride_cm + offs_n[None, :] * stride_cn
    c_mask = token_mask[:, None] & (offs_n[None, :] < N)
    tl.store(c_ptrs, accumulator.to(c_ptr.dtype.element_ty), mask=c_mask)


def _default_config(tokens, experts):
    """Launch options; few tokens an expert need few rows a block."""
    if tokens <= experts:
        return {
            "BLOCK_SIZE_M": 16,
            "BLOCK_SIZE_N": 64,
            "BLOCK_SIZE_K": 128,
            "GROUP_SIZE_M": 1,
            "num_warps": 4,
            "num_stages": 4,
        }
    return {
        "BLOCK_SIZE_M": 64,
        "BLOCK_SIZE_N": 128,
        "BLOCK_SIZE_K": 32,
        "GROUP_SIZE_M": 8,
        "num_warps": 4,
        "num_stages": 3,
    }


def align_tokens(topk_ids, block_size, num_experts):
    """Ids of (token, choice) sorted by expert, padded to blocks, and the expert of each block."""
    flat = topk_ids.flatten().to(torch.int64)
    total = flat.numel()
    limit = total + num_experts * (block_size - 1)
    limit = triton.cdiv(limit, block_size) * block_size
    counts = torch.zeros(num_experts, dtype=torch.int64, device=flat.device)
    counts.scatter_add_(0, flat, torch.ones_like(flat))
    padded = (counts + block_size - 1) // block_size * block_size
    padded_ends = padded.cumsum(0)
    order = torch.argsort(flat, stable=True)
    sorted_experts = flat[order]
    rank = torch.arange(total, device=flat.device) - (counts.cumsum(0) - counts)[sorted_experts]
    place = (padded_ends - padded)[sorted_experts] + rank
    sorted_ids = torch.full((limit,), total, dtype=torch.int32, device=flat.device)
    sorted_ids[place] = order.to(torch.int32)
    starts = torch.arange(0, limit, block_size, device=flat.device)
    expert_ids = torch.searchsorted(padded_ends, starts, right=True).clamp(max=num_experts - 1)
    return sorted_ids, expert_ids.to(torch.int32), padded_ends[-1:].to(torch.int32)


def moe_matmul(a, b, topk_weights, topk_ids, mul_routed_weight=True):
    """For each token and each of its experts: `a[token] @ b[expert].T`, times the expert's weight.

    a [tokens, K], b [experts, N, K], topk_weights and topk_ids [tokens, top_k];
    returns [tokens, top_k, N].
    """
    tokens, k = a.shape
    experts, n, _ = b.shape
    top_k = topk_ids.shape[1]
    config = _default_config(tokens, experts)
    sorted_ids, expert_ids, padded = align_tokens(topk_ids, config["BLOCK_SIZE_M"], experts)
    c = torch.empty((tokens, top_k, n), device=a.device, dtype=a.dtype)
    grid = lambda meta: (
        triton.cdiv(sorted_ids.shape[0], meta["BLOCK_SIZE_M"])
        * triton.cdiv(n, meta["BLOCK_SIZE_N"]),
    )
    _moe_matmul_kernel[grid](
        a,
        b,
        c,
        topk_weights,
        sorted_ids,
        expert_ids,
        padded,
        n,
        k,
        tokens * top_k,
        a.stride(0),
        a.stride(1),
        b.stride(0),
        b.stride(2),
        b.stride(1),
        c.stride(1),
        c.stride(2),
        MUL_ROUTED_WEIGHT=mul_routed_weight,
        top_k=top_k,
        **config,
    )
    return c
