"""Programs that add up outer products, each written in another way, with the inputs they take."""

from __future__ import annotations

HEAD = """
import torch
import torch.nn as nn
import triton
import triton.language as tl

"""

PRODUCT = (
    HEAD
    + """
@triton.jit
def product(a_ptr, b_ptr, y_ptr, M, N, K: tl.constexpr,
            BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for k in range(K):
        a = tl.load(a_ptr + rows * K + k, mask=rows < M, other=0.0)
        b = tl.load(b_ptr + k * N + cols, mask=cols < N, other=0.0)
        acc += a[:, None] * b[None, :]
    at = rows[:, None] * N + cols[None, :]
    tl.store(y_ptr + at, acc, mask=(rows[:, None] < M) & (cols[None, :] < N))


class ModelNew(nn.Module):
    def forward(self, a, b):
        M, K = a.shape
        N = b.shape[1]
        y = torch.empty((M, N), device=a.device, dtype=a.dtype)
        grid = (triton.cdiv(M, 16), triton.cdiv(N, 32))
        product[grid](a, b, y, M, N, K, BLOCK_M=16, BLOCK_N=32)
        return y
"""
)

SWAPPED = PRODUCT.replace("acc += a[:, None] * b[None, :]", "acc = b[None, :] * a[:, None] + acc")
"""The row first, and the sum behind the product."""

NO_NAMES = PRODUCT.replace(
    "acc += a[:, None] * b[None, :]", "acc += (a * 0.5)[:, None] * b[None, :].to(tl.float32)"
)
"""Operands that are worked out where they stand."""

PLANE = (
    HEAD
    + """
@triton.jit
def plane(x_ptr, w_ptr, y_ptr, P, H, W, F, OH, OW, C: tl.constexpr, R: tl.constexpr,
          S: tl.constexpr, TP: tl.constexpr, TF: tl.constexpr):
    p = tl.program_id(0) * TP + tl.arange(0, TP)
    f = tl.program_id(1) * TF + tl.arange(0, TF)
    n = p // (OH * OW)
    oy = p // OW % OH
    ox = p % OW
    total = tl.zeros([TP, TF], tl.float32)
    for c in tl.static_range(C):
        # one row of taps
        for r in range(0, R):
            y = oy + r - 1
            high = (y >= 0) & (y < H)
            for s in range(0, S, 1):
                x = ox + s - 1
                ok = (p < P) & high & (x >= 0) & (x < W)
                v = tl.load(x_ptr + ((n * C + c) * H + y) * W + x, mask=ok, other=0.0)
                w = tl.load(w_ptr + ((f * C + c) * R + r) * S + s, f < F, 0.0)  # the tap
                total += v[:, None] * w[None, :]
    at = ((n[:, None] * F + f[None, :]) * OH + oy[:, None]) * OW + ox[:, None]
    tl.store(y_ptr + at, total, mask=(p[:, None] < P) & (f[None, :] < F))


class ModelNew(nn.Module):
    def __init__(self, channels, filters):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(filters, channels, 3, 2))

    def forward(self, x):
        N, C, H, W = x.shape
        F, _, R, S = self.weight.shape
        OH, OW = H + 2 - R + 1, W + 2 - S + 1
        y = torch.empty((N, F, OH, OW), device=x.device, dtype=x.dtype)
        P = N * OH * OW
        grid = (triton.cdiv(P, 32), triton.cdiv(F, 16))
        plane[grid](x, self.weight, y, P, H, W, F, OH, OW, C, R, S, TP=32, TF=16)
        return y
"""
)

VOLUME = (
    HEAD
    + """
@triton.jit
def volume(x_ptr, w_ptr, g_ptr, y_ptr, P, D, H, W, F, OD, OH, OW, C: tl.constexpr,
           A: tl.constexpr, R: tl.constexpr, S: tl.constexpr, TP: tl.constexpr, TF: tl.constexpr):
    p = (tl.program_id(0) * TP + tl.arange(0, TP))[:, None]
    f = tl.program_id(1) * TF + tl.arange(0, TF)
    col = f[None, :]
    n = p // (OD * OH * OW)
    od = p // (OH * OW) % OD
    oh = p // OW % OH
    ow = p % OW
    acc = tl.zeros((TP, TF), dtype=tl.float32)
    for c in range(C):
        gain = tl.load(g_ptr + c)
        for a in tl.static_range(A):
            for r in tl.static_range(R):
                for s in tl.static_range(S):
                    at = ((n * C + c) * D + od + a) * H + oh + r
                    x = tl.load(x_ptr + at * W + ow + s, mask=p < P, other=0.0)
                    w = tl.load(w_ptr + (((col * C + c) * A + a) * R + r) * S + s, mask=col < F,
                                other=0.0)
                    w1 = w * gain
                    acc = acc + x * w1
    out = (((n * F + col) * OD + od) * OH + oh) * OW + ow
    tl.store(y_ptr + out, acc, mask=(p < P) & (col < F))


class ModelNew(nn.Module):
    def __init__(self, channels, filters):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(filters, channels, 2, 1, 2))
        self.gain = nn.Parameter(torch.randn(channels))

    def forward(self, x):
        N, C, D, H, W = x.shape
        F, _, A, R, S = self.weight.shape
        OD, OH, OW = D - A + 1, H - R + 1, W - S + 1
        y = torch.empty((N, F, OD, OH, OW), device=x.device, dtype=x.dtype)
        P = N * OD * OH * OW
        grid = (triton.cdiv(P, 16), triton.cdiv(F, 16))
        volume[grid](x, self.weight, self.gain, y, P, D, H, W, F, OD, OH, OW, C, A, R, S,
                     TP=16, TF=16)
        return y
"""
)

STEPPED = PRODUCT.replace(
    "    for k in range(K):\n", "    for k0 in range(0, K, 16):\n        for k1 in range(16):\n"
)
STEPPED = STEPPED.replace("        a = tl.", "            k = k0 + k1\n            a = tl.")
STEPPED = STEPPED.replace("        b = tl.", "            b = tl.").replace(
    "        acc +=", "            acc +="
)
"""A matrix product in blocks of the sum; K is a multiple of the block."""
