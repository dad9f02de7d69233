import torch


class Model(torch.nn.Module):
    def forward(self, x, bias):
        return x + bias


def get_inputs():
    return [torch.randn(100, 1300), torch.randn(1300)]


def get_init_inputs():
    return []
