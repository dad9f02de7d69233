"""A depthwise convolution and a chain of pointwise operations, in many hands."""

from __future__ import annotations

from textwrap import dedent

from accuracy_trial import IMPORTS, changed

DEPTHWISE = IMPORTS + dedent(
    """
    @triton.jit
    def depthwise_kernel(x_ptr, w_ptr, y_ptr, channels, height, width, size, padding,
                         high, wide, SIZE: tl.constexpr):
        plane = tl.program_id(1)
        channel = plane % channels
        at = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
        row, column = at // wide, at % wide
        total = tl.zeros((SIZE,), dtype=tl.float32)
        for i in range(size):
            for j in range(size):
                y, x = row + i - padding, column + j - padding
                inside = (y >= 0) & (y < height) & (x >= 0) & (x < width) & (at < high * wide)
                value = tl.load(x_ptr + (plane * height + y) * width + x, mask=inside, other=0.0)
                total += value * tl.load(w_ptr + (channel * size + i) * size + j)
        tl.store(y_ptr + plane * high * wide + at, total, mask=at < high * wide)


    class ModelNew(nn.Module):
        def __init__(self, channels, size, padding):
            super().__init__()
            self.conv = nn.Conv2d(
                channels, channels, size, padding=padding, groups=channels, bias=False
            )
            self.padding = padding

        def forward(self, x):
            x = x.contiguous()
            images, channels, height, width = x.shape
            size = self.conv.weight.shape[-1]
            high, wide = (n + 2 * self.padding - size + 1 for n in (height, width))
            out = torch.empty((images, channels, high, wide), device=x.device, dtype=x.dtype)
            grid = (triton.cdiv(high * wide, 128), images * channels)
            depthwise_kernel[grid](
                x, self.conv.weight, out, channels, height, width, size, self.padding,
                high, wide, SIZE=128,
            )
            return out
    """
).lstrip("\n")
DEPTHWISE_PROBLEM = dedent(
    """
    import torch
    import torch.nn as nn


    class Model(nn.Module):
        def __init__(self, channels, size, padding):
            super().__init__()
            self.conv = nn.Conv2d(
                channels, channels, size, padding=padding, groups=channels, bias=False
            )

        def forward(self, x):
            return self.conv(x)


    def get_inputs():
        return [torch.randn(2, 6, 24, 31)]


    def get_init_inputs():
        return [6, 3, 1]
    """
).lstrip()
DEPTHWISE_KERNEL = DEPTHWISE[DEPTHWISE.index("@triton.jit") : DEPTHWISE.index("\n\nclass ModelNew")]
DEPTHWISE_LAUNCH = DEPTHWISE[DEPTHWISE.index("        grid = ") : DEPTHWISE.index("        return")]


def depthwise(kernels: str, *lines: str) -> str:
    """The convolution with these kernels and these statements for the launch."""
    body = "".join(f"        {line}\n" for line in lines)
    kernels = dedent(kernels).strip("\n") + "\n"
    return changed(DEPTHWISE, (DEPTHWISE_KERNEL, kernels), (DEPTHWISE_LAUNCH, body))


