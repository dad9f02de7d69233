"""A product in half precision, added up in single precision, in many hands."""

from __future__ import annotations

from textwrap import dedent

import product
from accuracy_trial import IMPORTS, changed

PARENT = changed(product.PROGRAM, ("num_stages=STAGES", "num_stages=2")).replace("128", "64")
PROBLEM = product.PROBLEM.replace("2048, 2048", "160, 160")
KERNEL = PARENT[PARENT.index("@triton.autotune") : PARENT.index("\n\nclass ModelNew")]
MODEL = PARENT[PARENT.index("class ModelNew") :]
BODY = MODEL[MODEL.index("        c = torch.empty") : MODEL.index("        return c\n")]
C = "c = torch.empty((m, n), device=a.device, dtype=a.dtype)"


def halves(kernels: str, *lines: str) -> str:
    """The product with these kernels, and these statements that make and fill `c`."""
    body = "".join(f"        {line}\n" for line in lines)
    kernels = dedent(kernels).strip("\n")
    return IMPORTS + kernels + "\n\n\n" + changed(MODEL, (BODY, body))


ACCUMULATED = changed(
    PARENT,
    ("        total += tl.dot(left, right)\n", "        total = tl.dot(left, right, acc=total)\n"),
    ("total.to(tl.float16)", "total.to(c_ptr.dtype.element_ty)"),
    ("range(0, k, DEPTH)", "tl.range(0, k, DEPTH, num_stages=3, loop_unroll_factor=2)"),
)
ROUNDED_BY_STORE = changed(
    PARENT,
    ("total.to(tl.float16)", "total"),
    ("n + columns[None, :], ", "n + columns[None, :],\n             "),
)
FROM_THE_END = changed(
    PARENT,
    ("for start in range(0, k, DEPTH):\n        depth = start + tl.arange(0, DEPTH)",
     "for step in range(tl.cdiv(k, DEPTH) - 1, -1, -1):\n"
     "        depth = step * DEPTH + tl.arange(0, DEPTH)"),
)  # fmt: skip
TURNED = changed(
    PARENT,
    ("right = tl.load(b_ptr + depth[:, None] * n + columns[None, :],\n"
     "                        mask=(depth[:, None] < k) & (columns[None, :] < n), other=0.0)",
     "right = tl.load(b_ptr + columns[:, None] * k + depth[None, :],\n"
     "                        mask=(depth[None, :] < k) & (columns[:, None] < n), other=0.0)"),
    ("tl.dot(left, right)", "tl.dot(left, tl.trans(right))"),
    ("        product_kernel[grid](a, b,",
     "        product_kernel[grid](a.contiguous(), b.t().contiguous(),"),
)  # fmt: skip
SPLIT = halves(
    """
    @triton.jit
    def product_kernel(a_ptr, b_ptr, sums_ptr, m, n, k, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
                       DEPTH: tl.constexpr, PARTS: tl.constexpr):
        rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
        columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
        total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
        for start in range(tl.program_id(2) * DEPTH, k, DEPTH * PARTS):
            depth = start + tl.arange(0, DEPTH)
            left = tl.load(a_ptr + rows * k + depth[None, :],
                           (rows < m) & (depth < k)[None, :], 0.0)
            right = tl.load(b_ptr + depth[:, None] * n + columns,
                            (depth < k)[:, None] & (columns < n), 0.0)
            total = tl.dot(left, right, total)
        tl.atomic_add(sums_ptr + rows * n + columns, total, (rows < m) & (columns < n))


    @triton.jit
    def rounded_kernel(sums_ptr, c_ptr, count, SIZE: tl.constexpr):
        at = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
        total = tl.load(sums_ptr + at, mask=at < count)
        tl.store(c_ptr + at, total.to(tl.float16), mask=at < count)
    """,
    "sums = torch.zeros((m, n), device=a.device, dtype=torch.float32)",
    C,
    "grid = (triton.cdiv(m, 32), triton.cdiv(n, 32), 4)",
    "product_kernel[grid](a, b, sums, m, n, k, ROWS=32, COLUMNS=32, DEPTH=16, PARTS=4)",
    "rounded_kernel[(triton.cdiv(m * n, 256),)](sums, c, m * n, SIZE=256)",
)
PADDED = changed(
    PARENT,
    ("        m, k = a.shape\n        n = b.shape[1]\n",
     "        high, wide = a.shape[0], b.shape[1]\n"
     "        a = torch.nn.functional.pad(a, (0, -a.shape[1] % 32, 0, -high % 64))\n"
     "        b = torch.nn.functional.pad(b, (0, -wide % 64, 0, -b.shape[0] % 32))\n"
     "        m, k = a.shape\n        n = b.shape[1]\n"),
    (",\n                       mask=(rows[:, None] < m) & (depth[None, :] < k), other=0.0)", ")"),
    (",\n                        mask=(depth[:, None] < k) & (columns[None, :] < n), other=0.0)",
     ")"),
    ("    inside = (rows[:, None] < m) & (columns[None, :] < n)\n", ""),
    (", total.to(tl.float16), mask=inside)", ", total.to(tl.float16))"),
    ("return c", "return c[:high, :wide]"),
)  # fmt: skip
GATHERED = changed(
    PARENT,
    ("rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)\n"
     "    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)\n",
     "place = tl.program_id(0)\n    high, wide = tl.cdiv(m, ROWS), tl.cdiv(n, COLUMNS)\n"
     "    group = 8 * wide\n    first = place // group * 8\n"
     "    members = tl.minimum(high - first, 8)\n"
     "    rows = (first + place % group % members) * ROWS + tl.arange(0, ROWS)\n"
     "    columns = place % group // members * COLUMNS + tl.arange(0, COLUMNS)\n"),
    ('return (triton.cdiv(m, meta["ROWS"]), triton.cdiv(n, meta["COLUMNS"]))',
     'return (triton.cdiv(m, meta["ROWS"]) * triton.cdiv(n, meta["COLUMNS"]),)'),
)  # fmt: skip
VARIANTS = {
    "an accumulator through the dot": ACCUMULATED,
    "rounded by the store": ROUNDED_BY_STORE,
    "from the end": FROM_THE_END,
    "the right operand turned": TURNED,
    "split depth, rounded after": SPLIT,
    "padded operands, no masks": PADDED,
    "blocks in groups": GATHERED,
}
