"""What schedules of conv2d share: a layer in words and as arguments, and what no one can write."""

from __future__ import annotations

from functools import cache

from warpwright.operators.kernel_library import Library, read_library
from warpwright.operators.pointwise_operations import not_writable
from warpwright.types.conv2d import Conv2dLayer, Conv2dTask


@cache
def library() -> Library:
    return read_library("warpwright.operators.conv2d.kernels")


def refusal(task: Conv2dTask) -> str | None:
    """What keeps every schedule from a task; None if nothing does."""
    if _largest_image(task.layer) >= 2**31:
        return "an image has 2^31 elements or more, and offsets within one have 32 bits"
    return not_writable(task.epilogue)


def _largest_image(layer: Conv2dLayer) -> int:
    """Elements of one image: of the output, or of the input with all that pre-passes add to it."""
    rows = layer.height + layer.padding_before[0] + layer.padding_after[0]
    columns = layer.width + layer.padding_before[1] + layer.padding_after[1] + 6
    channels = layer.in_channels
    if layer.groups == 1:  # fewer than 12 are not packed; more are never doubled by it
        channels = min(packed_channels(layer), 2 * channels)
    return max(rows * columns * channels, layer.out_channels * layer.out_height * layer.out_width)


def arguments_of(layer: Conv2dLayer) -> tuple[tuple[str, object], ...]:
    """Stride, padding and dilation as every launch function takes them."""
    return (
        ("stride", layer.stride),
        ("padding", (*layer.padding_before, *layer.padding_after)),
        ("dilation", layer.dilation),
    )


def describe(task: Conv2dTask) -> str:
    """One line about the layer that a program was tuned for."""
    layer = task.layer
    words = [
        f"conv2d {layer.dtype} [{layer.batch}, {layer.in_channels}, {layer.height}, {layer.width}]",
        f"with {layer.out_channels} kernels of {layer.kernel[0]}x{layer.kernel[1]}",
        f"stride {layer.stride}",
        f"padding {(*layer.padding_before, *layer.padding_after)}",
        f"dilation {layer.dilation}",
    ]
    if layer.groups != 1:
        words.append(f"{layer.groups} groups")
    if task.epilogue:
        words.append("then " + ", ".join(operation.function for operation in task.epilogue))
    return ", ".join(words)


def split_channels(channels: int) -> tuple[int, int]:
    """Output channels as one power of two, or two that together need less padding; up to 128."""
    whole = max(16, min(128, 1 << (channels - 1).bit_length()))
    if whole == 128 and channels % 96 == 0 and channels % 128 != 0:
        return 64, 32
    return whole, 0


def packed_channels(layer: Conv2dLayer) -> int:
    """Input channels of a group with zeros added, so that steps of 64 bytes or more divide them."""
    channels = layer.in_channels // layer.groups
    widest = 64 if layer.element_bytes == 2 else 32
    multiple = min(widest, max(16, 1 << (channels - 1).bit_length()))
    return -(-channels // multiple) * multiple
