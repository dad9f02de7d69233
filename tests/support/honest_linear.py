"""A linear layer in many hands: each computes what the parent does, for all inputs that it takes.

The parent is `linear_layer.PROGRAM`, whose kernel reads a turned copy of the weight by strides.
"""

from __future__ import annotations

from textwrap import dedent

import linear_layer
from accuracy_trial import IMPORTS, changed

PARENT = linear_layer.PROGRAM
PROBLEM = dedent(
    """
    import torch
    import torch.nn as nn


    class Model(nn.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(outputs, inputs))
            self.bias = nn.Parameter(torch.randn(outputs))

        def forward(self, x):
            return nn.functional.linear(x, self.weight, self.bias)


    def get_inputs():
        return [torch.randn(300, 200)]


    def get_init_inputs():
        return [200, 136]
    """
).lstrip()

LAUNCH = PARENT[PARENT.index("        grid = ") : PARENT.index("        return y\n")]
KERNEL = PARENT[PARENT.index("@triton.jit\n") : PARENT.index("\n\nclass ModelNew")]
MODEL = PARENT[PARENT.index("class ModelNew") :]
NUMBERS = "rows, columns, depth"
STRIDES = "x.stride(0), x.stride(1), weight.stride(0), weight.stride(1)"
TILES = "ROWS=32, COLUMNS=16, DEPTH=16"
CDIVS = "triton.cdiv(rows, 32), triton.cdiv(columns, 16)"
UNTURNED = (linear_layer.COPY, "weight = self.weight")


def launched(*lines: str, source: str = PARENT) -> str:
    """The layer with another way to launch its kernel."""
    return changed(source, (LAUNCH, "".join(f"        {line}\n" for line in lines)))


def by_host(kernels: str, *lines: str) -> str:
    """A layer with these kernels and these statements between the sizes and `return y`."""
    head = MODEL[: MODEL.index(f"        {linear_layer.COPY}\n")]
    body = "".join(f"        {line}\n" for line in lines)
    return IMPORTS + dedent(kernels).strip("\n") + "\n\n\n" + head + body + "        return y\n"


Y = "y = torch.empty((rows, columns), device=x.device, dtype=torch.float32)"

