import torch


class Model(torch.nn.Module):
    def forward(self, q, cos, sin):
        first, second = q.chunk(2, dim=-1)
        c, s = cos[:, None, :], sin[:, None, :]
        return torch.cat([first * c - second * s, second * c + first * s], dim=-1)


def get_inputs():
    angle = torch.rand(64, 32)
    return [torch.randn(2, 64, 8, 64), torch.cos(angle), torch.sin(angle)]


def get_init_inputs():
    return []
