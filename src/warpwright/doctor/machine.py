"""What this machine can do, for `doctor`: each part, what it enables, and how to get it.

Nothing here raises for a part that is missing. Slow or fragile parts (torch, the driver, the
profiler) are asked at the same time, each with a deadline.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import psutil

from warpwright.errors import WarpwrightError
from warpwright.gpus import driver as gpu_facts
from warpwright.sandbox.run import run_job
from warpwright.sandbox.toolchain import (
    INSTALL_HINT,
    SUPPORTED_TRITON,
    find_triton,
    installed_version,
    ptxas_version,
)
from warpwright.store.cache import default_cache_dir
from warpwright.types.job import Job, JobLimits, JobOutcome

PROBE_S = 4.0
TORCH_PROBE_S = 20.0  # a CUDA build loads in 2 to 10 s when its files are not in memory yet
CACHE_WALK_S = 1.0
GIB = 1024**3
NEEDED_MEMORY_BYTES = 4 * GIB
NEEDED_DISK_BYTES = 2 * GIB
COUNTERS_FIX = (
    "run as root (or with CAP_SYS_ADMIN), or let everyone read them: put `options nvidia "
    "NVreg_RestrictProfilingToAdminUsers=0` into /etc/modprobe.d/nvidia-profiling.conf and "
    "reload the driver or restart"
)

Fact = str | int | float | bool | None


class PartStatus(StrEnum):
    OK = "ok"
    LIMITED = "limited"  # there, but not all of it works
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class MachineItem:
    """One part of the machine: what was found, what it enables, how to get what is missing."""

    name: str
    status: PartStatus
    found: str
    enables: str
    fix: str | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MachineReport:
    """All parts, in the order of the line from reading text to measuring on a GPU."""

    items: tuple[MachineItem, ...]

    def item(self, name: str) -> MachineItem:
        """The part of that name; KeyError for another."""
        for item in self.items:
            if item.name == name:
                return item
        raise KeyError(name)


def examine_machine(cache_dir: Path | None = None) -> MachineReport:
    """Look at every part of this machine: about a second, more where torch is slow to load."""
    probes: dict[str, Callable[[], tuple[MachineItem, ...]]] = {
        "system": lambda: (system_item(), python_item(), processor_item(), memory_item()),
        "torch": lambda: (torch_item(),),
        "triton": triton_items,
        "c compiler": lambda: (compiler_item(),),
        "gpu": lambda: (driver_item(),),
        "ncu": profiler_items,
        "isolation": lambda: (isolation_item(),),
        "cache": lambda: storage_items(cache_dir or default_cache_dir()),
    }
    with ThreadPoolExecutor(len(probes)) as threads:
        found = threads.map(_examined, probes.keys(), probes.values())
        return MachineReport(tuple(item for items in found for item in items))


def _examined(name: str, probe: Callable[[], tuple[MachineItem, ...]]) -> tuple[MachineItem, ...]:
    try:
        return probe()
    except (OSError, RuntimeError, ValueError, psutil.Error, WarpwrightError) as error:
        # An odd machine must not keep the other parts from being seen.
        found = f"cannot be examined: {type(error).__name__}: {error}"
        return (MachineItem(name, PartStatus.LIMITED, found, "see the documentation of doctor"),)


def system_item() -> MachineItem:
    name = f"{platform.system()} {platform.release()} {platform.machine()}"
    enables = "reading and checking text anywhere; compiling and measuring on Linux"
    if sys.platform.startswith("linux"):
        return MachineItem("system", PartStatus.OK, name, enables)
    fix = "Triton runs on Linux: use a Linux machine, container or WSL to compile"
    return MachineItem("system", PartStatus.LIMITED, name, enables, fix)


def python_item() -> MachineItem:
    return MachineItem("python", PartStatus.OK, platform.python_version(), "everything")


def processor_item() -> MachineItem:
    total = os.cpu_count() or 1
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        usable = total
    found = f"{usable} cores" + (f" of {total}" if usable != total else "")
    return MachineItem(
        "processor", PartStatus.OK, found, "compiling that many configs at a time",
        facts={"usable_cores": usable},
    )  # fmt: skip


def memory_item() -> MachineItem:
    memory = psutil.virtual_memory()
    enough = memory.available >= NEEDED_MEMORY_BYTES
    return MachineItem(
        "memory",
        PartStatus.OK if enough else PartStatus.LIMITED,
        f"{memory.available / GIB:.1f} GiB free of {memory.total / GIB:.1f}",
        "compiling and interpreting, about 1 GiB for each child",
        None if enough else "free some memory: 4 GiB lets every step run",
        {"total_bytes": memory.total, "available_bytes": memory.available},
    )


def torch_item() -> MachineItem:
    """Torch's version, and whether it sees a GPU: asked in a child."""
    enables = "tracing, compiling and checking accuracy; with a GPU, measuring"
    version = installed_version("torch")
    if version is None:
        return MachineItem("torch", PartStatus.MISSING, "not installed", enables, INSTALL_HINT)
    result = run_job(Job("machine", {"ask": "torch"}, JobLimits(deadline_s=TORCH_PROBE_S)))
    if not result.ok or result.value is None:
        slow = result.outcome is JobOutcome.TIMEOUT
        why = (
            f"took over {TORCH_PROBE_S:g} s to load" if slow else f"does not load: {result.reason}"
        )
        fix = "ask again: a first load is slow" if slow else f"reinstall torch: {INSTALL_HINT}"
        return MachineItem("torch", PartStatus.LIMITED, f"{version}, {why}", enables, fix)
    value = result.value
    gpus = [str(name) for name in value["gpus"]]
    facts: dict[str, Fact] = {"cuda_build": value["cuda_build"], "sees_cuda": bool(gpus)}
    if gpus:
        found = f"{version}, sees {', '.join(gpus)}"
        return MachineItem("torch", PartStatus.OK, found, enables, facts=facts)
    if value["cuda_build"] is None:
        found = f"{version}, a CPU build: sees no GPU"
        fix = "to measure on a GPU: install torch's CUDA build (pip install torch)"
    else:
        found = f"{version}, built for CUDA {value['cuda_build']}, sees no GPU"
        fix = "to measure on a GPU: this machine needs one, and its driver"
    return MachineItem("torch", PartStatus.OK, found, enables, fix, facts)


