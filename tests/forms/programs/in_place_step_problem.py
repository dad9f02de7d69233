import torch


class Model(torch.nn.Module):
    def forward(self, weight, grad, speed):
        speed = speed * 0.9 + grad
        return weight - 0.01 * speed, speed


def get_inputs():
    return [torch.randn(250_000), torch.randn(250_000), torch.randn(250_000)]


def get_init_inputs():
    return []
