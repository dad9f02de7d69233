"""Programs whose results hang on hooks, heuristics and filled memory: recorded ones have none.

Each is (program, problem), with small sizes.
"""

from __future__ import annotations

from textwrap import dedent

HEAD = "import torch\nimport torch.nn as nn\nimport triton\nimport triton.language as tl\n"

# A hook makes the output zero, which blocks of several ranges of rows then add to.
COLUMN_SUMS = HEAD + dedent(
    '''

    def clear(arguments):
        arguments["y_ptr"].zero_()


    @triton.autotune(
        configs=[
            triton.Config({"ROWS": 16, "COLUMNS": 64}, num_warps=4, pre_hook=clear),
            triton.Config({"ROWS": 32, "COLUMNS": 32}, num_warps=4, pre_hook=clear),
        ],
        key=["rows", "columns"],
    )
    @triton.jit
    def column_sums_kernel(x_ptr, gain_ptr, y_ptr, rows, columns, stride_row,
                           ROWS: tl.constexpr, COLUMNS: tl.constexpr):
        at_row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
        at_column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
        inside = (at_row[:, None] < rows) & (at_column[None, :] < columns)
        at = x_ptr + at_row[:, None] * stride_row + at_column[None, :]
        x = tl.load(at, mask=inside, other=0.0)
        gain = tl.load(gain_ptr + at_column, mask=at_column < columns, other=0.0)
        total = tl.sum(x * x, axis=0) * gain
        tl.atomic_add(y_ptr + at_column, total, mask=at_column < columns)


    def column_sums(x, gain):
        rows, columns = x.shape
        y = torch.empty((columns,), device=x.device, dtype=x.dtype)
        grid = lambda META: (triton.cdiv(rows, META["ROWS"]), triton.cdiv(columns, META["COLUMNS"]))
        column_sums_kernel[grid](x, gain, y, rows, columns, x.stride(0))
        return y


    class ModelNew(nn.Module):
        def __init__(self, columns=100):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(columns))

        def forward(self, x):
            return column_sums(x, self.gain)
    '''
)  # fmt: skip
COLUMN_SUMS_PROBLEM = dedent(
    """
    import torch
    import torch.nn as nn


    class Model(nn.Module):
        def __init__(self, columns):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(columns))

        def forward(self, x):
            return (x * x).sum(dim=0) * self.gain


    def get_init_inputs():
        return [100]


    def get_inputs():
        return [torch.randn(90, 100)]
    """
)

# A heuristic says whether the last tile of the inner axis is whole.
LINEAR = HEAD + dedent(
    """

    @triton.heuristics({"EVEN": lambda arguments: arguments["k"] % arguments["INNER"] == 0})
    @triton.jit
    def linear_kernel(x_ptr, w_ptr, bias_ptr, y_ptr, m, n, k, stride_x, stride_w, stride_y,
                      TILE: tl.constexpr, INNER: tl.constexpr, EVEN: tl.constexpr):
        rows = tl.program_id(0) * TILE + tl.arange(0, TILE)
        columns = tl.program_id(1) * TILE + tl.arange(0, TILE)
        acc = tl.zeros((TILE, TILE), dtype=tl.float32)
        for step in range(0, tl.cdiv(k, INNER)):
            inner = step * INNER + tl.arange(0, INNER)
            x_at = x_ptr + rows[:, None] * stride_x + inner[None, :]
            w_at = w_ptr + columns[None, :] * stride_w + inner[:, None]
            if EVEN:
                x = tl.load(x_at, mask=rows[:, None] < m, other=0.0)
                w = tl.load(w_at, mask=columns[None, :] < n, other=0.0)
            else:
                inside = inner < k
                x = tl.load(x_at, mask=(rows[:, None] < m) & inside[None, :], other=0.0)
                w = tl.load(w_at, mask=(columns[None, :] < n) & inside[:, None], other=0.0)
            acc += tl.dot(x, w)
        bias = tl.load(bias_ptr + columns, mask=columns < n, other=0.0)
        y = tl.maximum(acc + bias[None, :], 0.0)
        inside = (rows[:, None] < m) & (columns[None, :] < n)
        tl.store(y_ptr + rows[:, None] * stride_y + columns[None, :], y, mask=inside)


    def linear(x, w, bias):
        m, k = x.shape
        n = w.shape[0]
        y = torch.empty((m, n), device=x.device, dtype=x.dtype)
        grid = (triton.cdiv(m, 32), triton.cdiv(n, 32))
        linear_kernel[grid](x, w, bias, y, m, n, k, x.stride(0), w.stride(0), y.stride(0),
                            TILE=32, INNER=32, num_warps=4)
        return y


    class ModelNew(nn.Module):
        def __init__(self, k=80, n=50):
            super().__init__()
            self.linear = nn.Linear(k, n)

        def forward(self, x):
            return linear(x, self.linear.weight, self.linear.bias)
    """
)
LINEAR_PROBLEM = dedent(
    """
    import torch
    import torch.nn as nn


    class Model(nn.Module):
        def __init__(self, k, n):
            super().__init__()
            self.linear = nn.Linear(k, n)

        def forward(self, x):
            return torch.relu(self.linear(x))


    def get_init_inputs():
        return [80, 50]


    def get_inputs():
        return [torch.randn(70, 80)]
    """
)

