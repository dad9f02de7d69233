"""Cross-entropy of a linear layer without the matrix of all logits: in chunks of tokens.

The logits of a chunk are overwritten with their gradients as soon as the loss is known.
"""

import torch
import triton
import triton.language as tl

MAX_BLOCK = 32768


@triton.jit
def _cross_entropy_kernel(
    logits_ptr,
    logits_stride,
    target_ptr,
    loss_ptr,
    n_cols,
    n_non_ignore,
    ignore_index,
    BLOCK_SIZE: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    logits_ptr += row * logits_stride
    if target == ignore_index:
        for start in range(0, n_cols, BLOCK_SIZE):
            cols = start + tl.arange(0, BLOCK_SIZE)
            tl.store(logits_ptr + cols, 0.0, mask=cols < n_cols)
        tl.store(loss_ptr + row, 0.0)
        return
    largest = float("-inf")
    total = 0.0
    target_logit = tl.load(logits_ptr + target).to(tl.float32)
    for start in range(0, n_cols, BLOCK_SIZE):
        cols = start + tl.arange(0, BLOCK_SIZE)
        x = tl.load(logits_ptr + cols, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        new = tl.maximum(largest, tl.max(x))
        total = total * tl.exp(largest - new) + tl.sum(tl.exp(x - new))
        largest = new
    for start in range(0, n_cols, BLOCK_SIZE):
        cols = start + tl.arange(0, BLOCK_SIZE)
        x = tl.load(logits_ptr + cols, mask=cols < n_cols, other=float("-inf")).to(tl.float32)
        gradient = tl.exp(x - largest) / total
        gradient = tl.where(cols == target, gradient - 1.0, gradient) / n_non_ignore
        tl.store(logits_ptr + cols, gradient, mask=cols < n_cols)
    loss = largest + tl.log(total) - target_logit
    tl.store(loss_ptr + row, loss / n_non_ignore)


def fused_linear_cross_entropy(hidden, weight, target, ignore_index=-100):
    """Mean loss of `hidden @ weight.T`, and the gradients of hidden and weight."""
    tokens, features = hidden.shape
    vocabulary = weight.shape[0]
    block = min(MAX_BLOCK, triton.next_power_of_2(vocabulary))
    chunks = triton.cdiv(vocabulary, features)
    chunk = triton.next_power_of_2(triton.cdiv(tokens, chunks))
    grad_hidden = torch.empty_like(hidden)
    grad_weight = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
    loss = torch.zeros(tokens, dtype=torch.float32, device=hidden.device)
    counted = (target != ignore_index).sum().item()
    for start in range(0, tokens, chunk):
        end = min(start + chunk, tokens)
        part = hidden[start:end]
        logits = part @ weight.t()
        _cross_entropy_kernel[(end - start,)](
            logits,
            logits.stride(0),
            target[start:end],
            loss[start:end],
            vocabulary,
            counted,
            ignore_index,
            BLOCK_SIZE=block,
            num_warps=32 if block >= 16384 else 8,
        )
        grad_hidden[start:end] = logits @ weight
        grad_weight += (logits.t() @ part).to(torch.float32)
    return loss.sum(), grad_hidden, grad_weight.to(weight.dtype)
