"""What a compiled kernel's files say: pure readings of ptxas, cuobjdump, PTX, TTGIR and ELF.

Counts are static: how often an instruction stands in the code, not how often it runs.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections import Counter
from dataclasses import dataclass

# From compute capability 9.0 on, cuobjdump's SHARED holds the 1 KiB that the driver reserves in
# each block. It is the driver's share of an SM, not the kernel's own static memory.
RESERVED_SHARED_BYTES = 1024
_RESOURCE = re.compile(r"\b(REG|STACK|SHARED|LOCAL):(\d+)")
_SPILLS = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")
_VECTOR_ACCESS = re.compile(
    r"\b(?P<op>ld|st)\.global(?:\.[\w:]+)*?(?:\.v(?P<lanes>[248]))?\.[bfsu](?P<bits>8|16|32|64|128)\b"
)
_CP_ASYNC = re.compile(r"\bcp\.async\.c[ag]\.shared\.global[^;]*?\],\s*(?:0x)?([0-9a-f]+)")
_DOT = re.compile(r"\btt\.dot\b.*->\s*tensor<[^#>]*#(\w+)")
_TENSOR_CORE_DOT = re.compile(r"\b(?:ttng|nvidia_gpu)\.(?:warp_group_dot|tc_gen5_mma\w*)\s")
_BUFFERS = re.compile(r"\bttg\.local_alloc\s*:\s*\(\)\s*->\s*!ttg\.memdesc<(\d+)x\d+x\d+x")
_COUNTED = {
    "mma": re.compile(r"\b(?:mma\.sync|wmma\.mma|wgmma\.mma_async|tcgen05\.mma)\b"),
    "wgmma": re.compile(r"\bwgmma\.mma_async\b"),
    "cp_async": re.compile(r"\bcp\.async\.c[ag]\."),
    "tma": re.compile(r"\bcp\.async\.bulk\.tensor\b"),
    "ldmatrix": re.compile(r"\bldmatrix\b"),
    "bar": re.compile(r"\bbar(?:rier)?\.sync\b"),
    "atomics": re.compile(r"\b(?:atom|red)\.(?:\w+\.)*?global\b"),
    "fma": re.compile(r"\bfma\.rn(?:\.ftz)?\.f(?:32|64|16)"),
}


@dataclass(frozen=True, slots=True)
class CubinUsage:
    """One function's line of `cuobjdump -res-usage`; bytes are per thread, SHARED per block."""

    registers: int
    stack_bytes: int
    shared_bytes: int
    local_bytes: int

    def static_shared_bytes(self, compute_capability: tuple[int, int]) -> int:
        """Shared memory that the kernel declares statically, the driver's share taken off."""
        reserved = RESERVED_SHARED_BYTES if compute_capability >= (9, 0) else 0
        return max(0, self.shared_bytes - reserved)


def read_usage(text: str) -> CubinUsage:
    """Read `cuobjdump -res-usage` of a cubin with one kernel; ValueError when it is not that.

    A cubin may also hold device functions that were not inlined: the largest use of any
    counts, as it does for the launch.
    """
    found: dict[str, int] = {}
    for name, value in _RESOURCE.findall(text):
        found[name] = max(found.get(name, 0), int(value))
    missing = {"REG", "STACK", "SHARED", "LOCAL"} - set(found)
    if missing:
        raise ValueError(f"cuobjdump says nothing of {', '.join(sorted(missing))}")
    return CubinUsage(found["REG"], found["STACK"], found["SHARED"], found["LOCAL"])


def read_spills(ptxas_log: str) -> dict[str, int]:
    """Spill bytes per thread from `ptxas -v`, largest function; empty when it says nothing."""
    spills = [(int(stores), int(loads)) for stores, loads in _SPILLS.findall(ptxas_log)]
    if not spills:
        return {}
    return {
        "spill_store_bytes": max(stores for stores, _ in spills),
        "spill_load_bytes": max(loads for _, loads in spills),
    }


def count_ptx(ptx: str) -> dict[str, int]:
    """Counts over PTX: tensor-core, copy, barrier and atomic instructions, access widths.

    `load_128`, `load_32`, ... and `store_...` count global accesses by bits per thread; a
    global-to-shared copy counts in `cp_async` and by its bytes in `cp_async_16`, `_8`, `_4`.
    """
    counts = {name: len(pattern.findall(ptx)) for name, pattern in _COUNTED.items()}
    widths: Counter[str] = Counter()
    for match in _VECTOR_ACCESS.finditer(ptx):
        bits = int(match["lanes"] or 1) * int(match["bits"])
        widths[f"{'load' if match['op'] == 'ld' else 'store'}_{bits}"] += 1
    for literal in _CP_ASYNC.findall(ptx):
        widths[f"cp_async_{int(literal, 16)}"] += 1
    return counts | dict(sorted(widths.items()))


def count_dots(ttgir: str) -> dict[str, int]:
    """How each `tl.dot` was lowered: `dots_tensor_core`, or `dots_fma` (no tensor core).

    A `tt.dot` whose result keeps a `#blocked` layout becomes multiply-adds. Loops that Triton
    unrolled or pipelined hold a dot several times.
    """
    layouts = _DOT.findall(ttgir)
    fma = sum(1 for layout in layouts if layout.startswith("blocked"))
    tensor_core = len(layouts) - fma + len(_TENSOR_CORE_DOT.findall(ttgir))
    return {"dots_tensor_core": tensor_core, "dots_fma": fma}


def pipeline_buffers(ttgir: str) -> int:
    """Most buffers that software pipelining gave one operand; 0: nothing is pipelined."""
    return max((int(buffers) for buffers in _BUFFERS.findall(ttgir)), default=0)


# What a launch loads and runs. Debug sections (lines, file names) and symbol tables are not.
EXECUTABLE_SECTIONS = (b".text.", b".nv.constant", b".nv.shared", b".nv.info", b".nv.global")


def code_bytes(cubin: bytes) -> int:
    """Bytes of machine code: the `.text.*` sections of a 64-bit little-endian ELF file."""
    return sum(size for name, _, size in sections(cubin) if name.startswith(b".text."))


def executable_digest(cubin: bytes) -> str:
    """sha256 over the sections that are loaded and run.

    Compiling with line information, as users do by default, puts line numbers and file names
    into other sections; the same code at another place of a file has the same digest.
    """
    digest = hashlib.sha256()
    for name, offset, size in sorted(sections(cubin)):
        if name.startswith(EXECUTABLE_SECTIONS):
            kept = b"" if name.startswith(b".nv.shared") else cubin[offset : offset + size]
            digest.update(struct.pack("<QQ", len(name), size) + name + kept)
    return digest.hexdigest()


def sections(cubin: bytes) -> list[tuple[bytes, int, int]]:
    """Name, offset and size of each section. Raises ValueError for what is no ELF file."""
    if cubin[:6] != b"\x7fELF\x02\x01" or len(cubin) < 64:
        raise ValueError("not a 64-bit ELF file")
    (table,) = struct.unpack_from("<Q", cubin, 0x28)
    entry_bytes, entries, names_index = struct.unpack_from("<HHH", cubin, 0x3A)
    headers = [
        struct.unpack_from("<IIQQQQ", cubin, table + i * entry_bytes) for i in range(entries)
    ]
    names_offset = headers[names_index][4]
    found = []
    for name, _, _, _, offset, size in headers:
        start = names_offset + name
        found.append((cubin[start : cubin.index(b"\0", start)], offset, size))
    return found
