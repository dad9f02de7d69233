"""Embedding bag: sum or mean of the table's rows that each bag names."""

import torch
import triton
import triton.language as tl


def _launch_options(dim):
    """Block of columns and warps for rows of `dim` elements."""
    block = min(triton.next_power_of_2(dim), 1024)
    return {"BLOCK_D": block, "num_warps": max(1, min(8, block // 128))}


@triton.jit
def _embedding_bag_kernel(
    out_ptr,
    weight_ptr,
    indices_ptr,
    offsets_ptr,
    per_sample_ptr,
    n_bags,
    n_indices,
    dim,
    weight_stride,
    MEAN: tl.constexpr,
    WEIGHTED: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    bag = tl.program_id(0)
    cols = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    mask = cols < dim
    start = tl.load(offsets_ptr + bag)
    end = tl.load(offsets_ptr + bag + 1, mask=bag + 1 < n_bags, other=n_indices)
    acc = tl.zeros([BLOCK_D], dtype=tl.float32)
    for i in range(start, end):
        index = tl.load(indices_ptr + i).to(tl.int64)
        row = tl.load(weight_ptr + index * weight_stride + cols, mask=mask, other=0.0)
        if WEIGHTED:
            acc += row.to(tl.float32) * tl.load(per_sample_ptr + i).to(tl.float32)
        else:
            acc += row.to(tl.float32)
    if MEAN:
        acc = acc / tl.maximum(end - start, 1).to(tl.float32)
    tl.store(out_ptr + bag.to(tl.int64) * dim + cols, acc, mask=mask)


def embedding_bag(weight, indices, offsets, mode="sum", per_sample_weights=None):
    """One row for each bag; bag b has `indices[offsets[b] : offsets[b + 1]]`."""
    if mode not in ("sum", "mean"):
        raise ValueError(f"mode is sum or mean, not {mode}")
    bags, dim = offsets.numel(), weight.shape[1]
    out = torch.empty((bags, dim), dtype=weight.dtype, device=weight.device)
    grid = lambda meta: (bags, triton.cdiv(dim, meta["BLOCK_D"]))
    _embedding_bag_kernel[grid](
        out,
        weight,
        indices,
        offsets,
        per_sample_weights,
        bags,
        indices.numel(),
        dim,
        weight.stride(0),
        MEAN=mode == "mean",
        WEIGHTED=per_sample_weights is not None,
        **_launch_options(dim),
    )
    return out
