"""Which compiler this machine has: Triton and the NVIDIA tools in its wheel.

Nothing of Triton or torch is imported: versions are read from files, and `ptxas --version`
is run. Children get an environment without `TRITON_PTXAS_PATH`, so the tools are always those
of the wheel.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from warpwright.errors import MissingToolError
from warpwright.types.compiled import Toolchain

SUPPORTED_TRITON = ((3, 6), (3, 9))  # first and last minor version that the tests ran with
INSTALL_HINT = (
    "pip install torch triton   (a CPU build of torch is enough to compile; Triton is for Linux)"
)
_VERSION_TIMEOUT_S = 10
_NO_MODULE = re.compile(r"ModuleNotFoundError: No module named '(?P<name>[^']+)'")
_INIT_VERSION = re.compile(r"""^__version__\s*=\s*['"]([^'"]+)""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class TritonInstallation:
    """Where Triton and the NVIDIA tools of its wheel are. A tool that is not there is None."""

    version: str
    directory: Path
    ptxas: Path | None
    ptxas_blackwell: Path | None
    cuobjdump: Path | None
    nvdisasm: Path | None = None

    @property
    def minor_version(self) -> tuple[int, int]:
        return minor_version(self.version)

    @property
    def supported(self) -> bool:
        """Whether this is a version that Warpwright is tested with."""
        first, last = SUPPORTED_TRITON
        return first <= self.minor_version <= last

    def ptxas_for(self, compute_capability: tuple[int, int]) -> Path | None:
        """The assembler Triton takes for a target: its newer one from 10.0 (3.9: from 9.0) on."""
        newer_from = (9, 0) if self.minor_version >= (3, 9) else (10, 0)
        newer = compute_capability >= newer_from and self.ptxas_blackwell is not None
        return self.ptxas_blackwell if newer else self.ptxas


def minor_version(version: str) -> tuple[int, int]:
    """(3, 7) for "3.7.1+cu130"; (0, 0) where there are no numbers."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


def find_triton() -> TritonInstallation | None:
    """The installed Triton, or None."""
    directory = _package_directory("triton")
    if directory is None:
        return None
    version = _source_version(directory) or installed_version("triton")
    if version is None:
        return None
    tools = directory / "backends" / "nvidia" / "bin"

    def tool(name: str) -> Path | None:
        path = tools / name
        return path if path.is_file() else None

    return TritonInstallation(
        version=version,
        directory=directory,
        ptxas=tool("ptxas"),
        ptxas_blackwell=tool("ptxas-blackwell"),
        cuobjdump=tool("cuobjdump"),
        nvdisasm=tool("nvdisasm"),
    )


def toolchain(compute_capability: tuple[int, int] = (8, 9)) -> Toolchain:
    """The versions that decide what is compiled for a target.

    Raises MissingToolError where Triton, torch or ptxas is not installed, and where this ptxas
    does not know the target.
    """
    triton = find_triton()
    if triton is None:
        raise MissingToolError(
            "Triton is not installed: nothing can be compiled", hint=INSTALL_HINT
        )
    torch = installed_version("torch")
    if torch is None:
        raise MissingToolError(
            "torch is not installed: programs that import it cannot be compiled", hint=INSTALL_HINT
        )
    ptxas = triton.ptxas_for(compute_capability)
    version = ptxas_version(ptxas) if ptxas is not None else None
    if version is None:
        raise MissingToolError(
            f"Triton {triton.version} has no working ptxas in {triton.directory}",
            hint="install Triton's own Linux wheel (pip install --force-reinstall triton)",
        )
    assert ptxas is not None
    if compute_capability not in ptxas_targets(ptxas):
        shown = ".".join(map(str, compute_capability))
        raise MissingToolError(
            f"ptxas {version} of the installed Triton {triton.version} cannot compile for compute "
            f"capability {shown}",
            hint="choose another --gpu, or install a Triton whose ptxas still has this target",
        )
    return Toolchain(
        triton=triton.version, ptxas=version, torch=torch, python=platform.python_version()
    )


def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


@cache
def ptxas_version(path: Path) -> str | None:
    """What `ptxas --version` says, such as "12.8.93"; None when it does not run."""
    try:
        result = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\bV(\d+(?:\.\d+)+)", result.stdout)
    return found[1] if found else None


@cache
def ptxas_targets(path: Path) -> frozenset[tuple[int, int]]:
    """Compute capabilities that `ptxas --help` lists; empty when it does not run."""
    try:
        result = subprocess.run(
            [path, "--help"], capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError):
        return frozenset()
    found = re.findall(r"'sm_(\d+)(\d)[a-z]?'", result.stdout)
    return frozenset((int(major), int(minor)) for major, minor in found)


def missing_module(reason: str) -> str | None:
    """The module that is not installed here, where a child failed for that; else None.

    `reason` is the exception as Python tells it. A part of something that is installed, such as
    `triton.nothing`, is the program's own mistake.
    """
    said = _NO_MODULE.search(reason)
    if said is None:
        return None
    root = said["name"].split(".")[0]
    if root in sys.stdlib_module_names or importlib.util.find_spec(root) is not None:
        return None
    return root


def not_installed(module: str) -> str:
    return f"the program needs the module {module}, which is not installed here"


def _package_directory(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _source_version(directory: Path) -> str | None:
    try:
        found = _INIT_VERSION.search((directory / "__init__.py").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    return found[1] if found else None
