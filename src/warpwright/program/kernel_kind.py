"""What kind of kernel a kernel is, by the operations in its text and in those of its helpers."""

from __future__ import annotations

from collections.abc import Iterator

from warpwright.types.program import Kernel, KernelKind, ProgramView

PRODUCTS = frozenset({"dot", "dot_scaled"})
SCANS = frozenset({"associative_scan", "cumsum", "cumprod"})
REDUCTIONS = frozenset({
    "sum", "max", "min", "argmax", "argmin", "xor_sum", "reduce", "reduce_or", "histogram", "sort",
    "topk", "softmax",
})  # fmt: skip

ACROSS_LANES = SCANS | {"sum", "reduce", "softmax"}
"""Operations that combine lanes in an order that the compiler takes from how they lie."""


def kernel_kind(kernel: Kernel, view: ProgramView) -> KernelKind:
    """The first kind in the order of `KernelKind` that the kernel shows."""
    reached = list(_with_helpers(kernel, view, frozenset()))
    names = {operation.name for one in reached for operation in one.operations}
    for kind, telling in (
        (KernelKind.PRODUCT, PRODUCTS),
        (KernelKind.SCAN, SCANS),
        (KernelKind.REDUCTION, REDUCTIONS),
    ):
        if names & telling or (kind is KernelKind.REDUCTION and _adds_atomically(names)):
            return kind
    return KernelKind.LOOP if any(one.loops for one in reached) else KernelKind.ELEMENTWISE


def adds_across_lanes(kernel: Kernel, view: ProgramView) -> bool:
    """Whether lanes may be added up, so that their place among threads decides in which order."""
    reached = _with_helpers(kernel, view, frozenset())
    return any(one.operations_named(*ACROSS_LANES) for one in reached)


def _adds_atomically(names: set[str]) -> bool:
    return any(name.startswith("atomic_") for name in names)


def _with_helpers(kernel: Kernel, view: ProgramView, seen: frozenset[str]) -> Iterator[Kernel]:
    yield kernel
    seen |= {kernel.name}
    for name in kernel.calls:
        helper = view.kernel(name)
        if helper is not None and name not in seen:
            yield from _with_helpers(helper, view, seen)