def triton_items() -> tuple[MachineItem, ...]:
    """Triton and the assembler in its wheel."""
    enables = "compiling for any NVIDIA GPU, and running kernels in the interpreter"
    triton = find_triton()
    if triton is None:
        return (MachineItem("triton", PartStatus.MISSING, "not installed", enables, INSTALL_HINT),)
    first, last = (".".join(map(str, version)) for version in SUPPORTED_TRITON)
    fix = None if triton.supported else f"Warpwright is tested with Triton {first} to {last}"
    status = PartStatus.OK if triton.supported else PartStatus.LIMITED
    item = MachineItem("triton", status, triton.version, enables, fix)
    versions = {
        path.name: ptxas_version(path)
        for path in (triton.ptxas, triton.ptxas_blackwell)
        if path is not None
    }
    working = {name: version for name, version in versions.items() if version is not None}
    assembles = "machine code: registers, spills, equal configs"
    if "ptxas" not in working or triton.cuobjdump is None:
        reinstall = "install Triton's own Linux wheel (pip install --force-reinstall triton)"
        lacking = "none that runs in Triton's wheel"
        return item, MachineItem("ptxas", PartStatus.MISSING, lacking, assembles, reinstall)
    found = ", ".join(
        version if name == "ptxas" else f"{version} ({name})" for name, version in working.items()
    )
    return item, MachineItem("ptxas", PartStatus.OK, found, assembles)


def compiler_item() -> MachineItem:
    """The C compiler and Python's headers, which Triton needs for its launcher."""
    enables = "launching kernels on a GPU (Triton builds a small C module); not for compiling"
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        get = "install one, for example apt install gcc"
        return MachineItem("c compiler", PartStatus.MISSING, "no gcc or clang", enables, get)
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        fix = "install Python's headers, for example apt install python3-dev"
        return MachineItem(
            "c compiler", PartStatus.LIMITED, f"{compiler}, no Python.h", enables, fix
        )
    return MachineItem("c compiler", PartStatus.OK, compiler, enables)


def driver_item() -> MachineItem:
    enables = "running the answers; `bench`, `profile` and `--gpu here`"
    driver = gpu_facts.find_driver()
    if driver is None:
        fix = "without one, results are compiled and predicted, and say so"
        return MachineItem("gpu", PartStatus.MISSING, "no NVIDIA driver", enables, fix)
    if driver.problem is not None:
        fix = "check that the driver runs (nvidia-smi) and that this process may use it"
        return MachineItem("gpu", PartStatus.LIMITED, driver.problem, enables, fix)
    names = []
    for gpu in driver.gpus:
        memory = f" {gpu.memory_bytes / GIB:.0f} GiB" if gpu.memory_bytes is not None else ""
        capability = gpu.compute_capability
        names.append(
            f"{gpu.name}{memory}" + (f" sm_{capability[0]}{capability[1]}" if capability else "")
        )
    found = f"{', '.join(names)}, driver {driver.version or 'unknown'}"
    facts: dict[str, Fact] = {"driver": driver.version, "gpus": len(driver.gpus)}
    return MachineItem("gpu", PartStatus.OK, found, enables, facts=facts)


