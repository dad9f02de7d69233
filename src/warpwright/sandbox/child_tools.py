"""Inside a child that launches kernels on a GPU: the tools which Triton starts to build them."""

from __future__ import annotations

from pathlib import Path

import triton

# The C compiler builds Triton's launcher; ldconfig is asked where the driver's library is.
TOOLS = ("gcc", "cc", "clang", "/sbin/ldconfig")


def triton_tools() -> list[str]:
    """Those, and the assemblers in Triton's wheel."""
    wheel = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    return [*TOOLS, *map(str, wheel.glob("ptxas*"))]
