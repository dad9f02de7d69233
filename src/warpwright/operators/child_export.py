"""Inside the recognising child: a model's graph, and what its forward pass does beside it.

The forward pass runs once as it is, on tensors without memory, for flags and autocast; then it is
exported. Problem code is told that there is a CUDA device, because that is what it is for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from warpwright.operators.child_graph import NotRecognizedError
from warpwright.sandbox import child_guard

CONV2D = {torch.conv2d, torch.nn.functional.conv2d}
IS_CUDA = torch.Tensor.is_cuda.__get__


@dataclass
class SeenBesideGraph:
    """What the forward pass did that its graph does not show."""

    autocast: bool = False
    strict: list[bool] = field(default_factory=list)  # of each convolution: TF32 was off


def export(model: Any, image: torch.Tensor, job_dir: Path) -> tuple[Any, SeenBesideGraph]:
    """The exported program without in-place operators. Raises `NotRecognizedError`."""
    seen = SeenBesideGraph()
    try:
        with child_guard.foreign_code(), torch.no_grad(), _cuda_told(job_dir):
            with _Observer(seen, job_dir), _watch_autocast(seen):
                model(image)  # export switches cuDNN off, so its flags are looked at here
            with _Observer(SeenBesideGraph(), job_dir), _one_precision():
                exported = torch.export.export(model, (image,), strict=False)
                return exported.run_decompositions({}), seen
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        reason = f"its forward pass cannot be followed: {type(error).__name__}: {first}"
        raise NotRecognizedError(reason[:400]) from error


class _Observer(TorchFunctionMode):  # type: ignore[misc]
    """Notes the precision in force at each convolution; says "CUDA" to the problem's own code."""

    def __init__(self, seen: SeenBesideGraph, job_dir: Path) -> None:
        super().__init__()
        self._seen = seen
        self._file = f"{job_dir}/problem.py"

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func == IS_CUDA and self._asked_by_the_problem():
            return True
        if func in CONV2D:
            self._seen.strict.append(strict_now())
        return func(*args, **(kwargs or {}))

    def _asked_by_the_problem(self) -> bool:
        """Whether the code that asks, past other modes such as export's own, is the problem's."""
        frame = sys._getframe(2)
        while frame.f_back is not None and frame.f_code.co_name == "__torch_function__":
            frame = frame.f_back
        return frame.f_code.co_filename == self._file


def strict_now() -> bool:
    """Whether an fp32 convolution may not use TF32, by the flags in force."""
    try:
        allowed = torch.backends.cudnn.allow_tf32
    except RuntimeError:  # the flags were set by the newer interface, operator by operator
        allowed = torch.backends.cudnn.conv.fp32_precision == "tf32"
    return not (allowed and torch.backends.cudnn.enabled)


@contextmanager
def _cuda_told(job_dir: Path) -> Iterator[None]:
    """The problem's own code is told that there is CUDA; torch, which asks too, is not."""
    before = torch.cuda.is_available

    def answer() -> bool:
        return sys._getframe(1).f_code.co_filename == f"{job_dir}/problem.py" or before()

    torch.cuda.is_available = answer
    try:
        yield
    finally:
        torch.cuda.is_available = before


@contextmanager
def _one_precision() -> Iterator[None]:
    """Export asks for the one old flag, which torch refuses where operators have their own."""
    operators = (torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
    before = [operator.fp32_precision for operator in operators]
    try:
        for precision in ("tf32", "ieee"):
            if _flags_agree():
                break
            for operator in operators:
                operator.fp32_precision = precision
        yield
    finally:
        for operator, precision in zip(operators, before, strict=True):
            operator.fp32_precision = precision


def _flags_agree() -> bool:
    try:
        return isinstance(torch.backends.cudnn.allow_tf32, bool)
    except RuntimeError:
        return False


@contextmanager
def _watch_autocast(seen: SeenBesideGraph) -> Iterator[None]:
    """Autocast for CUDA switches itself off where there is none, so its use is noted here."""
    enter = torch.autocast.__enter__

    def noted(context: Any) -> Any:
        seen.autocast = True  # (`enabled=False` looks the same by now as "no CUDA")
        return enter(context)

    torch.autocast.__enter__ = noted
    try:
        yield
    finally:
        torch.autocast.__enter__ = enter