def profiler_items() -> tuple[MachineItem, ...]:
    """Nsight Compute, and whether it may read the GPU's counters."""
    enables = "profiles taken by Warpwright itself; requests bring theirs along"
    path = gpu_facts.find_ncu()
    if path is None:
        get = "install NVIDIA Nsight Compute, or put ncu on the PATH"
        return (MachineItem("ncu", PartStatus.MISSING, "no Nsight Compute", enables, get),)
    version = gpu_facts.ncu_version(path)
    status = PartStatus.OK if version else PartStatus.LIMITED
    fix = None if version else f"{path} gives no version: reinstall Nsight Compute"
    item = MachineItem("ncu", status, f"{version or 'unknown version'} at {path}", enables, fix)
    reads = "hardware counters in profiles"
    restricted = gpu_facts.counters_for_administrators_only()
    allowed = gpu_facts.may_read_counters()
    if restricted is False or allowed:
        found = "for everyone" if restricted is False else "this process may read them"
        return item, MachineItem("counters", PartStatus.OK, found, reads)
    found = "for administrators only" if restricted else "the driver does not say who may"
    return item, MachineItem("counters", PartStatus.LIMITED, found, reads, COUNTERS_FIX)


def isolation_item() -> MachineItem:
    """What keeps a request's code apart, tried in a child that starts as all do."""
    enables = "running a request's code apart: deadline, memory watchdog, own directory, no network"
    result = run_job(Job("machine", {"ask": "isolation"}, JobLimits(deadline_s=PROBE_S)))
    if not result.ok or result.value is None:
        found = f"a child process cannot be run: {result.reason}"
        return MachineItem(
            "isolation", PartStatus.MISSING, found, enables, "check that Python starts"
        )
    if result.value["network"]:
        found = "own process, limits and directory; the network cannot be cut off"
        fix = (
            "let processes make network namespaces: run as root, or allow user namespaces (sysctl "
            "kernel.unprivileged_userns_clone=1; in a container --cap-add SYS_ADMIN)"
        )
        if not sys.platform.startswith("linux"):
            fix = "only Linux can; run requests that you do not trust in a container"
        return MachineItem("isolation", PartStatus.LIMITED, found, enables, fix, {"network": True})
    found = "own process, limits and directory, no network"
    return MachineItem("isolation", PartStatus.OK, found, enables, facts={"network": False})


def storage_items(directory: Path) -> tuple[MachineItem, ...]:
    return cache_item(directory), disk_item(directory)


def cache_item(directory: Path) -> MachineItem:
    """Where results are kept, how much they take, and whether it can be written."""
    enables = "warm answers: what was compiled and traced is not done again"
    parent = existing_parent(directory)
    if not os.access(parent, os.W_OK):
        fix = "set WARPWRIGHT_CACHE_DIR to a directory that can be written"
        return MachineItem("cache", PartStatus.LIMITED, f"{directory}: not writable", enables, fix)
    size, whole = directory_bytes(directory)
    amount = f"{'' if whole else 'over '}{size / 1024**2:.1f} MiB"
    facts: dict[str, Fact] = {"directory": str(directory), "bytes": size}
    return MachineItem("cache", PartStatus.OK, f"{directory}, {amount}", enables, facts=facts)


def disk_item(directory: Path) -> MachineItem:
    """Free space where results and children's files go."""
    enables = "children's files and kept results"
    places = {existing_parent(directory), Path(tempfile.gettempdir())}
    free = {place: shutil.disk_usage(place).free for place in places}
    place = min(free, key=lambda each: free[each])
    enough = free[place] >= NEEDED_DISK_BYTES
    return MachineItem(
        "disk",
        PartStatus.OK if enough else PartStatus.LIMITED,
        f"{free[place] / GIB:.1f} GiB free at {place}",
        enables,
        None if enough else f"free some space at {place}: 2 GiB are enough",
        {"free_bytes": free[place]},
    )


def existing_parent(path: Path) -> Path:
    """The path itself, or the nearest directory above it that exists."""
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path


def directory_bytes(directory: Path) -> tuple[int, bool]:
    """Bytes of all files below, and whether all were counted in the time there is."""
    total, ends = 0, time.monotonic() + CACHE_WALK_S
    for folder, _, files in os.walk(directory):
        for name in files:
            try:
                total += (Path(folder) / name).lstat().st_size
            except OSError:
                continue  # removed meanwhile
        if time.monotonic() > ends:
            return total, False
    return total, True
