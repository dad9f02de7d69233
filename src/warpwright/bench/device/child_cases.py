"""Inside worker and reference process: a case's inputs, made anew in each from its seed.

The same seed gives the same values in every process on one kind of device, so nothing needs to be
sent, and a candidate never sees the values before the call.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from warpwright.bench.device.child_worker_device import Device
from warpwright.interpreter.reference import child_distributions
from warpwright.sandbox import child_guard, child_program, child_tensors
from warpwright.tracing.child_trace_problem import ProblemError, constructor_arguments, decode

PROBLEM = "problem"
PERTURBED = "perturbed state"
RECENT_SCALE_STEP = 1.0 / 4096


@contextmanager
def foreign(device: Device) -> Iterator[None]:
    """Foreign code runs in this block; what it raises is marked as its own."""
    try:
        with child_guard.foreign_code(), device.context(), torch.no_grad():
            yield
    except BaseException as error:
        error.__dict__["warpwright_foreign"] = True
        raise


def is_foreign(error: BaseException) -> bool:
    """Whether an exception came out of a `foreign` block."""
    return bool(error.__dict__.get("warpwright_foreign"))


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@dataclass
class Arguments:
    """Positional arguments of a forward pass: their nesting, and the tensors in it."""

    structure: Any
    tensors: list[torch.Tensor]

    def values(self) -> list[Any]:
        made: list[Any] = child_tensors.from_structure(self.structure, self.tensors)
        return made

    def with_tensors(self, tensors: list[torch.Tensor]) -> Arguments:
        return Arguments(self.structure, tensors)


class Cases:
    """A problem, ready to make inputs. Payload: as `trace.problem_payload` encodes a problem."""

    def __init__(self, payload: Mapping[str, Any], directory: Path, device: Device) -> None:
        self._payload = payload
        self._device = device
        self.module: ModuleType | None = None
        if payload["source"] is not None:
            directory.mkdir(parents=True, exist_ok=True)
            with device.context():
                self.module = child_program.load_module(payload["source"], "problem", directory)

    def hide_model(self) -> None:
        """Take the reference's model away, for a process that runs a candidate."""
        if self.module is not None:
            vars(self.module).pop("Model", None)

    def init_arguments(self) -> tuple[list[Any], dict[str, Any]]:
        """Arguments of `Model` and `ModelNew`."""
        if self.module is None:
            named = self._payload["init_kwargs"].items()
            args = [decode(item) for item in self._payload["init_args"]]
            return args, {name: decode(value) for name, value in named}
        if not hasattr(self.module, "get_init_inputs"):
            return [], {}
        with foreign(self._device):
            return constructor_arguments(self.module.get_init_inputs())

    def make(self, spec: Mapping[str, Any]) -> Arguments:
        """Inputs of a case on the device. `spec`: a `CaseSpec`, and `scale` for timed calls."""
        own = self._own(spec["seed"])
        tensors = own.tensors
        if spec.get("batch") is not None:
            tensors = self.leading(tensors, spec["batch"])
        if spec["name"] in child_distributions.DISTRIBUTIONS:
            seed, positive = spec["seed"], bool(spec.get("positive"))
            tensors = child_distributions.redraw(tensors, spec["name"], seed, positive=positive)
        return own.with_tensors(scaled(tensors, spec.get("scale", 1.0)))

    def _own(self, seed: int) -> Arguments:
        seed_everything(seed)
        tensors: list[torch.Tensor] = []
        if self.module is None:
            specs = [decode(item) for item in self._payload["inputs"]]
            structure = child_tensors.to_structure(specs, tensors)
            likes = [torch.ones_like(tensor, device=self._device.index) for tensor in tensors]
            return Arguments(structure, child_distributions.redraw(likes, "normal", seed))
        with foreign(self._device), self._device.placement():
            made = self.module.get_inputs()
        if not isinstance(made, (list, tuple)):
            raise ProblemError(f"get_inputs returns {type(made).__name__}, expected a list")
        structure = child_tensors.to_structure(list(made), tensors)
        return Arguments(structure, [tensor.detach().to(self._device.index) for tensor in tensors])

    def leading(self, tensors: list[torch.Tensor], batch: int) -> list[torch.Tensor]:
        """The first `batch` entries along the leading dimension that all tensors share."""
        sizes = {tensor.shape[0] if tensor.dim() else 0 for tensor in tensors}
        if len(sizes) != 1 or not 0 < batch < next(iter(sizes)):
            raise ProblemError("the inputs do not share a leading dimension to shorten")
        return [tensor[:batch].clone() for tensor in tensors]


def scaled(tensors: list[torch.Tensor], scale: float) -> list[torch.Tensor]:
    """Floating-point tensors times `scale`, in new storage; 1.0: the tensors themselves."""
    if scale == 1.0:
        return tensors
    return [t * scale if t.is_floating_point() else t.clone() for t in tensors]


SLOW_INPUTS_S = 0.02
ROTATED_SETS = 3


class FreshInputs:
    """Inputs for the calls of a burst: other values and another place for each call.

    Where `get_inputs` is quick, each call has its own seed. Where it is slow, a few sets are
    made for each burst and scaled by another factor for each call.
    """

    def __init__(self, cases: Cases, device: Device, seed: int, seconds: float) -> None:
        self._cases = cases
        self._seed = seed
        self._slow = seconds > SLOW_INPUTS_S
        self._kept: list[Arguments] = []
        self._sets: list[Arguments] = []
        if self._slow:
            self._sets = [cases.make(self._base(i)) for i in range(ROTATED_SETS)]
            device.synchronize()

    def _base(self, index: int) -> dict[str, Any]:
        return {"name": PROBLEM, "seed": self._seed + index}

    def spec(self, call: int) -> dict[str, Any]:
        """How another process makes the inputs of this call."""
        if not self._slow:
            return self._base(call)
        scale = 1.0 - (call + 1) * RECENT_SCALE_STEP
        return {**self._base(call % ROTATED_SETS), "scale": scale}

    def make(self, call: int) -> Arguments:
        if not self._slow:
            made = self._cases.make(self.spec(call))
        else:
            base = self._sets[call % ROTATED_SETS]
            made = base.with_tensors(scaled(base.tensors, self.spec(call)["scale"]))
        # The last ones stay alive, so that the allocator cannot give the next the same place.
        self._kept = [*self._kept[-1:], made]
        return made
