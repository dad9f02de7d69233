"""Trick or accident: autotune runs every config on an output that accumulates."""

from __future__ import annotations

from types import ModuleType

from warpwright.types.stage import StageId

ADD = "tl.atomic_add(y_ptr + offsets, x * factor, mask=mask)"
TUNED = (
    "@triton.autotune(\n    configs=[\n        triton.Config({}, num_warps=4),\n"
    "        triton.Config({}, num_warps=8),\n    ],\n    key=['n'],%s\n)\n@triton.jit"
)


def accumulating(lab: ModuleType) -> str:
    return lab.replaced(lab.SCALE, "tl.store(y_ptr + offsets, x * factor, mask=mask)", ADD)


def tuned(lab: ModuleType, source: str, extra: str = "") -> str:
    child = lab.replaced(source, "@triton.jit", TUNED % extra)
    return lab.replaced(child, ", BLOCK=BLOCK, num_warps=4)", ", BLOCK=BLOCK)")


def test_autotune_over_atomics_is_refused_in_every_stage(lab: ModuleType) -> None:
    for stage_id in StageId:
        parent = accumulating(lab)
        reasons = lab.refusals(parent, tuned(lab, parent), lab.stage_of(stage_id))
        assert any("atomics on y_ptr" in reason for reason in reasons), stage_id


def test_autotune_over_an_update_in_place_is_refused(lab: ModuleType) -> None:
    parent = lab.replaced(lab.SCALE, "scale_kernel[grid](x, y,", "scale_kernel[grid](x, x,")
    parent = lab.replaced(parent, "    return y\n", "    return x\n")
    reasons = lab.refusals(parent, tuned(lab, parent), lab.stage_of(StageId.TUNING))
    assert any("in place" in reason for reason in reasons)


def test_autotune_that_resets_the_output_passes(lab: ModuleType) -> None:
    parent = accumulating(lab)
    child = tuned(lab, parent, " reset_to_zero=['y_ptr'],")
    assert lab.refusals(parent, child, lab.stage_of(StageId.TUNING)) == []


def test_autotune_over_a_plain_kernel_passes(lab: ModuleType) -> None:
    assert lab.refusals(lab.SCALE, tuned(lab, lab.SCALE), lab.stage_of(StageId.TUNING)) == []
