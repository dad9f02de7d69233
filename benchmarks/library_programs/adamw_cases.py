"""Cases of adamw.py:adamw_step: weights in bfloat16 and in float32, moments in float32."""

import torch


def bfloat16_weights():
    return {
        "param": torch.randn(4096, 11008, dtype=torch.bfloat16),
        "grad": torch.randn(4096, 11008, dtype=torch.bfloat16) * 0.1,
        "exp_avg": torch.randn(4096, 11008, dtype=torch.float32) * 0.1,
        "exp_avg_sq": torch.rand(4096, 11008, dtype=torch.float32) * 0.1,
        "step": 100,
    }


def float32_weights():
    return {
        "param": torch.randn(4096, 4096, dtype=torch.float32),
        "grad": torch.randn(4096, 4096, dtype=torch.float32) * 0.1,
        "exp_avg": torch.randn(4096, 4096, dtype=torch.float32) * 0.1,
        "exp_avg_sq": torch.rand(4096, 4096, dtype=torch.float32) * 0.1,
        "step": 3,
    }


CASES = {bfloat16_weights: 2, float32_weights: 1}


def reference(
    param,
    grad,
    exp_avg,
    exp_avg_sq,
    step,
    lr=1e-3,
    beta1=0.9,
    beta2=0.999,
    eps=1e-8,
    weight_decay=0.01,
):
    m = beta1 * exp_avg + (1 - beta1) * grad
    v = beta2 * exp_avg_sq + (1 - beta2) * grad * grad
    denominator = (v / (1 - beta2**step)).sqrt() + eps
    p = param * (1 - lr * weight_decay) - lr * (m / (1 - beta1**step)) / denominator
    return [p.to(param.dtype), grad, m, v]
