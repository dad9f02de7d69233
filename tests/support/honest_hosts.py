"""Host code in many hands around the kernels of one chain, and kernels that meet its ends."""

from __future__ import annotations

from accuracy_trial import changed
from honest_maps import CHAIN, CHAIN_KERNELS, CHAIN_LAUNCH

FORWARD = CHAIN[CHAIN.index("    def forward(") :]
ALLOCATED = "        mid = torch.empty_like(x)\n        y = torch.empty_like(x)\n"
GATE = "gate_kernel[grid](x, mid, count, SIZE=256)"
BLEND = "blend_kernel[grid](mid, self.scale, x, y, count, x.shape[-1], SIZE=256)"
WIDTH_ARGUMENTS = "mid, self.scale, x, y, count, x.shape[-1]"


def launched(*lines: str) -> str:
    """The chain with another way to launch its kernels."""
    return changed(CHAIN, (CHAIN_LAUNCH, "".join(f"        {line}\n" for line in lines)))


CLOSURE = launched(
    "def run():",
    f"    {GATE}",
    f"    {BLEND}",
    "",
    "run()",
)
LAMBDA = launched(
    "launch = lambda kernel, *given: kernel[grid](*given, SIZE=256)",
    "launch(gate_kernel, x, mid, count)",
    f"launch(blend_kernel, {WIDTH_ARGUMENTS})",
)
NAMES_FILLED_IN = launched(
    GATE,
    "given = {}",
    'given["mid_ptr"], given["scale_ptr"] = mid, self.scale',
    'given["x_ptr"] = x',
    'given["y_ptr"] = y',
    "blend_kernel[grid](**given, count=count, width=x.shape[-1], SIZE=256)",
)
LISTS_ADDED = launched(
    "operands = (x,)",
    "gate_kernel[grid](*(operands + (mid, count)), SIZE=256)",
    "given = [mid, self.scale] + [x, y]",
    "given = given + [count, x.shape[-1]]",
    "blend_kernel[grid](*given, SIZE=256)",
)
CHOSEN_TUPLE = launched(
    GATE,
    "scale = self.scale",
    "given = (mid, scale, x, y) if scale.is_contiguous() else (mid, scale.contiguous(), x, y)",
    "blend_kernel[grid](*given, count, x.shape[-1], SIZE=256)",
)
FLAT_VIEW = launched(
    GATE,
    "flat = y.view(-1)",
    "blend_kernel[grid](mid.view(-1), self.scale, x.view(-1), flat, count, x.shape[-1], SIZE=256)",
)
SHAPED_BEFORE = changed(
    CHAIN,
    ("        y = torch.empty_like(x)\n",
     "        flat = torch.empty(x.numel(), device=x.device, dtype=x.dtype)\n"
     "        y = flat.view(x.shape)\n"),
    ("self.scale, x, y,", "self.scale, x, flat,"),
)  # fmt: skip
ON_ITS_DEVICE = launched(
    "with torch.cuda.device(x.device):",
    f"    {GATE}",
    f"    {BLEND}",
)
NO_GRAD = changed(CHAIN, ("    def forward(", "    @torch.no_grad()\n    def forward("))
GUARDED = changed(
    CHAIN,
    ("        x = x.contiguous()\n",
     "        assert x.is_cuda and x.dtype == torch.float32, 'float32 on a GPU'\n"
     "        assert x.ndim >= 1 and x.shape[-1] == self.scale.numel()\n"
     "        x = x.contiguous()\n"),
    (CHAIN_LAUNCH, "        if count > 0:\n"
     + "".join(f"    {line}\n" for line in CHAIN_LAUNCH.splitlines())),
)  # fmt: skip
MODULE_OPTIONS = changed(
    CHAIN,
    ("@triton.jit\ndef gate_kernel", "SIZE = 256\nOPTIONS = {'SIZE': SIZE, 'num_warps': 4}\n\n\n"
     "@triton.jit\ndef gate_kernel"),
    (CHAIN_LAUNCH, CHAIN_LAUNCH.replace("SIZE=256", "**OPTIONS")),
    ("triton.cdiv(count, 256)", "-(-count // SIZE)"),
)  # fmt: skip
CLASS_CONSTANTS = changed(
    CHAIN,
    ("    def __init__(", "    SIZE = 256\n    WARPS = 4\n\n    def __init__("),
    (CHAIN_LAUNCH, CHAIN_LAUNCH.replace("256", "self.SIZE, num_warps=self.WARPS")),
    ("triton.cdiv(count, 256)", "(count + self.SIZE - 1) // self.SIZE"),
)
FACTS_OF_THE_CARD = changed(
    CHAIN,
    ("        self.scale = ",
     "        card = torch.cuda.get_device_properties(torch.cuda.current_device())\n"
     "        self.blocks = 4 * card.multi_processor_count\n        self.scale = "),
    ("    at = tl.program_id(0) * SIZE + tl.arange(0, SIZE)\n    x = tl.load(x_ptr + at, mask=at < "
     "count)\n    tl.store(mid_ptr + at, x / (1.0 + tl.exp(-x)), mask=at < count)\n",
     "    for tile in range(tl.program_id(0), tl.cdiv(count, SIZE), tl.num_programs(0)):\n"
     "        at = tile * SIZE + tl.arange(0, SIZE)\n"
     "        x = tl.load(x_ptr + at, mask=at < count)\n"
     "        tl.store(mid_ptr + at, x / (1.0 + tl.exp(-x)), mask=at < count)\n"),
    ("gate_kernel[grid](", "gate_kernel[(min(grid[0], self.blocks),)]("),
)  # fmt: skip
WARPS_BY_CARD = launched(
    "warps = 8 if torch.cuda.get_device_capability()[0] >= 9 else 4",
    GATE.replace("SIZE=256", "SIZE=256, num_warps=warps"),
    BLEND.replace("SIZE=256", "SIZE=256, num_warps=warps"),
)
OUT_PARAMETER = changed(
    CHAIN,
    ("class ModelNew",
     "def chain(x, scale, out=None):\n    x = x.contiguous()\n    if out is None:\n"
     "        out = torch.empty_like(x)\n    mid = torch.empty_like(x)\n    count = x.numel()\n"
     "    grid = (triton.cdiv(count, 256),)\n    gate_kernel[grid](x, mid, count, SIZE=256)\n"
     "    blend_kernel[grid](mid, scale, x, out, count, x.shape[-1], SIZE=256)\n"
     "    return out\n\n\nclass ModelNew"),
    (FORWARD, "    def forward(self, x):\n        return chain(x, self.scale)\n"),
)  # fmt: skip
METHODS = changed(
    CHAIN,
    (FORWARD,
     "    @staticmethod\n    def blocks(count: int) -> tuple[int]:\n"
     "        return (triton.cdiv(count, 256),)\n\n"
     "    def gated(self, x: torch.Tensor) -> torch.Tensor:\n        mid = torch.empty_like(x)\n"
     "        gate_kernel[self.blocks(x.numel())](x, mid, x.numel(), SIZE=256)\n"
     "        return mid\n\n"
     "    def forward(self, x: torch.Tensor) -> torch.Tensor:\n        x = x.contiguous()\n"
     "        y, mid = torch.empty_like(x), self.gated(x)\n"
     "        blend_kernel[self.blocks(x.numel())](\n"
     "            mid, self.scale, x, y, x.numel(), x.size(-1), SIZE=256\n        )\n"
     "        return y\n"),
)  # fmt: skip
CONFIGS_FROM_FUNCTION = changed(
    CHAIN,
    ("@triton.jit\ndef gate_kernel",
     "def sizes():\n    return [\n        triton.Config({'SIZE': size}, num_warps=size // 64)\n"
     "        for size in (128, 256, 512)\n    ]\n\n\n"
     "@triton.autotune(configs=sizes(), key=['count'])\n@triton.jit\ndef gate_kernel"),
    (GATE, "gate_kernel[lambda meta: (triton.cdiv(count, meta['SIZE']),)](x, mid, count)"),
)  # fmt: skip
KERNEL_BY_CONDITION = changed(
    launched(
        GATE,
        "kernel = whole_kernel if count % 256 == 0 else blend_kernel",
        f"kernel[grid]({WIDTH_ARGUMENTS}, SIZE=256)",
    ),
    ("class ModelNew",
     CHAIN_KERNELS[CHAIN_KERNELS.index("@triton.jit\ndef blend") :]
     .replace("blend_kernel", "whole_kernel").replace(", mask=at < count", "")
     + "\n\nclass ModelNew"),
)  # fmt: skip
PADDED_OUTPUT = changed(
    CHAIN,
    ("        y = torch.empty_like(x)\n",
     "        y = torch.empty(\n            triton.cdiv(x.numel(), 256) * 256, device=x.device, "
     "dtype=x.dtype\n        )\n"),
    ("tl.store(y_ptr + at, mid * scale + x, mask=at < count)",
     "tl.store(y_ptr + at, mid * scale + x)"),
    ("return y", "return y[:count].view(x.shape)"),
)  # fmt: skip
LAST_TILE_OVERLAPS = changed(
    CHAIN,
    ("    at = tl.program_id(0) * SIZE + tl.arange(0, SIZE)\n    mid",
     "    first = tl.maximum(tl.minimum(tl.program_id(0) * SIZE, count - SIZE), 0)\n"
     "    at = first + tl.arange(0, SIZE)\n    mid"),
)  # fmt: skip
CLAMPED = changed(
    CHAIN,
    ("    x = tl.load(x_ptr + at, mask=at < count)\n    tl.store(mid_ptr",
     "    x = tl.load(x_ptr + tl.where(at < count, at, 0))\n    tl.store(mid_ptr"),
    ("    mid = tl.load(mid_ptr + at, mask=at < count)\n",
     "    mid = tl.load(mid_ptr + tl.minimum(at, count - 1))\n"),
)  # fmt: skip
LIBDEVICE = changed(CHAIN, ("tl.exp(-x)", "tl.extra.cuda.libdevice.exp(-x)"))
TWO_DIMENSIONS = changed(
    CHAIN,
    ("blend_kernel(mid_ptr, scale_ptr, x_ptr, y_ptr, count, width, SIZE: tl.constexpr):\n"
     "    at = tl.program_id(0) * SIZE + tl.arange(0, SIZE)\n    mid = tl.load(mid_ptr + at, "
     "mask=at < count)\n    scale = tl.load(scale_ptr + at % width, mask=at < count)\n"
     "    x = tl.load(x_ptr + at, mask=at < count)\n"
     "    tl.store(y_ptr + at, mid * scale + x, mask=at < count)\n",
     "blend_kernel(mid_ptr, scale_ptr, x_ptr, y_ptr, lines, width, LINES: tl.constexpr,\n"
     "                 WIDTH: tl.constexpr):\n"
     "    line = tl.program_id(0) * LINES + tl.arange(0, LINES)\n"
     "    place = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)\n"
     "    across = place < width\n    inside = (line < lines)[:, None] & across[None, :]\n"
     "    at = line.to(tl.int64)[:, None] * width + place[None, :]\n"
     "    scale = tl.load(scale_ptr + place, mask=across, other=1.0)\n"
     "    x = tl.load(x_ptr + at, mask=inside)\n    mid = tl.load(mid_ptr + at, mask=inside)\n"
     "    tl.store(y_ptr + at, tl.fma(mid, tl.expand_dims(scale, 0), x), mask=inside)\n"),
    (BLEND,
     "lines, width = count // x.shape[-1], x.shape[-1]\n"
     "        tiles = lambda meta: (\n            triton.cdiv(lines, meta['LINES']), "
     "triton.cdiv(width, meta['WIDTH'])\n        )\n"
     "        blend_kernel[tiles](mid, self.scale, x, y, lines, width, LINES=8, WIDTH=64)"),
)  # fmt: skip
RETURNED_TUPLE = changed(
    CHAIN,
    (ALLOCATED, "        mid, y = room(x, 2)\n"),
    ("class ModelNew", "def room(like, how_many):\n    return [torch.empty_like(like) for _ in "
     "range(how_many)]\n\n\nclass ModelNew"),
)  # fmt: skip
ROOM_BY_NAME = changed(
    CHAIN,
    (ALLOCATED, "        mid, y = room(x), room(x)\n"),
    ("class ModelNew", "def room(like):\n    made = torch.empty_like(like)\n    return made\n\n\n"
     "class ModelNew"),
)  # fmt: skip
LAMBDA_ROOM = changed(
    CHAIN,
    (ALLOCATED, "        room = lambda: torch.empty_like(x)\n        mid, y = room(), room()\n"),
)
COMPREHENSION = launched(
    "steps = [(gate_kernel, [x, mid, count]), (blend_kernel, [" + WIDTH_ARGUMENTS + "])]",
    "[kernel[grid](*given, SIZE=256) for kernel, given in steps]",
)
SECOND_NAME = changed(
    CHAIN,
    ("        y = torch.empty_like(x)\n", "        y = torch.empty_like(x)\n        target = y\n"),
    ("self.scale, x, y,", "self.scale, x, target,"),
)
TWO_NAMES_AT_ONCE = changed(
    CHAIN,
    ("        y = torch.empty_like(x)\n", "        y = target = torch.empty_like(x)\n"),
    ("self.scale, x, y,", "self.scale, x, target,"),
)
BLEND_AS_WELL = """\
@triton.jit
def silu(x):
    return x * tl.sigmoid(x)


@triton.jit
def blend_kernel(x_ptr, scale_ptr, y_ptr, count, width, SIZE: tl.constexpr):
    at = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    x = tl.load(x_ptr + at, mask=at < count)
    scale = tl.load(scale_ptr + at % width, mask=at < count)
    tl.store(y_ptr + at, silu(x) * scale + x, mask=at < count)
"""
FUSED_UNDER_ONE_OF_THE_NAMES = changed(
    CHAIN,
    (CHAIN_KERNELS, BLEND_AS_WELL),
    ("        mid = torch.empty_like(x)\n", ""),
    (CHAIN_LAUNCH, "        blend_kernel[grid](x, self.scale, y, count, x.shape[-1], SIZE=256)\n"),
)
HELPER_WITH_FLAG = changed(
    CHAIN,
    ("x / (1.0 + tl.exp(-x))", "curved(x, FAST=True)"),
    ("@triton.jit\ndef gate_kernel",
     "@triton.jit\ndef curved(x, FAST: tl.constexpr):\n    if FAST:\n"
     "        return x * tl.sigmoid(x)\n    else:\n        return x / (1.0 + tl.exp(-x))\n\n\n"
     "@triton.jit\ndef gate_kernel"),
)  # fmt: skip
HELPER_FOR_TWO = changed(
    CHAIN,
    ("x / (1.0 + tl.exp(-x))", "joined(x, 0.0, 0.0, GATE=True)"),
    ("mid * scale + x", "joined(mid, scale, x, GATE=False)"),
    ("@triton.jit\ndef gate_kernel",
     "@triton.jit\ndef joined(x, scale, more, GATE: tl.constexpr):\n    if GATE:\n"
     "        y = x * tl.sigmoid(x)\n    else:\n        y = x * scale + more\n    return y\n\n\n"
     "@triton.jit\ndef gate_kernel"),
)  # fmt: skip
HOST_VARIANTS = {
    "a second name for the output": SECOND_NAME,
    "two names at once": TWO_NAMES_AT_ONCE,
    "one kernel in place of two": FUSED_UNDER_ONE_OF_THE_NAMES,
    "a helper with a flag that is always set": HELPER_WITH_FLAG,
    "a helper for both kernels": HELPER_FOR_TWO,
    "a closure": CLOSURE,
    "a lambda that launches": LAMBDA,
    "a dictionary filled in": NAMES_FILLED_IN,
    "lists added": LISTS_ADDED,
    "a tuple chosen": CHOSEN_TUPLE,
    "a flat view of the output": FLAT_VIEW,
    "the output's form made before": SHAPED_BEFORE,
    "on its device": ON_ITS_DEVICE,
    "without gradients": NO_GRAD,
    "guarded": GUARDED,
    "options of the module": MODULE_OPTIONS,
    "constants of the class": CLASS_CONSTANTS,
    "facts of the card kept": FACTS_OF_THE_CARD,
    "warps by the card": WARPS_BY_CARD,
    "an output handed in": OUT_PARAMETER,
    "methods with annotations": METHODS,
    "configs from a function": CONFIGS_FROM_FUNCTION,
    "a kernel by condition": KERNEL_BY_CONDITION,
    "a padded output": PADDED_OUTPUT,
    "the last tile overlaps": LAST_TILE_OVERLAPS,
    "clamped in place of masked": CLAMPED,
    "libdevice": LIBDEVICE,
    "two dimensions": TWO_DIMENSIONS,
    "room as a list": RETURNED_TUPLE,
    "room by a name": ROOM_BY_NAME,
    "room by a lambda": LAMBDA_ROOM,
    "a comprehension over steps": COMPREHENSION,
}
