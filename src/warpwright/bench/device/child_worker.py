"""A worker: runs one program after the other on the device, and answers what came of it.

It never judges. Its answers may be forged by the program that runs in it; outputs go to files that
the reference process compares, and the main process has its own clock.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from warpwright.bench.device import child_worker_failures
from warpwright.bench.device.child_cases import PROBLEM
from warpwright.bench.device.child_files import Outbox
from warpwright.bench.device.child_worker_checks import check, compare_graph, compare_torch_compile
from warpwright.bench.device.child_worker_device import Device, open_device
from warpwright.bench.device.child_worker_failures import (
    TamperedError,
    ThreadError,
    UnsupportedError,
)
from warpwright.bench.device.child_worker_program import LoadedProgram, load_eager, load_program
from warpwright.bench.device.child_worker_timing import (
    do_bench,
    first_call,
    host_overhead,
    kept_output,
    time_burst,
)
from warpwright.sandbox import child_guard, child_libraries
from warpwright.sandbox.child_tools import triton_tools

Command = Callable[[LoadedProgram, Device, Mapping[str, Any]], dict[str, Any]]
COMMANDS: dict[str, Command] = {
    "check": check,
    "time": time_burst,
    "kept_output": kept_output,
    "host_overhead": host_overhead,
    "do_bench": do_bench,
    "graph": compare_graph,
    "torch_compile": compare_torch_compile,
}


def start(settings: Mapping[str, Any], job_dir: Path) -> _Worker:
    """Open the device. `settings`: `device` ("cuda" or "cpu")."""
    return _Worker(open_device(settings["device"]), job_dir)


class _Worker:
    def __init__(self, device: Device, job_dir: Path) -> None:
        self._device = device
        self._job_dir = job_dir
        self._program: LoadedProgram | None = None
        self._loads = 0
        self._outbox = Outbox()
        if device.name == "cuda":
            child_guard.allow_tools(triton_tools())
        self._threads = threading.active_count()
        self._picture = child_libraries.Picture()

    def facts(self) -> dict[str, Any]:
        return self._device.facts()

    def handle(self, command: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out one request. Whatever goes wrong is raised."""
        value = self._perform(command, payload)
        self._device.synchronize()  # a fault of the program shows now, not in the next request
        self._look()
        return value

    def _look(self) -> None:
        """Are the libraries as they were, and no thread left? Raises where not."""
        if COMPILER in sys.modules:
            return  # torch's compiler patches torch and starts threads itself: nothing is told
        if changed := self._picture.changed():
            raise TamperedError(f"the program changed {', '.join(changed[:3])}")
        if threading.active_count() > self._threads:
            raise ThreadError("the program started a thread")

    def _perform(self, command: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        if command in LOADERS:
            self._unload()
            self._loads += 1
            directory = self._job_dir / f"load{self._loads}"
            directory.mkdir()
            loader, after = LOADERS[command]
            self._program = loader(payload, directory, self._device)
            self._program.outbox = self._outbox
            value = after(self._program, self._device, payload)
            if command == "compile":
                # Its tuners believe that they have tuned; and the next may come long after.
                self._unload()
            return value
        if self._program is None:
            raise child_worker_failures.UnsupportedError(f"{command}: no program is loaded")
        return COMMANDS[command](self._program, self._device, payload)

    def _unload(self) -> None:
        self._program = None
        self._device.release()

    def explain(self, error: BaseException) -> dict[str, Any]:
        """What an exception means for program and worker, as part of an answer."""
        answer = child_worker_failures.explain(error, self._device, self._job_dir)
        if "died" in answer:
            return answer  # nothing more can be asked of the device
        if answer.pop("unload"):
            self._program = None
        child_worker_failures.let_go(error)
        child_guard.forgive()
        self._device.release()
        if child_worker_failures.is_full(self._device):
            answer["failed"]["replace_worker"] = True
        return answer


def _report(program: LoadedProgram, *_: Any) -> dict[str, Any]:
    return program.report()


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


Loader = Callable[[Mapping[str, Any], Path, Device], LoadedProgram]
LOADERS: dict[str, tuple[Loader, Command]] = {
    "load": (load_program, _report),
    "load_eager": (load_eager, _report),
    "first_call": (load_program, first_call),
    "compile": (load_program, compile_configs),
}
COMPILER = "torch._dynamo"
