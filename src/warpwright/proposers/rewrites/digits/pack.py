"""A constant operand in the new order: which of its dimensions the digits are, and the new text."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.statement_text import parsed
from warpwright.proposers.rewrites.digits.address import Address, Term
from warpwright.proposers.rewrites.digits.extent import ONE, Extent
from warpwright.proposers.rewrites.digits.order import Digit, Order
from warpwright.proposers.rewrites.digits.read_digits import Axis, Digits, Header, subscripted
from warpwright.types.launch_trace import TensorArgument


@dataclass(frozen=True, slots=True)
class Layout:
    """How an address walks its tensor: the stride of each digit, and of the one other dimension."""

    strides: Mapping[str, Extent]  # digit name → stride
    axis: Axis  # of the index in the address
    others: tuple[Term, ...]
    other_stride: Extent | None  # None where nothing but digits is in the address


def read_layout(address: Address, order: Order) -> Layout:
    """Raises DoesNotApply unless each digit has one stride and the rest is one dimension."""
    strides: dict[str, Extent] = {}
    axes: set[Axis] = set()
    others: list[Term] = []
    for term in address.terms:
        if not isinstance(term.atom, Digits):
            others.append(term)
            continue
        axes.add(term.atom.axis)
        for digit in order.between(term.atom):
            weight = digit.low.over(term.atom.low)
            assert weight is not None
            if digit.name in strides:
                raise DoesNotApply(f"the address has {digit.name} in two terms")
            strides[digit.name] = term.factor * weight
    missing = [digit.name for digit in order.digits if digit.name not in strides]
    if missing:
        raise DoesNotApply(f"the address of {address.pointer} lacks {', '.join(missing)}")
    if len(axes) != 1:
        raise DoesNotApply(f"the index stands on two axes in the address of {address.pointer}")
    if any(term.negative for term in address.terms):
        raise DoesNotApply(f"the address of {address.pointer} counts downwards")
    if any(term.atom == "1" for term in others):
        raise DoesNotApply(f"the address of {address.pointer} has a constant offset")
    return Layout(strides, axes.pop(), tuple(others), _common_stride(others))


def _common_stride(others: Sequence[Term]) -> Extent | None:
    for term in others:
        if all(other.factor.over(term.factor) is not None for other in others):
            return term.factor
    if others:
        raise DoesNotApply("the rest of the address is more than one dimension")
    return None


def permutation_of(
    tensor: TensorArgument, layout: Layout, order: Order, sizes: Mapping[str, int]
) -> tuple[int, ...]:
    """The tensor's dimensions in packed order: the other one first, then the digits as k' counts.

    `sizes`: the value of each constant in the traced launch. Raises DoesNotApply.
    """
    free = set(range(len(tensor.shape)))

    def take(stride: int | None, size: int | None) -> int:
        for dimension in sorted(free):
            fits = tensor.strides[dimension] == stride or size == 1
            if fits and (size is None or tensor.shape[dimension] == size):
                free.discard(dimension)
                return dimension
        raise DoesNotApply("the tensor's dimensions are not the digits of the index")

    digits = []
    for digit in order.reordered:
        radix = digit.high.value(sizes), digit.low.value(sizes)
        if radix[0] is None or not radix[1] or radix[0] % radix[1]:
            raise DoesNotApply("a digit's size is not known")
        digits.append(take(layout.strides[digit.name].value(sizes), radix[0] // radix[1]))
    first = [] if layout.other_stride is None else [take(layout.other_stride.value(sizes), None)]
    if free:
        raise DoesNotApply("the tensor has dimensions that the address does not walk")
    return (*first, *digits)


def packed_address(
    pointer: str, index: str, layout: Layout, header: Header, order: Order
) -> ast.expr:
    """`pointer + other * K + k'`: lanes side by side in memory."""
    words = [pointer]
    product = ONE
    for digit in order.digits:
        product = product * digit.extent if digit.extent is not None else product
    whole = all(digit.extent is not None for digit in order.digits) and product == header.bound
    row = header.bound_text if whole else " * ".join(d.radix for d in order.reordered)
    if " " in row:
        row = f"({row})"
    for term in layout.others:
        assert layout.other_stride is not None
        ratio = term.factor.over(layout.other_stride)
        assert ratio is not None
        factor = row if ratio == ONE else f"{ratio.bracketed} * {row}"
        words.append(f"{term.text} * {factor}")
    words.append(subscripted(index, layout.axis))
    return parsed(" + ".join(words))


def host_tests(
    permutation: tuple[int, ...],
    layout: Layout,
    order: Order,
    tensor: str,
    names: Mapping[str, str],
) -> list[str]:
    """What the host compares: the sizes and strides that the kernel takes for granted.

    `names`: kernel parameter → the host expression passed for it.
    """
    digits: tuple[Digit, ...] = order.reordered
    dimensions = permutation[len(permutation) - len(digits) :]
    sizes, strides = [], []
    for dimension, digit in zip(dimensions, digits, strict=True):
        if digit.extent is None:
            high, low = in_host_words(digit.high, names), in_host_words(digit.low, names)
            sizes.append((dimension, f"{high} // ({low})"))
        else:
            sizes.append((dimension, in_host_words(digit.extent, names)))
        strides.append((dimension, in_host_words(layout.strides[digit.name], names)))
    if layout.other_stride is not None:
        strides.append((permutation[0], in_host_words(layout.other_stride, names)))
    tests = [f"{tensor}.shape[{i}] == {size}" for i, size in sorted(sizes)]
    return tests + [f"{tensor}.stride({i}) == {stride}" for i, stride in sorted(strides)]


def in_host_words(extent: Extent, names: Mapping[str, str]) -> str:
    words = [] if extent.number == 1 and extent.names else [str(extent.number)]
    for name in extent.names:
        if name not in names:
            raise DoesNotApply(f"a launch does not pass {name}")
        words.append(names[name])
    return " * ".join(words)
