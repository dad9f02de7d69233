import torch


class Model(torch.nn.Module):
    def forward(self, x, offsets):
        bounds = offsets.tolist()
        return torch.stack([x[a:b].mean(0) for a, b in zip(bounds[:-1], bounds[1:])])


def get_inputs():
    return [torch.randn(100, 200), torch.tensor([0, 10, 45, 100])]


def get_init_inputs():
    return []
