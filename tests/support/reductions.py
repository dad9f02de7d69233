"""Programs with a reduction whose index is taken apart, each written in another way.

All are one model, `ModelNew(channels, filters)`, and keep its weights' names and shapes.
"""

from __future__ import annotations

HEAD = """
import torch
import torch.nn as nn
import triton
import triton.language as tl

"""

PLANE = (
    HEAD
    + """
@triton.jit
def plane(src, ker, dst, batch, C, H, W, F, R, S, OH, OW, pad,
          TM: tl.constexpr, TF: tl.constexpr, TK: tl.constexpr):
    # one tile of positions, one of filters
    m = tl.program_id(0) * TM + tl.arange(0, TM)
    f = tl.program_id(1) * TF + tl.arange(0, TF)
    n = m // (OH * OW)
    y = (m // OW) % OH
    x = m % OW
    alive = m < batch * OH * OW
    total = C * R * S
    acc = tl.zeros((TM, TF), dtype=tl.float32)
    for k0 in range(0, total, TK):  # the sum
        k = k0 + tl.arange(0, TK)
        inside = k < total
        c = k // (R * S)
        r = (k // S) % R
        s = k % S
        yy = y[:, None] + r[None, :] - pad
        xx = x[:, None] + s[None, :] - pad
        ok = (yy >= 0) & (yy < H) & (xx >= 0) & (xx < W)
        a = tl.load(src + ((n[:, None] * C + c[None, :]) * H + yy) * W + xx,
                    mask=alive[:, None] & inside[None, :] & ok, other=0.0)
        b = tl.load(ker + f[None, :] * total + k[:, None],
                    mask=inside[:, None] & (f[None, :] < F), other=0.0)
        acc += tl.dot(a, b, input_precision="ieee")
    at = ((n[:, None] * F + f[None, :]) * OH + y[:, None]) * OW + x[:, None]
    tl.store(dst + at, acc, mask=alive[:, None] & (f[None, :] < F))


class ModelNew(nn.Module):
    def __init__(self, channels, filters):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(filters, channels, 3, 2))

    def forward(self, x):
        weight = self.weight
        N, C, H, W = x.shape
        F, _, R, S = weight.shape
        OH, OW = H + 2 - R + 1, W + 2 - S + 1
        out = torch.empty((N, F, OH, OW), device=x.device, dtype=x.dtype)
        grid = (triton.cdiv(N * OH * OW, 16), triton.cdiv(F, 16))
        plane[grid](x, weight, out, N, C, H, W, F, R, S, OH, OW, 1, TM=16, TF=16, TK=16)
        return out
"""
)

LINE = (
    HEAD
    + """
@triton.jit
def line(signal_ptr, taps_ptr, out_ptr, B, CH, LEN, FIL, TAPS, OUT,
         sb, sc, tf, tc, tt,
         BLOCK_T: tl.constexpr, BLOCK_F: tl.constexpr, BLOCK_R: tl.constexpr):
    b = tl.program_id(2)
    t = tl.program_id(0) * BLOCK_T + tl.arange(0, BLOCK_T)[None, :]
    f = tl.program_id(1) * BLOCK_F + tl.arange(0, BLOCK_F)
    lanes = tl.arange(0, BLOCK_R)
    rows = taps_ptr + f[:, None] * tf
    acc = tl.zeros((BLOCK_F, BLOCK_T), dtype=tl.float32)
    for step in range(tl.cdiv(CH * TAPS, BLOCK_R)):
        r = step * BLOCK_R + lanes
        channel = r // TAPS
        tap = r - channel * TAPS
        valid = channel < CH
        w = tl.load(rows + channel[None, :] * tc + tap[None, :] * tt,
                    mask=(f[:, None] < FIL) & valid[None, :], other=0.0)
        v = tl.load(signal_ptr + b * sb + channel[:, None] * sc + t + tap[:, None],
                    mask=valid[:, None] & (t < OUT), other=0.0)
        acc = tl.dot(w, v, acc, input_precision="ieee")
    tl.store(out_ptr + (b * FIL + f[:, None]) * OUT + t, acc, mask=(f[:, None] < FIL) & (t < OUT))


def convolve(signal, taps):
    signal = signal.contiguous()
    B, CH, LEN = signal.shape
    FIL, TAPS = taps.shape[0], taps.shape[2]
    OUT = LEN - TAPS + 1
    out = torch.empty((B, FIL, OUT), device=signal.device, dtype=signal.dtype)
    grid = lambda meta: (triton.cdiv(OUT, 16), triton.cdiv(FIL, 16), B)
    line[grid](
        signal,
        taps,
        out,
        B, CH, LEN, FIL, TAPS, OUT,
        signal.stride(0), signal.stride(1),
        taps.stride(0), taps.stride(1), taps.stride(2),
        BLOCK_T=16,
        BLOCK_F=16,
        BLOCK_R=16,
    )
    return out


class ModelNew(nn.Module):
    def __init__(self, channels, filters):
        super().__init__()
        self.taps = nn.Parameter(torch.randn(filters, channels, 5))

    def forward(self, x):
        return convolve(x, self.taps)
"""
)

