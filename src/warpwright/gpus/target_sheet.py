"""The sheet to work with: ours, with everything that a request states laid over it.

The request's own numbers win, always. Where they differ from ours by more than rounding, the
difference is reported; see `_same` for what counts as rounding.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

from warpwright.errors import InputError, InternalError, Place
from warpwright.gpus.sheets import (
    all_gpus,
    gpu_candidates,
    limit_sources,
    limits_for,
    near_gpu_names,
    parse_compute_capability,
    refuse_other_maker,
)
from warpwright.types.gpu import (
    ComputeCapability,
    GpuSheet,
    ResolvedGpu,
    SheetDisagreement,
    SmLimits,
    StatedGpu,
)

STATED_SOURCE = "stated by the request"
CAPABILITY = "compute_capability"

LIMIT_FIELDS = tuple(
    field.name for field in dataclasses.fields(SmLimits) if field.name != CAPABILITY
)
RATE_FIELDS = (
    "boost_mhz",
    "tensor_boost_mhz",
    "memory_bandwidth_gb_per_s",
    "fp32_tflops",
    "tf32_tflops",
    "fp16_tflops",
    "bf16_tflops",
    "fp8_tflops",
)
COUNT_FIELDS = ("sm_count", "l2_bytes")

RATE_TOLERANCE = 0.01
"""Sheets print 2 to 4 digits of a rate (121 for 121.2, 30 for 30.3)."""

L2_TOLERANCE = 0.05
"""A cache's MB may mean 10^6 or 2^20 bytes, 4.9 % apart; no two boards are that near."""

TRITON_FROM = (8, 0)
"""The first compute capability that Triton supports (README of Triton, "Compatibility")."""

Number = int | float


@dataclasses.dataclass(frozen=True, slots=True)
class _Stated:
    """The fields of a `StatedGpu`, checked and in the types of the sheet."""

    architecture: str | None
    capability: ComputeCapability | None
    numbers: Mapping[str, Number]


def resolve_gpu(
    stated: StatedGpu, *, place: Place | None = None, source: str = STATED_SOURCE
) -> ResolvedGpu:
    """Our sheet of the board, with every field that the request states laid over it.

    Of several boards that the name fits, the one that agrees best with the stated fields is
    taken. A board that we do not know is usable if the request states its compute capability
    and number of SMs; what else it leaves out is then None. `source` is noted for each stated
    field.

    Raises `InputError` for an unknown name without those two, for an architecture without
    limits, and for a value that is no positive number.
    """
    given = _checked(stated, place)
    candidates = gpu_candidates(stated.name)
    if not candidates:
        sheet = _unknown_board(stated, given, place)
        note = f"no sheet is known for {stated.name!r}: what is {source} is all there is"
        notes = (note, *_pair_note(given), *_age_note(sheet))
        return ResolvedGpu(_overlaid(sheet, given, source), notes=notes)
    bases = [_base(sheet, given, place) for sheet in candidates]
    base = min(bases, key=lambda sheet: len(_disagreements(sheet, given)))
    notes = _pair_note(given)
    if len(bases) > 1:
        others = ", ".join(other.name for other in bases if other is not base)
        notes += (
            f"{stated.name!r} fits several boards: {base.name} is taken, not {others}; "
            "name the board in full to choose",
        )
    notes += _age_note(base)
    return ResolvedGpu(
        sheet=_overlaid(base, given, source),
        disagreements=_capability_disagreement(candidates[bases.index(base)], given)
        + _disagreements(base, given),
        notes=notes,
    )


def _age_note(sheet: GpuSheet) -> tuple[str, ...]:
    """What Triton says of its own support, where the card is older."""
    if sheet.compute_capability >= TRITON_FROM:
        return ()
    return (
        f"Triton supports compute capability 8.0 and later; for {sheet.target} it still compiles "
        "most kernels, with tl.dot on the ordinary units, not on tensor cores",
    )


