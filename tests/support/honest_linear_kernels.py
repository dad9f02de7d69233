"""The linear layer of `honest_linear` with kernels of its own: block pointers, descriptors, parts
of the depth, tuned lists, the output turned."""

from __future__ import annotations

from textwrap import dedent

from accuracy_trial import changed
from honest_linear import CDIVS, NUMBERS, PARENT, STRIDES, TILES, Y, by_host, launched

POINTERS = """
    @triton.jit
    def linear_kernel(
        x_ptr, w_ptr, bias_ptr, y_ptr, rows, columns, depth, x_row, x_depth, w_column, w_depth,
        ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
    ):
        first = tl.program_id(0) * ROWS
        left = tl.program_id(1) * COLUMNS
        x_tile = tl.make_block_ptr(
            base=x_ptr, shape=(rows, depth), strides=(x_row, x_depth), offsets=(first, 0),
            block_shape=(ROWS, DEPTH), order=(1, 0),
        )
        w_tile = tl.make_block_ptr(
            w_ptr, (depth, columns), (w_depth, w_column), (0, left), (DEPTH, COLUMNS), (0, 1)
        )
        total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
        for _ in range(tl.cdiv(depth, DEPTH)):
            x = tl.load(x_tile, boundary_check=(0, 1), padding_option="zero")
            w = tl.load(w_tile, boundary_check=(0, 1), padding_option="zero")
            total = tl.dot(x, w, total, input_precision="ieee")
            x_tile = tl.advance(x_tile, (0, DEPTH))
            w_tile = tl.advance(w_tile, (DEPTH, 0))
        bias_tile = tl.make_block_ptr(bias_ptr, (columns,), (1,), (left,), (COLUMNS,), (0,))
        total += tl.load(bias_tile, boundary_check=(0,), padding_option="zero")[None, :]
        y_tile = tl.make_block_ptr(
            y_ptr, (rows, columns), (columns, 1), (first, left), (ROWS, COLUMNS), (1, 0)
        )
        tl.store(y_tile, total, boundary_check=(0, 1))
"""
BLOCK_POINTERS = by_host(
    POINTERS,
    Y,
    f"grid = ({CDIVS})",
    "linear_kernel[grid](",
    f"    x, self.weight, self.bias, y, {NUMBERS}, *x.stride(), *self.weight.stride(), {TILES}",
    ")",
)
DESCRIBED = """
    @triton.jit
    def linear_kernel(
        x_ptr, w_ptr, bias_ptr, y_ptr, rows, columns, depth,
        ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
    ):
        first = tl.program_id(0) * ROWS
        left = tl.program_id(1) * COLUMNS
        x_tiles = tl.make_tensor_descriptor(
            x_ptr, shape=[rows, depth], strides=[depth, 1], block_shape=[ROWS, DEPTH]
        )
        w_tiles = tl.make_tensor_descriptor(w_ptr, [columns, depth], [depth, 1], [COLUMNS, DEPTH])
        y_tiles = tl.make_tensor_descriptor(y_ptr, [rows, columns], [columns, 1], [ROWS, COLUMNS])
        total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
        for start in range(0, depth, DEPTH):
            x = x_tiles.load([first, start])
            w = tl.load_tensor_descriptor(w_tiles, [left, start])
            total = tl.dot(x, w.T, total, input_precision="ieee")
        column = left + tl.arange(0, COLUMNS)
        bias = tl.load(bias_ptr + column, mask=column < columns, other=0.0)
        y_tiles.store([first, left], total + bias[None, :])
"""
BY_EITHER = (
    Y,
    f"grid = ({CDIVS})",
    "if depth % 4 == 0 and columns % 4 == 0:",
    "    linear_kernel[grid](",
    f"        x.contiguous(), self.weight, self.bias, y, {NUMBERS}, {TILES}",
    "    )",
    "else:",
    "    ragged_kernel[grid](",
    f"        x, self.weight, self.bias, y, {NUMBERS}, *x.stride(), *self.weight.stride(), {TILES}",
    "    )",
)
DESCRIPTORS = by_host(
    dedent(DESCRIBED).strip("\n")
    + "\n\n"
    + dedent(POINTERS).replace("def linear_kernel", "def ragged_kernel"),
    *BY_EITHER,
)
ROOM = '''
def room(size, alignment, stream):
    """Memory for descriptors, as Triton asks for it."""
    return torch.empty(size, device="cuda", dtype=torch.int8)


class ModelNew'''
DESCRIPTORS_WITH_ALLOCATOR = changed(
    DESCRIPTORS,
    ("class ModelNew", ROOM.lstrip("\n")),
    ("            linear_kernel[grid](", "            triton.set_allocator(room)\n"
     "            linear_kernel[grid]("),
)  # fmt: skip
DESCRIPTORS_WITH_BYTES = changed(
    DESCRIPTORS_WITH_ALLOCATOR,
    ("return torch.empty(size,", "kept = {'bytes': torch.empty(size,"),
    ("dtype=torch.int8)", "dtype=torch.int8)}\n    return kept['bytes']"),
)

