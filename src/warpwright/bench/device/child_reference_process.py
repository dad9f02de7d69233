"""The reference process: the problem's own model on the device. It runs no candidate.

It never decides.

It makes the inputs of each case from the seed, the float64 reference and what eager PyTorch gives
on this very device, and measures output files of programs against them. Only numbers leave it.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from warpwright.bench.device import child_files, child_reference_errors
from warpwright.bench.device.child_cases import PROBLEM, Arguments, Cases, is_foreign
from warpwright.bench.device.child_reference_model import (
    Model,
    Named,
    alike,
    all_finite,
    equal_outputs,
)
from warpwright.bench.device.child_worker_device import Device, is_out_of_memory, open_device
from warpwright.interpreter.reference import child_distributions
from warpwright.interpreter.reference.child_state import same_bits
from warpwright.sandbox import child_tensors

RANDOM_SHIFT = 7
PERTURB_SHIFT = 2
# Below this share of free memory the oldest cases are dropped: a decision has three workers, each
# with inputs, outputs and what the program takes, and a case is made again in a moment.
FREE_SHARE = 0.6
REASON_CHARACTERS = 500
ROUNDING = 1e-3  # relative (L2); what no seed fixes differs by about 1
UNSEEDED = (
    "get_inputs gives other values each time, whatever seed torch, numpy and random have, so no "
    "two processes have the same inputs: draw them with the global generators, or seed your own"
)


@dataclass
class _Case:
    """What is kept of one case on the device."""

    reference: Named
    policy: Named
    numbers: dict[str, Any]
    parent: Named | None = None


@dataclass
class _Task:
    """The problem at hand."""

    cases: Cases
    model: Model
    seed: int
    kept: dict[str, _Case] = field(default_factory=dict)
    first: str | None = None
    seeded: bool = False  # the problem's own inputs came out alike twice


def start(settings: Mapping[str, Any], job_dir: Path) -> _Judge:
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0))))
    return _Judge(open_device(settings["device"]), job_dir)


class _Judge:
    def __init__(self, device: Device, job_dir: Path) -> None:
        self._device = device
        self._job_dir = job_dir
        self._loads = 0
        self._task: _Task | None = None

    def facts(self) -> dict[str, Any]:
        return self._device.facts()

    def handle(self, command: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        if command == "load":
            return self._load(payload)
        if self._task is None:
            raise RuntimeError(f"{command}: no problem is loaded")
        work = {"prepare": self._prepare, "measure": self._measure}.get(command)
        if work is None:
            raise ValueError(f"unknown command {command!r}")
        try:
            value = work(self._task, payload)
        except RuntimeError as error:
            if not (is_out_of_memory(error) and self._task.kept):
                raise
            value = None  # outside of this block, so that nothing the error holds is in the way
        if value is None:
            self._drop(self._task, 0)
            value = work(self._task, payload)
        self._device.give_up_cache()
        return value

    def explain(self, error: BaseException) -> dict[str, Any]:
        """The problem's own code may fail; anything else is a fault of ours or of the machine."""
        detail = "".join(traceback.format_exception(error))[-4000:]
        text = (str(error).strip().splitlines() or [""])[0]
        reason = f"{type(error).__name__}: {text}"[:REASON_CHARACTERS]
        if (broken := self._device.broken()) is not None:
            how = {"how": "sticky CUDA error", "reason": broken, "blames_program": False}
            return {"died": {**how, "detail": detail}}
        expected = is_foreign(error) or is_out_of_memory(error) or isinstance(error, MemoryError)
        expected = expected or isinstance(error, (child_files.FileError, ValueError, TypeError))
        if not expected:
            how = {"how": "the worker's own code failed", "reason": reason, "blames_program": False}
            return {"died": {**how, "detail": detail}}
        kind = "out of GPU memory" if is_out_of_memory(error) else "raised"
        return {"failed": {"kind": kind, "reason": reason, "detail": detail}}

    def _load(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Payload: `problem`, `seed`, `states_dir`, `evaluation_mode`. Leaves the parameters in the
        directory, by name."""
        self._task = None
        self._device.release()
        self._loads += 1
        cases = Cases(payload["problem"], self._job_dir / f"load{self._loads}", self._device)
        seed = payload["seed"]
        model = Model(cases, self._device, seed, evaluation_mode=payload["evaluation_mode"])
        self._task = _Task(cases, model, seed)
        states_dir = Path(payload["states_dir"])
        states = {}
        for name, state in model.states(seed + PERTURB_SHIFT).items():
            states[name] = child_files.save_all(list(state.items()), states_dir, f"state.{name}")
        return {"states": states, "has_model": model.exists}

    def _prepare(self, task: _Task, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Reference and policy outputs of a case, and their numbers. Payload: `spec`."""
        spec = dict(payload["spec"])
        arguments = task.cases.make(spec)
        if not task.seeded and not _equal_inputs(arguments, task.cases.make(spec)):
            return {"spec": spec, "skipped": UNSEEDED}
        task.seeded = task.seeded or spec["name"] == PROBLEM
        if not task.model.exists:
            return {"spec": spec, "inputs": _specs(arguments.tensors), "outputs": []}
        if not task.model.has_state(spec["state"]):
            return {"spec": spec, "skipped": "the problem has no constant parameters to change"}
        reference, how = task.model.reference(arguments, spec["state"])
        redrawn = spec["name"] in child_distributions.DISTRIBUTIONS and spec["name"] != "nonfinite"
        if redrawn and not all_finite(reference):
            spec["positive"] = True
            arguments = task.cases.make(spec)
            reference, how = task.model.reference(arguments, spec["state"])
            if not all_finite(reference):
                return {"spec": spec, "skipped": "the operator is not defined for such values"}
        if task.first is None or spec["name"] == PROBLEM:
            again, _ = task.model.reference(arguments, spec["state"], task.seed + RANDOM_SHIFT)
            if not alike(reference, again):
                return {"spec": spec, "skipped": "the operator is random"}
        policy, summands, changed = task.model.policy(arguments, spec["state"])
        shaken = task.model.shaken(arguments, spec["state"])
        numbers = {
            "spec": spec,
            "inputs": _specs(arguments.tensors),
            "outputs": child_reference_errors.reference_numbers(reference, policy, shaken),
            "summands": summands,
            "changes_inputs": changed,
            "how": how,
            "like_first": False,
        }
        key = _key(spec)
        if task.first is not None and task.first in task.kept and task.first != key:
            numbers["like_first"] = equal_outputs(reference, task.kept[task.first].reference)
        self._keep(task, key, _Case(reference, policy, numbers))
        return numbers

    def _keep(self, task: _Task, key: str, case: _Case) -> None:
        task.first = task.first or key
        task.kept[key] = case
        if self._device.free_share() < FREE_SHARE:
            self._drop(task, 1)

    def _drop(self, task: _Task, left: int) -> None:
        """Forget the oldest cases, as many as memory asks for, down to `left`."""
        while len(task.kept) > left and (left == 0 or self._device.free_share() < FREE_SHARE):
            del task.kept[next(iter(task.kept))]
            self._device.release()

    def _measure(self, task: _Task, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Numbers of one program's outputs. Payload: `spec`, `outputs` (manifest), `directory`,
        `is_parent`."""
        key = _key(payload["spec"])
        if key not in task.kept and task.model.exists:
            prepared = self._prepare(task, payload)
            key = _key(prepared["spec"])
            if key not in task.kept:
                return {"skipped": prepared.get("skipped", "no reference")}
        case = task.kept.setdefault(key, _Case([], [], {}))
        directory, index = Path(payload["directory"]), self._device.index
        got = [
            (str(entry["name"]), child_files.load(directory, entry, index))
            for entry in payload["outputs"]
        ]
        value = {
            "outputs": child_reference_errors.output_numbers(got, case.reference, case.policy),
            **child_reference_errors.against_parent(got, case.parent),
        }
        if payload["is_parent"]:
            case.parent = got
        return value


def _equal_inputs(a: Arguments, b: Arguments) -> bool:
    return len(a.tensors) == len(b.tensors) and all(map(_alike, a.tensors, b.tensors))


def _alike(a: torch.Tensor, b: torch.Tensor) -> bool:
    """The same values, or floating-point ones that a device added up in another order."""
    if same_bits(a, b):
        return True
    if a.shape != b.shape or a.dtype != b.dtype or not a.is_floating_point():
        return False
    apart = torch.linalg.vector_norm(a.float() - b.float())
    return bool(apart <= ROUNDING * torch.linalg.vector_norm(a.float()))


def _key(spec: Mapping[str, Any]) -> str:
    return repr(sorted(spec.items()))


def _specs(tensors: Sequence[torch.Tensor]) -> list[dict[str, Any]]:
    return [{"shape": list(t.shape), "dtype": child_tensors.dtype_name(t.dtype)} for t in tensors]