STATIC_TAPS = changed(
    DEPTHWISE,
    ("width, size, padding,\n                     high, wide, SIZE: tl.constexpr",
     "width, padding,\n                     high, wide, size: tl.constexpr, SIZE: tl.constexpr"),
    ("for i in range(size)", "for i in tl.static_range(size)"),
    ("for j in range(size)", "for j in tl.static_range(size)"),
    ("width, size, self.padding", "width, self.padding"),
    ("SIZE=128", "size=size, SIZE=128"),
)  # fmt: skip
UNSIGNED_BORDERS = changed(
    DEPTHWISE,
    ("(y >= 0) & (y < height) & (x >= 0) & (x < width) & (at < high * wide)",
     "known & (y.to(tl.uint32, bitcast=True) < height) & (x.to(tl.uint32, bitcast=True) < width)"),
    ("    total = tl.zeros(", "    known = at < high * wide\n    total = tl.zeros("),
    ("total, mask=at < high * wide", "total, mask=known"),
)  # fmt: skip
IN_TILES = depthwise(
    """
    @triton.jit
    def depthwise_kernel(x_ptr, w_ptr, y_ptr, channels, height, width, size, padding,
                         high, wide, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
        plane = tl.program_id(2)
        row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)[:, None]
        column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
        source = x_ptr + plane * height * width
        weight = w_ptr + plane % channels * size * size
        total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
        for tap in range(size * size):
            y = row + tap // size - padding
            x = column + tap % size - padding
            inside = ((y >= 0) & (y < height)) & ((x >= 0) & (x < width))
            total += tl.load(weight + tap) * tl.load(source + y * width + x, inside, 0.0)
        kept = (row < high) & (column < wide)
        tl.store(y_ptr + (plane * high + row) * wide + column, total, kept)
    """,
    "ROWS, COLUMNS = 8, 32",
    "grid = (triton.cdiv(wide, COLUMNS), triton.cdiv(high, ROWS), images * channels)",
    "numbers = (channels, height, width, size, self.padding, high, wide)",
    "depthwise_kernel[grid](",
    "    x, self.conv.weight, out, *numbers, ROWS=ROWS, COLUMNS=COLUMNS, num_warps=2",
    ")",
)
PADDED_BY_HOST = changed(
    DEPTHWISE,
    ("(y >= 0) & (y < height) & (x >= 0) & (x < width) & (at < high * wide)", "at < high * wide"),
    ("            y, x = row + i - padding, column + j - padding\n",
     "            y, x = row + i, column + j\n"),
    ("width, size, padding,", "width, size,"),
    ("width, size, self.padding,", "width, size,"),
    ("        grid = ",
     "        height, width = height + 2 * self.padding, width + 2 * self.padding\n"
     "        x = torch.nn.functional.pad(x, (self.padding,) * 4)\n        grid = "),
)  # fmt: skip
CHANNELS_LAST = depthwise(
    """
    @triton.jit
    def depthwise_kernel(x_ptr, w_ptr, y_ptr, channels, height, width, size, padding,
                         high, wide, SPOTS: tl.constexpr, CHANNELS: tl.constexpr):
        at = tl.program_id(0) * SPOTS + tl.arange(0, SPOTS)[:, None]
        channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)[None, :]
        image = tl.program_id(2)
        row, column = at // wide, at % wide
        total = tl.zeros((SPOTS, CHANNELS), dtype=tl.float32)
        for i in range(size):
            y = row + i - padding
            for j in range(size):
                x = column + j - padding
                inside = (y >= 0) & (y < height) & (x >= 0) & (x < width) & (channel < channels)
                place = ((image * height + y) * width + x) * channels + channel
                value = tl.load(x_ptr + place, mask=inside, other=0.0)
                tap = tl.load(w_ptr + (i * size + j) * channels + channel,
                              mask=channel < channels, other=0.0)
                total += value * tap
        place = (image * high * wide + at) * channels + channel
        tl.store(y_ptr + place, total, mask=(at < high * wide) & (channel < channels))
    """,
    "last = x.permute(0, 2, 3, 1).contiguous()",
    "taps = self.conv.weight.view(channels, -1).t().contiguous()",
    "out = torch.empty((images, high, wide, channels), device=x.device, dtype=x.dtype)",
    "grid = lambda meta: (",
    "    triton.cdiv(high * wide, meta['SPOTS']), triton.cdiv(channels, meta['CHANNELS']), images",
    ")",
    "depthwise_kernel[grid](",
    "    last, taps, out, channels, height, width, size, self.padding, high, wide,",
    "    SPOTS=32, CHANNELS=8,",
    ")",
    "out = out.permute(0, 3, 1, 2)",
)
PLANES_BY_TURNS = changed(
    DEPTHWISE,
    ("    plane = tl.program_id(1)\n", ""),
    (DEPTHWISE_KERNEL[DEPTHWISE_KERNEL.index("    channel = ") :],
     "    for plane in range(tl.program_id(1), planes, tl.num_programs(1)):\n"
     + "".join(f"    {line}\n" for line in
               DEPTHWISE_KERNEL[DEPTHWISE_KERNEL.index("    channel = ") :].splitlines())),
    ("y_ptr, channels,", "y_ptr, planes, channels,"),
    ("out, channels,", "out, images * channels, channels,"),
    ("images * channels)\n", "min(images * channels, 8))\n"),
)  # fmt: skip
EMPTY_LIKE_OUT = changed(
    DEPTHWISE,
    ("out = torch.empty((images, channels, high, wide), device=x.device, dtype=x.dtype)",
     "if (high, wide) == (height, width):\n            out = torch.empty_like(x)\n"
     "        else:\n            out = x.new_empty((images, channels, high, wide))"),
)  # fmt: skip
DEPTHWISE_VARIANTS = {
    "static taps": STATIC_TAPS,
    "unsigned borders": UNSIGNED_BORDERS,
    "tiles of two dimensions": IN_TILES,
    "padded by the host": PADDED_BY_HOST,
    "channels last": CHANNELS_LAST,
    "planes by turns": PLANES_BY_TURNS,
    "memory by the sizes": EMPTY_LIKE_OUT,
}

