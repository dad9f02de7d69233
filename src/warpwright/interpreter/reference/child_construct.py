"""Inside a child: models whose parameters are the same in every process.

A constructor may leave memory as it finds it (`nn.Parameter(torch.empty(n))`): what a parameter
holds then is chance, NaN now and then, and no two processes agree on an output. Here such values
come from the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

SPREAD = 0.1  # of the values that take the place of chance


def constructed(make: Callable[[], Any], seed: int) -> Any:
    """The model that `make` returns, seeded, with values for what it left open."""
    torch.manual_seed(seed)
    with _marked_memory():
        model = make()
    if isinstance(model, torch.nn.Module):
        _settle(model, seed)
    return model


@contextmanager
def _marked_memory() -> Iterator[None]:
    """New memory is filled: NaN in floating-point tensors, the largest value in others.

    torch ties this to its deterministic mode, which does not change what constructors compute, and
    does it wherever memory is taken. (Stand-ins for CUDA tensors fill theirs in any case.)
    (`use_deterministic_algorithms` would do the same and import torch's compiler: 4 s a process.)
    """
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("warn")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)


def _settle(model: torch.nn.Module, seed: int) -> None:
    """Give every NaN among parameters and buffers a value, on the CPU, so that devices agree."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.state_dict().values():
            if not (isinstance(value, torch.Tensor) and value.layout is torch.strided):
                continue  # a module's extra state may be anything
            if not value.is_floating_point():
                continue
            open_places = torch.isnan(value)
            if bool(open_places.any()):
                drawn = SPREAD * torch.randn(value.shape, generator=generator)
                value.copy_(torch.where(open_places, drawn.to(value), value))
