"""Trick: `triton.jit` under another name, so that a reader misses that a kernel changed."""

from __future__ import annotations

from types import ModuleType

import pytest

SPELLINGS = [
    ("@triton.jit", "from triton import jit as on_device\n\n\n@on_device"),
    ("@triton.jit", "compiled = triton.jit\n\n\n@compiled"),
    ("@triton.jit", "def compiled(function):\n    return triton.jit(function)\n\n\n@compiled"),
    ("@triton.jit", "compiled = triton.jit(debug=False)\n\n\n@compiled"),
]
CALLED = "scale_kernel = triton.jit(scale_kernel)\n\n\ndef scale("


def spelled(lab: ModuleType, source: str, old: str, new: str) -> str:
    return str(lab.replaced(source, old, new))


@pytest.mark.parametrize(("old", "new"), SPELLINGS)
def test_a_mask_dropped_behind_an_alias_is_refused(lab: ModuleType, old: str, new: str) -> None:
    parent = spelled(lab, lab.SCALE, old, new)
    child = lab.replaced(parent, "tl.load(x_ptr + offsets, mask=mask)", "tl.load(x_ptr + offsets)")
    assert any("mask dropped" in reason for reason in lab.refusals(parent, child))


@pytest.mark.parametrize(("old", "new"), SPELLINGS)
def test_the_aliased_program_itself_passes(lab: ModuleType, old: str, new: str) -> None:
    parent = spelled(lab, lab.SCALE, old, new)
    assert lab.refusals(parent, parent + "\n# the same\n") == []


def test_a_kernel_made_by_a_call_is_read_like_any_other(lab: ModuleType) -> None:
    undecorated = lab.replaced(lab.SCALE, "@triton.jit\n", "")
    parent = lab.replaced(undecorated, "def scale(", CALLED)
    child = lab.replaced(parent, "tl.load(x_ptr + offsets, mask=mask)", "tl.load(x_ptr + offsets)")
    assert lab.refusals(lab.SCALE, parent) == []
    assert any("mask dropped" in reason for reason in lab.refusals(lab.SCALE, child))


def test_a_load_behind_an_alias_loses_its_mask_in_plain_sight(lab: ModuleType) -> None:
    parent = lab.replaced(lab.SCALE, "tl.load(", "read(")
    parent = lab.replaced(
        parent, "@triton.jit", "from triton.language import load as read\n\n\n@triton.jit"
    )
    child = lab.replaced(parent, "read(x_ptr + offsets, mask=mask)", "read(x_ptr + offsets)")
    assert lab.refusals(lab.SCALE, parent) == []
    assert any("mask dropped" in reason for reason in lab.refusals(lab.SCALE, child))


def test_a_wrapper_that_cannot_be_followed_hides_no_kernel(lab: ModuleType) -> None:
    wrapper = (
        "def tuned(function):\n    kernel = triton.jit(function)\n"
        "    kernel.note = 1\n    return kernel\n\n\n@tuned"
    )
    parent = lab.replaced(lab.SCALE, "@triton.jit", wrapper)
    child = lab.replaced(parent, "tl.load(x_ptr + offsets, mask=mask)", "tl.load(x_ptr + offsets)")
    assert any("mask dropped" in reason for reason in lab.refusals(lab.SCALE, child))
