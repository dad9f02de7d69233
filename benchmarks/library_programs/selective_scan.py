"""State-space scan whose matrices depend on the input: one pass along the sequence."""

import torch
import triton
import triton.language as tl


@triton.heuristics(
    {
        "HAS_D": lambda args: args["D"] is not None,
        "BLOCK_STATE": lambda args: triton.next_power_of_2(args["dstate"]),
    }
)
@triton.jit
def _selective_scan_kernel(
    u_ptr,
    delta_ptr,
    A,
    B,
    C,
    D,
    y_ptr,
    last_state_ptr,
    dim,
    seqlen,
    dstate,
    stride_ub,
    stride_ud,
    stride_ad,
    stride_bb,
    stride_bl,
    stride_sb,
    stride_sd,
    DELTA_SOFTPLUS: tl.constexpr,
    HAS_D: tl.constexpr,
    BLOCK_STATE: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    batch = tl.program_id(1).to(tl.int64)
    offs_d = tl.program_id(0) * BLOCK_D + tl.arange(0, BLOCK_D)
    offs_n = tl.arange(0, BLOCK_STATE)
    d_mask = offs_d < dim
    n_mask = offs_n < dstate
    mask = d_mask[:, None] & n_mask[None, :]
    a = tl.load(A + offs_d[:, None] * stride_ad + offs_n[None, :], mask=mask, other=0.0)
    a = a.to(tl.float32)
    rows = batch * stride_ub + offs_d * stride_ud
    state = tl.zeros([BLOCK_D, BLOCK_STATE], dtype=tl.float32)
    skip = tl.zeros([BLOCK_D], dtype=tl.float32)
    if HAS_D:
        skip = tl.load(D + offs_d, mask=d_mask, other=0.0).to(tl.float32)
    for t in range(seqlen):
        u = tl.load(u_ptr + rows + t, mask=d_mask, other=0.0).to(tl.float32)
        delta = tl.load(delta_ptr + rows + t, mask=d_mask, other=0.0).to(tl.float32)
        if DELTA_SOFTPLUS:
            delta = tl.where(delta <= 20.0, tl.log(1.0 + tl.exp(delta)), delta)
        step = batch * stride_bb + t * stride_bl + offs_n
        b = tl.load(B + step, mask=n_mask, other=0.0).to(tl.float32)
        c = tl.load(C + step, mask=n_mask, other=0.0).to(tl.float32)
        state = state * tl.exp(delta[:, None] * a) + (delta * u)[:, None] * b[None, :]
        y = tl.sum(state * c[None, :], axis=1)
        if HAS_D:
            y += skip * u
        tl.store(y_ptr + rows + t, y, mask=d_mask)
    offs_state = batch * stride_sb + offs_d[:, None] * stride_sd + offs_n[None, :]
    tl.store(last_state_ptr + offs_state, state, mask=mask)


def selective_scan(u, delta, A, B, C, D=None, delta_softplus=True):
    """u and delta [batch, dim, length], A [dim, state], B and C [batch, length, state], D [dim].

    Returns the outputs, as u, and the last state [batch, dim, state] in float32.
    """
    batch, dim, seqlen = u.shape
    dstate = A.shape[1]
    u, delta = u.contiguous(), delta.contiguous()
    y = torch.empty_like(u)
    last = torch.empty((batch, dim, dstate), dtype=torch.float32, device=u.device)
    grid = lambda meta: (triton.cdiv(dim, meta["BLOCK_D"]), batch)
    _selective_scan_kernel[grid](
        u,
        delta,
        A,
        B,
        C,
        D,
        y,
        last,
        dim,
        seqlen,
        dstate,
        u.stride(0),
        u.stride(1),
        A.stride(0),
        B.stride(0),
        B.stride(1),
        last.stride(0),
        last.stride(1),
        DELTA_SOFTPLUS=delta_softplus,
        BLOCK_D=32,
        num_warps=2,
    )
    return y, last
