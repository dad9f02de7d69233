"""What Triton compiled of a program, kept for the next process that runs it.

Triton names a binary by the kernel's text and place in the program, its arguments and options; so
what one process compiled is found by another that has the same program and cache directory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from warpwright.types.config import Config

COMPILED = "compiled.txt"


def cache_directory(base: Path, source: str) -> Path:
    """The Triton cache of one program below `base`, made if need be; no two programs share it."""
    directory = base.resolve() / hashlib.sha256(source.encode()).hexdigest()[:32]
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def note_compiled(base: Path, source: str, compiled: Iterable[tuple[str, Config]]) -> None:
    """Note kernels and configs of which the program's cache has the binaries."""
    noted = _noted(base, source)
    new = dict.fromkeys(_line(kernel, config) for kernel, config in compiled)
    lines = "".join(f"{line}\n" for line in new if line not in noted)
    with (cache_directory(base, source) / COMPILED).open("a") as file:
        file.write(lines)


def has_compiled(base: Path, source: str, pins: Mapping[str, Config | None]) -> bool:
    """Whether the program's cache has each of these kernels, under its config (None: under any)."""
    noted = _noted(base, source)
    return all(
        any(line.startswith(f"{kernel}: ") for line in noted)
        if config is None
        else _line(kernel, config) in noted
        for kernel, config in pins.items()
    )


def count_binaries(base: Path, source: str) -> int:
    """How many binaries the program's cache holds."""
    return sum(1 for _ in cache_directory(base, source).glob("*/*.cubin"))


def _noted(base: Path, source: str) -> frozenset[str]:
    path = cache_directory(base, source) / COMPILED
    return frozenset(path.read_text().splitlines()) if path.exists() else frozenset()


def _line(kernel: str, config: Config) -> str:
    return f"{kernel}: {config}"
