"""Inside the reference child: integers that speak of sizes, brought to the smaller sizes.

An index into a table, the end of a segment, an offset: at smaller sizes they would lie outside.
What they speak of is guessed from the full sizes: the smallest size that no value exceeds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

Shape = tuple[int, ...]
INDICES = {torch.int16, torch.int32, torch.int64}


def resampled(tensor: torch.Tensor, shape: Shape) -> torch.Tensor:
    """Evenly spaced entries of each axis, the first and the last among them."""
    for axis, extent in enumerate(shape):
        length = tensor.shape[axis]
        at = torch.linspace(0, max(length - 1, 0), extent).round().long()
        tensor = tensor.index_select(axis, at)
    return tensor.clone()


def speaks_of(tensor: torch.Tensor, sizes: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """The full and the small size that the values of a full-size tensor speak of; None where they
    are no indices, or speak of a size that stays. `sizes`: full and small ones of all inputs."""
    if tensor.dtype not in INDICES or tensor.numel() == 0 or bool((tensor < 0).any()):
        return None
    largest = int(tensor.max())
    fitting = [(full, small) for full, small in sizes if full >= largest and full <= 2 * largest]
    if not fitting:
        return None
    full, small = min(fitting)
    return None if small >= full else (full, small)


def brought_down(tensor: torch.Tensor, full: int, small: int) -> torch.Tensor:
    """Values of 0 to `full` as values of 0 to `small`. Those that never fall keep their order and
    whether they reach the end; others are taken modulo the size."""
    if bool((tensor < small).all()):
        return tensor
    flat = tensor.flatten()
    if bool((flat[1:] >= flat[:-1]).all()) or bool((tensor == full).any()):
        return tensor * small // full
    return tensor % small
