"""Child: run a program in Triton's interpreter on given inputs, one pinned config at a time.

This process never sees the reference's outputs. The environment variable `TRITON_INTERPRET=1`
must be set before Triton is imported; the parent does so.
"""

from __future__ import annotations

import ast
import math
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import triton

from warpwright.sandbox import child_builder, child_executor, child_guard, child_tensors
from warpwright.sandbox.child_builder import UnsupportedInInterpreterError
from warpwright.sandbox.child_construct import constructed
from warpwright.sandbox.child_executor import session
from warpwright.sandbox.child_program import load_module
from warpwright.sandbox.child_state import Given, copy_state, same_bits
from warpwright.sandbox.child_trace_driver import use_stand_in_driver
from warpwright.sandbox.child_trace_torch import hardware, stand_in_cuda
from warpwright.types.verdict import NOT_IN_TIME

MESSAGE_CHARACTERS = 500
WALL_FACTOR = 3.0  # by which the clock may run ahead of processor time on a busy machine
LEAST_S = 0.001  # a timer of no time would never ring


class DeadlineError(BaseException):
    """One run took too long; not an `Exception`, so that programs do not swallow it."""


def perform(payload: dict[str, Any], job_dir: Path) -> dict[str, Any]:
    """Payload: `source`, `init`, `seed`, `cases`, `states`, `runs`, `deadline_s`, `budget_s`,
    `facts`, `compute_capability`, `evaluation_mode`; `stop_at` on the monotonic clock, where a
    deadline ends all of it. Result: `runs`, one outcome each, in order."""
    if not triton.knobs.runtime.interpret:
        raise RuntimeError("Triton is not in interpreter mode")
    torch.set_num_threads(1)
    child_builder.install(payload["compute_capability"])
    child_executor.install()
    facts = hardware(payload["facts"])
    use_stand_in_driver(facts)
    with stand_in_cuda(session.device, facts):
        module = load_module(payload["source"], "program", job_dir)
    child_executor.adopt(module)
    worker = _Worker(payload, job_dir, module, facts)
    started = time.process_time()
    results: list[dict[str, Any]] = []
    for index, run in enumerate(payload["runs"]):
        reason = _none_left(payload, time.process_time() - started)
        results.append(worker.run(index, run) if reason is None else _not_begun(reason))
    return {"runs": results}


def _none_left(payload: dict[str, Any], spent_s: float) -> str | None:
    """Why no further run may begin; None: there is time. `spent_s`: processor time so far."""
    if time.monotonic() > payload.get("stop_at", math.inf):
        return f"{NOT_IN_TIME}: the time limit was over before this run"
    if spent_s > payload["budget_s"]:
        return f"not run: the runs before it took all of {payload['budget_s']:g} s"
    return None


def _not_begun(reason: str) -> dict[str, Any]:
    """The result of a run for which no time was left."""
    return {
        "outcome": "timeout",
        "reason": reason,
        "launches": {},
        "memory_events": [],
        "wall_s": 0.0,
    }