KEYWORDS = launched(
    "def grid(meta):",
    '    return triton.cdiv(rows, meta["ROWS"]), triton.cdiv(columns, meta["COLUMNS"])',
    "",
    "linear_kernel[grid](",
    "    x_ptr=x, w_ptr=weight, bias_ptr=self.bias, y_ptr=y, rows=rows, columns=columns,",
    "    depth=depth, x_row=x.stride(0), x_depth=x.stride(1), w_depth=weight.stride(0),",
    f"    w_column=weight.stride(1), {TILES}, num_warps=4,",
    ")",
)
SPLATTED_DICT = launched(
    "strides = dict(x_row=x.stride(0), x_depth=x.stride(1))",
    "strides.update(w_depth=weight.stride(0), w_column=weight.stride(1))",
    'tiles = {"ROWS": 32, "COLUMNS": 16, "DEPTH": 16}',
    'across = (triton.cdiv(rows, tiles["ROWS"]), triton.cdiv(columns, tiles["COLUMNS"]), 1)',
    f"linear_kernel[across](x, weight, self.bias, y, {NUMBERS}, **strides, **tiles)",
)
SPLATTED_LIST = launched(
    "operands = [x, weight, self.bias, y]",
    f"numbers = [{NUMBERS}]",
    "numbers += [*x.stride(), *weight.stride()]",
    'grid = lambda meta: (triton.cdiv(rows, meta["ROWS"]), triton.cdiv(columns, meta["COLUMNS"]))',
    f"linear_kernel[grid](*operands, *numbers, {TILES})",
)
TABLE = launched(
    "table = (",
    "    (32, 16, 16, 4),",
    "    (16, 32, 16, 2),",
    ")",
    "height, across, deep, warps = table[0 if rows >= columns else 1]",
    "launch = linear_kernel[triton.cdiv(rows, height), triton.cdiv(columns, across)]",
    f"launch(x, weight, self.bias, y, {NUMBERS}, {STRIDES},",
    "       ROWS=height, COLUMNS=across, DEPTH=deep, num_warps=warps)",
)
COMPREHENSION = launched(
    "part = 128",
    "_ = [",
    "    linear_kernel[(triton.cdiv(min(part, rows - first), 32), triton.cdiv(columns, 16))](",
    "        x[first : first + part], weight, self.bias, y[first : first + part],",
    f"        min(part, rows - first), columns, depth, {STRIDES}, {TILES},",
    "    )",
    "    for first in range(0, rows, part)",
    "]",
)
RUN_METHOD = launched(
    "linear_kernel.run(",
    f"    x, weight, self.bias, y, {NUMBERS}, {STRIDES}, {TILES},",
    f"    grid=({CDIVS}), warmup=False,",
    ")",
)
FUNCTION = changed(
    launched("y = Linear.apply(x, weight, self.bias)"),
    (
        "class ModelNew",
        dedent(
            """
            class Linear(torch.autograd.Function):
                @staticmethod
                def forward(ctx, x, weight, bias):
                    ctx.save_for_backward(x, weight)
                    rows, depth = x.shape
                    columns = weight.shape[1]
                    y = x.new_empty(rows, columns)
                    grid = (triton.cdiv(rows, 32), triton.cdiv(columns, 16))
                    linear_kernel[grid](
                        x, weight, bias, y, rows, columns, depth,
                        x.stride(0), x.stride(1), weight.stride(0), weight.stride(1),
                        ROWS=32, COLUMNS=16, DEPTH=16,
                    )
                    return y


            class ModelNew
            """
        ).strip("\n"),
    ),
    (f"        {Y}\n", ""),
)
CLASS = changed(
    launched("Launcher(linear_kernel, 32, 16, 16)(x, weight, self.bias, y)").replace(
        "Launcher(linear_kernel, 32, 16, 16)(", "Launcher(linear_kernel, 32, 16, 16).launch("
    ),
    (
        "class ModelNew",
        dedent(
            """
            class Launcher:
                def __init__(self, kernel, height, across, deep):
                    self.kernel = kernel
                    self.height = height
                    self.across = across
                    self.deep = deep

                def grid(self, rows, columns):
                    return (triton.cdiv(rows, self.height), triton.cdiv(columns, self.across))

                def launch(self, x, w, bias, y):
                    rows, depth = x.shape
                    columns = y.shape[1]
                    self.kernel[self.grid(rows, columns)](
                        x, w, bias, y, rows, columns, depth, *x.stride(), *w.stride(),
                        ROWS=self.height, COLUMNS=self.across, DEPTH=self.deep,
                    )


            class ModelNew
            """
        ).strip("\n"),
    ),
)
ALIASES = changed(
    launched(
        "grid = (cdiv(rows, 32), cdiv(columns, 16))",
        f"linear_kernel[grid](x, weight, self.bias, y, {NUMBERS}, {STRIDES}, {TILES})",
    )
    .replace("tl.", "L.")
    .replace("@triton.jit", "@jit"),
    (
        "import torch\nimport torch.nn as nn\nimport triton\nimport triton.language as tl\n",
        "import torch as th\nfrom torch import nn\nfrom triton import cdiv, jit\n"
        "import triton.language as L\n",
    ),
    ("torch.empty((", "th.empty(("),
    ("dtype=torch.float32", "dtype=th.float32"),
    ("nn.Parameter(torch.randn(outputs, inputs))", "nn.Parameter(th.randn(outputs, inputs))"),
    ("nn.Parameter(torch.randn(outputs))", "nn.Parameter(th.randn(outputs))"),
)
UNCOPIED = changed(
    PARENT,
    UNTURNED,
    ("columns = self.weight.shape[0]\n", "columns = self.weight.size(0)\n"),
    ("weight.stride(0), weight.stride(1)", "weight.stride(1), weight.stride(0)"),
)
VIEWED = changed(
    PARENT,
    (linear_layer.COPY, "weight = self.weight.permute(1, 0)"),
    ("        rows, depth = x.shape\n", "        x = x.reshape(-1, x.shape[-1])\n"
     "        rows, depth = x.shape\n"),
    ("return y\n", "return y.view(*x.shape[:-1], columns)\n"),
)  # fmt: skip
CONTIGUOUS = changed(
    PARENT,
    ("        rows, depth = x.shape\n",
     "        if not x.is_contiguous():\n            x = x.contiguous()\n"
     "        rows, depth = x.shape\n"),
    ("x_row, x_depth, w_depth, w_column", "w_depth, w_column"),
    ("row[:, None] * x_row + step[None, :] * x_depth", "row[:, None] * depth + step[None, :]"),
    ("DEPTH * x_depth", "DEPTH"),
    ("x.stride(0), x.stride(1), weight", "weight"),
)  # fmt: skip
ALLOCATED_BY_HELPER = changed(
    PARENT,
    ("class ModelNew",
     "def room_for(x, columns):\n    return torch.empty_strided(\n        (x.shape[0], columns), "
     "(columns, 1), device=x.device, dtype=torch.float32\n    )\n\n\nclass ModelNew"),
    (Y, "y = room_for(x, columns)"),
)  # fmt: skip

