"""Sums of columns that blocks add up by atomics, in many hands."""

from __future__ import annotations

from textwrap import dedent

from accuracy_trial import IMPORTS, changed

SUMS = IMPORTS + dedent(
    """
    @triton.jit
    def sums_kernel(x_ptr, y_ptr, lines, width, LINES: tl.constexpr, WIDTH: tl.constexpr):
        line = tl.program_id(0) * LINES + tl.arange(0, LINES)
        place = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
        inside = (line < lines)[:, None] & (place < width)[None, :]
        x = tl.load(x_ptr + line[:, None] * width + place[None, :], mask=inside, other=0.0)
        tl.atomic_add(y_ptr + place, tl.sum(x, axis=0), mask=place < width)


    def sums(x):
        x = x.contiguous()
        lines, width = x.shape
        y = torch.zeros((width,), device=x.device, dtype=x.dtype)
        grid = (triton.cdiv(lines, 32), triton.cdiv(width, 32))
        sums_kernel[grid](x, y, lines, width, LINES=32, WIDTH=32)
        return y


    class ModelNew(nn.Module):
        def forward(self, x):
            return sums(x)
    """
).lstrip("\n")
SUMS_PROBLEM = dedent(
    """
    import torch
    import torch.nn as nn


    class Model(nn.Module):
        def forward(self, x):
            return x.sum(dim=0)


    def get_inputs():
        return [torch.rand(500, 90)]


    def get_init_inputs():
        return []
    """
).lstrip()
SUMS_KERNEL = SUMS[SUMS.index("@triton.jit") : SUMS.index("\n\ndef sums(")]
SUMS_LAUNCH = SUMS[SUMS.index("    y = torch.zeros") : SUMS.index("    return y\n")]
GRID = 'grid = lambda meta: (triton.cdiv(lines, meta["LINES"]), triton.cdiv(width, meta["WIDTH"]))'
ZEROS = "y = torch.zeros((width,), device=x.device, dtype=x.dtype)"


def sums(kernels: str, *lines: str) -> str:
    """The sums with these kernels, and these statements that make and fill `y`."""
    body = "".join(f"    {line}\n" for line in lines)
    kernels = dedent(kernels).strip("\n") + "\n" if kernels else SUMS_KERNEL
    return changed(SUMS, (SUMS_KERNEL, kernels), (SUMS_LAUNCH, body))


