"""What happens to accumulators before they are stored."""

import triton
import triton.language as tl


@triton.jit
def pointwise(acc):
    """A mark: a program has the problem's own operations in the place of its calls."""
    return acc


@triton.jit
def bias_of(bias_ptr, oc, OC: tl.constexpr, HAS_BIAS: tl.constexpr):
    """The bias of these output channels in fp32, zeros where there is none."""
    bias = tl.zeros(oc.shape, dtype=tl.float32)
    if HAS_BIAS:
        bias = tl.load(bias_ptr + oc, mask=oc < OC, other=0.0).to(tl.float32)
    return bias