ACCUMULATED = changed(
    PARENT,
    ("for start in range(0, depth, DEPTH)", "for start in tl.range(0, depth, DEPTH, num_stages=2)"),
    (linear_layer.STEP, '        total = tl.dot(x, w, total, input_precision="ieee")\n'),
    ("        inside = step < depth - start\n", "        inside = start + step < depth\n"),
)
WHILE = changed(
    PARENT,
    ("    for start in range(0, depth, DEPTH):\n", "    start = 0\n    while start < depth:\n"),
    (
        "        w_at += DEPTH * w_depth\n",
        "        w_at += DEPTH * w_depth\n        start += DEPTH\n",
    ),
)
BIAS_FIRST = changed(
    PARENT,
    ("    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)\n",
     "    bias = tl.load(bias_ptr + column, mask=column < columns, other=0.0)\n"
     "    total = tl.broadcast_to(bias[None, :], (ROWS, COLUMNS)).to(tl.float32)\n"),
    ("    bias = tl.load(bias_ptr + column, mask=column < columns, other=0.0)\n    kept",
     "    kept"),
    ("total + bias[None, :], mask", "total, mask"),
)  # fmt: skip
SUMMED = changed(
    PARENT,
    (linear_layer.STEP, "        total += tl.sum(x[:, :, None] * w[None, :, :], axis=1)\n"),
)
UNSIGNED = changed(
    PARENT,
    ("(row < rows)[:, None] & inside[None, :]",
     "rows_in[:, None] & inside[None, :]"),
    ("inside[:, None] & (column < columns)[None, :]", "inside[:, None] & columns_in[None, :]"),
    ("(row < rows)[:, None] & (column < columns)[None, :]",
     "rows_in[:, None] & columns_in[None, :]"),
    ("    total = tl.zeros(",
     "    rows_in = row.to(tl.uint32) < rows.to(tl.uint32)\n"
     "    columns_in = (columns - 1 - column) >= 0\n    total = tl.zeros("),
)  # fmt: skip
WRAPPED = changed(
    PARENT,
    ("    x_at = x_ptr + row[:, None]", "    x_at = x_ptr + (row % rows)[:, None]"),
    ("step[:, None] * w_depth + column[None, :]",
     "step[:, None] * w_depth + (column % columns)[None, :]"),
    ("mask=(row < rows)[:, None] & inside[None, :]", "mask=inside[None, :]"),
    ("mask=inside[:, None] & (column < columns)[None, :]", "mask=inside[:, None]"),
)  # fmt: skip
WHOLE_STEP = (
    "        if WHOLE:\n            x = tl.load(x_at, mask=(row < rows)[:, None], other=0.0)\n"
    "            w = tl.load(w_at, mask=(column < columns)[None, :], other=0.0)\n        else:\n"
    "            x = tl.load(x_at, mask=(row < rows)[:, None] & inside[None, :], other=0.0)\n"
    "            w = tl.load(w_at, mask=inside[:, None] & (column < columns)[None, :], other=0.0)\n"
)
LOADS = PARENT[PARENT.index("        x = tl.load(") : PARENT.index(linear_layer.STEP)]
FLAG = ("COLUMNS: tl.constexpr, DEPTH: tl.constexpr,\n",
        "COLUMNS: tl.constexpr, DEPTH: tl.constexpr,\n    WHOLE: tl.constexpr,\n")  # fmt: skip
