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

from warpwright.interpreter import child_builder, child_executor
from warpwright.interpreter.child_block_order import every_block, in_another_order
from warpwright.interpreter.child_coverage import load_observed
from warpwright.interpreter.child_executor import MemoryAccessError, session
from warpwright.interpreter.reference.child_construct import constructed
from warpwright.interpreter.reference.child_state import Given, copy_state, same_bits
from warpwright.sandbox import child_guard, child_tensors
from warpwright.sandbox.child_blame import is_of_a_tool
from warpwright.tracing.child_trace_driver import use_stand_in_driver
from warpwright.tracing.child_trace_torch import hardware, stand_in_cuda
from warpwright.types.verdict import NOT_IN_TIME

MESSAGE_CHARACTERS = 500
PROGRAM_FILE = "program.py"
WALL_FACTOR = 3.0  # by which the clock may run ahead of processor time on a busy machine
LEAST_S = 0.001  # a timer of no time would never ring


class DeadlineError(BaseException):
    """One run took too long; not an `Exception`, so that programs do not swallow it."""


def perform(payload: dict[str, Any], job_dir: Path) -> dict[str, Any]:
    """Payload: `source`, `init`, `seed`, `cases`, `states`, `runs`, `deadline_s`, `budget_s`,
    `facts`, `compute_capability`, `evaluation_mode`, `spoil_undefined`; `stop_at` on the monotonic
    clock, where a deadline ends all of it. Result: `runs`, one outcome each, in order, and `ways`,
    which the branches took at import."""
    if not triton.knobs.runtime.interpret:
        raise RuntimeError("Triton is not in interpreter mode")
    torch.set_num_threads(1)
    child_builder.install(payload["compute_capability"])
    child_executor.install()
    facts = hardware(payload["facts"])
    use_stand_in_driver(facts)
    with stand_in_cuda(session.device, facts):
        module = load_observed(payload["source"], "program", job_dir, session.coverage)
    at_import = set(session.coverage.seen)
    child_executor.adopt(module)
    worker = _Worker(payload, job_dir, module, facts)
    started = time.process_time()
    results: list[dict[str, Any]] = []
    for index, run in enumerate(payload["runs"]):
        reason = _none_left(payload, time.process_time() - started)
        results.append(worker.run(index, run) if reason is None else _not_begun(reason))
    return {"runs": results, "ways": sorted(at_import)}


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
        self.job_dir = job_dir
        self.inputs_dir = job_dir / "in"
        self.out = job_dir / "out"
        self.module = module
        self.facts = facts

    def run(self, index: int, run: dict[str, Any]) -> dict[str, Any]:
        """One (config, case): its outcome, and its outputs as files."""
        started, started_cpu_s = time.monotonic(), time.process_time()
        stop_at = self.payload.get("stop_at", math.inf)
        result: dict[str, Any] = {"outcome": "ok", "reason": None}
        session.begin(run["pins"], self.payload["spoil_undefined"])
        other_order = "order" in self.payload["cases"][run["case"]]
        session.schedule = in_another_order if other_order else every_block
        session.memory.watch_owners = other_order
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
            result |= failure(error, self.job_dir)
        result["launches"] = dict(session.launches)
        result["memory_events"] = session.memory.events
        result["ways"] = sorted(session.coverage.seen)
        result["undefined_lines"] = sorted(session.memory.undefined)
        result["wall_s"] = time.monotonic() - started
        result["cpu_s"] = time.process_time() - started_cpu_s
        return result

    def _run(self, index: int, run: dict[str, Any], result: dict[str, Any]) -> None:
        case = self.payload["cases"][run["case"]]
        state_name = case.get("state")
        model, given = self._model(case["first"]["state"] if "first" in case else state_name)
        result["state"] = {"note": given.note, "matched": given.matched}
        if not given.placed and state_name in ("perturbed", "changed"):
            reason = "parameters are matched neither by name nor by shape: they cannot be changed"
            result |= {"outcome": "skipped", "reason": reason}
            return
        if "first" in case:
            self._call(model, case["first"])
            copy_state(model, self._state(state_name))
        tensors, before, output = self._call(model, case)
        outputs = child_tensors.flatten(output, "output")
        result["changed_inputs"] = [
            i for i, (a, b) in enumerate(zip(before, tensors, strict=True)) if not same_bits(a, b)
        ]
        result["outputs"] = [
            child_tensors.save(tensor, self.out, f"run{index}.out{i}.npy", name)
            for i, (name, tensor) in enumerate(outputs)
        ]

    def _call(
        self, model: Any, case: dict[str, Any]
    ) -> tuple[list[torch.Tensor], list[torch.Tensor], Any]:
        """One forward pass: its input tensors, their values before it, and the output."""
        tensors = [child_tensors.load(self.inputs_dir, entry) for entry in case["inputs"]]
        before = [tensor.clone() for tensor in tensors]
        arguments = child_tensors.from_structure({"list": case["arguments"]}, tensors)
        torch.manual_seed(self.payload["seed"])
        with self._foreign(), torch.no_grad():
            return tensors, before, model(*arguments)

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
        return model, copy_state(model, self._state(state_name))

    def _state(self, name: str) -> dict[str, torch.Tensor]:
        return {
            entry["name"]: child_tensors.load(self.inputs_dir, entry)
            for entry in self.payload["states"][name]
        }


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


# What a kernel raises on purpose: `tl.device_assert`, an access outside of all tensors.
OF_A_KERNEL = (AssertionError, MemoryAccessError)
BAD_CALL = "argument"  # in the words of a TypeError: a call that does not fit its function


def _kernel_is_to_blame(error: BaseException, frames: list[traceback.FrameSummary]) -> bool:
    """Whether an exception inside a kernel shows that the kernel is wrong.

    None raises on a GPU. What the compiler refuses it says itself; what it takes and the
    interpreter does not is the interpreter's affair, unless the kernel's own line names something
    that does not exist or calls something as it cannot be called.
    """
    if isinstance(error, OF_A_KERNEL):
        return True
    own = Path(frames[-1].filename).name == PROGRAM_FILE
    misused = isinstance(error, TypeError) and BAD_CALL in str(error)
    return own and (isinstance(error, NameError) or misused)


def failure(error: BaseException, job_dir: Path) -> dict[str, Any]:
    """What the exception says of the program, and whether the interpreter is to blame."""
    frames = traceback.extract_tb(error.__traceback__)
    place = [frame for frame in frames if Path(frame.filename).name == PROGRAM_FILE]
    line = place[-1].lineno if place else None
    message = f"{type(error).__name__}: {error}"[:MESSAGE_CHARACTERS]
    reason = f"line {line}: {message}" if line is not None else message
    ours = isinstance(error, NotImplementedError) or is_of_a_tool(error, job_dir)
    if any(frame.name == child_executor.run_grid.__name__ for frame in frames):
        ours = ours or not _kernel_is_to_blame(error, frames)
    # An assignment makes a tensor of a compile-time number here; what has to be one is the
    # compiler's to say.
    innermost = Path(frames[-1].filename) if frames else Path()
    ours = ours or ("constexpr" in message and innermost.name != "program.py")
    outcome = "unsupported" if ours else "failed"
    if isinstance(error, SystemExit):
        reason = "the program called exit"
    print(traceback.format_exc()[-MESSAGE_CHARACTERS * 4 :], file=sys.stderr)
    return {"outcome": outcome, "reason": reason}
