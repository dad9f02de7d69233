"""The layers file, as layers, tasks and problem files."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from warpwright.types.conv2d import Conv2dLayer, Conv2dTask

FILE = Path(__file__).parent.parent / "layers" / "conv2d.toml"
Extent = int | tuple[int, int]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    source: str
    dtype: str
    batch: int
    input: tuple[int, int, int]
    filters: int
    kernel: tuple[int, int]
    stride: Extent = 1
    padding: Extent = 0
    dilation: Extent = 1
    groups: int = 1
    bias: bool = False
    channels_last: bool = False
    without_tf32: bool = False


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    layer: list[_Entry]


@dataclass(frozen=True, slots=True)
class NamedLayer:
    """A layer of the file. `source` says where its sizes come from.

    `without_tf32`: cuDNN was seen to leave TF32 here, so that exact programs are compiled in
    advance. What counts is what `tune` and `final` see of it.
    """

    name: str
    source: str
    layer: Conv2dLayer
    without_tf32: bool = False


def read_layers(path: Path = FILE) -> tuple[NamedLayer, ...]:
    """All layers in order. Raises `pydantic.ValidationError` for a malformed file."""
    entries = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).layer
    return tuple(
        NamedLayer(entry.name, entry.source, _layer(entry), entry.without_tf32) for entry in entries
    )


def _layer(entry: _Entry) -> Conv2dLayer:
    channels, height, width = entry.input
    padding = _pair(entry.padding)
    return Conv2dLayer(
        batch=entry.batch,
        in_channels=channels,
        height=height,
        width=width,
        out_channels=entry.filters,
        kernel=entry.kernel,
        stride=_pair(entry.stride),
        padding_before=padding,
        padding_after=padding,
        dilation=_pair(entry.dilation),
        groups=entry.groups,
        bias=entry.bias,
        dtype=entry.dtype,
        channels_last=entry.channels_last,
    )


def _pair(extent: Extent) -> tuple[int, int]:
    return (extent, extent) if isinstance(extent, int) else extent


def problem_file(layer: Conv2dLayer) -> str:
    """A problem file whose `Model` is this layer."""
    dtype = f"torch.{layer.dtype}"
    layout = ", memory_format=torch.channels_last" if layer.channels_last else ""
    return f'''"""One conv2d."""

import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            {layer.in_channels}, {layer.out_channels}, {layer.kernel}, {layer.stride},
            {layer.padding_before}, {layer.dilation}, {layer.groups}, {layer.bias}, dtype={dtype},
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


def get_inputs() -> list[torch.Tensor]:
    x = torch.rand({layer.batch}, {layer.in_channels}, {layer.height}, {layer.width})
    return [x.to(dtype={dtype}{layout})]


def get_init_inputs() -> list[object]:
    return []
'''


def task_of(layer: Conv2dLayer) -> Conv2dTask:
    """The task that recognition finds in `problem_file(layer)`."""
    return Conv2dTask(layer=layer, module="conv", problem_source=problem_file(layer))
