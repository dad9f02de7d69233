"""Rows brought to mean 0 and spread 1 (layer norm), in many hands."""

from __future__ import annotations

from textwrap import dedent

from accuracy_trial import IMPORTS, changed

NORMED = IMPORTS + dedent(
    """
    @triton.jit
    def normed_kernel(x_ptr, w_ptr, b_ptr, y_ptr, width, eps, WIDTH: tl.constexpr):
        line = tl.program_id(0)
        place = tl.arange(0, WIDTH)
        inside = place < width
        x = tl.load(x_ptr + line * width + place, mask=inside, other=0.0)
        mean = tl.sum(x, axis=0) / width
        away = tl.where(inside, x - mean, 0.0)
        spread = tl.sqrt(tl.sum(away * away, axis=0) / width + eps)
        w = tl.load(w_ptr + place, mask=inside, other=0.0)
        b = tl.load(b_ptr + place, mask=inside, other=0.0)
        tl.store(y_ptr + line * width + place, away / spread * w + b, mask=inside)


    def normed(x, weight, bias, eps):
        x = x.contiguous()
        width = x.shape[-1]
        lines = x.numel() // width
        y = torch.empty_like(x)
        normed_kernel[(lines,)](
            x, weight, bias, y, width, eps, WIDTH=triton.next_power_of_2(width)
        )
        return y


    class ModelNew(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.norm = nn.LayerNorm(width)

        def forward(self, x):
            return normed(x, self.norm.weight, self.norm.bias, self.norm.eps)
    """
).lstrip("\n")
NORMED_PROBLEM = dedent(
    """
    import torch
    import torch.nn as nn


    class Model(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.norm = nn.LayerNorm(width)

        def forward(self, x):
            return self.norm(x)


    def get_inputs():
        return [torch.randn(4, 15, 300)]


    def get_init_inputs():
        return [300]
    """
).lstrip()
NORMED_KERNEL = NORMED[NORMED.index("@triton.jit") : NORMED.index("\n\ndef normed(")]
NORMED_LAUNCH = NORMED[NORMED.index("    normed_kernel[") : NORMED.index("    return y\n")]


def normed(kernels: str, *lines: str) -> str:
    """The norm with these kernels and these statements for the launch."""
    body = "".join(f"    {line}\n" for line in lines)
    kernels = dedent(kernels).strip("\n") + "\n"
    return changed(NORMED, (NORMED_KERNEL, kernels), (NORMED_LAUNCH, body))


