"""Which module runs in a child, by the kind of job or of persistent process that asks for it."""

from __future__ import annotations

MAIN = "warpwright.sandbox.child_main"
PERSISTENT = "warpwright.sandbox.child_persistent"

JOBS = {
    "compile": "warpwright.compiler.child_compile",
    "compile_and_keep": "warpwright.compiler.child_compile",
    "cost": "warpwright.tracing.child_problem_work",
    "import": "warpwright.tracing.child_importing",
    "interpret": "warpwright.interpreter.child_interpret",
    "lower": "warpwright.compiler.child_lower",
    "machine": "warpwright.doctor.child_machine",
    "profile": "warpwright.profiler.child_profile",
    "recognize": "warpwright.operators.conv2d.child_recognize",
    "reference": "warpwright.interpreter.reference.child_reference",
    "shrink": "warpwright.interpreter.sizes.child_shrink",
    "sizes": "warpwright.interpreter.sizes.child_sizes",
    "spot": "warpwright.interpreter.spot.child_spot",
    "spot_reference": "warpwright.interpreter.spot.child_spot_reference",
    "symbolic": "warpwright.tracing.child_symbolic",
    "trace": "warpwright.tracing.child_trace",
}
"""Kind of a job → the module whose `perform(payload, job_dir)` is the job."""

INTERPRETED = {"TRITON_INTERPRET": "1"}
"""What the environment of a process states in which Triton's kernels are interpreted."""

WITHOUT_TORCH = frozenset({"machine"})
"""Kinds of jobs that mostly need neither torch nor Triton: a new process does them sooner than a
fork of one that must load both first."""

_TO_COMPILE = ("warpwright.compiler.child_triton", "warpwright.tracing.child_target")
TOO = {"compile": _TO_COMPILE, "compile_and_keep": _TO_COMPILE}
"""Kind of a job → modules that its own loads late, which the fork server may load before."""

PROCESSES = {
    "reference": "warpwright.bench.device.child_reference_process",
    "nvml": "warpwright.bench.device.child_nvml",
    "worker": "warpwright.bench.device.child_worker",
}
"""Kind of a persistent process → the module whose `start(settings, job_dir)` answers it."""

_ON_A_DEVICE = ("warpwright.bench.device.child_preloaded",)
PROCESS_LOADS = {"reference": _ON_A_DEVICE, "worker": _ON_A_DEVICE}
"""Kind of a persistent process → modules that the fork server loads before it forks one."""
