"""Trick: an access loses its mask and reads or writes out of bounds."""

from __future__ import annotations

from types import ModuleType

import pytest
from texts import replace_each


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (", mask=x_mask, other=0.0)", ")"),
        (", mask=x_mask, other=0.0)", ", mask=None, other=0.0)"),
        (", mask=x_mask, other=0.0)", ", mask=True, other=0.0)"),
        (", total, mask=y_mask)", ", total)"),
    ],
)
def test_an_access_without_its_mask_is_refused_with_the_reason(
    lab: ModuleType, old: str, new: str
) -> None:
    child = lab.replaced(lab.MATMUL, old, new)
    reasons = lab.refusals(lab.MATMUL, child)
    assert any("mask dropped" in reason for reason in reasons)


def test_the_same_mask_under_another_name_passes(lab: ModuleType) -> None:
    child = replace_each(lab.MATMUL, "x_mask", "in_bounds", times=2)
    assert lab.refusals(lab.MATMUL, child) == []


def test_a_mask_given_by_position_passes(lab: ModuleType) -> None:
    child = lab.replaced(
        lab.SCALE, "tl.load(x_ptr + offsets, mask=mask)", "tl.load(x_ptr + offsets, mask)"
    )
    assert lab.refusals(lab.SCALE, child) == []


def test_a_mask_is_missed_even_where_the_pointer_cannot_be_told(lab: ModuleType) -> None:
    parent = lab.replaced(
        lab.SCALE, "tl.load(x_ptr + offsets, mask=mask)", "tl.load(pick(x_ptr, offsets), mask=mask)"
    )
    child = lab.replaced(parent, "offsets), mask=mask)", "offsets))")
    assert any("mask dropped" in reason for reason in lab.refusals(parent, child))


def test_a_mask_is_missed_in_a_function_that_the_kernel_calls(lab: ModuleType) -> None:
    helper = (
        "@triton.jit\ndef put(y_ptr, value, offsets, n):\n"
        "    tl.store(y_ptr + offsets, value, mask=offsets < n)\n\n\n"
    )
    parent = lab.replaced(lab.SCALE, "@triton.jit", helper + "@triton.jit")
    parent = lab.replaced(
        parent,
        "tl.store(y_ptr + offsets, x * factor, mask=mask)",
        "put(y_ptr, x * factor, offsets, n)",
    )
    child = lab.replaced(parent, "value, mask=offsets < n)", "value)")
    assert any("mask dropped" in reason for reason in lab.refusals(parent, child))
