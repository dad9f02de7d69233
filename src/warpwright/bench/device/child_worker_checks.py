"""Inside a worker: one recorded run; whether CUDA graphs and torch.compile work."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch

from warpwright.bench.device.child_cases import (
    PERTURBED,
    PROBLEM,
    Arguments,
    foreign,
    seed_everything,
)
from warpwright.bench.device.child_worker_device import Device, is_out_of_memory
from warpwright.bench.device.child_worker_failures import UnsupportedError
from warpwright.bench.device.child_worker_program import LoadedProgram, Named
from warpwright.interpreter.reference.child_state import same_bits
from warpwright.sandbox.child_guard import ForbiddenActionError

clock = time.perf_counter
GRAPH_WARM_UPS = 3
REASON_CHARACTERS = 300


def check(program: LoadedProgram, device: Device, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Run on a case, once more where that call tuned. Outputs go to files, byte by byte.

    Payload: `spec` (a `CaseSpec`), `seed` for the program's own random numbers, `poison_bytes`
    (sizes of outputs, whose memory is filled with NaN first), `prefix` of the files.
    """
    spec = payload["spec"]
    if not program.use_state(spec["state"]):
        reason = "there are no such parameters, or they are not matched by name"
        return {"skipped": reason, **program.report()}
    outputs, value, tuned = _recorded(program, device, payload)
    if tuned:
        # A tuner runs every config into one output, so its call is like none that follows: what
        # one config leaves out another has written, what each adds stands there many times.
        del outputs
        outputs, value, _ = _recorded(program, device, payload)
    value["outputs"] = program.outbox.save_all(outputs, program.out_dir, payload["prefix"])
    if spec["name"] == PERTURBED:
        program.use_state("own")
    return value


def _recorded(
    program: LoadedProgram, device: Device, payload: Mapping[str, Any]
) -> tuple[Named, dict[str, Any], bool]:
    """One call on inputs made anew: outputs, what it did, whether a tuner ran its configs in it."""
    arguments = program.inputs(payload["spec"])
    before = [tensor.clone() for tensor in arguments.tensors]
    device.poison(payload["poison_bytes"])
    seed_everything(payload["seed"])
    started = clock()
    with device.recorded() as recorded:
        result = program.call(arguments)
        device.synchronize()
    wall_s = clock() - started
    changed = [
        index
        for index, (a, b) in enumerate(zip(before, arguments.tensors, strict=True))
        if not same_bits(a, b)
    ]
    value = {
        "launches": dict(recorded.launches),
        "changed_inputs": changed,
        "call_s": wall_s,
        **program.report(),
    }
    return program.outputs(result), value, bool(recorded.tuned)


def compare_graph(
    program: LoadedProgram, device: Device, payload: Mapping[str, Any]
) -> dict[str, Any]:
    """Capture a call in a CUDA graph, replay it on other values, compare with a direct call.

    Payload: `seed`, `calls` (timed replays). `works` False comes with the reason.
    """
    if device.name != "cuda":
        raise UnsupportedError("CUDA graphs need a GPU")
    arguments = program.inputs({"name": PROBLEM, "seed": payload["seed"]})
    other = program.inputs({"name": PROBLEM, "seed": payload["seed"] + 1})
    try:
        graph, captured = _capture(program, arguments)
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        if is_out_of_memory(error) or device.broken() is not None:
            raise
        return {"works": False, "reason": _reason(error)}
    for mine, new in zip(arguments.tensors, other.tensors, strict=True):
        mine.copy_(new)
    graph.replay()
    device.synchronize()
    replayed = [(name, tensor.clone()) for name, tensor in captured]
    direct = program.outputs(program.call(other))
    device.synchronize()
    times_us = []
    for _ in range(payload["calls"]):
        device.flush()
        times_us.append(device.timed(graph.replay, 0.0)[1].device_us)
    return {"works": True, "times_us": times_us, **_compared(replayed, direct)}


def _capture(program: LoadedProgram, arguments: Arguments) -> tuple[Any, Named]:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(GRAPH_WARM_UPS):
            program.call(arguments)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = program.call(arguments)
    return graph, program.outputs(result)


def compare_torch_compile(
    program: LoadedProgram, device: Device, payload: Mapping[str, Any]
) -> dict[str, Any]:
    """The program under `torch.compile`, whole graph first, against itself without.

    Payload: `seed`, `backend`. `works` False comes with the reason; `whole_graph` says whether
    the compiler took the program without a break.
    """
    arguments = program.inputs({"name": PROBLEM, "seed": payload["seed"]})
    direct = program.outputs(program.call(arguments))
    reasons = []
    for whole in (True, False):
        torch._dynamo.reset()
        try:
            compiled = torch.compile(program.model, fullgraph=whole, backend=payload["backend"])
            values = arguments.values()
            with foreign(device):
                result = compiled(*values)
            outputs = program.outputs(result)
            device.synchronize()
        except (ForbiddenActionError, MemoryError):
            raise
        except Exception as error:  # the compiler raises types of its own, of every kind
            if is_out_of_memory(error) or device.broken() is not None:
                raise
            reasons.append(_reason(error))
            continue
        found = _compared(outputs, direct)
        return {"works": True, "whole_graph": whole, "breaks": reasons, **found}
    return {"works": False, "reason": reasons[-1]}


def _compared(got: Named, wanted: Named) -> dict[str, Any]:
    """Bit-equality, and the largest relative difference (L2) of any output."""
    form = [(n, t.dtype, t.shape) for n, t in got] == [(n, t.dtype, t.shape) for n, t in wanted]
    if not form:
        return {"bit_equal": False, "relative_difference": None}
    pairs = [(a, b) for (_, a), (_, b) in zip(got, wanted, strict=True)]
    return {
        "bit_equal": all(same_bits(a, b) for a, b in pairs),
        "relative_difference": max((_apart(a, b) for a, b in pairs), default=0.0),
    }


def _apart(got: torch.Tensor, wanted: torch.Tensor) -> float:
    difference = torch.linalg.vector_norm(
        (got - wanted).float() if got.dtype != torch.bool else (got ^ wanted).float()
    )
    scale = torch.linalg.vector_norm(wanted.float())
    return float(difference / scale) if float(scale) > 0 else float(difference)


def _reason(error: BaseException) -> str:
    text = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {text}"[:REASON_CHARACTERS]