class _Worker:
    def __init__(
        self, payload: dict[str, Any], job_dir: Path, module: ModuleType, facts: Any
    ) -> None:
        self.payload = payload
        self.inputs_dir = job_dir / "in"
        self.out = job_dir / "out"
        self.module = module
        self.facts = facts

    def run(self, index: int, run: dict[str, Any]) -> dict[str, Any]:
        """One (config, case): its outcome, and its outputs as files."""
        started, started_cpu_s = time.monotonic(), time.process_time()
        stop_at = self.payload.get("stop_at", math.inf)
        result: dict[str, Any] = {"outcome": "ok", "reason": None}
        session.begin(run["pins"])
        try:
            with time_limit(self.payload["deadline_s"], stop_at):
                self._run(index, run, result)
        except DeadlineError:
            seconds = self.payload["deadline_s"]
            reason = f"still running after {seconds:g} s of processor time"
            if time.process_time() - started_cpu_s < seconds / 2:
                reason = f"still running after {WALL_FACTOR * seconds:g} s by the clock"
            if time.monotonic() > stop_at:
                reason = f"{NOT_IN_TIME}: still running when the time limit was over"
            result |= {"outcome": "timeout", "reason": reason}
            if session.block_from_s is not None:
                result["block_cpu_s"] = time.process_time() - session.block_from_s
        except (child_guard.ForbiddenActionError, MemoryError):
            raise
        except BaseException as error:
            result |= failure(error)
        result["launches"] = dict(session.launches)
        result["memory_events"] = session.memory.events
        result["wall_s"] = time.monotonic() - started
        result["cpu_s"] = time.process_time() - started_cpu_s
        return result

    def _run(self, index: int, run: dict[str, Any], result: dict[str, Any]) -> None:
        case = self.payload["cases"][run["case"]]
        state_name = case.get("state")
        model, given = self._model(state_name)
        result["state"] = {"note": given.note, "matched": given.matched}
        if not given.placed and state_name == "perturbed":
            reason = "parameters are matched neither by name nor by shape: they cannot be changed"
            result |= {"outcome": "skipped", "reason": reason}
            return
        tensors = [child_tensors.load(self.inputs_dir, entry) for entry in case["inputs"]]
        before = [tensor.clone() for tensor in tensors]
        arguments = child_tensors.from_structure({"list": case["arguments"]}, tensors)
        torch.manual_seed(self.payload["seed"])
        with self._foreign(), torch.no_grad():
            output = model(*arguments)
        outputs = child_tensors.flatten(output, "output")
        result["changed_inputs"] = [
            i for i, (a, b) in enumerate(zip(before, tensors, strict=True)) if not same_bits(a, b)
        ]
        result["outputs"] = [
            child_tensors.save(tensor, self.out, f"run{index}.out{i}.npy", name)
            for i, (name, tensor) in enumerate(outputs)
        ]

    @contextmanager
    def _foreign(self) -> Iterator[None]:
        with child_guard.foreign_code(), stand_in_cuda(session.device, self.facts):
            yield

    def _model(self, state_name: str | None) -> tuple[Any, Given]:
        """A new ModelNew with the reference's parameters, as far as these can be matched."""
        args, kwargs = ast.literal_eval(self.payload["init"])
        with self._foreign():
            model = constructed(lambda: self.module.ModelNew(*args, **kwargs), self.payload["seed"])
            if self.payload["evaluation_mode"]:
                model.eval()
        if state_name is None:
            return model, Given()
        wanted = {
            entry["name"]: child_tensors.load(self.inputs_dir, entry)
            for entry in self.payload["states"][state_name]
        }
        return model, copy_state(model, wanted)


@contextmanager
def time_limit(seconds: float, stop_at: float) -> Iterator[None]:
    """Raise after so much processor time; a run that waits ends by the clock, later.

    `stop_at`: when it ends in any case, on the monotonic clock.
    """
    by_clock_s = min(WALL_FACTOR * seconds, stop_at - time.monotonic())

    def expire(*_: Any) -> None:
        raise DeadlineError

    clocks = (
        (signal.SIGPROF, signal.ITIMER_PROF, seconds),
        (signal.SIGALRM, signal.ITIMER_REAL, max(by_clock_s, LEAST_S)),
    )
    before = [signal.signal(number, expire) for number, _, _ in clocks]
    for _, clock, limit in clocks:
        signal.setitimer(clock, limit)
    try:
        yield
    finally:
        for (number, clock, _), handler in zip(clocks, before, strict=True):
            signal.setitimer(clock, 0)
            signal.signal(number, handler)


def failure(error: BaseException) -> dict[str, Any]:
    """What the exception says of the program, and whether the interpreter is to blame."""
    frames = traceback.extract_tb(error.__traceback__)
    place = [frame for frame in frames if Path(frame.filename).name == "program.py"]
    line = place[-1].lineno if place else None
    message = f"{type(error).__name__}: {error}"[:MESSAGE_CHARACTERS]
    reason = f"line {line}: {message}" if line is not None else message
    innermost = Path(frames[-1].filename) if frames else Path()
    unsupported = isinstance(error, (UnsupportedInInterpreterError, NotImplementedError))
    # Errors of types come from the language's own checks; what breaks inside the interpreter's
    # arithmetic says nothing of the program.
    ours = innermost.name in ("interpreter.py", "child_builder.py") and not isinstance(
        error, (KeyError, ValueError)
    )
    outcome = "unsupported" if unsupported or ours else "failed"
    if isinstance(error, SystemExit):
        reason = "the program called exit"
    print(traceback.format_exc()[-MESSAGE_CHARACTERS * 4 :], file=sys.stderr)
    return {"outcome": outcome, "reason": reason}