CHAIN = IMPORTS + dedent(
    """
    @triton.jit
    def gate_kernel(x_ptr, mid_ptr, count, SIZE: tl.constexpr):
        at = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
        x = tl.load(x_ptr + at, mask=at < count)
        tl.store(mid_ptr + at, x / (1.0 + tl.exp(-x)), mask=at < count)


    @triton.jit
    def blend_kernel(mid_ptr, scale_ptr, x_ptr, y_ptr, count, width, SIZE: tl.constexpr):
        at = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
        mid = tl.load(mid_ptr + at, mask=at < count)
        scale = tl.load(scale_ptr + at % width, mask=at < count)
        x = tl.load(x_ptr + at, mask=at < count)
        tl.store(y_ptr + at, mid * scale + x, mask=at < count)


    class ModelNew(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.scale = nn.Parameter(torch.randn(width))

        def forward(self, x):
            x = x.contiguous()
            mid = torch.empty_like(x)
            y = torch.empty_like(x)
            count = x.numel()
            grid = (triton.cdiv(count, 256),)
            gate_kernel[grid](x, mid, count, SIZE=256)
            blend_kernel[grid](mid, self.scale, x, y, count, x.shape[-1], SIZE=256)
            return y
    """
).lstrip("\n")
CHAIN_PROBLEM = dedent(
    """
    import torch
    import torch.nn as nn


    class Model(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.scale = nn.Parameter(torch.randn(width))

        def forward(self, x):
            return nn.functional.silu(x) * self.scale + x


    def get_inputs():
        return [torch.randn(30, 7, 90)]


    def get_init_inputs():
        return [90]
    """
).lstrip()
CHAIN_LAUNCH = CHAIN[CHAIN.index("        gate_kernel[") : CHAIN.index("        return y")]
CHAIN_KERNELS = CHAIN[CHAIN.index("@triton.jit") : CHAIN.index("\n\nclass ModelNew")]