def _checked(stated: StatedGpu, place: Place | None) -> _Stated:
    """The stated fields in the sheet's types. Raises `InputError` for a value out of range."""
    capability = None
    numbers: dict[str, Number] = {}
    for name, value in stated.fields.items():
        if name == CAPABILITY:
            capability = parse_compute_capability(str(value))
            if capability is None:
                raise _bad_value(name, value, "major and minor, such as 8.9", place)
        elif name in RATE_FIELDS:
            numbers[name] = _positive(name, value, place)
        elif name in LIMIT_FIELDS or name in COUNT_FIELDS:
            number = _positive(name, value, place, or_zero=name.startswith("reserved_"))
            if number != int(number):
                raise _bad_value(name, value, "a whole number", place)
            numbers[name] = int(number)
        else:
            raise InternalError(f"{name!r} is no field of a GPU sheet")
    return _Stated(stated.architecture, capability, numbers)


def _positive(
    name: str, value: Number | str, place: Place | None, *, or_zero: bool = False
) -> Number:
    if isinstance(value, str) or not math.isfinite(value) or value < 0 or not (value or or_zero):
        raise _bad_value(name, value, "a positive number", place)
    return value


def _bad_value(name: str, value: object, expected: str, place: Place | None) -> InputError:
    return InputError(
        f"the GPU sheet's {name} is no usable value",
        place=place,
        expected=expected,
        got=repr(value),
        hint="correct the number in the GPU section, or leave the bullet out",
    )


def _unknown_board(stated: StatedGpu, given: _Stated, place: Place | None) -> GpuSheet:
    """A sheet that starts from nothing but what the request states."""
    refuse_other_maker(stated.name, place)
    sm_count = given.numbers.get("sm_count")
    if given.capability is None or sm_count is None:
        lacking = [] if given.capability else ["its compute capability"]
        lacking += [] if sm_count else ["its number of SMs"]
        near = near_gpu_names(stated.name)
        raise InputError(
            f"unknown GPU, and the request does not state {' and '.join(lacking)}",
            place=place,
            expected="one of " + ", ".join(sheet.name for sheet in all_gpus()),
            got=repr(stated.name[:80]),
            hint=(f"did you mean {' or '.join(near)}? " if near else "")
            + f"Or state {' and '.join(lacking)} in the GPU section",
        )
    return GpuSheet(
        name=stated.name,
        architecture=stated.architecture or "unknown",
        compute_capability=given.capability,
        sm_count=int(sm_count),
        limits=limits_for(given.capability, place=place),
        sources=limit_sources(given.capability),
    )


def _base(sheet: GpuSheet, given: _Stated, place: Place | None) -> GpuSheet:
    """Our sheet, with the limits of the stated compute capability where it differs."""
    if given.capability is None or given.capability == sheet.compute_capability:
        return sheet
    return dataclasses.replace(
        sheet,
        compute_capability=given.capability,
        limits=limits_for(given.capability, place=place),
        sources={**sheet.sources, **limit_sources(given.capability)},
    )


