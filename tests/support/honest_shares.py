"""Shares of rows (softmax) in many hands."""

from __future__ import annotations

from textwrap import dedent

import accuracy_trial
from accuracy_trial import IMPORTS, changed

SHARES = accuracy_trial.SHARES
SHARES_PROBLEM = str(accuracy_trial.SHARES_PROBLEM.source).lstrip().replace("640, 900", "40, 300")
SHARES_MODEL = SHARES[SHARES.index("class ModelNew") :]
SHARES_LAUNCH = (
    "        shares_kernel[(lines,)](values, out, width, WIDTH=triton.next_power_of_2(width))\n"
)
LOAD = 'tl.load(values_ptr + line * width + place, mask=inside, other=float("-inf"))'


def shares(kernels: str, *lines: str) -> str:
    """A softmax with these kernels and these statements for the launch."""
    body = "".join(f"        {line}\n" for line in lines)
    model = changed(SHARES_MODEL, (SHARES_LAUNCH, body))
    return IMPORTS + dedent(kernels).strip("\n") + "\n\n\n" + model


ONLINE = shares(
    """
    @triton.jit
    def shares_kernel(values_ptr, out_ptr, width, SIZE: tl.constexpr):
        start = tl.program_id(0).to(tl.int64) * width
        highest = -float("inf")
        total = 0.0
        for first in range(0, width, SIZE):
            place = first + tl.arange(0, SIZE)
            values = tl.load(values_ptr + start + place, mask=place < width, other=-float("inf"))
            higher = tl.maximum(highest, tl.max(values, axis=0))
            total = total * tl.exp(highest - higher) + tl.sum(tl.exp(values - higher), axis=0)
            highest = higher
        for first in range(0, width, SIZE):
            place = first + tl.arange(0, SIZE)
            values = tl.load(values_ptr + start + place, mask=place < width)
            tl.store(out_ptr + start + place, tl.exp(values - highest) / total, mask=place < width)
    """,
    "shares_kernel[(lines,)](values, out, width, SIZE=64)",
)
ONLINE_BY_LANE = shares(
    """
    @triton.jit
    def shares_kernel(values_ptr, out_ptr, width, SIZE: tl.constexpr):
        start = tl.program_id(0) * width
        highest = tl.full((SIZE,), -1e38, tl.float32)
        total = tl.zeros((SIZE,), tl.float32)
        for first in tl.range(0, width, SIZE):
            place = first + tl.arange(0, SIZE)
            values = tl.load(values_ptr + start + place, mask=place < width, other=-float("inf"))
            higher = tl.maximum(highest, values)
            total = total * tl.exp(highest - higher) + tl.exp(values - higher)
            highest = higher
        top = tl.max(highest, axis=0)
        whole = tl.sum(total * tl.exp(highest - top), axis=0)
        for first in tl.range(0, width, SIZE):
            place = first + tl.arange(0, SIZE)
            values = tl.load(values_ptr + start + place, mask=place < width)
            tl.store(out_ptr + start + place, tl.exp(values - top) / whole, mask=place < width)
    """,
    "shares_kernel[(lines,)](values, out, width, SIZE=128)",
)
PERSISTENT = shares(
    """
    @triton.jit
    def shares_kernel(values_ptr, out_ptr, lines, width, WIDTH: tl.constexpr):
        place = tl.arange(0, WIDTH)
        inside = place < width
        for line in tl.range(tl.program_id(0), lines, tl.num_programs(0), num_stages=2):
            values = tl.load(values_ptr + line * width + place, mask=inside, other=-float("inf"))
            weights = tl.exp(values - tl.max(values, axis=0))
            tl.store(out_ptr + line * width + place, weights / tl.sum(weights, axis=0), mask=inside)
    """,
    "card = torch.cuda.get_device_properties(values.device)",
    "blocks = min(lines, 4 * card.multi_processor_count)",
    "shares_kernel[(blocks,)](values, out, lines, width, WIDTH=triton.next_power_of_2(width))",
)
SEVERAL_LINES = shares(
    """
    @triton.jit
    def shares_kernel(values_ptr, out_ptr, lines, width, LINES: tl.constexpr, WIDTH: tl.constexpr):
        line = tl.program_id(0) * LINES + tl.arange(0, LINES)[:, None]
        place = tl.arange(0, WIDTH)[None, :]
        inside = (line < lines) & (place < width)
        values = tl.load(values_ptr + line * width + place, mask=inside, other=-1e30)
        weights = tl.exp(values - tl.max(values, axis=1, keep_dims=True))
        weights = tl.where(place < width, weights, 0.0)
        tl.store(out_ptr + line * width + place, weights / tl.sum(weights, 1)[:, None], mask=inside)
    """,
    "grid = lambda meta: (triton.cdiv(lines, meta['LINES']),)",
    "WIDTH = triton.next_power_of_2(width)",
    "shares_kernel[grid](values, out, lines, width, LINES=4, WIDTH=WIDTH, num_warps=8)",
)
POWERS_OF_TWO = changed(
    SHARES,
    ("@triton.jit", "LOG2_E = tl.constexpr(1.4426950408889634)\n\n\n@triton.jit"),
    ("tl.exp(values - tl.max(values, axis=0))",
     "tl.math.exp2((values - tl.max(values, axis=0)) * LOG2_E)"),
)  # fmt: skip
WHERE = changed(
    SHARES,
    (LOAD, "tl.load(values_ptr + line * width + place, mask=inside)"),
    ("    weights = ", '    values = tl.where(inside, values, float("-inf"))\n    weights = '),
)
RECIPROCAL = changed(
    SHARES,
    (LOAD, LOAD.replace("inside,", 'inside, eviction_policy="evict_first",')),
    ("    total = tl.sum(weights, axis=0)\n", "    share = 1.0 / tl.sum(weights, axis=0)\n"),
    ("weights / total", "weights * share"),
    ("    place = tl.arange(0, WIDTH)\n",
     "    tl.static_assert(WIDTH & (WIDTH - 1) == 0)\n    tl.assume(width > 0)\n"
     "    place = tl.max_contiguous(tl.arange(0, WIDTH), WIDTH)\n"),
)  # fmt: skip
OWN_REDUCTIONS = changed(
    SHARES,
    ("@triton.jit", "@triton.jit\ndef larger(a, b):\n    return tl.maximum(a, b)\n\n\n@triton.jit\n"
     "def added(a, b):\n    return a + b\n\n\n@triton.jit"),
    ("tl.max(values, axis=0)", "tl.reduce(values, 0, larger)"),
    ("tl.sum(weights, axis=0)", "tl.reduce(weights, axis=0, combine_fn=added)"),
)  # fmt: skip
LIBRARY = changed(
    SHARES,
    (SHARES[SHARES.index("    weights = ") : SHARES.index("    tl.store(")],
     "    shares = tl.softmax(values)\n"),
    ("weights / total", "shares"),
)  # fmt: skip
BY_HEURISTICS = changed(
    SHARES,
    ("@triton.jit", '@triton.heuristics({\n    "WIDTH": lambda given: triton.next_power_of_2('
     'given["width"]),\n    "num_warps": lambda given: 8 if given["width"] > 2048 else 4,\n})\n'
     "@triton.jit"),
    (", WIDTH=triton.next_power_of_2(width)", ""),
)  # fmt: skip
STATIC_PIECES = shares(
    """
    @triton.jit
    def shares_kernel(values_ptr, out_ptr, width, PIECES: tl.constexpr, SIZE: tl.constexpr):
        start = tl.program_id(0) * width
        lanes = tl.arange(0, SIZE)
        highest = -float("inf")
        for piece in tl.static_range(PIECES):
            place = piece * SIZE + lanes
            values = tl.load(values_ptr + start + place, mask=place < width, other=-float("inf"))
            highest = tl.maximum(highest, tl.max(values, axis=0))
        total = 0.0
        for piece in tl.static_range(PIECES):
            place = piece * SIZE + lanes
            values = tl.load(values_ptr + start + place, mask=place < width, other=-float("inf"))
            total += tl.sum(tl.exp(values - highest), axis=0)
        for piece in tl.static_range(PIECES):
            place = piece * SIZE + lanes
            values = tl.load(values_ptr + start + place, mask=place < width)
            tl.store(out_ptr + start + place, tl.exp(values - highest) / total, mask=place < width)
    """,
    "SIZE = 128",
    "shares_kernel[(lines,)](values, out, width, PIECES=triton.cdiv(width, SIZE), SIZE=SIZE)",
)
FACTS_FIRST = shares(
    """
    @triton.jit
    def facts_kernel(values_ptr, facts_ptr, lines, width, WIDTH: tl.constexpr):
        line = tl.program_id(0)
        place = tl.arange(0, WIDTH)
        values = tl.load(values_ptr + line * width + place, mask=place < width,
                         other=float("-inf"))
        highest = tl.max(values, axis=0)
        tl.store(facts_ptr + line, highest)
        tl.store(facts_ptr + lines + line, tl.sum(tl.exp(values - highest), axis=0))


    @triton.jit
    def shares_kernel(values_ptr, facts_ptr, out_ptr, lines, width, SIZE: tl.constexpr):
        at = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
        inside = at < lines * width
        line = at // width
        highest = tl.load(facts_ptr + line, mask=inside, other=0.0)
        total = tl.load(facts_ptr + lines + line, mask=inside, other=1.0)
        values = tl.load(values_ptr + at, mask=inside, other=0.0)
        tl.store(out_ptr + at, tl.exp(values - highest) / total, mask=inside)
    """,
    "facts = values.new_empty(2, lines)",
    "WIDTH = triton.next_power_of_2(width)",
    "facts_kernel[(lines,)](values, facts, lines, width, WIDTH=WIDTH)",
    "grid = lambda meta: (triton.cdiv(values.numel(), meta['SIZE']),)",
    "shares_kernel[grid](values, facts, out, lines, width, SIZE=512)",
)
BY_WIDTH = changed(
    SHARES,
    (SHARES_LAUNCH,
     "        if width <= 8192:\n    " + SHARES_LAUNCH + "        else:\n"
     "            long_kernel[(lines,)](values, out, width, SIZE=4096)\n"),
    ("class ModelNew",
     ONLINE[ONLINE.index("@triton.jit") : ONLINE.index("class ModelNew")]
     .replace("def shares_kernel", "def long_kernel") + "class ModelNew"),
)  # fmt: skip
TUNED = changed(
    SHARES,
    ("@triton.jit", "@triton.autotune(\n    configs=[triton.Config({}, num_warps=warps) for warps "
     'in (1, 2, 4)],\n    key=["width"],\n)\n@triton.jit'),
)  # fmt: skip
BLOCK_POINTERS = changed(
    SHARES,
    (LOAD, 'tl.load(values_tile, boundary_check=(0,), padding_option="zero")\n'
     '    values = tl.where(inside, values, float("-inf"))'),
    ("    values = tl.load(",
     "    values_tile = tl.make_block_ptr(\n        values_ptr + line * width, (width,), (1,),"
     " (0,), (WIDTH,), (0,)\n    )\n    values = tl.load("),
)  # fmt: skip
LINES_LAST = changed(
    SHARES,
    ("        lines, width = values.shape\n",
     "        values = values.contiguous()\n        flat = values.view(-1, values.shape[-1])\n"
     "        lines, width = flat.size()\n"),
    ("shares_kernel[(lines,)](values, out,", "shares_kernel[lines, 1, 1](flat, out,"),
    ("return out", "return out.reshape(values.shape)"),
)  # fmt: skip
IN_A_LOOP = changed(
    SHARES,
    (SHARES_LAUNCH,
     "        WIDTH = triton.next_power_of_2(width)\n"
     "        for source, target in zip(values.split(16), out.split(16)):\n"
     "            shares_kernel[(len(source),)](source, target, width, WIDTH=WIDTH)\n"),
)  # fmt: skip

SHARES_VARIANTS = {
    "online": ONLINE,
    "online, a sum of each lane": ONLINE_BY_LANE,
    "persistent": PERSISTENT,
    "several lines a block": SEVERAL_LINES,
    "powers of two": POWERS_OF_TWO,
    "where in place of other": WHERE,
    "a reciprocal, and hints": RECIPROCAL,
    "reductions of its own": OWN_REDUCTIONS,
    "the library's softmax": LIBRARY,
    "widths and warps by heuristics": BY_HEURISTICS,
    "static pieces": STATIC_PIECES,
    "facts first, in a kernel of their own": FACTS_FIRST,
    "another kernel for long lines": BY_WIDTH,
    "tuned over a comprehension": TUNED,
    "a block pointer": BLOCK_POINTERS,
    "views of input and output": LINES_LAST,
    "launches over parts": IN_A_LOOP,
}