NAMED_DICT = changed(
    CHAIN,
    (CHAIN_LAUNCH,
     "        KERNELS['gate'][grid](x, mid, count, SIZE=256)\n"
     "        KERNELS['blend'][grid](mid, self.scale, x, y, count, x.shape[-1], SIZE=256)\n"),
    ("class ModelNew",
     "KERNELS = {'gate': gate_kernel, 'blend': blend_kernel}\n\n\nclass ModelNew"),
)  # fmt: skip
LOOP_OVER_LAUNCHES = changed(
    CHAIN,
    (CHAIN_LAUNCH,
     "        launches = [\n            (gate_kernel, (x, mid, count)),\n"
     "            (blend_kernel, (mid, self.scale, x, y, count, x.shape[-1])),\n        ]\n"
     "        for kernel, given in launches:\n            kernel[grid](*given, SIZE=256)\n"),
)  # fmt: skip
ONE_BUFFER = changed(
    CHAIN,
    ("        mid = torch.empty_like(x)\n", ""),
    ("x, mid, count", "x, y, count"),
    ("blend_kernel[grid](mid,", "blend_kernel[grid](y,"),
)
STRIDED_LOOP = changed(
    CHAIN,
    (CHAIN_KERNELS,
     dedent(
         """
         @triton.jit
         def gate_kernel(x_ptr, mid_ptr, count, SIZE: tl.constexpr):
             lanes = tl.arange(0, SIZE)
             for first in range(tl.program_id(0) * SIZE, count, tl.num_programs(0) * SIZE):
                 left = count - first
                 x = tl.load(x_ptr + first + lanes, mask=lanes < left)
                 tl.store(mid_ptr + first + lanes, x * tl.sigmoid(x), mask=lanes < left)


         @triton.jit
         def blend_kernel(mid_ptr, scale_ptr, x_ptr, y_ptr, lines, width, SIZE: tl.constexpr):
             place = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
             inside = place < width
             scale = tl.load(scale_ptr + place, mask=inside)
             for line in range(tl.program_id(1), lines, tl.num_programs(1)):
                 at = line * width + place
                 mid = tl.load(mid_ptr + at, mask=inside)
                 x = tl.load(x_ptr + at, mask=inside)
                 tl.store(y_ptr + at, tl.fma(mid, scale, x), mask=inside)
         """
     ).strip("\n") + "\n"),
    (CHAIN_LAUNCH,
     "        width = x.shape[-1]\n        lines = count // width\n"
     "        gate_kernel[(min(32, grid[0]),)](x, mid, count, SIZE=256)\n"
     "        across = (triton.cdiv(width, 64), min(lines, 40))\n"
     "        blend_kernel[across](mid, self.scale, x, y, lines, width, SIZE=64)\n"),
)  # fmt: skip
MASKS_NOT_NEEDED = changed(
    CHAIN,
    ("    scale = tl.load(scale_ptr + at % width, mask=at < count)\n",
     "    scale = tl.load(scale_ptr + at % width)\n"),
    ("    mid = tl.load(mid_ptr + at, mask=at < count)\n",
     "    mid = tl.load(mid_ptr + at, mask=at < count, other=0.0)\n"),
    ("    x = tl.load(x_ptr + at, mask=at < count)\n    tl.store(y_ptr",
     "    inside = at < count\n    x = tl.load(x_ptr + at, inside)\n    tl.store(y_ptr"),
    ("mid * scale + x, mask=at < count", "mid * scale + x, inside"),
)  # fmt: skip
HINTED = changed(
    CHAIN,
    ("    at = tl.program_id(0) * SIZE + tl.arange(0, SIZE)\n    x = ",
     "    at = tl.multiple_of(tl.program_id(0) * SIZE, SIZE) + tl.arange(0, SIZE)\n    x = "),
    ("x / (1.0 + tl.exp(-x)), mask=at < count", "x / (1.0 + tl.exp(-x)), mask=at < count, "
     "eviction_policy='evict_last'"),
)  # fmt: skip
CHAIN_VARIANTS = {
    "a dictionary of kernels": NAMED_DICT,
    "a loop over launches": LOOP_OVER_LAUNCHES,
    "one buffer for both steps": ONE_BUFFER,
    "strided loops": STRIDED_LOOP,
    "masks that are not needed": MASKS_NOT_NEEDED,
    "hints": HINTED,
}