WELFORD_HELPER = '''
    @triton.jit
    def joined(mean_a, square_a, count_a, mean_b, square_b, count_b):
        """Means, squares of distances and counts of two parts, of the whole."""
        count = count_a + count_b
        share = tl.where(count == 0.0, 0.0, count_b / tl.maximum(count, 1.0))
        step = mean_b - mean_a
        return mean_a + step * share, square_a + square_b + step * step * count_a * share, count
'''
WRITTEN = """
        for first in range(0, width, SIZE):
            place = first + tl.arange(0, SIZE)
            inside = place < width
            x = tl.load(x_ptr + start + place, mask=inside)
            w = tl.load(w_ptr + place, mask=inside)
            b = tl.load(b_ptr + place, mask=inside)
            tl.store(y_ptr + start + place, (x - mean) * scale * w + b, mask=inside)
"""
WELFORD = normed(
    WELFORD_HELPER
    + """

    @triton.jit
    def normed_kernel(x_ptr, w_ptr, b_ptr, y_ptr, width, eps, SIZE: tl.constexpr):
        start = tl.program_id(0) * width
        means = tl.zeros((SIZE,), tl.float32)
        squares = tl.zeros((SIZE,), tl.float32)
        counts = tl.zeros((SIZE,), tl.float32)
        for first in range(0, width, SIZE):
            place = first + tl.arange(0, SIZE)
            inside = place < width
            x = tl.load(x_ptr + start + place, mask=inside, other=0.0)
            counts += tl.where(inside, 1.0, 0.0)
            step = tl.where(inside, x - means, 0.0)
            means += step / tl.maximum(counts, 1.0)
            squares += tl.where(inside, step * (x - means), 0.0)
        mean, square, count = tl.reduce((means, squares, counts), 0, joined)
        scale = tl.rsqrt(square / count + eps)
"""
    + WRITTEN.lstrip("\n"),
    "normed_kernel[(lines,)](x, weight, bias, y, width, eps, SIZE=128)",
)
THREE_PASSES = normed(
    """
    @triton.jit
    def normed_kernel(x_ptr, w_ptr, b_ptr, y_ptr, width, eps, SIZE: tl.constexpr):
        start = tl.program_id(0) * width
        total = tl.zeros((SIZE,), tl.float32)
        for first in range(0, width, SIZE):
            place = first + tl.arange(0, SIZE)
            total += tl.load(x_ptr + start + place, mask=place < width, other=0.0)
        mean = tl.sum(total, axis=0) / width
        total = tl.zeros((SIZE,), tl.float32)
        for first in range(0, width, SIZE):
            place = first + tl.arange(0, SIZE)
            away = tl.load(x_ptr + start + place, mask=place < width, other=mean) - mean
            total += away * away
        scale = 1.0 / tl.sqrt(tl.sum(total, axis=0) / width + eps)
"""
    + WRITTEN.lstrip("\n"),
    "normed_kernel[(lines,)](x, weight, bias, y, width, eps, SIZE=128)",
)
FACTS_APART = normed(
    """
    @triton.jit
    def facts_kernel(x_ptr, mean_ptr, scale_ptr, width, eps, WIDTH: tl.constexpr):
        line = tl.program_id(0)
        place = tl.arange(0, WIDTH)
        x = tl.load(x_ptr + line * width + place, mask=place < width, other=0.0)
        mean = tl.sum(x, axis=0) / width
        away = tl.where(place < width, x - mean, 0.0)
        tl.store(mean_ptr + line, mean)
        tl.store(scale_ptr + line, tl.rsqrt(tl.sum(away * away, axis=0) / width + eps))


    @triton.jit
    def normed_kernel(x_ptr, w_ptr, b_ptr, mean_ptr, scale_ptr, y_ptr, width,
                      SIZE: tl.constexpr):
        line = tl.program_id(1)
        place = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
        inside = place < width
        x = tl.load(x_ptr + line * width + place, mask=inside)
        x = (x - tl.load(mean_ptr + line)) * tl.load(scale_ptr + line)
        x = tl.fma(x, tl.load(w_ptr + place, mask=inside), tl.load(b_ptr + place, mask=inside))
        tl.store(y_ptr + line * width + place, x, mask=inside)
    """,
    "mean, scale = torch.empty((2, lines), device=x.device, dtype=torch.float32)",
    "facts_kernel[(lines,)](x, mean, scale, width, eps, WIDTH=triton.next_power_of_2(width))",
    "normed_kernel[(triton.cdiv(width, 128), lines)](",
    "    x, weight, bias, mean, scale, y, width, SIZE=128",
    ")",
)
LINES_IN_BLOCKS = normed(
    """
    @triton.jit
    def normed_kernel(x_ptr, w_ptr, b_ptr, y_ptr, lines, width, eps,
                      LINES: tl.constexpr, WIDTH: tl.constexpr):
        place = tl.arange(0, WIDTH)
        w = tl.load(w_ptr + place, mask=place < width, other=0.0)[None, :]
        b = tl.load(b_ptr + place, mask=place < width, other=0.0)[None, :]
        for first in range(tl.program_id(0) * LINES, lines, tl.num_programs(0) * LINES):
            line = first + tl.arange(0, LINES)
            inside = (line < lines)[:, None] & (place < width)[None, :]
            at = line[:, None] * width + place[None, :]
            x = tl.load(x_ptr + at, mask=inside, other=0.0)
            mean = tl.sum(x, axis=1, keep_dims=True) / width
            away = tl.where(place[None, :] < width, x - mean, 0.0)
            scale = tl.rsqrt(tl.sum(away * away, axis=1, keep_dims=True) / width + eps)
            tl.store(y_ptr + at, away * scale * w + b, mask=inside)
    """,
    "blocks = min(triton.cdiv(lines, 4), 64)",
    "WIDTH = triton.next_power_of_2(width)",
    "normed_kernel[(blocks,)](x, weight, bias, y, lines, width, eps, LINES=4, WIDTH=WIDTH)",
)
SHIFTED_SUMS = normed(
    """
    @triton.jit
    def normed_kernel(x_ptr, w_ptr, b_ptr, y_ptr, width, eps, SIZE: tl.constexpr):
        start = tl.program_id(0) * width
        shift = tl.load(x_ptr + start)
        sums = tl.zeros((SIZE,), tl.float32)
        squares = tl.zeros((SIZE,), tl.float32)
        for first in range(0, width, SIZE):
            place = first + tl.arange(0, SIZE)
            x = tl.load(x_ptr + start + place, mask=place < width, other=0.0)
            x = tl.where(place < width, x - shift, 0.0)
            sums += x
            squares += x * x
        near = tl.sum(sums, axis=0) / width
        square = tl.sum(squares, axis=0) / width - near * near
        mean = shift + near
        scale = tl.rsqrt(tl.maximum(square, 0.0) + eps)
"""
    + WRITTEN.lstrip("\n"),
    "normed_kernel[(lines,)](x, weight, bias, y, width, eps, SIZE=128)",
)
FLAGGED = changed(
    NORMED,
    ("WIDTH: tl.constexpr):", "WIDTH: tl.constexpr,\n                  HAS_BIAS: tl.constexpr):"),
    ("    b = tl.load(b_ptr + place, mask=inside, other=0.0)\n", ""),
    ("    tl.store(y_ptr + line * width + place, away / spread * w + b, mask=inside)\n",
     "    y = away / spread * w\n    if HAS_BIAS:\n"
     "        y += tl.load(b_ptr + place, mask=inside, other=0.0)\n"
     "    tl.store(y_ptr + line * width + place, y, mask=inside)\n"),
    ("WIDTH=triton.next_power_of_2(width)\n",
     "WIDTH=triton.next_power_of_2(width),\n        HAS_BIAS=bias is not None,\n"),
)  # fmt: skip
TUNED_NORM = changed(
    NORMED,
    ("@triton.jit", "def few_warps(configs, given, **meta):\n    if meta['WIDTH'] >= 4096:\n"
     "        return [c for c in configs if c.num_warps >= 8]\n"
     "    return [c for c in configs if c.num_warps < 8]\n\n\n"
     "@triton.autotune(\n    configs=[\n        triton.Config({}, num_warps=2),\n"
     "        triton.Config({}, num_warps=4),\n        triton.Config({}, num_warps=8),\n    ],\n"
     "    key=['width'],\n    prune_configs_by={'early_config_prune': few_warps},\n)\n"
     "@triton.jit"),
)  # fmt: skip
WIDTHS_OF_DEVICE = changed(
    NORMED,
    ("    width = x.shape[-1]\n",
     "    width = x.shape[-1]\n    SIZE = min(65536 // x.element_size(), "
     "triton.next_power_of_2(width))\n    if width > SIZE:\n"
     "        raise RuntimeError('lines that long do not fit into one block')\n"
     "    warps = min(max(SIZE // 256, 1), 8)\n"),
    ("WIDTH=triton.next_power_of_2(width)\n", "WIDTH=SIZE, num_warps=warps\n"),
)  # fmt: skip
HELD_IN_FUNCTION = changed(
    NORMED,
    ("return normed(x, self.norm.weight, self.norm.bias, self.norm.eps)",
     "return Normed.apply(x, self.norm.weight, self.norm.bias, self.norm.eps)"),
    ("class ModelNew",
     "class Normed(torch.autograd.Function):\n    @staticmethod\n"
     "    def forward(ctx, x, weight, bias, eps):\n        y = normed(x, weight, bias, eps)\n"
     "        ctx.save_for_backward(x, weight)\n        ctx.eps = eps\n        return y\n\n\n"
     "class ModelNew"),
)  # fmt: skip

NORMED_VARIANTS = {
    "Welford, parts joined by a reduction": WELFORD,
    "three passes": THREE_PASSES,
    "facts in a kernel of their own": FACTS_APART,
    "lines in blocks, persistent": LINES_IN_BLOCKS,
    "shifted sums": SHIFTED_SUMS,
    "a flag for the bias": FLAGGED,
    "tuned and pruned by width": TUNED_NORM,
    "width checked by the host": WIDTHS_OF_DEVICE,
    "an autograd function around": HELD_IN_FUNCTION,
}
