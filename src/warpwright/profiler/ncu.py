"""The Nsight Compute driver: start `ncu` around a child that runs a program, keep its log."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warpwright.gpus import driver
from warpwright.profiler.ncu_output import parse_metric_names
from warpwright.sandbox.run import run_job
from warpwright.tracing.trace import problem_payload
from warpwright.types.job import Job, JobLimits, JobResult
from warpwright.types.shapes import Problem

QUERY_TIMEOUT_S = 120.0
MEMORY_BYTES = 64 * 1024**3  # ncu saves device memory in the host's where the device has no room
CACHE_CONTROL = "all"  # caches are flushed before each pass, so that passes agree
LOG_BYTES = 256 * 1024**2


@dataclass(frozen=True, slots=True)
class NcuRun:
    """`job` is what came of the program, `log` what ncu wrote of it."""

    job: JobResult
    log: str


def query_metrics(ncu: Path, bases: Sequence[str] = ()) -> tuple[frozenset[str], str | None]:
    """Names that this ncu knows for this machine's GPU, and why there are none if it fails.

    With `bases`: the full names (with suffixes) of those base names; else all base names.
    """
    command = [str(ncu), "--csv"]
    if bases:
        command += ["--query-metrics-mode", "suffix", "--metrics", ",".join(bases)]
    else:
        command += ["--query-metrics"]
    text, problem = driver.run_tool(command, QUERY_TIMEOUT_S)
    return parse_metric_names(text or ""), problem


def run_under_ncu(
    ncu: Path,
    source: str,
    problem: Problem,
    metrics: Sequence[str],
    *,
    clock_control: str,
    deadline_s: float,
    warmups: int,
    seed: int,
) -> NcuRun:
    """Profile one steady-state forward pass. Never raises for what the program does."""
    payload: dict[str, Any] = {
        "source": source,
        "problem": problem_payload(problem),
        "warmups": warmups,
        "seed": seed,
    }
    # The log is kept where the program has no business, and is there even if the child fails.
    with tempfile.TemporaryDirectory(prefix="warpwright-ncu-") as folder:
        log = Path(folder) / "ncu.log"
        job = Job(
            "profile",
            payload,
            JobLimits(deadline_s=deadline_s, memory_bytes=MEMORY_BYTES),
            environment={
                "CUDA_VISIBLE_DEVICES": driver.visible_gpu(),
                "LC_ALL": "C",  # no thousands separators of another language
                "NV_COMPUTE_PROFILER_DISABLE_STOCK_FILE_DEPLOYMENT": "1",
            },
            launcher=tuple(command(ncu, metrics, clock_control, log)),
        )
        return NcuRun(run_job(job), _read(log))


def command(ncu: Path, metrics: Sequence[str], clock_control: str, log: Path) -> list[str]:
    """ncu's own part of the command line; the program to start follows it."""
    return [
        str(ncu),
        "--target-processes", "all",
        "--profile-from-start", "off",
        "--replay-mode", "kernel",
        "--cache-control", CACHE_CONTROL,
        "--clock-control", clock_control,
        "--metrics", ",".join(metrics),
        "--csv",
        "--page", "raw",
        "--print-units", "base",
        "--log-file", str(log),
    ]  # fmt: skip


def _read(log: Path) -> str:
    if not log.is_file():
        return ""
    with log.open("rb") as stream:
        return stream.read(LOG_BYTES).decode("utf-8", errors="replace")
