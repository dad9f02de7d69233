import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x * 0.5


def get_inputs():
    return [torch.randn(256, 1000)]


def get_init_inputs():
    return []
