"""Cases of fused_linear_cross_entropy.py: vocabularies of two language models."""

import torch


def large_vocabulary():
    return {
        "hidden": torch.randn(4096, 2048, dtype=torch.float32),
        "weight": torch.randn(32000, 2048, dtype=torch.float32) * 0.02,
        "target": torch.randint(0, 32000, (4096,)),
    }


def small_vocabulary():
    return {
        "hidden": torch.randn(8192, 768, dtype=torch.float32),
        "weight": torch.randn(8192, 768, dtype=torch.float32) * 0.03,
        "target": torch.randint(0, 8192, (8192,)),
    }


CASES = {large_vocabulary: 3, small_vocabulary: 1}


def reference(hidden, weight, target, ignore_index=-100):
    logits = hidden @ weight.t()
    keep = target != ignore_index
    safe = torch.where(keep, target, torch.zeros_like(target))
    count = keep.sum()
    log_p = torch.log_softmax(logits, dim=-1)
    loss = -(log_p.gather(1, safe[:, None]).squeeze(1) * keep).sum() / count
    one_hot = torch.nn.functional.one_hot(safe, weight.shape[0])
    grad = (log_p.exp() - one_hot) * keep[:, None] / count
    return loss, grad @ weight, grad.t() @ hidden
