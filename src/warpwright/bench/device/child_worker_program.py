"""Inside a worker: a loaded program, or the problem's own model as a baseline."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from warpwright.bench.device import child_files
from warpwright.bench.device.child_cases import PROBLEM, Arguments, Cases, foreign, seed_everything
from warpwright.bench.device.child_worker_device import Device
from warpwright.bench.device.child_worker_failures import OutputError, UnsupportedError
from warpwright.interpreter.reference.child_construct import constructed
from warpwright.interpreter.reference.child_state import Given, copy_state
from warpwright.sandbox import child_guard, child_tensors
from warpwright.sandbox.child_program import load_module

clock = time.perf_counter
Named = list[tuple[str, torch.Tensor]]


@dataclass
class LoadedProgram:
    """What a worker runs. `model` holds the state named `state` of the reference process's."""

    model: Any
    cases: Cases
    device: Device
    states: Mapping[str, Sequence[Mapping[str, Any]]]
    states_dir: Path | None
    out_dir: Path
    module: ModuleType | None = None
    outbox: child_files.Outbox = field(default_factory=child_files.Outbox)
    given: Given = field(default_factory=Given)
    state: str = "own"
    inputs_s: float = 0.0
    channels_last: bool = False
    pins: Mapping[str, Any] = field(default_factory=dict)
    kept: Named | None = None

    def report(self) -> dict[str, Any]:
        return {
            "parameters": self.given.note,
            "parameters_matched": self.given.matched,
            "inputs_s": self.inputs_s,
        }

    def inputs(self, spec: Mapping[str, Any]) -> Arguments:
        return self.placed(self.cases.make(spec))

    def placed(self, arguments: Arguments) -> Arguments:
        """The baseline in channels_last gets its inputs laid out so, free of charge."""
        if not self.channels_last:
            return arguments
        layout = torch.channels_last
        moved = [t.to(memory_format=layout) if t.dim() == 4 else t for t in arguments.tensors]
        return arguments.with_tensors(moved)

    def call(self, arguments: Arguments) -> Any:
        """One forward pass, guarded."""
        values = arguments.values()
        with foreign(self.device):
            return self.model(*values)

    def outputs(self, result: Any) -> Named:
        """The output's tensors, each a plain one with memory on the device. Raises otherwise."""
        named = child_tensors.flatten(result, "output")
        for name, tensor in named:
            if type(tensor) is not torch.Tensor and type(tensor) is not torch.nn.Parameter:
                raise OutputError(f"{name} is a {type(tensor).__name__}, not a plain torch.Tensor")
            if tensor.device.type != self.device.index.type and tensor.dim():
                raise OutputError(f"{name} is on {tensor.device}, not on the GPU")
            if tensor.layout is not torch.strided:
                raise OutputError(f"{name} has layout {tensor.layout}")
            if tensor.numel() and tensor.untyped_storage().nbytes() == 0:
                raise OutputError(f"{name} has no memory behind it")
        return named

    def use_state(self, name: str) -> bool:
        """Give the model the parameters of that name; False where they cannot be matched."""
        if name == self.state:
            return True
        if self.states_dir is None or not self.given.placed or name not in self.states:
            return False
        self.given = self._copy(name)
        self.state = name
        return True

    def _copy(self, name: str) -> Given:
        assert self.states_dir is not None
        cpu = torch.device("cpu")
        wanted = {
            entry["name"]: child_files.load(self.states_dir, entry, cpu)
            for entry in self.states[name]
        }
        return copy_state(self.model, wanted)


def load_program(payload: Mapping[str, Any], directory: Path, device: Device) -> LoadedProgram:
    """Payload: `source`, `problem`, `pins` (kernel → config), `seed`, `states` (name → manifest),
    `states_dir`, `cache_dir` (Triton's, for this program alone), `out_dir`, `evaluation_mode`."""
    out_dir, cache_dir = _directories(payload, directory)
    cases = Cases(payload["problem"], directory, device)
    cases.hide_model()
    args, kwargs = cases.init_arguments()
    os.environ["TRITON_CACHE_DIR"] = str(cache_dir)
    with foreign(device):
        module = load_module(payload["source"], "program", directory)
    device.adopt(module, payload["pins"])
    seed_everything(payload["seed"])
    with foreign(device):
        model = constructed(lambda: module.ModelNew(*args, **kwargs), payload["seed"])
        model = model.to(device.index) if hasattr(model, "to") else model
        if payload.get("evaluation_mode") and hasattr(model, "eval"):
            model.eval()
    states_dir = Path(payload["states_dir"]) if payload["states_dir"] else None
    program = LoadedProgram(
        model, cases, device, payload["states"], states_dir, out_dir, module, pins=payload["pins"]
    )
    return _finish(program, payload)


def _directories(payload: Mapping[str, Any], directory: Path) -> tuple[Path, Path]:
    out_dir = Path(payload["out_dir"])
    cache_dir = Path(payload["cache_dir"] or directory / "triton")
    child_guard.allow_directories(Path.cwd(), out_dir, cache_dir)
    return out_dir, cache_dir


def _finish(program: LoadedProgram, payload: Mapping[str, Any]) -> LoadedProgram:
    if program.states_dir is not None:
        program.given = program._copy("own")
    program.device.synchronize()
    spec = {"name": PROBLEM, "seed": payload["seed"]}
    program.cases.make(spec)  # the first pays for start-up
    program.device.synchronize()
    started = clock()
    program.cases.make(spec)
    program.device.synchronize()
    program.inputs_s = clock() - started
    return program


def load_eager(payload: Mapping[str, Any], directory: Path, device: Device) -> LoadedProgram:
    """The problem's own model. Payload as for a program, without source and pins; `variant`:
    `channels_last`, `cudnn_benchmark`, `compile` (a mode of `torch.compile`, or None)."""
    variant = payload["variant"]
    out_dir, cache_dir = _directories(payload, directory)
    os.environ["TRITON_CACHE_DIR"] = str(cache_dir)
    cases = Cases(payload["problem"], directory, device)
    problem = cases.module
    if problem is None:
        raise UnsupportedError("the problem has no model of its own")
    args, kwargs = cases.init_arguments()
    seed_everything(payload["seed"])
    with foreign(device):
        model = constructed(lambda: problem.Model(*args, **kwargs), payload["seed"])
        model = model.to(device.index)
        if payload.get("evaluation_mode"):
            model.eval()
    if variant["channels_last"]:
        model = model.to(memory_format=torch.channels_last)
    torch.backends.cudnn.benchmark = bool(variant["cudnn_benchmark"])
    states_dir = Path(payload["states_dir"]) if payload["states_dir"] else None
    program = LoadedProgram(model, cases, device, payload["states"], states_dir, out_dir)
    program.channels_last = bool(variant["channels_last"])
    program = _finish(program, payload)
    if variant["compile"] is not None:
        program.model = torch.compile(program.model, mode=variant["compile"])
    return program
