"""Cases of selective_scan.py:selective_scan: a layer in training, and a short prompt."""

import torch


def training():
    return {
        "u": torch.randn(4, 2048, 1024, dtype=torch.float32),
        "delta": torch.rand(4, 2048, 1024, dtype=torch.float32) - 2.0,
        "A": -torch.rand(2048, 16, dtype=torch.float32) - 0.5,
        "B": torch.randn(4, 1024, 16, dtype=torch.float32),
        "C": torch.randn(4, 1024, 16, dtype=torch.float32),
        "D": torch.randn(2048, dtype=torch.float32),
    }


def prompt():
    return {
        "u": torch.randn(1, 1536, 256, dtype=torch.bfloat16),
        "delta": torch.rand(1, 1536, 256, dtype=torch.bfloat16),
        "A": -torch.rand(1536, 16, dtype=torch.float32) - 0.5,
        "B": torch.randn(1, 256, 16, dtype=torch.bfloat16),
        "C": torch.randn(1, 256, 16, dtype=torch.bfloat16),
        "delta_softplus": False,
    }


CASES = {training: 1, prompt: 1}


def reference(u, delta, A, B, C, D=None, delta_softplus=True):
    kind = u.dtype
    wide = torch.promote_types(kind, torch.float32)
    u, delta, B, C = u.to(wide), delta.to(wide), B.to(wide), C.to(wide)
    if delta_softplus:
        delta = torch.nn.functional.softplus(delta)
    state = torch.zeros(u.shape[0], u.shape[1], A.shape[1], dtype=wide, device=u.device)
    outputs = []
    for t in range(u.shape[2]):
        step = delta[:, :, t, None]
        state = state * torch.exp(step * A) + step * u[:, :, t, None] * B[:, t, None, :]
        outputs.append((state * C[:, t, None, :]).sum(-1))
    y = torch.stack(outputs, dim=-1)
    if D is not None:
        y = y + u * D[None, :, None]
    return y.to(kind), state
