import torch
import triton
import triton.language as tl


def _row_norm(src, dst, cols, eps, WIDTH: tl.constexpr, num_warps: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, WIDTH)
    x = tl.load(src + row * cols + at, mask=at < cols, other=0.0)
    scale = 1.0 / tl.sqrt(tl.sum(x * x, 0) / cols + eps)
    tl.store(dst + row * cols + at, x * scale, mask=at < cols)


RULES = {
    "WIDTH": lambda args: triton.next_power_of_2(args["cols"]),
    "num_warps": lambda args: 4 if args["cols"] <= 2048 else 8,
}
row_norm = triton.heuristics(RULES)(triton.jit(_row_norm))


class ModelNew(torch.nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        rows, cols = x.shape
        row_norm[(rows,)](x, out, cols, 1e-6)
        return out
