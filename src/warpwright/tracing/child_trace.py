"""Inside a child: run a program's host code on stand-in tensors and record its launches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from warpwright.sandbox import child_guard
from warpwright.sandbox.child_blame import is_of_a_tool
from warpwright.sandbox.child_libraries import Picture
from warpwright.sandbox.child_main import describe
from warpwright.sandbox.child_program import load_module
from warpwright.sandbox.child_tensors import tensors_of
from warpwright.tracing.child_host_watch import HostWatch
from warpwright.tracing.child_real_values import follow_values, stand_in_inputs
from warpwright.tracing.child_trace_arguments import encode_tensor
from warpwright.tracing.child_trace_cuda import other_memory
from warpwright.tracing.child_trace_driver import use_stand_in_driver
from warpwright.tracing.child_trace_launch import Recorder
from warpwright.tracing.child_trace_problem import LoadedProblem, ProblemError, load_problem
from warpwright.tracing.child_trace_torch import StandIns, hardware, stand_in_cuda
from warpwright.tracing.child_value_log import SEED
from warpwright.tracing.child_ways_out import ways_out

# Above this much memory for inputs and parameters, nothing is traced on real tensors.
MAX_REAL_BYTES = 256 * 1024**2


class TraceStage:
    """Where in the run we are, for the message if it fails."""

    name = "start"


def perform(payload: Mapping[str, Any], job_dir: Path) -> dict[str, Any]:
    """Trace `payload["source"]`: `{"trace": …}` or `{"failed": …}`."""
    stage = TraceStage()
    facts = hardware(payload["facts"])
    use_stand_in_driver(facts)
    try:
        return {"trace": _trace("meta", payload, job_dir, stage)}
    except MemoryError:
        raise
    except Exception as error:
        if not _lacks_meta_kernel(error):
            return {"failed": failure(error, stage, job_dir)}
        missing = error
    try:
        traced = _trace("cpu", payload, job_dir, stage)
    except MemoryError:
        raise
    except Exception as error:
        first = missing if isinstance(error, TooLargeError) else error
        return {"failed": failure(first, stage, job_dir)}
    reason = (str(missing).strip().splitlines() or [""])[0]
    traced["notes"].append(f"traced on real memory, because of: {reason}")
    return {"trace": traced}


class TooLargeError(Exception):
    """Inputs or parameters do not fit into the memory that a trace may use."""


def failure(error: BaseException, stage: TraceStage, job_dir: Path) -> dict[str, Any]:
    described = describe(error, job_dir)
    place = described["place"]
    return {
        "stage": stage.name,
        "type": described["type"],
        "message": described["message"],
        "file": place.get("file"),
        "line": place.get("line"),
        "detail": described["traceback"],
        "of_a_tool": is_of_a_tool(error, job_dir),
    }


def _lacks_meta_kernel(error: BaseException) -> bool:
    """Whether torch has no way to tell the shape of an operator's result."""
    text = str(error).lower()
    return isinstance(error, (NotImplementedError, RuntimeError)) and (
        "'meta' backend" in text or "meta tensor" in text
    )


def _trace(
    device: str, payload: Mapping[str, Any], job_dir: Path, stage: TraceStage
) -> dict[str, Any]:
    mode = StandIns(device, job_dir)
    recorder = Recorder(mode, payload["source"])
    recorder.install()
    watch = HostWatch(job_dir)
    watch.install()
    follow_values(mode, watch)
    with stand_in_cuda(mode, hardware(payload["facts"]), recorder.note), watch:
        stage.name = "problem"
        problem = load_problem(payload["problem"], job_dir)
        if device == "cpu":
            _check_size(problem)
        inputs = stand_in_inputs(problem, mode)
        stage.name = "import"
        libraries = Picture()
        watch.recording = True
        program = load_module(payload["source"], "program", job_dir)
        model = build_model(program, problem, stage)
        watch.operators.clear()  # what a model is made of is no work of a call
        output = call_model(model, inputs, stage, mode)
        evaluation = not recorder.launches and isinstance(model, torch.nn.Module)
        if evaluation:
            # a program may use its kernels only outside of training
            mode.operations.clear()
            watch.operators.clear()
            output = call_model(model.eval(), inputs, stage, mode)
            evaluation = bool(recorder.launches)
        launches, operations = list(recorder.launches), dict(mode.operations)
        reads = list(mode.reads)
        with other_memory(hardware(payload["facts"])):
            behaviour = _second_call(model, problem, mode, recorder, output, job_dir)
        watch.recording = False
        behaviour |= {**watch.told(), "replaced": libraries.changed()}
        behaviour["ways_out"] = ways_out(program, payload["source"])
    return {
        "evaluation_mode": evaluation,
        "launches": launches,
        "value_reads": [{"reader": name, "line": line} for name, line in reads],
        "behaviour": behaviour,
        "inputs": _tensors(mode, inputs),
        "outputs": _tensors(mode, output),
        "notes": recorder.notes,
        "operations": [
            {"name": name, "line": line, "count": count}
            for (name, line), count in operations.items()
        ],
    }


