"""The roofline in a person's words: the problem's floor beside each kernel's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from warpwright.types.study import ConfigStudy, KernelStudy, Study
from warpwright.types.work import LaunchWork

PROBLEM = "the problem"
MEANING = (
    "A floor is a lower bound from the card's sheet, not a prediction of the time: no program that "
    "does this work can be faster. A kernel's floor is that of its launches as they are, masked "
    "lanes included, from a cold cache, if they touch all of the tensors they read and write."
)


@dataclass(frozen=True, slots=True)
class FloorLine:
    """One line: what it is of, its work, its floor and what bounds it."""

    subject: str
    work: str
    floor: str


def floor_lines(study: Study) -> tuple[FloorLine, ...]:
    """The problem first, then each kernel, then the kernels one after another."""
    lines = []
    if study.cost is not None:
        moved = study.cost.read_bytes + study.cost.written_bytes
        work = f"{operations_text({study.cost.compute_class: study.cost.flops})}, {size(moved)}"
        lines.append(FloorLine(PROBLEM, work, _problem_floor(study)))
    # A floor that leaves work out says nothing of how far a kernel is from it.
    whole_us = None if study.floor_withdrawn else study.floor_us
    floors = [_kernel_line(kernel, whole_us) for kernel in study.kernels]
    lines += [line for line in floors if line is not None]
    times = [kernel.floor_us for kernel in study.kernels]
    known = [time for time in times if time is not None]
    if len(known) == len(times) > 1:
        lines.append(
            FloorLine("all kernels, one after another", "", _floor(sum(known), None, whole_us))
        )
    return tuple(lines)


def floor_claim(floor_us: float, bound: str | None) -> str:
    """What the problem's floor says of every program, with all that it takes for granted."""
    limit = f", bound by {bound}" if bound else ""
    spare = (
        "; an algorithm that spares products, as Winograd's and Strassen's do, is not held by it"
        if bound == "compute"
        else ""
    )
    return (
        f"No program can be faster than {time_text(floor_us)} on this card by its sheet{limit}, "
        f"from a cold cache{spare} (predicted from the sheet's rates)."
    )


def _problem_floor(study: Study) -> str:
    if study.floor_withdrawn is None:
        return _floor(study.floor_us, study.floor_bound)
    if study.floor_us is None:
        return f"no floor is sure ({study.floor_withdrawn})"
    sure = _floor(study.floor_us, study.floor_bound)
    return f"{sure}, by what every program must do ({study.floor_withdrawn})"


def _kernel_line(kernel: KernelStudy, problem_us: float | None) -> FloorLine | None:
    config = floor_config(kernel)
    if config is None or not config.floors:
        return None
    launches = sum(floor.launches for floor in config.floors)
    subject = kernel.kernel + (f", {launches} launches" if launches > 1 else "")
    work = "; ".join(dict.fromkeys(work_text(floor.work) for floor in config.floors[:3]))
    if len(config.floors) > 3:
        work += f"; and {len(config.floors) - 3} other launches"
    bounds = {floor.bound for floor in config.floors}
    bound = bounds.pop() if len(bounds) == 1 else None
    return FloorLine(subject, work, _floor(config.floor_us, bound, problem_us))


def floor_config(kernel: KernelStudy) -> ConfigStudy | None:
    """The config whose floor stands for the kernel: see `KernelStudy.floor_us`."""
    candidates = [c for c in kernel.active if c.floors] or [
        c for c in kernel.configs if c.launchable and c.floors
    ]
    known = [c for c in candidates if c.floor_us is not None]
    return min(known, key=lambda c: c.floor_us or 0.0, default=next(iter(candidates), None))


def work_text(work: LaunchWork) -> str:
    """Operations and bytes of one launch, and what is not known of them."""
    parts = [
        "operations not known" if work.operations is None else operations_text(work.operations)
    ]
    if work.read_bytes is None or work.written_bytes is None:
        parts.append("bytes not known")
    else:
        parts.append(f"{size(work.read_bytes)} in, {size(work.written_bytes)} out")
    lacks = f" (not known: {', '.join(work.lacks)})" if work.lacks else ""
    return ", ".join(parts) + lacks


def operations_text(operations: Mapping[str, float]) -> str:
    """`383.5 GFLOP tf32 + 0.1 GFLOP fp32`; "no floating-point operations" for none."""
    counted = [f"{flops(count)} {rate}" for rate, count in operations.items() if count]
    return " + ".join(counted) or "no floating-point operations"


def flops(count: float) -> str:
    """Floating-point operations in the largest unit of which there is one."""
    for unit, factor in (("TFLOP", 1e12), ("GFLOP", 1e9), ("MFLOP", 1e6), ("kFLOP", 1e3)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count:,.0f} FLOP"


def size(count: float) -> str:
    """Bytes in MB of 10^6, in kB under one of these."""
    if count >= 1e6:
        return f"{count / 1e6:,.1f} MB"
    return f"{count / 1e3:,.1f} kB" if count >= 1e3 else f"{count:,.0f} B"


def time_text(time_us: float) -> str:
    """µs under a millisecond, else ms; at least two digits of it."""
    return f"{time_us / 1000:.3f} ms" if time_us >= 1000 else f"{time_us:.3g} µs"


def _floor(time_us: float | None, bound: str | None, problem_us: float | None = None) -> str:
    if time_us is None:
        return "floor not known"
    text = f"at least {time_text(time_us)}"
    if bound:
        text += f", bound by {bound}"
    if problem_us:
        text += f", {time_us / problem_us:.2f}× the problem's"
    return text
