"""What this machine says of its NVIDIA driver, GPUs and profiler, without torch."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warpwright.sandbox.run import run_job
from warpwright.types.job import Job, JobLimits

TOOL_TIMEOUT_S = 4.0
DEVICE_TIMEOUT_S = 30.0  # the driver's first start after a boot is slow
DRIVER_PARAMETERS = Path("/proc/driver/nvidia/params")
PROCESS_STATUS = Path("/proc/self/status")
# Capabilities that let a process read GPU counters where only administrators may.
CAP_SYS_ADMIN, CAP_PERFMON = 21, 38
NCU_PLACES = (
    "/usr/local/cuda*/bin/ncu",
    "/opt/nvidia/nsight-compute/*/ncu",
    "/usr/local/NVIDIA-Nsight-Compute*/ncu",
)
QUERY = "name,driver_version,memory.total,compute_cap"


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as the driver names it. Unknown numbers are None."""

    name: str
    memory_bytes: int | None = None
    compute_capability: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """A GPU as the CUDA driver describes it: fields under the names of a GPU sheet.

    `memory_bandwidth_gb_per_s` is the memory's clock times its width, None where not told.
    """

    name: str
    fields: Mapping[str, int | float | str]
    memory_bandwidth_gb_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Driver:
    """The NVIDIA driver and the GPUs it has. `problem`: why it cannot be asked."""

    version: str | None
    gpus: tuple[Gpu, ...] = ()
    problem: str | None = None


def find_driver() -> Driver | None:
    """The NVIDIA driver, from nvidia-smi or else from NVML; None where there is none."""
    smi = shutil.which("nvidia-smi")
    if smi is not None:
        text, problem = run_tool([smi, f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"])
        return read_smi(text) if text is not None else Driver(None, problem=problem)
    result = run_job(Job("machine", {"ask": "nvml"}, JobLimits(deadline_s=TOOL_TIMEOUT_S)))
    if not result.ok or result.value is None:
        return None  # no NVML library: no driver
    return read_nvml(result.value)


def visible_gpu() -> str:
    """The first GPU that this process may use, as CUDA_VISIBLE_DEVICES names it."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()


def device_facts() -> DeviceFacts | None:
    """The first visible GPU as the CUDA driver describes it; None where there is none."""
    job = Job(
        "machine",
        {"ask": "device"},
        JobLimits(deadline_s=DEVICE_TIMEOUT_S),
        environment={"CUDA_VISIBLE_DEVICES": visible_gpu()},
    )
    result = run_job(job)
    return read_device(result.value) if result.ok and result.value is not None else None


def read_device(value: Any) -> DeviceFacts | None:
    """Read what the child found through the CUDA driver; what it could not tell is left out."""
    if value.get("name") is None:
        return None
    told = {name: number for name, number in value["attributes"].items() if number is not None}
    major, minor = told.pop("major", None), told.pop("minor", None)
    clock_khz, width_bits = told.pop("memory_clock_khz", 0), told.pop("memory_bus_bits", 0)
    fields: dict[str, int | float | str] = {name: n for name, n in told.items() if n > 0}
    if major is not None and minor is not None:
        fields["compute_capability"] = f"{major}.{minor}"
    # Two transfers a clock, as the driver counts the memory clock.
    gb_per_s = 2 * clock_khz * 1e3 * width_bits / 8 / 1e9
    return DeviceFacts(value["name"], fields, round(gb_per_s, 1) or None)


def read_smi(text: str) -> Driver:
    """Read nvidia-smi's CSV: one line a GPU, memory in MiB, "[N/A]" where unknown."""
    gpus, version = [], None
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != 4:
            continue
        version = fields[1]
        memory = int(fields[2]) * 1024**2 if fields[2].isdigit() else None
        capability = re.fullmatch(r"(\d+)\.(\d+)", fields[3])
        gpus.append(
            Gpu(
                name=fields[0],
                memory_bytes=memory,
                compute_capability=(int(capability[1]), int(capability[2])) if capability else None,
            )
        )
    problem = None if gpus else f"nvidia-smi lists no GPU: {text.strip()[:200] or 'no output'}"
    return Driver(version, tuple(gpus), problem)


def read_nvml(value: Any) -> Driver:
    """Read what the child found through NVML."""
    gpus = tuple(
        Gpu(
            name=gpu["name"],
            memory_bytes=gpu["memory_bytes"] or None,
            compute_capability=(gpu["compute_capability"][0], gpu["compute_capability"][1]),
        )
        for gpu in value["gpus"]
    )
    return Driver(value["driver"], gpus, None if gpus else "NVML lists no GPU")


def counters_for_administrators_only() -> bool | None:
    """Whether the driver keeps performance counters to administrators; None: it does not say."""
    try:
        found = re.search(r"^RmProfilingAdminOnly:\s*(\d)", DRIVER_PARAMETERS.read_text(), re.M)
    except OSError:
        return None
    return found[1] != "0" if found else None


def may_read_counters() -> bool:
    """Whether this process counts as an administrator for the driver."""
    try:
        found = re.search(r"^CapEff:\s*([0-9a-f]+)", PROCESS_STATUS.read_text(), re.M)
    except OSError:
        return os.geteuid() == 0
    if found is None:
        return os.geteuid() == 0
    effective = int(found[1], 16)
    return bool(effective >> CAP_SYS_ADMIN & 1 or effective >> CAP_PERFMON & 1)


def find_ncu() -> Path | None:
    """Nsight Compute's command line, on the PATH or where NVIDIA's installers put it."""
    if path := shutil.which("ncu"):
        return Path(path)
    for pattern in NCU_PLACES:
        found = sorted(Path("/").glob(pattern.lstrip("/")))
        if found:
            return found[-1]
    return None


def ncu_version(path: Path) -> str | None:
    """Such as "2025.3.1.0"; None when it does not run."""
    text, _ = run_tool([str(path), "--version"])
    found = re.search(r"\bVersion\s+(\d+(?:\.\d+)+)", text or "")
    return found[1] if found else None


def run_tool(
    command: Sequence[str], timeout_s: float = TOOL_TIMEOUT_S
) -> tuple[str | None, str | None]:
    """A trusted tool's output, or None and why there is none."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return None, f"{Path(command[0]).name} gave no answer in {timeout_s:g} s"
    except (OSError, UnicodeDecodeError) as error:
        return None, f"{Path(command[0]).name} cannot be run: {error}"
    if result.returncode != 0:
        said = (result.stderr or result.stdout).strip().splitlines()
        return None, f"{Path(command[0]).name} failed: {said[0] if said else result.returncode}"
    return result.stdout, None
