import torch
import triton
import triton.language as tl


@triton.jit
def relu(x):
    return tl.maximum(x, 0.0)


@triton.jit
def silu(x):
    return x * tl.sigmoid(x)


ACTIVATIONS = {"relu": relu, "silu": silu}


@triton.jit
def activate(src, dst, count, ACTIVATION: tl.constexpr, WIDTH: tl.constexpr):
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    x = tl.load(src + at, mask=at < count)
    tl.store(dst + at, ACTIVATION(x), mask=at < count)


class ModelNew(torch.nn.Module):
    def __init__(self, name="silu"):
        super().__init__()
        self.function = ACTIVATIONS[name]

    def forward(self, x):
        out = torch.empty_like(x)
        activate[(triton.cdiv(x.numel(), 1024),)](
            x, out, x.numel(), ACTIVATION=self.function, WIDTH=1024
        )
        return out
