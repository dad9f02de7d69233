"""The parent's side of `child_reference`: what the right output is, and how precise eager is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from warpwright.sandbox.arrays import Array, read_array
from warpwright.sandbox.deadline import Deadline
from warpwright.store.cache import ResultCache, run_cached
from warpwright.tracing.trace import device_facts
from warpwright.types.gpu import GpuSheet
from warpwright.types.job import Job, JobLimits
from warpwright.types.shapes import Problem, TensorSpec
from warpwright.types.verdict import OTHER_ORDER

# The problem's own values first; it is the case that a program must pass.
DISTRIBUTIONS = (
    "problem", "normal", "wide", "outliers", "nonfinite", "negative", "large", "offset",
    "second call", OTHER_ORDER,
)  # fmt: skip
ENTRY = ("arguments", "inputs", "state", "first", "order")
LIMITS = JobLimits(deadline_s=60.0)


@dataclass(frozen=True, slots=True)
class ReferenceCase:
    """One set of inputs. `outputs` is float64; `policy` what eager PyTorch gives on a GPU.

    `summands`: how many terms the sums of one output element have, over all operators;
    `conditioning`, by output: relative change of the output over that of the inputs. `entry` is
    what an interpreting child needs: files and nesting of the inputs.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    entry: Mapping[str, Any]
    outputs: tuple[Array, ...] = ()
    policy: tuple[Array, ...] = ()
    summands: int = 0
    conditioning: Mapping[str, float] = field(default_factory=dict)
    changes_inputs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ReferenceRun:
    """All cases of a problem. `skipped`: case → why it was not made; `init`: text of
    (args, kwargs); `states`: manifests of the parameters; `directory` holds all files.
    `evaluation_mode`: the model was put into `eval()`, and a program has to be as well."""

    directory: Path
    init: str
    made_by: str
    seed: int
    cases: tuple[ReferenceCase, ...]
    states: Mapping[str, Sequence[Mapping[str, str]]]
    skipped: Mapping[str, str]
    evaluation_mode: bool = False

    def case(self, name: str) -> ReferenceCase | None:
        """The case of this name, or None."""
        return next((case for case in self.cases if case.name == name), None)


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Why there is no reference; a verdict is not possible."""

    reason: str
    detail: str = ""


def make_reference(
    problem: Problem,
    shapes: Sequence[TensorSpec],
    directory: Path,
    *,
    seed: int,
    init: tuple[Sequence[Any], Mapping[str, Any]] | None = None,
    evaluation_mode: bool = False,
    gpu: GpuSheet | None = None,
    distributions: Sequence[str] = DISTRIBUTIONS,
    parent: str | None = None,
    cache: ResultCache | None = None,
    limits: JobLimits = LIMITS,
    deadline: Deadline | None = None,
) -> ReferenceRun | Unavailable:
    """Compute the reference of `problem` on inputs of `shapes` (one per input tensor, in order).

    `init` replaces the problem's constructor arguments where the shapes ask for it;
    `evaluation_mode` computes it as after `eval()`; `gpu` answers a problem that asks for the
    card. Files go to `directory`. A problem without a model has inputs only, and the parameters of
    the program `parent` with other values: its cases have no outputs.
    """
    if not shapes:
        return Unavailable("no input shapes")
    arguments = init
    if arguments is None and problem.source is None:
        arguments = (problem.init_args, problem.init_kwargs)
    payload = {
        "problem": problem.source,
        "inputs": [{"shape": list(spec.shape), "dtype": spec.dtype} for spec in shapes],
        "init": None if arguments is None else repr((list(arguments[0]), dict(arguments[1]))),
        "distributions": list(distributions),
        "evaluation_mode": evaluation_mode,
        "seed": seed,
        "facts": device_facts(gpu),
        "parent": None if problem.has_reference else parent,
    }
    job = Job("reference", payload, limits, keep_output=directory)
    result = run_cached(job, cache, deadline=deadline)
    if result.value is None:
        reason = f"the reference could not be computed: {result.reason or result.outcome}"
        return Unavailable(reason, result.detail)
    return replace(_decode(result.value, directory, seed), evaluation_mode=evaluation_mode)


def _decode(value: Mapping[str, Any], directory: Path, seed: int) -> ReferenceRun:
    made = [case for case in value["cases"] if "skipped" not in case]
    return ReferenceRun(
        directory=directory,
        init=value["init"],
        made_by=value["made_by"],
        seed=seed,
        cases=tuple(_decode_case(case, directory) for case in made),
        states=value["states"],
        skipped={case["name"]: case["skipped"] for case in value["cases"] if "skipped" in case},
    )


def _decode_case(case: Mapping[str, Any], directory: Path) -> ReferenceCase:
    inputs = [read_array(directory, entry) for entry in case["inputs"]]
    bare = ReferenceCase(
        name=case["name"],
        inputs=tuple(TensorSpec(tuple(array.data.shape), array.dtype) for array in inputs),
        entry={name: case[name] for name in ENTRY if name in case},
    )
    if "reference" not in case:
        return bare
    return replace(
        bare,
        outputs=tuple(read_array(directory, entry) for entry in case["reference"]),
        policy=tuple(read_array(directory, entry) for entry in case["policy"]),
        summands=case["summands"],
        conditioning=case["conditioning"],
        changes_inputs=tuple(case["changes_inputs"]),
    )
