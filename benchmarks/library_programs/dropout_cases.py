"""Cases of dropout.py:seeded_dropout. The reference makes the random numbers with torch.

They are those of the counter-based generator Philox 4x32 with ten rounds (Salmon et al., "Parallel
random numbers: as easy as 1, 2, 3", 2011), which tl.rand uses: the counter is the index of the
element, the key is the seed.
"""

import torch


def hidden_states():
    return {"x": torch.randn(8, 2048, 4096, dtype=torch.float16), "p": 0.1, "seed": 1234}


def single():
    return {"x": torch.randn(4096, 1024, dtype=torch.float32), "p": 0.5, "seed": 7}


CASES = {hidden_states: 3, single: 1}

_LOW = 0xFFFFFFFF


def _product(constant, value):
    """High and low 32 bits of the product of two numbers of 32 bits."""
    low = constant * (value & 0xFFFF)
    high = constant * (value >> 16) + (low >> 16)
    return (high >> 16) & _LOW, ((high & 0xFFFF) << 16) | (low & 0xFFFF)


def _uniform(seed, counter):
    c0 = counter
    c1 = c2 = c3 = torch.zeros_like(counter)
    k0, k1 = seed & _LOW, (seed >> 32) & _LOW
    for _ in range(10):
        high0, low0 = _product(0xD2511F53, c0)
        high1, low1 = _product(0xCD9E8D57, c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) & _LOW, (k1 + 0xBB67AE85) & _LOW
    # As signed numbers folded to the positive ones, then scaled to [0, 1).
    folded = torch.where(c0 >= 2**31, _LOW - c0, c0)
    return folded.double() * 4.6566127342e-10


def reference(x, p=0.5, seed=0):
    counter = torch.arange(x.numel(), dtype=torch.int64, device=x.device)
    keep = (_uniform(seed, counter) > p).view(x.shape)
    return torch.where(keep, x / (1 - p), torch.zeros_like(x))
