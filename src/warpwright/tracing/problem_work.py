"""The work of a problem at full size: floating-point operations and the fewest bytes."""

from __future__ import annotations

from warpwright.sandbox.deadline import Deadline
from warpwright.store.cache import ResultCache, run_cached
from warpwright.tracing.trace import device_facts
from warpwright.types.gpu import GpuSheet
from warpwright.types.job import Job, JobLimits
from warpwright.types.shapes import Problem
from warpwright.types.study import ProblemCost

LIMITS = JobLimits(deadline_s=60, memory_bytes=4 * 1024**3)
HALF_TYPES = {"float16": "fp16", "bfloat16": "bf16"}


def problem_cost(
    problem: Problem,
    cache: ResultCache | None = None,
    gpu: GpuSheet | None = None,
    deadline: Deadline | None = None,
) -> ProblemCost | None:
    """Count the work of one forward pass of the problem's `Model`.

    FLOPs are counted by PyTorch's own counter (matmul, convolution, attention; multiply and
    add are two; causal attention by the pairs that it has). Bytes are inputs and parameters read
    once, outputs written once. What of both every program needs is counted apart: see
    `child_needed`. `gpu` answers a problem that asks for the card. None where there is no
    `Model`, or where it does not run on meta tensors.
    """
    if not problem.has_reference:
        return None
    payload = {"problem": problem.source, "facts": device_facts(gpu)}
    result = run_cached(Job("cost", payload, LIMITS), cache, deadline=deadline)
    if not result.ok or result.value is None:
        return None
    value = result.value
    return ProblemCost(
        flops=sum(value["flops"].values()),
        read_bytes=value["read_bytes"],
        written_bytes=value["written_bytes"],
        compute_class=_compute_class(value["dtypes"], tuple(value["flops"])),
        counted=tuple(sorted(value["flops"])),
        needed_flops=value["needed_flops"] if _rate_is_known(value["dtypes"]) else 0,
        needed_read_bytes=value["needed_read_bytes"],
        needed_written_bytes=value["needed_written_bytes"],
        spared=tuple(value["spared"]),
    )


def _rate_is_known(dtypes: list[str]) -> bool:
    """Whether all products are of types whose rate, or a higher one, the sheets have."""
    return all(name in ("float32", "float64", *HALF_TYPES) for name in dtypes)


def _compute_class(dtypes: list[str], operators: tuple[str, ...]) -> str:
    """The fastest rate that the precision policy allows: TF32 only for fp32 convolutions."""
    for dtype in dtypes:
        if dtype in HALF_TYPES:
            return HALF_TYPES[dtype]
    convolution = operators and all("convolution" in name for name in operators)
    return "tf32" if convolution else "fp32"
