"""Cases of activations/swiglu.py:swiglu_backward: gradients in the memory of the inputs."""

import torch


def wide():
    return {
        "dout": torch.randn(4096, 11008, dtype=torch.bfloat16),
        "gate": torch.randn(4096, 11008, dtype=torch.bfloat16),
        "up": torch.randn(4096, 11008, dtype=torch.bfloat16),
    }


def narrow():
    return {
        "dout": torch.randn(16384, 1536, dtype=torch.float32),
        "gate": torch.randn(16384, 1536, dtype=torch.float32),
        "up": torch.randn(16384, 1536, dtype=torch.float32),
    }


CASES = [wide, narrow]


def reference(dout, gate, up):
    sig = torch.sigmoid(gate)
    return dout * up * sig * (1 + gate * (1 - sig)), dout * gate * sig