WITHOUT_ATOMICS = sums(
    """
    @triton.jit
    def sums_kernel(x_ptr, y_ptr, lines, width, LINES: tl.constexpr, WIDTH: tl.constexpr):
        place = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
        total = tl.zeros((LINES, WIDTH), tl.float32)
        for first in range(0, lines, LINES):
            line = first + tl.arange(0, LINES)
            inside = (line < lines)[:, None] & (place < width)[None, :]
            total += tl.load(x_ptr + line[:, None] * width + place, mask=inside, other=0.0)
        tl.store(y_ptr + place, tl.sum(total, axis=0), mask=place < width)
    """,
    "y = torch.empty(width, device=x.device, dtype=x.dtype)",
    "sums_kernel[(triton.cdiv(width, 16),)](x, y, lines, width, LINES=32, WIDTH=16)",
)
PARTS = """
    @triton.jit
    def sums_kernel(x_ptr, parts_ptr, lines, width, LINES: tl.constexpr, WIDTH: tl.constexpr):
        line = tl.program_id(0) * LINES + tl.arange(0, LINES)[:, None]
        place = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
        inside = (line < lines) & (place < width)[None, :]
        x = tl.load(x_ptr + line * width + place, mask=inside, other=0.0)
        tl.store(parts_ptr + tl.program_id(0) * width + place, tl.sum(x, 0), mask=place < width)


    @triton.jit
    def join_kernel(parts_ptr, y_ptr, parts, width, WIDTH: tl.constexpr):
        place = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
        total = tl.zeros((WIDTH,), tl.float32)
        for part in range(parts):
            total += tl.load(parts_ptr + part * width + place, mask=place < width, other=0.0)
        tl.store(y_ptr + place, total, mask=place < width)
"""
IN_TWO_KERNELS = sums(
    PARTS,
    "parts = triton.cdiv(lines, 32)",
    "kept = torch.empty((parts, width), device=x.device, dtype=torch.float32)",
    "y = torch.empty((width,), device=x.device, dtype=x.dtype)",
    "sums_kernel[(parts, triton.cdiv(width, 32))](x, kept, lines, width, LINES=32, WIDTH=32)",
    "join_kernel[(triton.cdiv(width, 32),)](kept, y, parts, width, WIDTH=32)",
)
LAST_BLOCK_JOINS = sums(
    """
    @triton.jit
    def sums_kernel(x_ptr, parts_ptr, done_ptr, y_ptr, lines, width, LINES: tl.constexpr,
                    WIDTH: tl.constexpr):
        line = tl.program_id(0) * LINES + tl.arange(0, LINES)[:, None]
        place = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
        inside = (line < lines) & (place < width)[None, :]
        x = tl.load(x_ptr + line * width + place, mask=inside, other=0.0)
        tl.store(parts_ptr + tl.program_id(0) * width + place, tl.sum(x, 0), mask=place < width)
        tl.debug_barrier()
        before = tl.atomic_add(done_ptr + tl.program_id(1), 1, sem="acq_rel")
        if before == tl.num_programs(0) - 1:
            total = tl.zeros((WIDTH,), tl.float32)
            for part in range(tl.num_programs(0)):
                total += tl.load(parts_ptr + part * width + place, mask=place < width, other=0.0)
            tl.store(y_ptr + place, total, mask=place < width)
    """,
    "parts, across = triton.cdiv(lines, 32), triton.cdiv(width, 32)",
    "kept = torch.empty((parts, width), device=x.device, dtype=torch.float32)",
    "done = torch.zeros((across,), device=x.device, dtype=torch.int32)",
    "y = torch.empty((width,), device=x.device, dtype=x.dtype)",
    "sums_kernel[(parts, across)](x, kept, done, y, lines, width, LINES=32, WIDTH=32)",
)
CONFIGS = """
@triton.autotune(
    configs=[
        triton.Config({"LINES": 32, "WIDTH": 32}, num_warps=4),
        triton.Config({"LINES": 64, "WIDTH": 16}, num_warps=2),
    ],
    key=["lines", "width"],
    MORE
)
""".lstrip()
TUNED_LAUNCH = (ZEROS, GRID, "sums_kernel[grid](x, y, lines, width)")
RESET = sums(CONFIGS.replace("MORE", 'reset_to_zero=["y_ptr"],') + SUMS_KERNEL, *TUNED_LAUNCH)
RESTORED = sums(CONFIGS.replace("MORE", 'restore_value=["y_ptr"],') + SUMS_KERNEL, *TUNED_LAUNCH)
ZEROED_BY_CONFIGS = sums(
    'def zeroed(given):\n    given["y_ptr"].zero_()\n\n\n'
    + CONFIGS.replace("    MORE\n", "").replace("num_warps=4)", "num_warps=4, pre_hook=zeroed)")
    .replace("num_warps=2)", "num_warps=2, pre_hook=zeroed)")
    + SUMS_KERNEL,
    "y = torch.empty((width,), device=x.device, dtype=x.dtype)",
    *TUNED_LAUNCH[1:],
)  # fmt: skip
ZEROED_BY_TUNER = sums(
    'def zeroed(given, reset_only=False):\n    given["y_ptr"].zero_()\n\n\n'
    + CONFIGS.replace("MORE", "pre_hook=zeroed,")
    + SUMS_KERNEL,
    *TUNED_LAUNCH,
)
FILLED_LATER = sums(
    "", "y = x.new_empty(width)", "y.zero_()", *SUMS_LAUNCH.replace("    ", "").splitlines()[1:]
)
RELAXED = changed(
    SUMS, ("mask=place < width)\n\n", 'mask=place < width, sem="relaxed", scope="gpu")\n\n')
)
ZERO_KERNEL = sums(
    "@triton.jit\ndef zero_kernel(y_ptr, width, WIDTH: tl.constexpr):\n"
    "    place = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)\n"
    "    tl.store(y_ptr + place, tl.zeros((WIDTH,), tl.float32), mask=place < width)\n\n\n"
    + SUMS_KERNEL,
    "y = torch.empty(width, dtype=x.dtype, device=x.device)",
    "zero_kernel[(triton.cdiv(width, 64),)](y, width, WIDTH=64)",
    *SUMS_LAUNCH.replace("    ", "").splitlines()[1:],
)
BY_A_DOT = sums(
    """
    @triton.jit
    def sums_kernel(x_ptr, y_ptr, lines, width, LINES: tl.constexpr, WIDTH: tl.constexpr):
        place = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
        ones = tl.full((16, LINES), 1.0, tl.float32)
        total = tl.zeros((16, WIDTH), tl.float32)
        for first in range(0, lines, LINES):
            line = first + tl.arange(0, LINES)[:, None]
            inside = (line < lines) & (place < width)[None, :]
            x = tl.load(x_ptr + line * width + place[None, :], mask=inside, other=0.0)
            total = tl.dot(ones, x, total, input_precision="ieee")
        tl.store(y_ptr + place, tl.max(total, axis=0), mask=place < width)
    """,
    "y = torch.empty(width, device=x.device, dtype=x.dtype)",
    "sums_kernel[(triton.cdiv(width, 16),)](x, y, lines, width, LINES=32, WIDTH=16)",
)
SUMS_VARIANTS = {
    "without atomics": WITHOUT_ATOMICS,
    "in two kernels": IN_TWO_KERNELS,
    "the last block joins": LAST_BLOCK_JOINS,
    "tuned, reset to zero": RESET,
    "tuned, restored": RESTORED,
    "tuned, zeroed by configs": ZEROED_BY_CONFIGS,
    "tuned, zeroed by the tuner": ZEROED_BY_TUNER,
    "filled after it was made": FILLED_LATER,
    "relaxed": RELAXED,
    "zeroed by a kernel": ZERO_KERNEL,
    "by a dot with ones": BY_A_DOT,
}
