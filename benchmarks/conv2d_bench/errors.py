"""Errors against float64, ours beside cuDNN's, on five kinds of data.

Both compute the whole batch, since cuDNN may choose TF32 for it and fp32 for a smaller one. The
kind of data, and the comparison, are those of the first images: as many as keep the float64
convolution below 20 GFLOP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch

from conv2d_bench.contenders import Call, LayerBench
from conv2d_bench.rows import MOST_ERROR, Row
from warpwright.interpreter.reference.child_distributions import redraw

DATA = ("uniform", "normal", "wide", "outliers", "nonfinite")
REFERENCE_FLOPS = 20e9
LEAST_OF_TF32 = 1e-5  # 11 bits of each operand leave 3e-4, fp32 1e-7 to 1e-6


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """`ours_l2` and `cudnn_l2`: ‖y − r‖₂ / ‖r‖₂ over finite values; `*_max`: by the largest.

    `nonfinite_kept`: NaN and each Inf stand where the reference has them; None without any.
    """

    data: str
    ours_l2: float
    cudnn_l2: float
    ours_max: float
    cudnn_max: float
    nonfinite_kept: bool | None
    cudnn_keeps: bool | None

    @property
    def ratio(self) -> float:
        """Ours over cuDNN's; 1 where both are exact."""
        return self.ours_l2 / self.cudnn_l2 if self.cudnn_l2 else float(self.ours_l2 > 0) + 1


def error_rows(bench: LayerBench, ours: Call) -> list[Row]:
    """One row a kind of data, as plain values with the ratio."""
    rows = []
    for number, name in enumerate(DATA):
        row = _row(bench, ours, name, seed=100 + number)
        rows.append({**asdict(row), "ratio": row.ratio})
    return rows


def as_exact(rows: Sequence[Row]) -> bool:
    """Whether ours errs no more than cuDNN, up to MOST_ERROR, and keeps NaN and Inf as it does."""
    return all(
        row["ratio"] <= MOST_ERROR
        and (row["nonfinite_kept"] is not False or row["cudnn_keeps"] is False)
        for row in rows
    )


def uses_tf32(bench: LayerBench) -> bool:
    """Whether eager PyTorch's error on the layer's own input is one that TF32 leaves."""
    images = _images(bench)
    with_error = _error(bench.model(bench.x)[:images], _double(bench, bench.x[:images]))
    return bench.layer.dtype == "float32" and with_error[0] > LEAST_OF_TF32


def _images(bench: LayerBench) -> int:
    layer = bench.layer
    return max(1, min(layer.batch, int(REFERENCE_FLOPS // max(1, layer.flops // layer.batch))))


def _row(bench: LayerBench, ours: Call, name: str, seed: int) -> ErrorRow:
    images = _images(bench)
    x = bench.x.clone(memory_format=torch.preserve_format)
    few = x[:images]
    if name == "uniform":
        generator = torch.Generator(device=x.device).manual_seed(seed)
        few.uniform_(generator=generator)
    else:
        few.copy_(redraw([few], name, seed)[0])
    reference = _double(bench, few)
    y, base = ours(x), bench.model(x)
    if y.shape != base.shape or y.dtype != base.dtype:
        raise ValueError(f"output {tuple(y.shape)} {y.dtype}, expected {tuple(base.shape)}")
    y, base = y[:images], base[:images]
    ours_l2, ours_max = _error(y, reference)
    cudnn_l2, cudnn_max = _error(base, reference)
    kept = cudnn_keeps = None
    if not bool(torch.isfinite(reference).all()):
        kept, cudnn_keeps = _kept(y, reference), _kept(base, reference)
    return ErrorRow(name, ours_l2, cudnn_l2, ours_max, cudnn_max, kept, cudnn_keeps)


def _double(bench: LayerBench, x: torch.Tensor) -> torch.Tensor:
    conv = bench.model.conv
    bias = None if conv.bias is None else conv.bias.double()
    return torch.nn.functional.conv2d(
        x.double(),
        conv.weight.double(),
        bias,
        conv.stride,
        conv.padding,
        conv.dilation,
        conv.groups,
    )


def _error(y: torch.Tensor, reference: torch.Tensor) -> tuple[float, float]:
    finite = torch.isfinite(reference) & torch.isfinite(y)
    r = torch.where(finite, reference, 0.0)
    difference = torch.where(finite, y.double() - reference, 0.0)
    scale = torch.linalg.vector_norm(r).item() or 1.0
    largest = r.abs().max().item() or 1.0
    return (
        torch.linalg.vector_norm(difference).item() / scale,
        difference.abs().max().item() / largest,
    )


def _kept(y: torch.Tensor, reference: torch.Tensor) -> bool:
    """In half precision a finite value of the reference may overflow: those are left out."""
    limit = torch.finfo(y.dtype).max
    settled = ~(torch.isfinite(reference) & (reference.abs() > 0.99 * limit))
    same = torch.isnan(y) == torch.isnan(reference)
    same &= torch.isinf(y) == torch.isinf(reference)
    same &= ~torch.isinf(reference) | (torch.sign(y) == torch.sign(reference))
    return bool(same[settled].all())
