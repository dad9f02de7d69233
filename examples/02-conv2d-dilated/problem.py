"""A dilated convolution with a wide, flat kernel over large feature maps, without bias."""

import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel_size: tuple[int, int],
        stride: int,
        padding: tuple[int, int],
        dilation: tuple[int, int],
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels_out, channels_in, *kernel_size))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        self.stride = stride
        self.padding = padding
        self.dilation = dilation

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(
            maps, self.weight, None, self.stride, self.padding, self.dilation
        )


def get_init_inputs() -> list[object]:
    return [32, 64, (5, 9), 1, (2, 4), (2, 3)]


def get_inputs() -> list[torch.Tensor]:
    return [torch.rand(8, 32, 512, 512)]
