"""Inside children: a problem's inputs at full size, the same in each process from the same seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch

from warpwright.interpreter.spot.child_sparse import SparseFactories
from warpwright.interpreter.spot.spot_places import places
from warpwright.sandbox import child_tensors
from warpwright.tracing.child_trace_problem import LoadedProblem

DIGESTED = 2048  # elements of each input by which two processes know that theirs are equal


def without_model(problem: LoadedProblem) -> LoadedProblem:
    """The problem without its reference, for a process that runs a candidate."""
    if problem.module is not None:
        vars(problem.module).pop("Model", None)
    return problem


def full_inputs(problem: LoadedProblem, seed: int) -> tuple[list[Any], bool]:
    """The problem's own inputs, on the CPU, and whether large ones repeat a pattern."""
    torch.manual_seed(seed)
    mode = SparseFactories()
    with mode:
        made = problem.make_inputs()
        if problem.module is None:
            made = [_drawn(item) for item in made]
    return made, mode.repeats > 0


def _drawn(item: Any) -> Any:
    """Standard normal values for a tensor of which only the form is known; ones for integers."""
    if not isinstance(item, torch.Tensor):
        return item
    if item.is_floating_point():
        return torch.randn(tuple(item.shape), dtype=item.dtype)
    return torch.ones(tuple(item.shape), dtype=item.dtype)


def digest(inputs: Sequence[Any]) -> str:
    """Of some elements of each input: equal where two processes made the same ones."""
    found = hashlib.sha256()
    tensors: list[torch.Tensor] = []
    child_tensors.to_structure(list(inputs), tensors)
    for tensor in tensors:
        found.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        if tensor.numel():
            at = torch.linspace(0, tensor.numel() - 1, DIGESTED, dtype=torch.float64).long()
            offsets = places(at.numpy(), tuple(tensor.shape), tuple(tensor.stride()))
            flat = torch.as_strided(tensor, (int(offsets.max()) + 1,), (1,))
            values = flat[torch.from_numpy(offsets)].contiguous()
            found.update(values.view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