HEURISTIC = changed(
    PARENT,
    ("@triton.jit", '@triton.heuristics({"WHOLE": lambda a: a["depth"] % a["DEPTH"] == 0})\n'
     "@triton.jit"),
    FLAG,
    (LOADS, WHOLE_STEP),
)  # fmt: skip
EVEN_BY_HOST = changed(
    PARENT, FLAG, (LOADS, WHOLE_STEP), ("DEPTH=16,\n", "DEPTH=16, WHOLE=depth % 16 == 0,\n")
)
LAST_STEP_APART = changed(
    PARENT,
    ("range(0, depth, DEPTH)", "range(0, depth // DEPTH * DEPTH, DEPTH)"),
    ("        inside = step < depth - start\n", ""),
    (LOADS, WHOLE_STEP[WHOLE_STEP.index("            x =") : WHOLE_STEP.index("        else")]
     .replace("            ", "        ")),
    ("    bias = tl.load(",
     "    if depth % DEPTH != 0:\n        inside = step < depth % DEPTH\n" + LOADS
     + linear_layer.STEP + "    bias = tl.load("),
)  # fmt: skip
HELPERS = changed(
    PARENT,
    ("@triton.jit\ndef linear_kernel",
     dedent(
         '''
         @triton.jit
         def tile_of(at, first, second, ACROSS: tl.constexpr):
             """A tile whose lanes outside are zero."""
             if ACROSS:
                 kept = second[:, None] & first[None, :]
             else:
                 kept = first[:, None] & second[None, :]
             return tl.load(at, mask=kept, other=0.0)


         @triton.jit
         def place(index, SIZE: tl.constexpr, limit):
             at = index * SIZE + tl.arange(0, SIZE)
             return at, at < limit


         @triton.jit
         def linear_kernel
         '''
     ).strip("\n")),
    ("    row = block_row * ROWS + tl.arange(0, ROWS)\n",
     "    row, row_in = place(block_row, ROWS, rows)\n"),
    ("    column = block_column * COLUMNS + tl.arange(0, COLUMNS)\n",
     "    column, column_in = place(block_column, COLUMNS, columns)\n"),
    (LOADS, "        x = tile_of(x_at, row_in, inside, ACROSS=False)\n"
     "        w = tile_of(w_at, column_in, inside, ACROSS=True)\n"),
)  # fmt: skip
CONSTANTS = changed(
    PARENT,
    ("@triton.jit", "HEIGHT = tl.constexpr(32)\nSTEP = tl.constexpr(16)\n"
     'PRECISE = tl.constexpr("ieee")\n\n\n@triton.jit'),
    ("    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,\n",
     "    COLUMNS: tl.constexpr,\n"),
    ("ROWS=32, COLUMNS=16, DEPTH=16,", "COLUMNS=16,"),
    ("block_row * ROWS + tl.arange(0, ROWS)", "block_row * HEIGHT + tl.arange(0, HEIGHT)"),
    ("tl.arange(0, DEPTH)", "tl.arange(0, STEP)"),
    ("range(0, depth, DEPTH)", "range(0, depth, STEP)"),
    ("DEPTH * x_depth", "STEP * x_depth"),
    ("DEPTH * w_depth", "STEP * w_depth"),
    ("tl.zeros((ROWS, COLUMNS)", "tl.zeros((HEIGHT, COLUMNS)"),
    ("allow_tf32=False", "input_precision=PRECISE"),
    ("grid = (triton.cdiv(rows, 32)", "grid = (triton.cdiv(rows, HEIGHT.value)"),
)  # fmt: skip
GROUPED = changed(
    PARENT,
    (linear_layer.ORDER,
     "    place = tl.program_id(0)\n"
     "    high, wide = tl.cdiv(rows, ROWS), tl.cdiv(columns, COLUMNS)\n"
     "    group = place // (4 * wide)\n"
     "    members = min(high - group * 4, 4)\n"
     "    block_row = group * 4 + place % (4 * wide) % members\n"
     "    block_column = place % (4 * wide) // members\n"),
    (f"grid = ({CDIVS})", "grid = (triton.cdiv(rows, 32) * triton.cdiv(columns, 16),)"),
)  # fmt: skip
SWIZZLED = changed(
    PARENT,
    (linear_layer.ORDER,
     "    block_row, block_column = tl.swizzle2d(\n"
     "        tl.program_id(0), tl.program_id(1), tl.num_programs(0), tl.num_programs(1), 2\n"
     "    )\n"),
)  # fmt: skip
INNER = KERNEL[KERNEL.index("    row = ") :]
PERSISTENT = changed(
    PARENT,
    (KERNEL, KERNEL[: KERNEL.index(linear_layer.ORDER)]
     + "    wide = tl.cdiv(columns, COLUMNS)\n"
     "    tiles = tl.cdiv(rows, ROWS) * wide\n"
     "    for place in tl.range(tl.program_id(0), tiles, tl.num_programs(0)):\n"
     "        block_row = place // wide\n        block_column = place % wide\n"
     + "".join(f"    {line}\n" for line in INNER.splitlines())),
    (f"grid = ({CDIVS})",
     "tiles = triton.cdiv(rows, 32) * triton.cdiv(columns, 16)\n"
     "        card = torch.cuda.get_device_properties(x.device)\n"
     "        grid = (min(tiles, 2 * card.multi_processor_count),)"),
)  # fmt: skip

