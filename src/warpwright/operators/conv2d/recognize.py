"""Which convolution a problem's model is, found without running it on data.

The model is built and exported in a child process, on tensors without memory. See
`docs/optimize.md` for what is recognised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from warpwright.sandbox.deadline import Deadline
from warpwright.store.cache import ResultCache, run_cached
from warpwright.tracing.trace import device_facts, problem_payload
from warpwright.types.conv2d import Conv2dLayer, Conv2dTask, Pointwise, Precision
from warpwright.types.gpu import GpuSheet
from warpwright.types.job import Job, JobLimits
from warpwright.types.shapes import Problem

LIMITS = JobLimits(deadline_s=120.0, memory_bytes=4 * 1024**3)
# How the child names the line on which the problem file raised.
AT_LINE = re.compile(r"problem\.py:(\d+): ")
PAIRS = ("kernel", "stride", "padding_before", "padding_after", "dilation")


@dataclass(frozen=True, slots=True)
class NotRecognized:
    """Why a problem is not one conv2d with pointwise operations after it; one clause.

    `problem_fails`: its file cannot be run at all, so nothing is known of its model. `line`: where
    it fails, if it says so.
    """

    reason: str
    problem_fails: bool = False
    line: int | None = None


def recognize_conv2d(
    problem: Problem,
    *,
    gpu: GpuSheet | None = None,
    cache: ResultCache | None = None,
    deadline: Deadline | None = None,
) -> Conv2dTask | NotRecognized:
    """The conv2d that the problem's `Model` is on the problem's inputs, or why it is none.

    `gpu` answers a problem file that asks which card there is. Never raises for what the file
    does.
    """
    if problem.source is None or not problem.has_model:
        return NotRecognized("there is no model to recognise anything in")
    payload = {"problem": problem_payload(problem), "facts": device_facts(gpu)}
    result = run_cached(Job("recognize", payload, LIMITS), cache, deadline=deadline)
    if not result.ok or result.value is None:
        return _failing(result.reason or str(result.outcome))
    reason = result.value.get("reason")
    if reason is not None:
        return NotRecognized(str(reason))
    try:
        return _decode(result.value["task"], problem.source)
    except (KeyError, TypeError, ValueError) as error:
        return NotRecognized(f"the child's result is malformed ({error!r})", problem_fails=True)


def _failing(reason: str) -> NotRecognized:
    at = AT_LINE.match(reason)
    if at is None:
        return NotRecognized(reason, problem_fails=True)
    return NotRecognized(reason[at.end() :], problem_fails=True, line=int(at[1]))


def _decode(value: Mapping[str, Any], source: str) -> Conv2dTask:
    sizes = dict(value["layer"])
    for name in PAIRS:
        first, second = sizes[name]
        sizes[name] = (int(first), int(second))
    return Conv2dTask(
        layer=Conv2dLayer(**sizes),
        module=str(value["module"]),
        problem_source=source,
        precision=Precision.STRICT if value["strict"] else Precision.TF32,
        epilogue=tuple(
            Pointwise(str(function), None if number is None else float(number))
            for function, number in value["epilogue"]
        ),
    )
