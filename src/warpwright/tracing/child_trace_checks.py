"""Inside a child: what torch refuses on a device and lets pass on stand-ins without memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch


def _transposed_channels(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """A transposed convolution has as many channels as its weight has rows.

    Raises the RuntimeError that torch raises on a device, where the stand-in gives a shape.
    """
    given = dict(zip(("input", "weight"), args, strict=False)) | dict(kwargs)
    inputs, weight = given.get("input"), given.get("weight")
    if not isinstance(inputs, torch.Tensor) or not isinstance(weight, torch.Tensor):
        return
    batched = inputs.dim() == weight.dim()
    channels = inputs.shape[1 if batched else 0] if inputs.dim() > 0 else None
    if channels != weight.shape[0]:
        raise RuntimeError(
            f"Given transposed=1, weight of size {list(weight.shape)}, expected "
            f"input{list(inputs.shape)} to have {weight.shape[0]} channels, but got "
            f"{channels} channels instead"
        )


CHECKS: Mapping[Any, Callable[[tuple[Any, ...], Mapping[str, Any]], None]] = {
    torch.conv_transpose1d: _transposed_channels,
    torch.conv_transpose2d: _transposed_channels,
    torch.conv_transpose3d: _transposed_channels,
}
"""Torch function → a look at its arguments, which raises what the device's kernel would."""
