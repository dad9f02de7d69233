"""Child of Nsight Compute: one forward pass in the steady state, between profiler start and stop.

The program is built with the problem's inputs at full size on the GPU. Warm-up passes come
first, outside the profiled range: they compile, tune and fill caches. No reference, no verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import triton
from triton.runtime.autotuner import Autotuner, Heuristics

from warpwright.interpreter.reference.child_construct import constructed
from warpwright.sandbox import child_guard
from warpwright.sandbox.child_gpu import card_facts
from warpwright.sandbox.child_program import load_module
from warpwright.sandbox.child_tools import triton_tools
from warpwright.tracing.child_trace_problem import LoadedProblem, load_problem

DEVICE = "cuda"
# What `get_inputs` may raise on a default device of its own making, but not on the CPU.
DEVICE_ERRORS = (RuntimeError, TypeError, NotImplementedError)


class ProgramError(Exception):
    """The program lacks what every program has."""


def perform(payload: Mapping[str, Any], job_dir: Path) -> dict[str, Any]:
    """Payload: `source`, `problem`, `seed`, `warmups`. Result: the GPU as torch sees it (None
    without one), versions, and the config that each tuner chose."""
    versions = {"torch": torch.__version__, "cuda": torch.version.cuda}
    if not torch.cuda.is_available():
        return {"gpu": None, **versions}
    # Held before foreign code runs: it could put its own in their place.
    start, stop = torch.cuda.profiler.start, torch.cuda.profiler.stop
    synchronize = torch.cuda.synchronize
    child_guard.allow_tools(triton_tools())
    problem = load_problem(payload["problem"], job_dir)
    program = load_module(payload["source"], "program", job_dir)
    inputs = _inputs(problem, payload["seed"])
    model = _model(program, problem, payload["seed"])
    for _ in range(payload["warmups"]):
        _forward(model, inputs)
        synchronize()
    start()
    try:
        _forward(model, inputs)
        synchronize()
    finally:
        stop()
    return {
        "gpu": card_facts(torch.cuda.get_device_properties(0)),
        **versions,
        "triton": triton.__version__,
        "configs": _chosen_configs(program),
    }


def _forward(model: Callable[..., Any], inputs: list[Any]) -> None:
    with child_guard.foreign_code(), torch.no_grad():
        model(*inputs)


def _inputs(problem: LoadedProblem, seed: int) -> list[Any]:
    """The problem's inputs on the GPU: made there where `get_inputs` allows it, else moved."""
    torch.manual_seed(seed)
    try:
        with torch.device(DEVICE):
            inputs = problem.make_inputs()
    except DEVICE_ERRORS:
        torch.manual_seed(seed)
        inputs = problem.make_inputs()
    if problem.module is None:  # of given shapes: not a number in them yet
        inputs = [_filled(value) for value in inputs]
    return [_on_gpu(value) for value in inputs]


def _filled(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    return value.normal_() if value.is_floating_point() else value.zero_()


def _on_gpu(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(DEVICE)
    if type(value) in (list, tuple):
        return type(value)(_on_gpu(item) for item in value)
    if type(value) is dict:
        return {name: _on_gpu(item) for name, item in value.items()}
    return value


def _model(program: ModuleType, problem: LoadedProblem, seed: int) -> Any:
    if not hasattr(program, "ModelNew"):
        raise ProgramError("the program has no class ModelNew")
    with child_guard.foreign_code():
        model = constructed(
            lambda: program.ModelNew(*problem.init_args, **problem.init_kwargs), seed
        )
        return model.to(DEVICE) if isinstance(model, torch.nn.Module) else model


def _chosen_configs(program: ModuleType) -> dict[str, str]:
    """Kernel → the config its tuner chose in the warm-up, as Triton writes it."""
    chosen = {}
    for name, value in vars(program).items():
        while isinstance(value, Heuristics):
            value = value.fn
        best = getattr(value, "best_config", None) if isinstance(value, Autotuner) else None
        if isinstance(best, triton.Config):
            chosen[name] = str(best)
    return chosen