KERNEL_TABLE = changed(
    launched(
        "kind = 'whole' if depth % 16 == 0 else 'ragged'",
        f"KERNELS[kind][({CDIVS})](x, weight, self.bias, y, {NUMBERS}, {STRIDES}, {TILES})",
    ),
    ("class ModelNew",
     KERNEL.replace("def linear_kernel", "def whole_kernel")
     .replace("        inside = step < depth - start\n", "")
     .replace(" & inside[None, :]", "").replace("inside[:, None] & ", "")
     + '\n\nKERNELS = {"whole": whole_kernel, "ragged": linear_kernel}\n\n\nclass ModelNew'),
)  # fmt: skip

RENAMED = PARENT.replace("linear_kernel", "dense_kernel")

VARIANTS = {
    "another name": RENAMED,
    "arguments by keyword, a function as grid": KEYWORDS,
    "splatted dictionaries": SPLATTED_DICT,
    "splatted lists, a lambda as grid": SPLATTED_LIST,
    "options from a table": TABLE,
    "a comprehension over launches": COMPREHENSION,
    "launched by run": RUN_METHOD,
    "an autograd function": FUNCTION,
    "a class that launches": CLASS,
    "a table of kernels": KERNEL_TABLE,
    "aliases of modules": ALIASES,
    "the weight as it lies": UNCOPIED,
    "views of operands": VIEWED,
    "contiguous where it is not": CONTIGUOUS,
    "memory from a helper": ALLOCATED_BY_HELPER,
    "an accumulator through the dot": ACCUMULATED,
    "a while loop": WHILE,
    "the bias first": BIAS_FIRST,
    "sums in place of dots": SUMMED,
    "unsigned and hoisted masks": UNSIGNED,
    "indices wrapped in place of masks": WRAPPED,
    "a heuristic for whole steps": HEURISTIC,
    "a flag for whole steps": EVEN_BY_HOST,
    "the last step apart": LAST_STEP_APART,
    "helpers with flags": HELPERS,
    "constants of the module": CONSTANTS,
    "blocks in groups": GROUPED,
    "blocks swizzled": SWIZZLED,
    "persistent blocks": PERSISTENT,
}
