"""Profile one steady-state forward pass of a program on this machine's GPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from warpwright.errors import InputError, MissingToolError, Place, SandboxError
from warpwright.formats.nsight import is_kernel_of
from warpwright.gpus import driver as gpu_facts
from warpwright.profiler.chosen_metrics import CheckedMetrics, Wanted, check_metrics
from warpwright.profiler.failures import NEED_GPU, raise_for_failure
from warpwright.profiler.ncu import CACHE_CONTROL, run_under_ncu
from warpwright.profiler.ncu_output import parse_ncu_output
from warpwright.types.job import JobResult
from warpwright.types.measurement import MeasuredGpu
from warpwright.types.profiling import NcuOutput, ProfileConditions, ProfileRun
from warpwright.types.progress import Listener, silent
from warpwright.types.request import KernelProfile, Profile
from warpwright.types.shapes import Problem

CLOCK_CONTROLS = ("none", "base")
INSTALL_NCU = (
    "install NVIDIA Nsight Compute (it comes with the CUDA toolkit), or put ncu on the PATH"
)


@dataclass(frozen=True, slots=True)
class ProfilePlan:
    """How to profile. Warm-up passes come before the profiled one; `deadline_s` is for all."""

    wanted: Wanted
    clock_control: str = "none"
    deadline_s: float = 600.0
    warmups: int = 3
    seed: int = 0


def profile_program(
    source: str,
    kernels: Sequence[str],
    problem: Problem,
    plan: ProfilePlan,
    *,
    document: str | None = None,
    listener: Listener = silent,
) -> ProfileRun:
    """Profile one steady-state forward pass of a program; `kernels` are its own kernels' names.

    Raises MissingToolError where the machine lacks ncu, a GPU or the permission to read its
    counters; InputError where the program fails, launches none of its kernels or takes too
    long; SandboxError where ncu itself breaks.
    """
    ncu = _find_tools()
    listener("metrics", "asking Nsight Compute for the metrics by name")
    checked = check_metrics(ncu, plan.wanted)
    listener("profile", f"profiling one forward pass: {len(checked.names)} metrics")
    run = run_under_ncu(
        ncu,
        source,
        problem,
        checked.names,
        clock_control=plan.clock_control,
        deadline_s=plan.deadline_s,
        warmups=plan.warmups,
        seed=plan.seed,
    )
    output = parse_ncu_output(run.log, checked.names)
    raise_for_failure(run, output, Place(document or "the program"), plan.deadline_s)
    return _collected(run.job, output, checked, kernels, plan, ncu, document)


def _find_tools() -> Path:
    ncu = gpu_facts.find_ncu()
    if ncu is None:
        raise MissingToolError("Nsight Compute (ncu) is not on this machine", hint=INSTALL_NCU)
    driver = gpu_facts.find_driver()
    if driver is None:
        raise MissingToolError("there is no NVIDIA GPU to profile on", hint=NEED_GPU)
    if driver.problem is not None:
        raise MissingToolError(f"the GPU cannot be used: {driver.problem}", hint=NEED_GPU)
    return ncu


def _collected(
    job: JobResult,
    output: NcuOutput,
    checked: CheckedMetrics,
    kernels: Sequence[str],
    plan: ProfilePlan,
    ncu: Path,
    document: str | None,
) -> ProfileRun:
    value = job.value or {}
    profile, others = own_kernels(output, kernels)
    if not profile.kernels:
        raise InputError(
            "none of the program's kernels was launched",
            place=Place(document or "the program"),
            expected="a launch of " + (" or ".join(kernels) or "a kernel; the program has none"),
            got=", ".join(sorted(others))[:300],
            hint="a kernel may go by another name (`repr=`), or other code may do the work",
        )
    return ProfileRun(
        profile=profile,
        gpu=_gpu(value),
        conditions=ProfileConditions(
            ncu=gpu_facts.ncu_version(ncu),
            clock_control=plan.clock_control,
            cache_control=CACHE_CONTROL,
            warmups=plan.warmups,
            seed=plan.seed,
        ),
        metrics=checked.names,
        units=output.units,
        replaced=checked.replaced,
        left_out=checked.left_out,
        without_value=_without_value(profile),
        other_kernels=others,
        configs={str(k): str(v) for k, v in dict(value.get("configs") or {}).items()},
        notes=(*checked.notes, *output.warnings),
        wall_s=job.wall_s,
    )


def own_kernels(output: NcuOutput, kernels: Iterable[str]) -> tuple[Profile, Mapping[str, int]]:
    """The launches of the program's own kernels, in order of first launch; how often others ran."""
    names = tuple(kernels)
    own: dict[str, list[Mapping[str, float | None]]] = {}
    others: Counter[str] = Counter()
    for launch in output.launches:
        if any(is_kernel_of(launch.kernel, name) for name in names):
            own.setdefault(launch.kernel, []).append(launch.values)
        else:
            others[launch.kernel] += 1
    profiles = (KernelProfile(name, tuple(launches)) for name, launches in own.items())
    return Profile(tuple(profiles)), dict(others)


def _without_value(profile: Profile) -> Mapping[str, tuple[str, ...]]:
    missing = {
        kernel.kernel: tuple(
            dict.fromkeys(name for each in kernel.launches for name in each if each[name] is None)
        )
        for kernel in profile.kernels
    }
    return {kernel: names for kernel, names in missing.items() if names}


def _gpu(value: Mapping[str, object]) -> MeasuredGpu:
    """The card as the child saw it; the driver's version from the driver."""
    gpu = value["gpu"]
    try:
        assert isinstance(gpu, dict)
        major, minor = gpu["compute_capability"]
        driver = gpu_facts.find_driver()
        return MeasuredGpu(
            name=str(gpu["name"]),
            compute_capability=(int(major), int(minor)),
            sm_count=int(gpu["sm_count"]),
            memory_bytes=int(gpu["memory_bytes"]),
            l2_bytes=gpu["l2_bytes"],
            uuid=gpu["uuid"],
            driver=None if driver is None else driver.version,
            cuda=str(value["cuda"]),
            torch=str(value["torch"]),
            triton=str(value["triton"]),
        )
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise SandboxError(f"the child's account of the GPU is malformed: {error}") from error
