"""Machine code of a compiled kernel as instructions, by the disassembler of Triton's wheel."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import tempfile
import zlib
from functools import lru_cache
from pathlib import Path

from warpwright.compiler.assembly import sections
from warpwright.compiler.sass_text import read_machine_code
from warpwright.sandbox.toolchain import find_triton
from warpwright.types.machine_code import KernelBinary

TIMEOUT_S = 30
MAX_CODE_BYTES = 64 * 1024**2
# Attributes of the section .nv.info.<kernel>; the format byte 4 says that a size follows.
_SIZED = 4
_PARAMETER = 0x17
_PARAMETER_BANK = 0x0A


@lru_cache(maxsize=8)
def disassemble(code: bytes) -> KernelBinary | str:
    """A deflated cubin as instructions with its parameters' places, or why there are none."""
    triton = find_triton()
    if triton is None or triton.nvdisasm is None:
        return "Triton's nvdisasm is missing"
    try:
        cubin = zlib.decompressobj().decompress(code, MAX_CODE_BYTES)
        base, parameters = parameter_places(cubin)
    except (zlib.error, ValueError, struct.error) as error:
        return f"the binary cannot be read ({error})"
    text = _run(triton.nvdisasm, cubin)
    function = None if text is None else read_machine_code(text)
    if function is None:
        return "nvdisasm cannot read the binary"
    return KernelBinary(function, base, parameters)


def _run(tool: Path, cubin: bytes) -> str | None:
    with tempfile.TemporaryDirectory(prefix="warpwright-disassemble-") as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        try:
            result = subprocess.run(
                [tool, "-c", path], capture_output=True, text=True, timeout=TIMEOUT_S
            )
        except (OSError, subprocess.SubprocessError):
            return None
    return result.stdout if result.returncode == 0 else None


def parameter_places(cubin: bytes) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Where in constant bank 0 the parameters begin; offset and size of each, in bytes.

    Raises ValueError where the file does not say.
    """
    base: int | None = None
    places: dict[int, tuple[int, int]] = {}
    for name, offset, size in sections(cubin):
        if not name.startswith(b".nv.info."):
            continue
        position, end = offset, offset + size
        while position + 4 <= end:
            form, attribute, length = struct.unpack_from("<BBH", cubin, position)
            position += 4
            if form != _SIZED:
                continue
            if attribute == _PARAMETER:
                _, ordinal, place, packed = struct.unpack_from("<IHHI", cubin, position)
                places[ordinal] = (place, packed >> 18)
            elif attribute == _PARAMETER_BANK:
                _, base, _ = struct.unpack_from("<IHH", cubin, position)
            position += length
    if base is None:
        raise ValueError("it does not say where its parameters lie")
    return base, tuple(places[ordinal] for ordinal in sorted(places))


def digest(code: bytes) -> str:
    """A name for a binary's content."""
    return hashlib.sha256(code).hexdigest()
