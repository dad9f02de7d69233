"""Further small inputs, on which a candidate takes the ways that it does not take on the first.

`sizes_search` says how sets are chosen; a child tries them on stand-ins (`child_sizes`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from warpwright.interpreter.sizes.shrink import START_UP_S, Init, ShrunkenInputs, decode_plain
from warpwright.interpreter.sizes.sizes_search import SetLimits
from warpwright.program.branch_sites import Outcome, read_outcomes
from warpwright.sandbox.deadline import Deadline
from warpwright.store.cache import ResultCache, run_cached
from warpwright.tracing.trace import device_facts, problem_payload
from warpwright.types.config import Config
from warpwright.types.gpu import GpuSheet
from warpwright.types.job import Job, JobLimits
from warpwright.types.launch_trace import Trace
from warpwright.types.shapes import Problem, TensorSpec

SEARCH_S = 4.0  # of processor time
WALL_FACTOR = 6.0  # by which the clock may run ahead on a busy machine
FEW = 3
"""Multiprocessors of the card that further sets run on, so that few blocks are more than it has."""

Metas = frozenset[tuple[str, tuple[tuple[str, Any], ...]]]


@dataclass(frozen=True, slots=True)
class InputSet:
    """Inputs and constructor arguments of one set; `metas`: kernels and meta-parameters of the
    configs other than the usual one that do something of their own on it."""

    inputs: tuple[TensorSpec, ...]
    init: Init | None
    metas: Metas

    def __str__(self) -> str:
        return ", ".join(map(str, self.inputs))


@dataclass(frozen=True, slots=True)
class FurtherSets:
    """`reached`: ways of the candidate that some tried sizes lead to, run or not;
    `reached_at_full`: those that the full sizes do. `undecided`: kernel tests that stand-ins cannot
    tell, because they depend on what loads give."""

    sets: tuple[InputSet, ...] = ()
    reached: frozenset[Outcome] = frozenset()
    reached_at_full: frozenset[Outcome] = frozenset()
    undecided: frozenset[Outcome] = frozenset()
    failed: str | None = None


def plan_further_sets(
    source: str,
    parent: str | None,
    problem: Problem,
    trace: Trace,
    first: ShrunkenInputs,
    usual: Mapping[str, Config],
    *,
    gpu: GpuSheet | None = None,
    cache: ResultCache | None = None,
    limits: SetLimits | None = None,
    deadline: Deadline | None = None,
) -> FurtherSets:
    """Sets of inputs beside `first`, for a candidate's `source` and its parent's (None: none).

    `usual`: by kernel, the config that runs on each set. Where none can be had, `failed` says why.
    """
    payload = {
        "source": source,
        "parent": None if parent == source else parent,
        "problem": problem_payload(problem),
        "facts": device_facts(gpu),
        "few": FEW,
        "evaluation_mode": trace.evaluation_mode,
        "usual": {kernel: config.meta_dict for kernel, config in usual.items()},
        "sizes": [[full, small] for full, small in first.sizes.items()],
        "with_init": first.init is not None,
        "search_s": SEARCH_S,
        "limits": asdict(limits or SetLimits()),
    }
    job = Job("sizes", payload, JobLimits(deadline_s=START_UP_S + WALL_FACTOR * SEARCH_S))
    result = run_cached(job, cache, deadline=deadline)
    if result.value is None:
        return FurtherSets(failed=result.reason or str(result.outcome))
    value = result.value
    return FurtherSets(
        sets=tuple(_input_set(entry) for entry in value["sets"]),
        reached=read_outcomes(value["reached"]),
        reached_at_full=read_outcomes(value["reached_at_full"]),
        undecided=read_outcomes(value["undecided"]),
    )


def _input_set(entry: Mapping[str, Any]) -> InputSet:
    init = entry["init"]
    decoded: Init | None = None
    if init is not None:
        args, kwargs = decode_plain(init)
        decoded = (tuple(args), kwargs)
    return InputSet(
        inputs=tuple(
            TensorSpec(tuple(map(int, spec["shape"])), str(spec["dtype"]))
            for spec in entry["inputs"]
        ),
        init=decoded,
        metas=frozenset(
            (str(kernel), tuple((str(name), value) for name, value in meta))
            for kernel, meta in entry["metas"]
        ),
    )