SOLID = (
    HEAD
    + '''
@triton.autotune(
    configs=[triton.Config({"BM": 16, "BN": 16, "BK": 16}, num_warps=4, num_stages=2)],
    key=["P"],
)
@triton.jit
def solid(x_ptr, w_ptr, y_ptr, P, CIN, D, H, W, COUT, KD, KH, KW, OD, OH, OW, K,
          BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    p = tl.program_id(0) * BM + tl.arange(0, BM)
    o = tl.program_id(1) * BN + tl.arange(0, BN)
    p_ok = p < P
    q = p
    ow = q % OW
    q = q // OW
    oh = q % OH
    q = q // OH
    od = q % OD
    image = q // OD
    kept = tl.zeros((BM, BN), dtype=tl.float32)
    done = 0
    while done < K:
        at = done + tl.arange(0, BK)
        at_ok = at < K
        ic = at // (KD * KH * KW)
        rest = at % (KD * KH * KW)
        kd = rest // (KH * KW)
        rest = rest % (KH * KW)
        kh = rest // KW
        kw = rest % KW
        plane = (image[:, None] * CIN + ic[None, :]) * D + od[:, None] + kd[None, :]
        offset = (plane * H + oh[:, None] + kh[None, :]) * W + ow[:, None] + kw[None, :]
        xs = tl.load(x_ptr + offset, mask=p_ok[:, None] & at_ok[None, :], other=0.0)
        walk = (((ic * COUT)[:, None] + o[None, :]) * KD + kd[:, None]) * KH + kh[:, None]
        ws = tl.load(w_ptr + walk * KW + kw[:, None],
                     mask=at_ok[:, None] & (o < COUT)[None, :], other=0.0)
        kept += tl.dot(xs, ws, input_precision="ieee")
        done += BK
    to = (((image[:, None] * COUT + o[None, :]) * OD + od[:, None]) * OH + oh[:, None]) * OW
    tl.store(y_ptr + to + ow[:, None], kept, mask=p_ok[:, None] & (o < COUT)[None, :])


class ModelNew(nn.Module):
    """The weight has its input channels first."""

    def __init__(self, channels, filters):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, filters, 2, 3, 2))

    def forward(self, x):
        N, CIN, D, H, W = x.shape
        CIN, COUT, KD, KH, KW = self.weight.shape
        OD, OH, OW = D - KD + 1, H - KH + 1, W - KW + 1
        y = torch.empty((N, COUT, OD, OH, OW), device=x.device, dtype=x.dtype)
        P = N * OD * OH * OW
        grid = lambda meta: (triton.cdiv(P, meta["BM"]), triton.cdiv(COUT, meta["BN"]))
        solid[grid](x, self.weight, y, P, CIN, D, H, W, COUT, KD, KH, KW, OD, OH, OW,
                    CIN * KD * KH * KW)
        return y
'''
)

SHAPES = {"plane": (7, 6), "line": (41,), "solid": (4, 5, 6)}
PROGRAMS = {"plane": PLANE, "line": LINE, "solid": SOLID}
