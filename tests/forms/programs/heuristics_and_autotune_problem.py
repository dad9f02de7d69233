import torch


class Model(torch.nn.Module):
    def forward(self, x, bias):
        return x + bias


def get_inputs():
    return [torch.randn(400, 1000), torch.randn(1000)]


def get_init_inputs():
    return []
