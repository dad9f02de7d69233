import torch
import triton
import triton.language as tl


@triton.jit
def rotate(q, cos, sin, seq, heads, HALF: tl.constexpr, num_warps: tl.constexpr = 4):
    token = tl.program_id(0)
    head = tl.program_id(1)
    at = tl.arange(0, HALF)
    base = (token * heads + head) * (2 * HALF)
    c = tl.load(cos + (token % seq) * HALF + at)
    s = tl.load(sin + (token % seq) * HALF + at)
    first = tl.load(q + base + at)
    second = tl.load(q + base + HALF + at)
    tl.store(q + base + at, first * c - second * s)
    tl.store(q + base + HALF + at, second * c + first * s)


class ModelNew(torch.nn.Module):
    def forward(self, q, cos, sin):
        batch, seq, heads, width = q.shape
        rotate[(batch * seq, heads)](q, cos, sin, seq, heads, HALF=width // 2)
        return q
