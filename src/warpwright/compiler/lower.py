"""Kernels in Triton's intermediate representation, made in a child from a program's source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from warpwright.sandbox.deadline import Deadline
from warpwright.store.cache import ResultCache, run_cached
from warpwright.tracing.trace import target_facts
from warpwright.types.compiled import Specialization
from warpwright.types.config import Config, MetaValue
from warpwright.types.job import Job, JobLimits

LIMITS = JobLimits(deadline_s=120, memory_bytes=4 * 1024**3)


@dataclass(frozen=True, slots=True)
class LowerRequest:
    """A kernel specialised in one way under one config; its warps and stages do not matter."""

    specialization: Specialization
    config: Config
    options: Mapping[str, MetaValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lowered:
    """TTIR as text with the names of its run-time parameters; `reason` where there is none."""

    text: str | None
    names: tuple[str, ...] = ()
    reason: str | None = None


def lower_kernels(
    program: str,
    requests: Sequence[LowerRequest],
    *,
    compute_capability: tuple[int, int],
    facts: Mapping[str, Any] | None = None,
    cache: ResultCache | None = None,
    deadline: Deadline | None = None,
) -> tuple[Lowered, ...]:
    """Lower every request, in one child; the results come in the order of the requests.

    `facts` (`trace.device_facts`) answer a program that asks for the card when it is imported.

    A kernel that cannot be lowered, or a child that fails, is a `Lowered` with its reason.
    """
    if not requests:
        return ()
    payload = {
        "program": program,
        "compute_capability": list(compute_capability),
        "facts": target_facts(compute_capability, facts),
        "items": [_item(request) for request in requests],
    }
    result = run_cached(Job("lower", payload, LIMITS), cache, deadline=deadline)
    if not result.ok or result.value is None:
        return tuple(Lowered(None, reason=result.reason or "the child failed") for _ in requests)
    values = result.value.get("lowered")
    found = [_decoded(value) for value in values] if isinstance(values, list) else []
    if len(found) != len(requests):
        return tuple(Lowered(None, reason="the child's result cannot be read") for _ in requests)
    return tuple(found)


def _item(request: LowerRequest) -> dict[str, object]:
    specialization = request.specialization
    return {
        "specialization": {
            "kernel": specialization.kernel,
            "signature": dict(specialization.signature),
            "constants": dict(specialization.constants),
            "divisible_by_16": list(specialization.divisible_by_16),
        },
        "meta": request.config.meta_dict,
        "options": dict(request.options),
    }


def _decoded(value: object) -> Lowered:
    if not isinstance(value, dict):
        return Lowered(None, reason="the child's result cannot be read")
    text, names = value.get("text"), value.get("names")
    if isinstance(text, str) and isinstance(names, list):
        return Lowered(text, tuple(map(str, names)))
    return Lowered(None, reason=str(value.get("failed", "the child's result cannot be read")))
