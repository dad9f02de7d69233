import torch
import triton
import triton.language as tl


@triton.autotune(
    configs=[triton.Config({"WIDTH": w}, num_warps=n) for w, n in ((512, 4), (1024, 4), (1024, 8))],
    key=["count"],
)
@triton.jit
def add_mul_kernel(a, b, c, dst, count, WIDTH: tl.constexpr):
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    inside = at < count
    value = tl.load(a + at, mask=inside) * tl.load(b + at, mask=inside) + tl.load(
        c + at, mask=inside
    )
    tl.store(dst + at, value, mask=inside)


@torch.library.triton_op("ourlib::add_mul", mutates_args={})
def add_mul(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    out = torch.empty_like(a)

    def grid(meta):
        return (triton.cdiv(out.numel(), meta["WIDTH"]),)

    torch.library.wrap_triton(add_mul_kernel)[grid](a, b, c, out, out.numel())
    return out


class ModelNew(torch.nn.Module):
    def forward(self, a, b, c):
        return torch.ops.ourlib.add_mul(a, b, c)
