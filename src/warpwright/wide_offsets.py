"""Launches on tensors of 2³¹ elements and more: does any of them work offsets out in 32 bits?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from warpwright.diagnosis.launch_work import bind_arguments
from warpwright.diagnosis.wrapped_offsets import WrappedOffset, wrapped_offset
from warpwright.lowered_launches import lowered_launches
from warpwright.sandbox.cache import ResultCache
from warpwright.types.calls import KernelCalls
from warpwright.types.evidence import Origin
from warpwright.types.gpu import GpuSheet
from warpwright.types.study import Finding, KernelStudy
from warpwright.types.trace import Launch, TensorArgument

FIRST_TOO_FAR = 1 << 31


def wrapped_offsets(
    calls: Sequence[KernelCalls], program: str, sheet: GpuSheet, cache: ResultCache | None = None
) -> dict[str, WrappedOffset]:
    """Kernel → the first access by a wrapped offset, for kernels that surely make one.

    Nothing is lowered, and nothing found, where all tensors are smaller.
    """
    wide = [
        replace(call, launches=tuple(filter(_is_wide, call.launches)))
        for call in calls
        if any(map(_is_wide, call.launches))
    ]
    found: dict[str, WrappedOffset] = {}
    for each in lowered_launches(wide, program, sheet, cache):
        kernel = wide[each.index].name
        if kernel in found or each.function is None:
            continue
        arguments = {**each.launch.arguments, **each.traced.arguments}
        bound = bind_arguments(each.function, each.names, arguments, each.traced)
        if bound is None:
            continue
        wrapped = wrapped_offset(each.function, bound.scalars, bound.pointers, each.traced.grid)
        if wrapped is not None:
            found[kernel] = wrapped
    return found


def with_wrapped_offsets(
    kernels: Sequence[KernelStudy],
    calls: Sequence[KernelCalls],
    program: str,
    sheet: GpuSheet,
    cache: ResultCache | None = None,
) -> tuple[KernelStudy, ...]:
    """The studies, each with a finding where the kernel surely goes by a wrapped offset."""
    wrapped = wrapped_offsets(calls, program, sheet, cache)

    def told(kernel: KernelStudy) -> KernelStudy:
        if kernel.kernel not in wrapped:
            return kernel
        text = f"{wrapped[kernel.kernel]}: it wraps and points elsewhere; use 64 bits"
        finding = Finding("wrapped-offset", kernel.kernel, text, Origin.COMPILED, weight=100)
        return replace(kernel, findings=(finding, *kernel.findings))

    return tuple(map(told, kernels))


def _is_wide(launch: Launch) -> bool:
    return any(
        isinstance(argument, TensorArgument) and _reach(argument) >= FIRST_TOO_FAR
        for argument in launch.arguments.values()
    )


def _reach(tensor: TensorArgument) -> int:
    """The offset of the element that lies furthest from the first, in elements."""
    if 0 in tensor.shape:
        return 0
    pairs = zip(tensor.shape, tensor.strides, strict=True)
    return sum((size - 1) * abs(stride) for size, stride in pairs)
