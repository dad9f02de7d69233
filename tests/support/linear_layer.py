"""A linear layer in strict float32: a program whose host transposes the weight in each call.

`PROGRAM` is what rewrites of products are tried on. The kernel is tiled over rows
and columns, by strides that it is given.
"""

KERNEL = "linear_kernel"
ORDER = """\
    block_row = tl.program_id(0)
    block_column = tl.program_id(1)
"""
STEP = """\
        total += tl.dot(x, w, allow_tf32=False)
"""
COPY = "weight = self.weight.t().contiguous()"
PROGRAM = (
    """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def linear_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr,
    rows, columns, depth,
    x_row, x_depth, w_depth, w_column,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):
"""
    + ORDER
    + """\
    row = block_row * ROWS + tl.arange(0, ROWS)
    column = block_column * COLUMNS + tl.arange(0, COLUMNS)
    step = tl.arange(0, DEPTH)
    x_at = x_ptr + row[:, None] * x_row + step[None, :] * x_depth
    w_at = w_ptr + step[:, None] * w_depth + column[None, :] * w_column
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for start in range(0, depth, DEPTH):
        inside = step < depth - start
        x = tl.load(x_at, mask=(row < rows)[:, None] & inside[None, :], other=0.0)
        w = tl.load(w_at, mask=inside[:, None] & (column < columns)[None, :], other=0.0)
"""
    + STEP
    + """\
        x_at += DEPTH * x_depth
        w_at += DEPTH * w_depth
    bias = tl.load(bias_ptr + column, mask=column < columns, other=0.0)
    kept = (row < rows)[:, None] & (column < columns)[None, :]
    tl.store(y_ptr + row[:, None] * columns + column[None, :], total + bias[None, :], mask=kept)


class ModelNew(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.randn(outputs))

    def forward(self, x):
        rows, depth = x.shape
        columns = self.weight.shape[0]
        """
    + COPY
    + """
        y = torch.empty((rows, columns), device=x.device, dtype=torch.float32)
        grid = (triton.cdiv(rows, 32), triton.cdiv(columns, 16))
        linear_kernel[grid](
            x, weight, self.bias, y,
            rows, columns, depth,
            x.stride(0), x.stride(1), weight.stride(0), weight.stride(1),
            ROWS=32, COLUMNS=16, DEPTH=16,
        )
        return y
"""
)
"""rows × inputs → rows × outputs; `ModelNew(inputs, outputs)`."""
