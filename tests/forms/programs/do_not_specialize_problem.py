import torch


class Model(torch.nn.Module):
    def forward(self, x):
        at = torch.arange(x.numel(), device=x.device)
        keep = (at * 7 + 3) % 10 < 8
        return torch.where(keep.reshape(x.shape), x, torch.zeros_like(x))


def get_inputs():
    return [torch.randn(120_000)]


def get_init_inputs():
    return []
