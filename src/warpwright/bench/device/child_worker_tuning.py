"""Inside a worker: compile a program's configs into its Triton cache, without running a kernel."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from warpwright.bench.device.child_cases import PROBLEM
from warpwright.bench.device.child_worker_device import Device
from warpwright.bench.device.child_worker_failures import UnsupportedError
from warpwright.bench.device.child_worker_program import LoadedProgram


def compile_configs(
    program: LoadedProgram, device: Device, payload: Mapping[str, Any]
) -> dict[str, Any]:
    """One forward pass in which launches only compile; every config of each tuner is compiled."""
    if device.name != "cuda":
        raise UnsupportedError("the interpreter compiles nothing")
    from warpwright.bench.device import child_worker_tuner

    arguments = program.inputs({"name": PROBLEM, "seed": payload["seed"]})
    started = time.perf_counter()
    with child_worker_tuner.compile_only():
        program.call(arguments)
    return {"compile_s": time.perf_counter() - started}
