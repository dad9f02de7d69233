"""Cases of resize_bilinear.py:resize_bilinear: features made larger, photographs made smaller."""

import torch


def upsample():
    return {
        "x": torch.randn(8, 256, 64, 64, dtype=torch.float16),
        "out_h": 128,
        "out_w": 128,
    }


def photographs():
    return {
        "x": torch.rand(32, 3, 720, 1280, dtype=torch.float32),
        "out_h": 224,
        "out_w": 224,
        "align_corners": True,
    }


CASES = {upsample: 3, photographs: 1}


def reference(x, out_h, out_w, align_corners=False):
    return torch.nn.functional.interpolate(
        x, size=(out_h, out_w), mode="bilinear", align_corners=align_corners
    )
