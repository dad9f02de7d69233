"""Which module runs in a child, by the kind of job or of persistent process that asks for it."""

from __future__ import annotations

MAIN = "warpwright.sandbox.child_main"
PERSISTENT = "warpwright.sandbox.child_persistent"

JOBS = {
    "compile": "warpwright.sandbox.child_compile",
    "cost": "warpwright.sandbox.child_cost",
    "import": "warpwright.sandbox.child_import",
    "interpret": "warpwright.sandbox.child_interpret",
    "lower": "warpwright.sandbox.child_lower",
    "machine": "warpwright.sandbox.child_machine",
    "profile": "warpwright.sandbox.child_profile",
    "recognize": "warpwright.sandbox.child_recognize",
    "reference": "warpwright.sandbox.child_reference",
    "shrink": "warpwright.sandbox.child_shrink",
    "sizes": "warpwright.sandbox.child_sizes",
    "spot": "warpwright.sandbox.child_spot",
    "spot_reference": "warpwright.sandbox.child_spot_reference",
    "symbolic": "warpwright.sandbox.child_symbolic",
    "trace": "warpwright.sandbox.child_trace",
}
"""Kind of a job → the module whose `perform(payload, job_dir)` is the job."""

PROCESSES = {
    "judge": "warpwright.sandbox.child_judge",
    "nvml": "warpwright.sandbox.child_nvml",
    "worker": "warpwright.sandbox.child_worker",
}
"""Kind of a persistent process → the module whose `start(settings, job_dir)` answers it."""
