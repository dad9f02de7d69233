import torch


class Model(torch.nn.Module):
    def forward(self, a, b):
        return a @ b.T


def get_inputs():
    return [
        torch.randn(1024, 512, dtype=torch.bfloat16),
        torch.randn(768, 512, dtype=torch.bfloat16),
    ]


def get_init_inputs():
    return []
