"""Child: the problem's own model at full size: its parameters, or some elements of its outputs.

This process never sees a candidate.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from warpwright.interpreter.reference.child_construct import constructed
from warpwright.interpreter.spot.child_spot_inputs import digest, full_inputs
from warpwright.interpreter.spot.spot_places import places
from warpwright.sandbox import arrays, child_guard, child_tensors
from warpwright.tracing.child_device import WithoutCuda
from warpwright.tracing.child_trace_problem import load_problem

MOST_STATE_BYTES = 1024**3


def perform(payload: Mapping[str, Any], job_dir: Path) -> dict[str, Any]:
    """Payload: `problem`, `seed`, `evaluation_mode`; `at`: by output the file with the flat indices
    of the wanted elements, or None for the parameters alone."""
    torch.set_num_threads(1)
    with WithoutCuda():
        problem = load_problem(payload["problem"], job_dir)
        model_class = problem.module.Model  # type: ignore[union-attr]
        with child_guard.foreign_code():
            model = constructed(
                lambda: model_class(*problem.init_args, **problem.init_kwargs), payload["seed"]
            )
    if payload["evaluation_mode"]:
        model.eval()
    if payload["at"] is None:
        return _state(model, job_dir / "out")
    inputs, _ = full_inputs(problem, payload["seed"])
    return {"digest": digest(inputs), "values": _values(model, inputs, payload["at"], job_dir)}


def _state(model: Any, out: Path) -> dict[str, Any]:
    state = {n: v for n, v in model.state_dict().items() if isinstance(v, torch.Tensor)}
    size = sum(value.numel() * value.element_size() for value in state.values())
    if size > MOST_STATE_BYTES:
        return {"failed": f"parameters of {size / 1024**3:.1f} GiB"}
    entries = [
        child_tensors.save(value, out, f"state{i}.npy", name)
        for i, (name, value) in enumerate(state.items())
    ]
    return {"state": entries}


def _values(
    model: Any, inputs: list[Any], wanted: Mapping[str, str], job_dir: Path
) -> list[dict[str, str]]:
    """Wanted elements of each output, in float64."""
    tensors: list[torch.Tensor] = []
    structure = child_tensors.to_structure(inputs, tensors)
    wide = [t.double() if t.is_floating_point() else t for t in tensors]
    arguments = child_tensors.from_structure(structure, wide)
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    with WithoutCuda(), child_guard.foreign_code(), torch.no_grad():
        outputs = child_tensors.flatten(model.double()(*arguments), "output")
    found = []
    for number, (name, tensor) in enumerate(outputs):
        if name not in wanted:
            continue
        at: Any = arrays.read_bits(job_dir / "in", wanted[name])
        offsets = places(at.astype(np.int64), tuple(tensor.shape), tuple(tensor.stride()))
        span = 1 + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
        values = torch.as_strided(tensor, (span,), (1,))[torch.from_numpy(offsets)]
        found.append(child_tensors.save(values, job_dir / "out", f"values{number}.npy", name))
    return found