def build_model(program: Any, problem: LoadedProblem, stage: TraceStage) -> Any:
    """`ModelNew(*init_args)`, as the problem builds its model."""
    stage.name = "constructor"
    model_class: Callable[..., Any] | None = getattr(program, "ModelNew", None)
    if model_class is None:
        raise ProblemError("the program has no class ModelNew")
    with child_guard.foreign_code(), torch.no_grad():
        return model_class(*problem.init_args, **problem.init_kwargs)


def call_model(model: Any, inputs: list[Any], stage: TraceStage, mode: StandIns) -> Any:
    """One forward pass, with the host's torch calls noted."""
    stage.name = "forward"
    with child_guard.foreign_code(), torch.no_grad():
        mode.recording = True
        output = model(*inputs)
        mode.recording = False
    return output


def _second_call(
    model: Any,
    problem: LoadedProblem,
    mode: StandIns,
    recorder: Recorder,
    output: Any,
    job_dir: Path,
) -> dict[str, Any]:
    """Call the model on other data, on a card with other memory in use: does it launch the same,
    and return memory of its own? Nothing is said of a call that our stand-ins may have ended."""
    first = [_form(launch) for launch in recorder.launches]
    recorder.launches.clear()
    try:
        inputs = stand_in_inputs(problem, mode, SEED + 1)
        again = call_model(model, inputs, TraceStage(), mode)
    except MemoryError:
        raise
    except Exception as error:
        ours = is_of_a_tool(error, job_dir)
        told = None if ours else f"it fails: {type(error).__name__}: {error}"
        return {"same_output": False, "second_call": told}
    launches = [_form(launch) for launch in recorder.launches]
    told = None if launches == first else _difference(first, launches)
    before = {tensor["storage"] for tensor in _tensors(mode, output)}
    kept = before.intersection(tensor["storage"] for tensor in _tensors(mode, again))
    return {"same_output": bool(kept), "second_call": told}


def _form(launch: Mapping[str, Any]) -> tuple[str, list[Any], dict[str, Any]]:
    """A launch without what differs from call to call: where its tensors lie."""
    values = {
        name: argument["value"]
        for name, argument in launch["arguments"].items()
        if argument["kind"] in ("scalar", "constant")
    }
    return launch["kernel"], [config["grid"] for config in launch["configs"]], values


def _difference(first: list[Any], second: list[Any]) -> str:
    """How the launches of a second call differ from the first one's, in words."""
    if len(first) != len(second):
        return f"{len(second)} launches, {len(first)} in the first"
    one, other = next(pair for pair in zip(first, second, strict=True) if pair[0] != pair[1])
    if one[0] != other[0]:
        return f"a launch of {other[0]}, of {one[0]} in the first"
    if one[1] != other[1]:
        return f"{one[0]} with grid {other[1][:1]}, {one[1][:1]} in the first"
    named = [name for name in one[2] if one[2][name] != other[2].get(name)]
    values = ", ".join(f"{name}={other[2].get(name)!r} after {one[2][name]!r}" for name in named)
    return f"{one[0]} with {values or 'other arguments'}"


def _check_size(problem: LoadedProblem) -> None:
    """Refuse to allocate inputs that are too large; their shapes come from meta tensors."""
    with torch.device("meta"):
        shapes = problem.make_inputs()
    total = sum(x.numel() * x.element_size() for x in shapes if isinstance(x, torch.Tensor))
    if total > MAX_REAL_BYTES:
        raise TooLargeError


def _tensors(mode: StandIns, value: Any) -> list[dict[str, Any]]:
    """Every tensor in a value, in order, as JSON."""
    return [encode_tensor(mode, tensor) for tensor in tensors_of(value)]
