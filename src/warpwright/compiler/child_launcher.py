"""Inside a child that compiles for processes to come: what launches a binary, built ahead of them.

Triton 3.6 builds C code of its own for each kernel and kinds of arguments, which takes the C
compiler half a second in a program's first call. It needs the driver's library to link with, and no
GPU. Later versions have one launcher for all kernels.
"""

from __future__ import annotations

import contextlib
from subprocess import SubprocessError
from typing import Any

from triton.backends.nvidia import driver

BUILDS_LAUNCHERS = hasattr(driver, "make_launcher")


class Launchers:
    """The launchers of one program, each built once."""

    def __init__(self) -> None:
        self._built: set[tuple[Any, ...]] = set()

    def build(self, compiled: Any) -> None:
        """Build that of a `CompiledKernel` into Triton's cache.

        Where it cannot be built, or not be loaded here, the first call builds it or tells why not.
        """
        if not BUILDS_LAUNCHERS:
            return
        tensors = repr(getattr(compiled.metadata, "tensordesc_meta", None))
        kinds = (*map(str, compiled.src.signature.values()), tensors)
        if kinds in self._built:
            return
        self._built.add(kinds)
        failures = (AssertionError, AttributeError, ImportError, OSError, RuntimeError)
        with contextlib.suppress(*failures, SubprocessError):
            driver.CudaLauncher(compiled.src, compiled.metadata)
