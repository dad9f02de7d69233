"""The `# Target GPU` section: text ⇄ `StatedGpu`.

A bullet `key: value` becomes a field with the value in the unit that the field's name says.
A bullet that no field covers, or whose value cannot be read, is kept word for word as unknown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from warpwright.errors import InputError, Place
from warpwright.formats.documents import Line
from warpwright.types.gpu import GpuSheet, SmLimits, StatedGpu

SECTION = "# Target GPU"
FieldValue = int | float | str

_BULLET = re.compile(r"\s*(?:[-*•·]\s+)?\**(?P<key>[^:*]{1,80}?)\**\s*:\s*\**\s*(?P<value>\S.*)")
_ARCHITECTURE = re.compile(r"(?:gpu )?architecture", re.IGNORECASE)
_NUMBER = re.compile(r"(?P<number>\d{1,15}(?:,\d{3})*(?:\.\d{1,9})?)\s*(?P<unit>[A-Za-z/]*)")
_SPARSE = re.compile(r"\s*(?:tflops)?\s*\(?(?:with )?spars", re.IGNORECASE)
_BYTES = {"b": 1, "bytes": 1, "kb": 1024, "kib": 1024, "mb": 1024**2, "mib": 1024**2}
_BYTES |= {"gb": 1024**3, "gib": 1024**3}


@dataclass(frozen=True, slots=True)
class _Field:
    """A field: how its key is recognised, read and written."""

    key: str
    pattern: re.Pattern[str]
    read: Callable[[str], FieldValue | None]
    label: str
    write: Callable[[FieldValue], str]


def _number_and_unit(text: str) -> tuple[float, str] | None:
    found = _NUMBER.match(text)
    if found is None or _SPARSE.match(text, found.end("number")):  # our rates are dense ones
        return None
    return float(found["number"].replace(",", "")), found["unit"].lower()


def _read_count(text: str) -> int | None:
    found = _number_and_unit(text)
    if found is None:
        return None
    number = found[0] * 1024 if found[1] == "k" else found[0]
    return int(number) if number == int(number) and number > 0 else None


def _read_bytes(text: str) -> int | None:
    found = _number_and_unit(text)
    if found is None or found[1] not in _BYTES or found[0] <= 0:
        return None
    number = found[0] * _BYTES[found[1]]
    return int(number) if number == int(number) else None


def _read_rate(scales: dict[str, float]) -> Callable[[str], float | None]:
    def read(text: str) -> float | None:
        found = _number_and_unit(text)
        if found is None or found[1] not in scales or found[0] <= 0:
            return None
        return round(found[0] * scales[found[1]], 6)

    return read


def _read_capability(text: str) -> str | None:
    found = re.match(r"(?:sm_?)?(\d{1,2})\.(\d)\b|(?:sm_?)(\d{1,2})(\d)\b", text.strip().lower())
    if found is None:
        return None
    major, minor = (found[1], found[2]) if found[1] else (found[3], found[4])
    return f"{int(major)}.{minor}"


def _plain(value: FieldValue) -> str:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"{value} is no number of a GPU sheet")
        return f"{value:.9f}".rstrip("0").rstrip(".")
    return str(value)


def _in_bytes(value: FieldValue) -> str:
    if isinstance(value, int):
        for unit, scale in (("MB", 1024**2), ("KB", 1024)):
            if value % scale == 0 and value:
                return f"{value // scale} {unit}"
    return f"{_plain(value)} bytes"


def _with(unit: str) -> Callable[[FieldValue], str]:
    return lambda value: f"{_plain(value)} {unit}"


def _field(
    key: str,
    pattern: str,
    label: str,
    read: Callable[[str], FieldValue | None],
    write: Callable[[FieldValue], str] = _plain,
) -> _Field:
    return _Field(key, re.compile(pattern, re.IGNORECASE), read, label, write)


def _tflops(name: str, pattern: str, label: str) -> _Field:
    read = _read_rate({"": 1.0, "tflops": 1.0, "tflop/s": 1.0, "with": 1.0, "dense": 1.0})
    return _field(name, pattern + r"\b.*\btflops\b|" + pattern + "$", label, read)


_BANDWIDTH = _read_rate({"gb/s": 1.0, "tb/s": 1000.0, "gbps": 1.0, "gb": 1.0})
_CLOCK = _read_rate({"mhz": 1.0, "ghz": 1000.0})
_THREAD_BLOCK = r"(?:thread )?block"

_FIELDS: tuple[_Field, ...] = (
    _field("compute_capability", r"compute capability$", "Compute capability", _read_capability),
    _field("sm_count", r"(?:number of )?(?:sms|streaming multiprocessors)$", "SMs", _read_count),
    _field(
        "memory_bandwidth_gb_per_s",
        r"(?:gpu |dram )?memory bandwidth$",
        "Memory bandwidth",
        _BANDWIDTH,
        _with("GB/s"),
    ),
    _field("boost_mhz", r"boost clock|boost frequency", "Boost clock", _CLOCK, _with("MHz")),
    _tflops("fp32_tflops", r"fp32", "FP32 TFLOPS"),
    _tflops("tf32_tflops", r"tf32(?: tensor core)?", "TF32 TFLOPS"),
    _tflops("bf16_tflops", r"(?:bfloat16|bf16)(?: tensor core)?", "BF16 TFLOPS"),
    _tflops("fp16_tflops", r"(?:fp16|float16)(?: tensor core)?", "FP16 TFLOPS"),
    _tflops("fp8_tflops", r"fp8(?: tensor core)?", "FP8 TFLOPS"),
    _field(
        "max_registers_per_thread",
        r"max(?:imum)? (?:number of )?registers per thread$",
        "Maximum registers per thread",
        _read_count,
    ),
    _field(
        "registers_per_sm",
        r"(?:max(?:imum)? )?(?:number of )?(?:32-bit )?registers per sm$|register file size$",
        "Registers per SM",
        _read_count,
    ),
    _field(
        "registers_per_block",
        rf"(?:max(?:imum)? )?(?:number of )?(?:32-bit )?registers per {_THREAD_BLOCK}$",
        "Registers per block",
        _read_count,
    ),
    _field(
        "max_threads_per_block",
        rf"max(?:imum)? (?:number of )?threads per {_THREAD_BLOCK}$",
        "Maximum threads per block",
        _read_count,
    ),
    _field(
        "threads_per_sm",
        r"max(?:imum)? (?:number of )?threads per sm$",
        "Maximum threads per SM",
        _read_count,
    ),
    _field("warp_size", r"warp size$", "Warp size", _read_count),
    _field(
        "warps_per_sm",
        r"max(?:imum)? (?:number of )?(?:concurrent |resident )?warps per sm$",
        "Maximum warps per SM",
        _read_count,
    ),
    _field(
        "blocks_per_sm",
        rf"max(?:imum)? (?:number of )?(?:concurrent |resident )?{_THREAD_BLOCK}s per sm$",
        "Maximum blocks per SM",
        _read_count,
    ),
    _field(
        "shared_bytes_per_sm",
        r"shared memory (?:capacity |size )?per sm$",
        "Shared memory per SM",
        _read_bytes,
        _in_bytes,
    ),
    _field(
        "max_shared_bytes_per_block",
        rf"max(?:imum)? shared memory per {_THREAD_BLOCK}$",
        "Maximum shared memory per block",
        _read_bytes,
        _in_bytes,
    ),
    _field("l2_bytes", r"l2 (?:cache|size)\b", "L2 cache", _read_bytes, _in_bytes),
)
_BY_KEY = {entry.key: entry for entry in _FIELDS}
_SHEET_KEYS = {entry.name for kind in (GpuSheet, SmLimits) for entry in fields(kind)} - {
    "name",
    "architecture",
    "limits",
    "aliases",
    "sources",
}


def _read_field(key: str, value: str) -> tuple[str, FieldValue] | None:
    if key in _SHEET_KEYS and key not in _BY_KEY:  # the field's own name, as we write it
        number = _read_count(value)
        return None if number is None else (key, number)
    for entry in _FIELDS:
        if entry.pattern.match(" ".join(key.split())):
            found = entry.read(value)
            return None if found is None else (entry.key, found)
    return None


def parse_gpu(
    lines: Sequence[Line], *, line: int, rest: str = "", document: str | None = None
) -> StatedGpu:
    """The sheet that the section states. Raises `InputError` where no GPU is named.

    `line` is that of the heading, `rest` what stands on it after the title.
    """
    name, architecture, unknown = rest.strip(" :*"), None, list[str]()
    values: dict[str, FieldValue] = {}
    for each in lines:
        text = each.text.strip()
        if not text:
            continue
        found = _BULLET.fullmatch(text)
        key = found["key"].strip() if found else ""
        if found and not name and re.fullmatch(r"gpu name|gpu|name", key, re.IGNORECASE):
            name = found["value"].strip(" *")
        elif found and architecture is None and _ARCHITECTURE.fullmatch(key):
            architecture = found["value"].strip(" *")
        else:
            field = _read_field(key, found["value"]) if found else None
            if field is None or field[0] in values:
                unknown.append(re.sub(r"^[-*•·]\s+", "", text))
            else:
                values[field[0]] = field[1]
    if not name:
        raise InputError(
            "the request names no GPU",
            place=Place(document, SECTION, line),
            expected="a line such as `GPU Name: RTX 4090`",
            hint="`gpus` lists the boards we have a sheet for",
        )
    return StatedGpu(name, architecture, values, tuple(unknown))


def render_gpu(gpu: StatedGpu) -> str:
    """The section, from typed fields; fields in the order of the sheet's table."""
    lines = [SECTION, f"GPU Name: {gpu.name}"]
    if gpu.architecture is not None:
        lines.append(f"Architecture: {gpu.architecture}")
    order = list(_BY_KEY)
    for key in sorted(gpu.fields, key=lambda k: (order.index(k) if k in order else 99, k)):
        entry, value = _BY_KEY.get(key), gpu.fields[key]
        told = (
            f"{key}: {_plain(value)}" if entry is None else f"{entry.label}: {entry.write(value)}"
        )
        lines.append(f"- {told}")
    return "\n".join([*lines, *(f"- {text}" for text in gpu.unknown)])
