"""Which accesses are inside of a launch's tensors, by the addresses that kernels see."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.triton
torch = pytest.importorskip("torch")

from warpwright.interpreter.child_memory import Memory, spoiled_bits  # noqa: E402

SIZE = 4  # of a float32


def reached(memory: Memory, first: int, offsets: list[int]) -> list[bool]:
    """Which elements at these offsets from an address may be read."""
    pointers = np.array([first + SIZE * offset for offset in offsets], dtype=np.uint64)
    mask = np.ones(len(offsets), dtype=bool)
    lanes = memory.reach(pointers, mask, SIZE, "read")[1]
    return (mask if lanes is None else lanes).tolist()


def test_both_ends_of_a_storage_are_guarded_also_behind_a_view() -> None:
    memory = Memory()
    whole = torch.zeros(10)
    view = whole[4:6]
    memory.allow([view])
    first = memory.addresses.of(view)
    assert reached(memory, first, [-5, -4, 0, 5, 6]) == [False, True, True, True, False]
    assert memory.events[0]["count"] == 2


def test_no_distance_leads_from_one_tensor_into_another() -> None:
    memory = Memory()
    one, other = torch.zeros(8), torch.zeros(8)
    memory.allow([one, other])
    apart = (other.data_ptr() - one.data_ptr()) // SIZE
    assert reached(memory, memory.addresses.of(one), [0, apart]) == [True, False]


def test_a_tensor_without_elements_has_nothing_to_read() -> None:
    memory = Memory()
    empty, other = torch.zeros(0), torch.zeros(8)
    memory.allow([empty, other])
    assert reached(memory, memory.addresses.of(empty), [0, 1]) == [False, False]


def test_pointers_lead_to_where_the_tensor_really_is() -> None:
    memory = Memory()
    one, other = torch.zeros(8), torch.zeros(8)
    memory.allow([one, other])
    seen = [memory.addresses.of(other) + SIZE, memory.addresses.of(one)]
    for pointers in (seen, seen[:1]):
        values = np.array(pointers, dtype=np.uint64)
        real, lanes = memory.reach(values, np.ones(len(pointers), dtype=bool), SIZE, "read")
        assert lanes is None
        assert real.tolist() == [other.data_ptr() + SIZE, one.data_ptr()][: len(pointers)]


def test_undefined_lanes_hold_what_shows_unless_zeros_are_asked_for() -> None:
    memory = Memory()
    mask = np.array([True, False])
    single = np.dtype(np.float32)
    assert np.isnan(memory.undefined_lanes((2,), mask, single, spoiled_bits(single, "fp32"))).all()
    whole = np.dtype(np.int32)
    assert memory.undefined_lanes((2,), mask, whole, spoiled_bits(whole, "int32"))[1] % 2 == 1
    memory.spoil_undefined = False
    assert not memory.undefined_lanes((2,), mask, single, spoiled_bits(single, "fp32")).any()
