"""Inside a child: give a program the reference's parameters, and compare tensors bit by bit."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch

# Odd factors of two mixers of 64 bits; one that collides is not enough.
MIXERS = (
    (0x1E3779B97F4A7C15, 0x3F58476D1CE4E5B9),
    (0x14CF5AD432745937, 0x52DCE729DA3A9F4B),
)
PART = 1 << 18  # elements mixed at a time: in cache on a CPU


def copy_state(model: Any, wanted: dict[str, torch.Tensor]) -> tuple[str, bool]:
    """Copy by name. Where names differ, both constructors had the same seed: compare values."""
    if not wanted:
        return "", True
    held = model.state_dict() if isinstance(model, torch.nn.Module) else {}
    own = {name: value for name, value in held.items() if isinstance(value, torch.Tensor)}
    missing = [name for name in wanted if name not in own]
    shapes = [name for name in wanted if name in own and own[name].shape != wanted[name].shape]
    if not missing and not shapes:
        with torch.no_grad():
            for name, value in wanted.items():
                own[name].copy_(value)
        return "", True
    place = next((value.device for value in own.values()), torch.device("cpu"))
    counts = Counter(_fingerprint(value) for value in own.values())
    found = Counter(_fingerprint(value.to(place)) for value in wanted.values()) & counts
    what = f"no {missing[0]}" if missing else f"{shapes[0]} of another shape"
    note = (
        f"the program's parameters have {what}; both constructors were given the same seed, and "
        f"{found.total()} of {len(wanted)} parameters came out equal"
    )
    return note, found.total() == len(wanted)


def _fingerprint(tensor: torch.Tensor) -> tuple[int, ...]:
    """Equal for tensors of equal values in any order (weights are often laid out anew).

    Sums of mixed bits, which need no sorting: a large layer is compared where it lies, in no time.
    """
    values = tensor.detach()
    flat = (torch.view_as_real(values) if values.is_complex() else values).double().reshape(-1)
    sums = [0] * len(MIXERS)
    for first in range(0, flat.numel(), PART):
        bits = flat[first : first + PART].view(torch.int64)
        for index, (one, other) in enumerate(MIXERS):
            mixed = bits * one
            mixed ^= mixed >> 32
            mixed *= other
            mixed ^= mixed >> 29
            sums[index] = (sums[index] + int(mixed.sum())) % 2**64
    return (values.numel(), *sums)


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Same dtype, shape and bits (so that NaN equals NaN and -0 differs from 0), on one device."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return a.numel() == 0 or bool(torch.equal(as_bytes(a), as_bytes(b)))


def as_bytes(tensor: torch.Tensor) -> torch.Tensor:
    """The elements' bytes as a flat uint8 tensor; a copy only where the layout asks for one."""
    plain = tensor.detach().resolve_conj().resolve_neg().contiguous()
    return plain.reshape(-1).view(torch.uint8)
