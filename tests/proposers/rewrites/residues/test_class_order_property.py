"""Whatever the sizes: the new order is one of the launched lanes, and blocks that are not mixed
have one class.

The statements are run in Python for every block, with numpy's vectors for lanes. Their divisions
are of numbers that are not below zero, so they round as the hardware's do.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from math import prod
from types import SimpleNamespace
from typing import Any

import numpy as np
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from warpwright.proposers.rewrites.common.kernel_text import kernel_text
from warpwright.proposers.rewrites.common.statement_text import parsed
from warpwright.proposers.rewrites.digits.extent import ONE, Extent
from warpwright.proposers.rewrites.residues.class_order import ClassOrder, axes_of
from warpwright.proposers.rewrites.scalarise.flat_index import IndexDigit, Sizes, flat_indices

KERNEL = """\
import triton
import triton.language as tl


@triton.jit
def k(x_ptr, BLOCK: tl.constexpr):
    first = tl.program_id(0) * BLOCK
    offs = first + tl.arange(0, BLOCK)
    tl.store(x_ptr + offs, 0.0)
"""


@dataclass(frozen=True)
class Launch:
    """Sizes and classes of the axes, the innermost first; `bounded`: whether the outermost is."""

    sizes: tuple[int, ...]
    classes: tuple[int, ...]
    bounded: bool
    lanes: int
    blocks: int


@st.composite
def launches(draw: st.DrawFn) -> Launch:
    count = draw(st.integers(1, 3))
    sizes = draw(st.tuples(*[st.integers(1, 9)] * count))
    classes = draw(st.tuples(*[st.integers(1, 4)] * count))
    if all(one == 1 for one in classes):
        classes = (2, *classes[1:])
    if classes[-1] == 1:  # the outermost axis of a unit has classes
        classes = (*classes[:-1], 3)
    lanes = draw(st.sampled_from([1, 2, 4, 8, 16]))
    return Launch(sizes, classes, draw(st.booleans()), lanes, draw(st.integers(1, 40)))


def digits_of(launch: Launch) -> dict[IndexDigit, Extent]:
    found, low = {}, ONE
    for place, (size, classes) in enumerate(zip(launch.sizes, launch.classes, strict=True)):
        high = low * Extent(size)
        last = place == len(launch.sizes) - 1
        if classes > 1:
            found[IndexDigit(low, None if last and not launch.bounded else high)] = Extent(classes)
        low = high
    return found


def order_of(launch: Launch) -> ClassOrder:
    kernel = kernel_text(KERNEL, "k")
    (index,) = flat_indices(kernel, Sizes(kernel))
    return ClassOrder(kernel, index, axes_of(digits_of(launch)), 0, parsed("tl.program_id(0)"))


def block_of(launch: Launch, code: Any, block: int) -> dict[str, Any]:
    """What the statements leave in one block."""
    functions = SimpleNamespace(
        arange=lambda _, end: np.arange(end),
        where=np.where,
        maximum=np.maximum,
        minimum=np.minimum,
        num_programs=lambda _: launch.blocks,
        program_id=lambda _: block,
    )
    names: dict[str, Any] = {"tl": functions, "BLOCK": launch.lanes, "first": block * launch.lanes}
    names["offs"] = names["first"] + np.arange(launch.lanes)
    with np.errstate(all="raise"):
        exec(code, names)
    return names


@given(launches())
@settings(max_examples=examples(400), deadline=None)
def test_every_launched_lane_comes_once_and_unmixed_blocks_have_one_class(launch: Launch) -> None:
    order = order_of(launch)
    code = compile(textwrap.dedent("\n".join(order.lines())), "order", "exec")
    seen = []
    for block in range(launch.blocks):
        names = block_of(launch, code, block)
        seen += list(names["offs"])
        if names["offs_mixed"]:
            continue
        for digit, classes in digits_of(launch).items():
            high = None if digit.high is None else digit.high.number // digit.low.number
            values = names["offs"] // digit.low.number
            values = values if high is None else values % high
            assert set(values % classes.number) == {names[order.class_of(digit)]}
    assert sorted(seen) == list(range(launch.blocks * launch.lanes))


@given(launches())
@settings(max_examples=examples(100), deadline=None)
def test_most_blocks_of_large_classes_are_not_mixed(launch: Launch) -> None:
    """Of the blocks in whole units at most one for each class and end of a unit is mixed."""
    unit, classes = prod(launch.sizes), prod(launch.classes)
    if not launch.bounded:
        return
    code = compile("\n".join(order_of(launch).lines()), "order", "exec")
    blocks = range(launch.blocks)
    mixed = sum(bool(block_of(launch, code, block)["offs_mixed"]) for block in blocks)
    launched = launch.blocks * launch.lanes
    units = launched // unit
    assert mixed <= units * classes + -(-(launched - units * unit) // launch.lanes)
