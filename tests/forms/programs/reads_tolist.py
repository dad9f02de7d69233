import torch
import triton
import triton.language as tl


@triton.jit
def segment_mean(src, dst, first, length, cols, ROWS: tl.constexpr, COLS: tl.constexpr):
    c = tl.program_id(0) * COLS + tl.arange(0, COLS)
    total = tl.zeros((COLS,), dtype=tl.float32)
    for start in range(0, length, ROWS):
        r = start + tl.arange(0, ROWS)
        inside = (r[:, None] < length) & (c[None, :] < cols)
        total += tl.sum(
            tl.load(src + (first + r[:, None]) * cols + c[None, :], mask=inside, other=0.0), 0
        )
    tl.store(dst + c, total / length, mask=c < cols)


class ModelNew(torch.nn.Module):
    def forward(self, x, offsets):
        bounds = offsets.tolist()
        cols = x.shape[1]
        out = torch.empty((len(bounds) - 1, cols), device=x.device, dtype=x.dtype)
        for i, (first, last) in enumerate(zip(bounds[:-1], bounds[1:])):
            segment_mean[(triton.cdiv(cols, 64),)](
                x, out[i], first, last - first, cols, ROWS=16, COLS=64
            )
        return out
