import torch


class Model(torch.nn.Module):
    def forward(self, a, b):
        return a @ b


def get_inputs():
    return [torch.randn(512, 256, dtype=torch.float16), torch.randn(256, 384, dtype=torch.float16)]


def get_init_inputs():
    return []
