"""What tests of rewrites share: launches of a program as traced, and what it computes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from warpwright.compiler.compile import CompileRequest, compile_configs
from warpwright.compiler.kernel_calls import find_calls, launch_options, specializations_of
from warpwright.gpus.target_sheet import resolve_gpu
from warpwright.interpreter.interpret import InterpretRun, RunOutcome, interpret
from warpwright.interpreter.reference.reference import ReferenceRun, make_reference
from warpwright.program.view import read_program
from warpwright.store.cache import ResultCache
from warpwright.tracing.trace import trace_program
from warpwright.types.calls import KernelCalls
from warpwright.types.compiled import Compiled
from warpwright.types.config import Config
from warpwright.types.gpu import GpuSheet, StatedGpu
from warpwright.types.launch_trace import Trace
from warpwright.types.program import ProgramView
from warpwright.types.shapes import Problem, TensorSpec

Shapes = Sequence[tuple[int, ...]]


def problem(shapes: Shapes, init: Sequence[Any] = ()) -> Problem:
    return Problem(inputs=tuple(TensorSpec(shape) for shape in shapes), init_args=tuple(init))


def sheet() -> GpuSheet:
    return resolve_gpu(StatedGpu("RTX 4090")).sheet


def traced(source: str, of: Problem) -> tuple[ProgramView, tuple[KernelCalls, ...]]:
    """The program's view and its kernels as the problem launches them."""
    view = read_program(source)
    return view, find_calls(view, trace_of(source, of))[0]


def trace_of(source: str, of: Problem) -> Trace:
    """The launches of one forward pass of the program."""
    trace = trace_program(source, of, gpu=sheet(), cache=ResultCache())
    assert isinstance(trace, Trace), trace
    return trace


def outputs(
    source: str,
    of: Problem,
    pins: Mapping[str, Config] | None = None,
    distribution: str = "normal",
) -> tuple[np.ndarray[Any, Any], ...]:
    """What the program gives in the interpreter, with parameters and inputs of one seed."""
    with tempfile.TemporaryDirectory() as name:
        specs = [spec for spec in of.inputs if isinstance(spec, TensorSpec)]
        reference = make_reference(
            of, specs, Path(name), seed=3, distributions=(distribution,), cache=ResultCache()
        )
        assert isinstance(reference, ReferenceRun), reference
        run = InterpretRun(reference.cases[0].name, pins or {})
        result = interpret(source, reference, [run], cache=ResultCache())[0]
    assert result.outcome is RunOutcome.OK, result.reason
    assert not result.memory_events, result.memory_events
    assert result.outputs is not None
    return tuple(array.data for array in result.outputs)


def compile_faults(source: str, of: Problem, capability: tuple[int, int]) -> list[str]:
    """Why a config of the program does not compile for a GPU; empty where all do."""
    faults = []
    for calls in traced(source, of)[1]:
        requests = [
            CompileRequest(found, config, launch_options(calls))
            for config in calls.configs
            for found in specializations_of(calls, config)
        ]
        results = compile_configs(
            source, requests, compute_capability=capability, cache=ResultCache()
        )
        for result in results:
            if not isinstance(result, Compiled):
                faults.append(f"{calls.name}: {result.reason}")
    return faults
