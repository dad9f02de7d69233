"""Inside a child that launches kernels on a GPU: the tools which Triton starts to build them."""

from __future__ import annotations

import os
from pathlib import Path

import torch
import triton

# The C compiler builds Triton's launcher; ldconfig is asked where the driver's library is, and
# file, through Python's platform module, what kind of program Python is. The C++
# compiler, nvcc and nvidia-smi are asked by torch's compiler.
TOOLS = ("gcc", "cc", "clang", "g++", "c++", "nvcc", "/sbin/ldconfig", "nvidia-smi", "file")


def triton_tools() -> list[str]:
    """Those, and the assemblers: of Triton's wheel, and wherever else it looks for them."""
    wheels = (
        Path(triton.__file__).parent / "backends" / "nvidia" / "bin",
        Path(torch.__file__).parent / "bin",  # torch's compiler prefers its own
    )
    found = [*TOOLS, *(str(path) for wheel in wheels for path in wheel.glob("ptxas*"))]
    found += [os.environ["CC"]] if "CC" in os.environ else []
    for name in ("ptxas", "ptxas_blackwell"):
        tool = getattr(triton.knobs.nvidia, name, None)
        if tool is not None:
            found.append(str(tool.path))
    return found
