"""A convolution by gathering (an implicit matrix product), and what moves make of it.

`PARENT` is written as many such programs are: run-time sizes, the reduction index decoded in
each lane, every load masked. The others keep its grid, its tiles and its config list.
"""

from __future__ import annotations

from textwrap import dedent

PROBLEM = dedent(
    """
    import torch
    import torch.nn as nn


    class Model(nn.Module):
        def __init__(self, channels, filters, size):
            super().__init__()
            self.conv = nn.Conv2d(channels, filters, size, padding=1, bias=False)

        def forward(self, x):
            return self.conv(x)


    def get_inputs():
        return [torch.rand(2, 32, 20, 20)]


    def get_init_inputs():
        return [32, 48, 3]
    """
).lstrip()

LOOP = """\
    for start in range(0, depth, TILE_K):
        k = start + tl.arange(0, TILE_K)
        channel = k // (size * size)
        row = up[:, None] + (k // size % size)[None, :]
        column = left[:, None] + (k % size)[None, :]
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        a = tl.load(
            x_ptr + (image[:, None] * channels + channel[None, :]) * (height * width)
            + row * width + column,
            mask=inside & (pixel < pixels)[:, None] & (k < depth)[None, :],
            other=0.0,
        )
        b = tl.load(
            w_ptr + out[None, :] * depth + k[:, None],
            mask=(k < depth)[:, None] & (out < filters)[None, :],
            other=0.0,
        )
        total += tl.dot(a, b)
"""
ARGUMENTS = "channels, height, width, filters, out_h, out_w, size, padding,"

PARENT = dedent(
    '''
    import torch
    import torch.nn as nn
    import triton
    import triton.language as tl


    @triton.autotune(
        configs=[
            triton.Config({"TILE_P": 32, "TILE_F": 16, "TILE_K": 16}, num_warps=2, num_stages=2),
            triton.Config({"TILE_P": 32, "TILE_F": 16, "TILE_K": 16}, num_warps=4, num_stages=2),
            triton.Config({"TILE_P": 64, "TILE_F": 16, "TILE_K": 32}, num_warps=4, num_stages=2),
        ],
        key=["pixels", "channels"],
    )
    @triton.jit
    def gather_kernel(
        x_ptr, w_ptr, y_ptr, pixels,
        ARGUMENTS
        TILE_P: tl.constexpr, TILE_F: tl.constexpr, TILE_K: tl.constexpr,
    ):
        pixel = tl.program_id(0) * TILE_P + tl.arange(0, TILE_P)
        out = tl.program_id(1) * TILE_F + tl.arange(0, TILE_F)
        image = pixel // (out_h * out_w)
        up = pixel // out_w % out_h - padding
        left = pixel % out_w - padding
        depth = channels * size * size
        total = tl.zeros((TILE_P, TILE_F), dtype=tl.float32)
    LOOP
        place = (image[:, None] * filters + out[None, :]) * (out_h * out_w)
        place += (pixel % (out_h * out_w))[:, None]
        tl.store(y_ptr + place, total, mask=(pixel < pixels)[:, None] & (out < filters)[None, :])


    class ModelNew(nn.Module):
        def __init__(self, channels, filters, size):
            super().__init__()
            self.conv = nn.Conv2d(channels, filters, size, padding=1, bias=False)

        def forward(self, x):
            weight = self.conv.weight
            batch, channels, height, width = x.shape
            filters, _, size, _ = weight.shape
            padding = self.conv.padding[0]
            out_h = height + 2 * padding - size + 1
            out_w = width + 2 * padding - size + 1
            y = torch.empty((batch, filters, out_h, out_w), device=x.device, dtype=x.dtype)
            pixels = batch * out_h * out_w

            def grid(meta):
                return (triton.cdiv(pixels, meta["TILE_P"]), triton.cdiv(filters, meta["TILE_F"]))

            gather_kernel[grid](
                x, weight, y, pixels,
                channels, height, width, filters, out_h, out_w, size, padding,
            )
            return y
    '''
).lstrip().replace("LOOP\n", LOOP, 1).replace("ARGUMENTS", ARGUMENTS, 1)  # fmt: skip


def once(text: str, old: str, new: str) -> str:
    """`text` with `old`, which stands in it once, replaced."""
    assert text.count(old) == 1, f"{text.count(old)} times: {old}"
    return text.replace(old, new)


def with_loop(program: str, loop: str) -> str:
    """The program with its reduction loop replaced."""
    return once(program, LOOP, loop)


def indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


SPECIALISED = once(
    once(
        PARENT,
        f"    {ARGUMENTS}\n    TILE_P",
        "    "
        + " ".join(f"{name}: tl.constexpr," for name in ARGUMENTS.replace(",", "").split())
        + "\n    TILE_P",
    ),
    "total += tl.dot(a, b)",
    "total = tl.dot(a, b, total)",
)
"""Every size a compile-time argument, and the sum handed to the dot."""

SPECIAL_LOOP = once(LOOP, "total += tl.dot(a, b)", "total = tl.dot(a, b, total)")
FAST = """\
    if channels % TILE_K == 0:
        for start in range(0, depth, TILE_K):
            tap = start // channels
            lane = start % channels + tl.arange(0, TILE_K)
            row = up + tap // size
            column = left + tap % size
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            inside = inside & (pixel < pixels)
            a = tl.load(
                x_ptr + (image * channels * height * width + row * width + column)[:, None]
                + (lane * (height * width))[None, :],
                mask=inside[:, None],
                other=0.0,
            )
            b = tl.load(
                w_ptr + out[None, :] * depth + (lane * (size * size))[:, None] + tap,
                mask=(out < filters)[None, :],
                other=0.0,
            )
            total = tl.dot(a, b, total)
    else:
"""
DIGITS = once(SPECIALISED, SPECIAL_LOOP, FAST + indented(SPECIAL_LOOP))
"""The taps outermost where the tile divides the channels, so that they are scalars of a step."""

UNPACKED = "w_ptr + out[None, :] * depth + (lane * (size * size))[:, None] + tap"
PACKED_FAST = once(
    FAST, UNPACKED, "w_ptr + out[None, :] * depth + (start + tl.arange(0, TILE_K))[:, None]"
)
PACKED_ELSE = once(
    SPECIAL_LOOP,
    "w_ptr + out[None, :] * depth + k[:, None]",
    "w_ptr + out[None, :] * depth + ((k % (size * size)) * channels + channel)[:, None]",
)
PACKED = once(
    once(SPECIALISED, SPECIAL_LOOP, PACKED_FAST + indented(PACKED_ELSE)),
    "x, weight, y, pixels,",
    "x, weight.permute(0, 2, 3, 1).contiguous(), y, pixels,",
)
"""And the weight copied to that order in each call."""

FAST_HEAD = "        for start in range(0, depth, TILE_K):\n            tap ="
PACKING = "weight.permute(0, 2, 3, 1).contiguous()"
UNMASKED = once(
    PACKED,
    "    if channels % TILE_K == 0:",
    "    if channels % TILE_K == 0 and filters % TILE_F == 0:",
).replace("            mask=(out < filters)[None, :],\n                other=0.0,\n", "", 1)
"""The weight's load without a mask where the tiles divide both of its sides."""
