"""Inside a child: what torch sees of this machine, and what a child of ours may do.

No foreign code runs here; a child of its own keeps a torch that hangs or crashes at import,
or a broken driver, away from the parent.
"""

from __future__ import annotations

import ctypes
import os
import resource
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME_BYTES = 96
# Attributes of `cuDeviceGetAttribute`, numbered as in cuda.h, by the field of a GPU sheet each is.
DEVICE_ATTRIBUTES = {
    "max_threads_per_block": 1,
    "warp_size": 10,
    "registers_per_block": 12,
    "sm_count": 16,
    "memory_clock_khz": 36,
    "memory_bus_bits": 37,
    "l2_bytes": 38,
    "threads_per_sm": 39,
    "major": 75,
    "minor": 76,
    "shared_bytes_per_sm": 81,
    "registers_per_sm": 82,
    "max_shared_bytes_per_block": 97,
    "blocks_per_sm": 106,
    "reserved_shared_bytes_per_block": 111,
}


def perform(payload: Mapping[str, Any], job_dir: Path) -> dict[str, Any]:
    """Answer one question: "torch", "nvml", "device" or "isolation"."""
    if payload["ask"] == "torch":
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # children see no GPU otherwise
        return torch_facts()
    if payload["ask"] == "device":
        return device_facts()
    return nvml_facts() if payload["ask"] == "nvml" else isolation_facts(job_dir)


def torch_facts() -> dict[str, Any]:
    """Torch's version, the CUDA it was built for, and the GPUs it sees."""
    import torch

    seen = torch.cuda.is_available()
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "version": torch.__version__,
        "cuda_build": torch.version.cuda,
        "sees_cuda": seen,
        "gpus": names if seen else [],
    }


def isolation_facts(job_dir: Path) -> dict[str, Any]:
    """Whether this child, started as every child is, still has a network, and its limits."""
    interfaces = [name for _, name in socket.if_nameindex()]
    return {
        "network": any(not name.startswith("lo") for name in interfaces),
        "core_dumps": resource.getrlimit(resource.RLIMIT_CORE)[0] != 0,
        "own_directory": str(job_dir) == os.environ.get("HOME"),
        "own_group": os.getpgid(0) == os.getpid(),
    }


def nvml_facts() -> dict[str, Any]:
    """Driver and GPUs from NVML, the library behind nvidia-smi."""
    library = ctypes.CDLL("libnvidia-ml.so.1")
    if library.nvmlInit_v2() != 0:
        return {"driver": None, "gpus": []}
    text = ctypes.create_string_buffer(NAME_BYTES)
    known = library.nvmlSystemGetDriverVersion(text, NAME_BYTES) == 0
    driver = text.value.decode(errors="replace") if known else None
    count = ctypes.c_uint(0)
    library.nvmlDeviceGetCount_v2(ctypes.byref(count))
    return {"driver": driver, "gpus": [_nvml_gpu(library, i) for i in range(count.value)]}


def _nvml_gpu(library: ctypes.CDLL, index: int) -> dict[str, Any]:
    handle = ctypes.c_void_p()
    library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle))
    name = ctypes.create_string_buffer(NAME_BYTES)
    library.nvmlDeviceGetName(handle, name, NAME_BYTES)
    memory = (ctypes.c_ulonglong * 3)()  # total, free, used
    library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory))
    major, minor = ctypes.c_int(0), ctypes.c_int(0)
    library.nvmlDeviceGetCudaComputeCapability(handle, ctypes.byref(major), ctypes.byref(minor))
    return {
        "name": name.value.decode(errors="replace"),
        "memory_bytes": int(memory[0]),
        "compute_capability": [major.value, minor.value],
    }


def device_facts() -> dict[str, Any]:
    """The first visible GPU from the CUDA driver itself; its `name` is None where there is none."""
    nothing: dict[str, Any] = {"name": None, "attributes": {}}
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return nothing
    device = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGet(ctypes.byref(device), 0) != 0:
        return nothing
    name = ctypes.create_string_buffer(NAME_BYTES)
    if driver.cuDeviceGetName(name, NAME_BYTES, device) != 0:
        return nothing
    attributes: dict[str, int | None] = {}
    for field, attribute in DEVICE_ATTRIBUTES.items():
        value = ctypes.c_int(0)
        known = driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device) == 0
        attributes[field] = value.value if known else None
    return {"name": name.value.decode(errors="replace"), "attributes": attributes}
