"""Cases of causal_conv1d.py:causal_conv1d: the short convolution before a state-space layer."""

import torch


def training():
    return {
        "x": torch.randn(8, 4096, 2048, dtype=torch.bfloat16),
        "weight": torch.randn(4096, 4, dtype=torch.bfloat16),
        "bias": torch.randn(4096, dtype=torch.bfloat16),
        "activation": "silu",
    }


def plain():
    return {
        "x": torch.randn(16, 768, 1000, dtype=torch.float32),
        "weight": torch.randn(768, 3, dtype=torch.float32),
    }


CASES = {training: 4, plain: 1}


def reference(x, weight, bias=None, activation=None):
    length, width = x.shape[-1], weight.shape[1]
    padded = torch.nn.functional.pad(x, (width - 1, 0))
    out = torch.nn.functional.conv1d(padded, weight[:, None, :], bias, groups=x.shape[1])
    out = out[..., :length]
    return out if activation is None else torch.nn.functional.silu(out)
