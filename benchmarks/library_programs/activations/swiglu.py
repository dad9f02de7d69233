"""SwiGLU: silu(gate) * up, and its gradients."""

import torch
import triton
import triton.language as tl

from ._utils import calculate_settings, silu


@triton.jit
def _swiglu_forward_kernel(
    gate_ptr, up_ptr, out_ptr, stride, n_cols: tl.constexpr, BLOCK_SIZE: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    cols = tl.program_id(1) * BLOCK_SIZE + tl.arange(0, BLOCK_SIZE)
    mask = cols < n_cols
    gate = tl.load(gate_ptr + row * stride + cols, mask=mask, other=0).to(tl.float32)
    up = tl.load(up_ptr + row * stride + cols, mask=mask, other=0)
    out = silu(gate).cast(up.dtype) * up
    tl.store(out_ptr + row * stride + cols, out, mask=mask)


@triton.jit
def _swiglu_backward_kernel(
    dout_ptr, gate_ptr, up_ptr, stride, n_cols: tl.constexpr, BLOCK_SIZE: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    cols = tl.program_id(1) * BLOCK_SIZE + tl.arange(0, BLOCK_SIZE)
    mask = cols < n_cols
    dout = tl.load(dout_ptr + row * stride + cols, mask=mask, other=0).to(tl.float32)
    gate = tl.load(gate_ptr + row * stride + cols, mask=mask, other=0).to(tl.float32)
    up = tl.load(up_ptr + row * stride + cols, mask=mask, other=0).to(tl.float32)
    sig = tl.sigmoid(gate)
    act = gate * sig
    dup = dout * act
    dgate = dout * up * (sig + act * (1 - sig))
    # The inputs are not needed any more: their memory takes the gradients.
    tl.store(gate_ptr + row * stride + cols, dgate, mask=mask)
    tl.store(up_ptr + row * stride + cols, dup, mask=mask)


def swiglu(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """`silu(gate) * up` for tensors of one shape."""
    shape = gate.shape
    n_cols = shape[-1]
    gate, up = gate.reshape(-1, n_cols), up.reshape(-1, n_cols)
    out = torch.empty_like(gate)
    block, num_warps = calculate_settings(n_cols)
    grid = (gate.shape[0], triton.cdiv(n_cols, block))
    _swiglu_forward_kernel[grid](
        gate,
        up,
        out,
        out.stride(-2),
        n_cols=n_cols,
        BLOCK_SIZE=block,
        num_warps=num_warps,
    )
    return out.view(shape)


def swiglu_backward(dout: torch.Tensor, gate: torch.Tensor, up: torch.Tensor):
    """Gradients of gate and up, written over them."""
    n_cols = dout.shape[-1]
    flat = dout.reshape(-1, n_cols)
    block, num_warps = calculate_settings(n_cols)
    grid = (flat.shape[0], triton.cdiv(n_cols, block))
    _swiglu_backward_kernel[grid](
        flat,
        gate,
        up,
        flat.stride(-2),
        n_cols=n_cols,
        BLOCK_SIZE=block,
        num_warps=num_warps,
    )
    return gate, up