PART = """
    @triton.jit
    def linear_kernel(
        x_ptr, w_ptr, bias_ptr, y_ptr, rows, columns, depth, per_part, x_row, x_depth,
        ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
    ):
        row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
        column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
        part = tl.program_id(2)
        last = tl.minimum(depth, (part + 1) * per_part)
        total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
        for start in range(part * per_part, last, DEPTH):
            step = start + tl.arange(0, DEPTH)
            x = tl.load(x_ptr + row * x_row + step[None, :] * x_depth,
                        mask=(row < rows) & (step < last)[None, :], other=0.0)
            w = tl.load(w_ptr + column * depth + step[:, None],
                        mask=(column < columns) & (step < last)[:, None], other=0.0)
            total = tl.dot(x, w, total, input_precision="ieee")
"""
ADDED = """
        if part == 0:
            total += tl.load(bias_ptr + column, mask=column < columns, other=0.0)
        kept = (row < rows) & (column < columns)
        tl.atomic_add(y_ptr + row * columns + column, total, mask=kept, sem="relaxed")
"""
STORED = """
        kept = (row < rows) & (column < columns)
        at = (part * rows + row) * columns + column
        tl.store(y_ptr + at, total, mask=kept)


    @triton.jit
    def gather_kernel(parts_ptr, bias_ptr, y_ptr, count, columns, PARTS: tl.constexpr,
                      SIZE: tl.constexpr):
        at = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
        total = tl.load(bias_ptr + at % columns, mask=at < count)
        for part in tl.static_range(PARTS):
            total += tl.load(parts_ptr + part * count + at, mask=at < count)
        tl.store(y_ptr + at, total, mask=at < count)
"""
PARTS_LAUNCH = (
    "parts = 3",
    "per_part = triton.cdiv(triton.cdiv(depth, parts), 16) * 16",
    f"grid = ({CDIVS}, parts)",
)
SPLIT_WITH_ATOMICS = by_host(
    PART.rstrip() + ADDED,
    "y = torch.zeros((rows, columns), device=x.device, dtype=torch.float32)",
    *PARTS_LAUNCH,
    f"linear_kernel[grid](x, self.weight, self.bias, y, {NUMBERS}, per_part, *x.stride(), {TILES})",
)
SPLIT_IN_TWO_KERNELS = by_host(
    PART.replace("bias_ptr, y_ptr", "y_ptr").rstrip() + STORED,
    *PARTS_LAUNCH,
    "kept = x.new_empty((parts, rows, columns))",
    "y = torch.empty_like(kept[0])",
    f"linear_kernel[grid](x, self.weight, kept, {NUMBERS}, per_part, *x.stride(), {TILES})",
    "gather_kernel[(triton.cdiv(y.numel(), 256),)](",
    "    kept, self.bias, y, y.numel(), columns, PARTS=parts, SIZE=256",
    ")",
)
TUNED = """
    @triton.autotune(
        configs=[
            triton.Config({"ROWS": 32, "COLUMNS": 16, "DEPTH": 16}, num_warps=4, num_stages=2),
            triton.Config({"ROWS": 16, "COLUMNS": 32, "DEPTH": 16}, num_warps=2, num_stages=2),
            triton.Config({"ROWS": 64, "COLUMNS": 16, "DEPTH": 16}, num_warps=4, num_stages=2),
        ],
        key=["rows", "columns", "depth"],
"""
TUNED_GRID = (
    'grid = lambda meta: (triton.cdiv(rows, meta["ROWS"]), '
    'triton.cdiv(columns, meta["COLUMNS"]), parts)'
)
TUNED_SPLIT = by_host(
    TUNED + '        reset_to_zero=["y_ptr"],\n    )' + PART.rstrip() + ADDED,
    "y = torch.zeros((rows, columns), device=x.device, dtype=torch.float32)",
    *PARTS_LAUNCH[:2],
    TUNED_GRID,
    f"linear_kernel[grid](x, self.weight, self.bias, y, {NUMBERS}, per_part, *x.stride())",
)
PRUNED = """
    def small_enough(configs, given, **more):
        kept = [config for config in configs if config.kwargs["ROWS"] <= max(16, given["rows"])]
        return kept or configs[:1]


"""
TUNED_AND_PRUNED = changed(
    launched(
        'grid = lambda meta: (triton.cdiv(rows, meta["ROWS"]), '
        'triton.cdiv(columns, meta["COLUMNS"]))',
        f"linear_kernel[grid](x, weight, self.bias, y, {NUMBERS}, {STRIDES})",
    ),
    ("@triton.jit", dedent(PRUNED).lstrip("\n") + dedent(TUNED).strip("\n")
     + '\n    prune_configs_by={"early_config_prune": small_enough},\n)\n@triton.jit'),
)  # fmt: skip
PRODUCT_THEN_BIAS = changed(
    launched(
        f"grid = ({CDIVS})",
        f"linear_kernel[grid](x, weight, y, {NUMBERS}, {STRIDES}, {TILES})",
        "bias_kernel[(rows,)](y, self.bias, columns, SIZE=triton.next_power_of_2(columns))",
    ),
    ("x_ptr, w_ptr, bias_ptr, y_ptr,", "x_ptr, w_ptr, y_ptr,"),
    ("    bias = tl.load(bias_ptr + column, mask=column < columns, other=0.0)\n    kept",
     "    kept"),
    ("total + bias[None, :], mask", "total, mask"),
    ("class ModelNew",
     "@triton.jit\ndef bias_kernel(y_ptr, bias_ptr, columns, SIZE: tl.constexpr):\n"
     "    at = tl.arange(0, SIZE)\n    kept = at < columns\n"
     "    line = y_ptr + tl.program_id(0) * columns\n"
     "    total = tl.load(line + at, mask=kept) + tl.load(bias_ptr + at, mask=kept)\n"
     "    tl.store(line + at, total, mask=kept)\n\n\nclass ModelNew"),
)  # fmt: skip
TURNED_OUTPUT = changed(
    PARENT,
    (Y, "y = torch.empty((columns, rows), device=x.device, dtype=torch.float32).t()"),
    ("y_ptr + row[:, None] * columns + column[None, :], total + bias[None, :], mask=kept",
     "y_ptr + column[:, None] * rows + row[None, :], tl.trans(total + bias[None, :]),\n"
     "             mask=tl.trans(kept)"),
)  # fmt: skip
VARIANTS = {
    "block pointers": BLOCK_POINTERS,
    "descriptors": DESCRIPTORS,
    "descriptors with an allocator": DESCRIPTORS_WITH_ALLOCATOR,
    "descriptors with an allocator of bytes": DESCRIPTORS_WITH_BYTES,
    "split depth by atomics": SPLIT_WITH_ATOMICS,
    "split depth in two kernels": SPLIT_IN_TWO_KERNELS,
    "tuned split depth": TUNED_SPLIT,
    "tuned and pruned": TUNED_AND_PRUNED,
    "product, then bias": PRODUCT_THEN_BIAS,
    "the output turned": TURNED_OUTPUT,
}
