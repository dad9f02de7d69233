"""Launches on tensors of 2³¹ elements and more: does any of them work offsets out in 32 bits?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from warpwright.compiler.lowered_launches import LoweredLaunch
from warpwright.costmodel.launch_work import bind_arguments
from warpwright.types.calls import KernelCalls
from warpwright.types.evidence import Origin
from warpwright.types.launch_trace import Launch, TensorArgument
from warpwright.types.study import Finding, KernelStudy

if TYPE_CHECKING:
    from warpwright.analysis.wrapped_offsets import WrappedOffset

FIRST_TOO_FAR = 1 << 31
WRAPPED = "wrapped-offset"


def wide_only(calls: Iterable[KernelCalls]) -> list[KernelCalls]:
    """The calls with those launches alone that have a tensor which 32 bits do not reach through."""
    wide = (replace(call, launches=tuple(filter(_is_wide, call.launches))) for call in calls)
    return [call for call in wide if call.launches]


def wrapped_offsets(lowered: Iterable[LoweredLaunch]) -> dict[str, WrappedOffset]:
    """Kernel → the first access by a wrapped offset, for kernels that surely make one."""
    found: dict[str, WrappedOffset] = {}
    for each in lowered:
        if each.launch.kernel in found or each.function is None or not _is_wide(each.launch):
            continue
        arguments = {**each.launch.arguments, **each.traced.arguments}
        bound = bind_arguments(each.function, each.names, arguments, each.traced)
        if bound is None:
            continue
        from warpwright.analysis.wrapped_offsets import wrapped_offset  # with NumPy

        wrapped = wrapped_offset(each.function, bound.scalars, bound.pointers, each.traced.grid)
        if wrapped is not None:
            found[each.launch.kernel] = wrapped
    return found


def with_wrapped_offsets(
    kernels: Sequence[KernelStudy], lowered: Iterable[LoweredLaunch]
) -> tuple[KernelStudy, ...]:
    """The studies, each with a finding where the kernel surely goes by a wrapped offset."""
    wrapped = wrapped_offsets(lowered)

    def told(kernel: KernelStudy) -> KernelStudy:
        if kernel.kernel not in wrapped:
            return kernel
        text = f"{wrapped[kernel.kernel]}: it wraps and points elsewhere; use 64 bits"
        finding = Finding(WRAPPED, kernel.kernel, text, Origin.COMPILED, weight=100)
        return replace(kernel, findings=(finding, *kernel.findings))

    return tuple(map(told, kernels))


def wraps(kernel: KernelStudy) -> bool:
    """Whether the study of a kernel found that it goes by a wrapped offset."""
    return any(finding.id == WRAPPED for finding in kernel.findings)


def _is_wide(launch: Launch) -> bool:
    return any(
        isinstance(argument, TensorArgument) and argument.reach >= FIRST_TOO_FAR
        for argument in launch.arguments.values()
    )
