"""Inside a child: give a program the reference's parameters, and compare tensors bit by bit."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import numpy as np
import torch


def copy_state(model: Any, wanted: dict[str, torch.Tensor]) -> tuple[str, bool]:
    """Copy by name. Where names differ, both constructors had the same seed: compare values."""
    if not wanted:
        return "", True
    own = model.state_dict() if isinstance(model, torch.nn.Module) else {}
    missing = [name for name in wanted if name not in own]
    shapes = [name for name in wanted if name in own and own[name].shape != wanted[name].shape]
    if not missing and not shapes:
        with torch.no_grad():
            for name, value in wanted.items():
                own[name].copy_(value)
        return "", True
    counts = Counter(_fingerprint(value) for value in own.values())
    found = Counter(_fingerprint(value) for value in wanted.values()) & counts
    what = f"no {missing[0]}" if missing else f"{shapes[0]} of another shape"
    note = (
        f"the program's parameters have {what}; both constructors were given the same seed, and "
        f"{found.total()} of {len(wanted)} parameters came out equal"
    )
    return note, found.total() == len(wanted)


def _fingerprint(tensor: torch.Tensor) -> str:
    """Equal for tensors of equal values in any order (weights are often laid out anew)."""
    values = np.sort(tensor.detach().double().reshape(-1).cpu().numpy())
    return hashlib.sha256(values.tobytes()).hexdigest()


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Same dtype, shape and bits (so that NaN equals NaN and -0 differs from 0), on one device."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return a.numel() == 0 or bool(torch.equal(as_bytes(a), as_bytes(b)))


def as_bytes(tensor: torch.Tensor) -> torch.Tensor:
    """The elements' bytes as a flat uint8 tensor; a copy only where the layout asks for one."""
    plain = tensor.detach().resolve_conj().resolve_neg().contiguous()
    return plain.reshape(-1).view(torch.uint8)
