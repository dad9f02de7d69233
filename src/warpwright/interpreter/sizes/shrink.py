"""Small inputs for the interpreter, on which every kernel of the full-size trace is launched.

The search itself runs in a child (each try runs the program's host code and the problem's
`Model` on stand-in tensors); `shrink_search` says how it proceeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from warpwright.interpreter.sizes.shrink_search import Limits
from warpwright.sandbox.deadline import Deadline
from warpwright.store.cache import ResultCache, run_cached
from warpwright.tracing.trace import device_facts, problem_payload
from warpwright.types.gpu import GpuSheet
from warpwright.types.job import Job, JobLimits
from warpwright.types.launch_trace import Trace
from warpwright.types.shapes import Problem, TensorSpec

SEARCH_S = 20.0
START_UP_S = 30.0
SHARE = 0.4  # of the time left: most of it is for running programs on what is found

Init = tuple[tuple[Any, ...], Mapping[str, Any]]
"""Positional and keyword arguments of a constructor."""


@dataclass(frozen=True, slots=True)
class ShrunkenInputs:
    """Input tensors in order, and constructor arguments where those had to shrink as well.

    `sizes` maps full sizes to small ones. `blocks`: those of the config with the fewest, over
    all launches; `steps`: tile iterations of the costliest config. `covered` of `to_cover` grid
    axes, loops and sizes that are above 1 at full size are above 1 here.
    """

    inputs: tuple[TensorSpec, ...]
    init: Init | None
    sizes: Mapping[int, int]
    blocks: int
    steps: int
    covered: int
    to_cover: int


@dataclass(frozen=True, slots=True)
class ShrinkFailed:
    """Why there are no small inputs."""

    reason: str


def plan_shrunken_inputs(
    source: str,
    problem: Problem,
    trace: Trace,
    *,
    gpu: GpuSheet | None = None,
    cache: ResultCache | None = None,
    limits: Limits | None = None,
    search_s: float = SEARCH_S,
    aligned: int = 1,
    deadline: Deadline | None = None,
) -> ShrunkenInputs | ShrinkFailed:
    """Choose small inputs for `source`, whose trace at full size is `trace`.

    Sizes that the constructor fixes stay, unless the inputs cannot get small enough; then
    constructor arguments shrink with them. `limits` bounds a run in the interpreter. `aligned`:
    small sizes keep what divides the full ones of this power of two. A search that the deadline
    ends gives the best so far.
    """
    payload = {
        "source": source,
        "problem": problem_payload(problem),
        "facts": device_facts(gpu),
        "evaluation_mode": trace.evaluation_mode,
        "limits": asdict(limits or Limits()),
        "search_s": search_s,
        "aligned": aligned,
    }
    job = Job("shrink", payload, JobLimits(deadline_s=START_UP_S + 2 * search_s))
    part = None if deadline is None else deadline.part(SHARE)
    result = run_cached(job, cache, keep=lambda value: not value.get("cut"), deadline=part)
    if result.value is None:
        return ShrinkFailed(result.reason or str(result.outcome))
    if "failed" in result.value:
        if part is not None and result.value.get("cut"):  # it says nothing of the program
            return ShrinkFailed(part.reason)
        return ShrinkFailed(str(result.value["failed"]))
    try:
        found = _decode(result.value)
    except (KeyError, TypeError, ValueError) as error:
        return ShrinkFailed(f"the search's result is malformed ({error})")
    missing = set(trace.kernels) - set(result.value["kernels"])
    if missing:
        return ShrinkFailed(f"no small sizes launch {', '.join(sorted(missing))}")
    return found


def _decode(value: Mapping[str, Any]) -> ShrunkenInputs:
    init = value["init"]
    return ShrunkenInputs(
        inputs=tuple(
            TensorSpec(tuple(map(int, spec["shape"])), str(spec["dtype"]))
            for spec in value["inputs"]
        ),
        init=None if init is None else _init(init),
        sizes={int(full): int(small) for full, small in value["sizes"]},
        blocks=int(value["blocks"]),
        steps=int(value["steps"]),
        covered=int(value["covered"]),
        to_cover=int(value["to_cover"]),
    )


def _init(value: Any) -> Init:
    args, kwargs = decode_plain(value)
    return tuple(args), kwargs


def decode_plain(value: Any) -> Any:
    """The inverse of `trace.encode` for what is no tensor."""
    if isinstance(value, list):
        return [decode_plain(item) for item in value]
    if isinstance(value, dict):
        if "tuple" in value:
            return tuple(decode_plain(item) for item in value["tuple"])
        return {str(name): decode_plain(item) for name, item in value["dict"].items()}
    return value
