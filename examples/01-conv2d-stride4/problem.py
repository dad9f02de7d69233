"""The first layer of an image classifier: large filters, few input channels, stride 4."""

import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(
        self, channels_in: int, channels_out: int, kernel_size: int, stride: int, padding: int
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel_size, stride, padding)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv(images)


def get_init_inputs() -> list[int]:
    return [3, 96, 11, 4, 2]


def get_inputs() -> list[torch.Tensor]:
    return [torch.rand(256, 3, 224, 224)]