# Host code fills the memory that two kernels add to.
MOMENTS = HEAD + dedent(
    """

    @triton.jit
    def moments_kernel(x_ptr, sums_ptr, width, stride_row, BLOCK: tl.constexpr):
        row = tl.program_id(0)
        columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        inside = columns < width
        x = tl.load(x_ptr + row * stride_row + columns, mask=inside, other=0.0)
        tl.atomic_add(sums_ptr + row * 2, tl.sum(x, axis=0))
        tl.atomic_add(sums_ptr + row * 2 + 1, tl.sum(x * x, axis=0))


    @triton.jit
    def scale_kernel(x_ptr, sums_ptr, y_ptr, width, stride_row, eps, BLOCK: tl.constexpr):
        row = tl.program_id(0)
        columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        inside = columns < width
        mean = tl.load(sums_ptr + row * 2) / width
        square = tl.load(sums_ptr + row * 2 + 1) / width
        x = tl.load(x_ptr + row * stride_row + columns, mask=inside, other=0.0)
        y = (x - mean) * tl.rsqrt(square - mean * mean + eps)
        tl.store(y_ptr + row * stride_row + columns, y, mask=inside)


    def row_scale(x):
        rows, width = x.shape
        sums = torch.empty((rows, 2), device=x.device, dtype=torch.float32)
        sums.zero_()
        y = torch.empty_like(x)
        grid = (rows, triton.cdiv(width, 128))
        moments_kernel[grid](x, sums, width, x.stride(0), BLOCK=128)
        scale_kernel[grid](x, sums, y, width, x.stride(0), 1e-2, BLOCK=128)
        return y


    class ModelNew(nn.Module):
        def __init__(self):
            super().__init__()

        def forward(self, x):
            return row_scale(x)
    """
)
MOMENTS_PROBLEM = dedent(
    """
    import torch
    import torch.nn as nn


    class Model(nn.Module):
        def __init__(self):
            super().__init__()

        def forward(self, x):
            mean = x.mean(dim=-1, keepdim=True)
            square = (x * x).mean(dim=-1, keepdim=True)
            return (x - mean) * torch.rsqrt(square - mean * mean + 1e-2)


    def get_init_inputs():
        return []


    def get_inputs():
        return [torch.randn(60, 300)]
    """
)

HOOKED = {
    "column sums": (COLUMN_SUMS, COLUMN_SUMS_PROBLEM),
    "linear": (LINEAR, LINEAR_PROBLEM),
    "moments": (MOMENTS, MOMENTS_PROBLEM),
}
"""Name → (program, problem)."""
