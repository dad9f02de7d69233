import torch
import triton
import triton.language as tl

TARGET = triton.runtime.driver.active.get_current_target()
HAS_TMA = TARGET.backend == "cuda" and TARGET.arch >= 90
CORES = torch.cuda.get_device_properties(torch.cuda.current_device()).multi_processor_count
WARPS = 8 if HAS_TMA else 4


@triton.jit
def strided_copy(src, dst, count, BLOCKS, WIDTH: tl.constexpr):
    for start in range(tl.program_id(0) * WIDTH, count, BLOCKS * WIDTH):
        at = start + tl.arange(0, WIDTH)
        tl.store(dst + at, -tl.load(src + at, mask=at < count), mask=at < count)


class ModelNew(torch.nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        blocks = min(2 * CORES, triton.cdiv(x.numel(), 1024))
        strided_copy[(blocks,)](x, out, x.numel(), blocks, WIDTH=1024, num_warps=WARPS)
        return out
