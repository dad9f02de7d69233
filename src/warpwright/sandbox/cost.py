"""The work of a problem at full size: floating-point operations and the fewest bytes."""

from __future__ import annotations

from warpwright.sandbox.cache import ResultCache, run_cached
from warpwright.sandbox.deadline import Deadline
from warpwright.sandbox.run import Job
from warpwright.types.sandbox import JobLimits
from warpwright.types.shapes import Problem
from warpwright.types.study import ProblemCost

LIMITS = JobLimits(deadline_s=60, memory_bytes=4 * 1024**3)
HALF_TYPES = {"float16": "fp16", "bfloat16": "bf16"}


def problem_cost(
    problem: Problem, cache: ResultCache | None = None, deadline: Deadline | None = None
) -> ProblemCost | None:
    """Count the work of one forward pass of the problem's `Model`.

    FLOPs are counted by PyTorch's own counter (matmul, convolution, attention; multiply and
    add are two). Bytes are inputs and parameters read once, outputs written once. None where
    there is no `Model`, or where it does not run on meta tensors.
    """
    if problem.source is None:
        return None
    job = Job("cost", {"problem": problem.source}, LIMITS)
    result = run_cached(job, cache, deadline=deadline)
    if not result.ok or result.value is None:
        return None
    value = result.value
    return ProblemCost(
        flops=sum(value["flops"].values()),
        read_bytes=value["read_bytes"],
        written_bytes=value["written_bytes"],
        compute_class=_compute_class(value["dtypes"], tuple(value["flops"])),
        counted=tuple(sorted(value["flops"])),
    )


def _compute_class(dtypes: list[str], operators: tuple[str, ...]) -> str:
    """The fastest rate that the precision policy allows: TF32 only for fp32 convolutions."""
    for dtype in dtypes:
        if dtype in HALF_TYPES:
            return HALF_TYPES[dtype]
    convolution = operators and all("convolution" in name for name in operators)
    return "tf32" if convolution else "fp32"
