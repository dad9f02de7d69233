import torch
import triton
import triton.language as tl


@triton.jit
def momentum_step(weight, grad, speed, count, rate, decay, WIDTH: tl.constexpr):
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    inside = at < count
    w = tl.load(weight + at, mask=inside)
    v = tl.load(speed + at, mask=inside) * decay + tl.load(grad + at, mask=inside)
    tl.store(speed + at, v, mask=inside)
    tl.store(weight + at, w - rate * v, mask=inside)


class ModelNew(torch.nn.Module):
    def forward(self, weight, grad, speed):
        weight, speed = weight.clone(), speed.clone()
        count = weight.numel()
        momentum_step[(triton.cdiv(count, 1024),)](
            weight, grad, speed, count, 0.01, 0.9, WIDTH=1024
        )
        return weight, speed