def _overlaid(sheet: GpuSheet, given: _Stated, source: str) -> GpuSheet:
    limits: dict[str, Any] = {
        name: value for name, value in given.numbers.items() if name in LIMIT_FIELDS
    }
    board: dict[str, Any] = {
        name: value for name, value in given.numbers.items() if name not in LIMIT_FIELDS
    }
    if given.architecture is not None:
        board["architecture"] = given.architecture
    warp_size = limits.get("warp_size", sheet.limits.warp_size)
    # Two names of one limit: who states one of them means the other as well.
    if "threads_per_sm" in limits:
        limits.setdefault("warps_per_sm", limits["threads_per_sm"] // warp_size)
    elif "warps_per_sm" in limits:
        limits["threads_per_sm"] = limits["warps_per_sm"] * warp_size
    stated = [*limits, *board, *([CAPABILITY] if given.capability else [])]
    return dataclasses.replace(
        sheet,
        **board,
        limits=dataclasses.replace(sheet.limits, **limits),
        sources={**sheet.sources, **dict.fromkeys(stated, source)},
    )


def _pair_note(given: _Stated) -> tuple[str, ...]:
    threads, warps = given.numbers.get("threads_per_sm"), given.numbers.get("warps_per_sm")
    warp_size = given.numbers.get("warp_size", 32)
    if threads is None or warps is None or threads == warps * warp_size:
        return ()
    return (
        f"the request states {threads} threads and {warps} warps of {warp_size} threads per SM: "
        "the smaller of the two counts",
    )


def _capability_disagreement(sheet: GpuSheet, given: _Stated) -> tuple[SheetDisagreement, ...]:
    if given.capability is None or given.capability == sheet.compute_capability:
        return ()
    return (
        SheetDisagreement(
            CAPABILITY,
            stated=_dotted(given.capability),
            ours=_dotted(sheet.compute_capability),
            source=sheet.sources[CAPABILITY],
        ),
    )


def _disagreements(sheet: GpuSheet, given: _Stated) -> tuple[SheetDisagreement, ...]:
    """Stated fields that differ from ours by more than rounding; one that we lack is none."""
    found: list[tuple[str, Number | str, Number | str]] = []
    if given.architecture is not None and not _same_words(given.architecture, sheet.architecture):
        found.append(("architecture", given.architecture, sheet.architecture))
    for name, stated in given.numbers.items():
        ours = getattr(sheet.limits if name in LIMIT_FIELDS else sheet, name)
        if ours is not None and not _same(name, stated, ours):
            found.append((name, stated, ours))
    return tuple(
        SheetDisagreement(name, stated, ours, sheet.sources[name]) for name, stated, ours in found
    )


def _same(name: str, stated: Number, ours: Number) -> bool:
    """Whether two values differ by no more than rounding: counts and limits never do."""
    if name in RATE_FIELDS:
        return math.isclose(stated, ours, rel_tol=RATE_TOLERANCE)
    if name == "l2_bytes":
        return math.isclose(stated, ours, rel_tol=L2_TOLERANCE)
    return stated == ours


def _same_words(stated: str, ours: str) -> bool:
    """Whether one name holds all words of the other: "Ada" is "Ada Lovelace"."""
    some, others = (set(re.findall(r"[a-z0-9]+", name.casefold())) for name in (stated, ours))
    return bool(some) and (some <= others or others <= some)


def _dotted(capability: ComputeCapability) -> str:
    return ".".join(map(str, capability))


def stated_gpu(sheet: GpuSheet) -> StatedGpu:
    """A sheet in the form in which a request states it."""
    major, minor = sheet.compute_capability
    limits = sheet.limits
    fields: Mapping[str, int | float | str | None] = {
        "compute_capability": f"{major}.{minor}",
        "sm_count": sheet.sm_count,
        "memory_bandwidth_gb_per_s": sheet.memory_bandwidth_gb_per_s,
        "fp32_tflops": sheet.fp32_tflops,
        "tf32_tflops": sheet.tf32_tflops,
        "bf16_tflops": sheet.bf16_tflops,
        "fp16_tflops": sheet.fp16_tflops,
        "max_registers_per_thread": limits.max_registers_per_thread,
        "max_threads_per_block": limits.max_threads_per_block,
        "threads_per_sm": limits.threads_per_sm,
        "warp_size": limits.warp_size,
        "warps_per_sm": limits.warps_per_sm,
        "shared_bytes_per_sm": limits.shared_bytes_per_sm,
        "max_shared_bytes_per_block": limits.max_shared_bytes_per_block,
        "l2_bytes": sheet.l2_bytes,
    }
    known = {name: value for name, value in fields.items() if value is not None}
    return StatedGpu(sheet.name, sheet.architecture, known)
