"""A convolution and a schedule's candidate, each in one line."""

from __future__ import annotations

from warpwright.types.conv2d import Conv2dTask, ScheduleCandidate


def describe(task: Conv2dTask) -> str:
    """The convolution in one line."""
    layer = task.layer
    sizes = f"{layer.batch}×{layer.in_channels}×{layer.height}×{layer.width}"
    weight = layer.in_channels // layer.groups
    filters = f"{layer.out_channels}×{weight}×{layer.kernel[0]}×{layer.kernel[1]}"
    told = [f"conv2d of {sizes} with {filters}", layer.dtype]
    told += ["channels_last"] if layer.channels_last else []
    told += [f"stride {_pair(layer.stride)}"] if layer.stride != (1, 1) else []
    if any((*layer.padding_before, *layer.padding_after)):
        even = layer.padding_before == layer.padding_after
        after = "" if even else f" before, {_pair(layer.padding_after)} after"
        told.append(f"padding {_pair(layer.padding_before)}{after}")
    told += [f"dilation {_pair(layer.dilation)}"] if layer.dilation != (1, 1) else []
    told += [f"{layer.groups} groups"] if layer.groups > 1 else []
    told += ["bias"] if layer.bias else []
    told += [f"{p.function} {p.value:g}" if p.value is not None else p.function
             for p in task.epilogue]  # fmt: skip
    return ", ".join(told)


def _pair(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"({pair[0]}, {pair[1]})"


def label(candidate: ScheduleCandidate) -> str:
    """A candidate's name for tables: the schedule and its point."""
    return " ".join([candidate.schedule, *(f"{name}={value}" for name, value in candidate.point)])
