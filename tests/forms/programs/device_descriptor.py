from typing import Optional

import torch
import triton
import triton.language as tl


def scratch(size: int, alignment: int, stream: Optional[int]):
    return torch.empty(size, device="cuda", dtype=torch.int8)


@triton.jit
def copy_scaled(src, dst, rows, cols, factor, R: tl.constexpr, C: tl.constexpr):
    source = tl.make_tensor_descriptor(
        src, shape=[rows, cols], strides=[cols, 1], block_shape=[R, C]
    )
    target = tl.make_tensor_descriptor(
        dst, shape=[rows, cols], strides=[cols, 1], block_shape=[R, C]
    )
    r, c = tl.program_id(0) * R, tl.program_id(1) * C
    target.store([r, c], source.load([r, c]) * factor)


class ModelNew(torch.nn.Module):
    def forward(self, x):
        triton.set_allocator(scratch)
        out = torch.empty_like(x)
        rows, cols = x.shape
        copy_scaled[(triton.cdiv(rows, 32), triton.cdiv(cols, 64))](
            x, out, rows, cols, 2.0, R=32, C=64
        )
        return out
