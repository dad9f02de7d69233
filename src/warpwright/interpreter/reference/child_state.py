"""Inside a child: give a program the reference's parameters, and compare tensors bit by bit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

# Odd factors of two mixers of 64 bits; one that collides is not enough.
MIXERS = (
    (0x1E3779B97F4A7C15, 0x3F58476D1CE4E5B9),
    (0x14CF5AD432745937, 0x52DCE729DA3A9F4B),
)
PART = 1 << 18  # elements mixed at a time: in cache on a CPU


@dataclass(frozen=True, slots=True)
class Given:
    """How a program got the reference's parameters. `note`: what there is to say of it.

    `matched`: they are sure to be the same. `placed`: each found a place, by its name or its shape.
    """

    note: str = ""
    matched: bool = True
    placed: bool = True


def copy_state(model: Any, wanted: dict[str, torch.Tensor]) -> Given:
    """Copy by name.

    Where names differ, both constructors had the same seed: equal values are the same parameters.
    Where values differ too, they are copied by shape and order if all find a place: a guess.
    """
    held = model.state_dict() if isinstance(model, torch.nn.Module) else {}
    own = {name: value for name, value in held.items() if isinstance(value, torch.Tensor)}
    missing = [name for name in wanted if name not in own]
    shapes = [name for name in wanted if name in own and own[name].shape != wanted[name].shape]
    if not missing and not shapes:
        _copy(own, wanted.items())
        return Given()
    place = next((value.device for value in own.values()), torch.device("cpu"))
    counts = Counter(_fingerprint(value) for value in own.values())
    found = Counter(_fingerprint(value.to(place)) for value in wanted.values()) & counts
    what = f"no {missing[0]}" if missing else f"{shapes[0]} of another shape"
    if found.total() < len(wanted) and _copied_by_shape(own, wanted):
        note = f"the program's parameters have {what}; they were matched by shape and order"
        return Given(note, matched=False)
    note = (
        f"the program's parameters have {what}; both constructors were given the same seed, and "
        f"{found.total()} of {len(wanted)} parameters came out equal"
    )
    return Given(note, found.total() == len(wanted), placed=False)


def _copy(own: dict[str, torch.Tensor], values: Iterable[tuple[str, torch.Tensor]]) -> None:
    """`values`: a name of the program's, and what it gets."""
    with torch.no_grad():
        for name, value in values:
            own[name].copy_(value)


def _copied_by_shape(own: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> bool:
    """Copy each parameter to one of its shape: of its last name (`conv.bias`, `bias`), else in
    order. Nothing is copied unless all find their place."""
    left = dict(own)
    places: dict[str, str] = {}
    for by_name in (True, False):
        for name, value in wanted.items():
            if name in places:
                continue
            alike = [n for n, other in left.items() if other.shape == value.shape]
            if by_name:
                alike = [n for n in alike if n.rpartition(".")[2] == name.rpartition(".")[2]]
            if alike and (len(alike) == 1 or not by_name):
                places[name] = alike[0]
                del left[alike[0]]
    if left or len(places) < len(wanted):
        return False
    _copy(own, ((place, wanted[name]) for name, place in places.items()))
    return True


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
