"""Rules on stores, offsets and masks of fused kernels."""

from __future__ import annotations

from types import ModuleType

import pytest
from texts import replace_once

from warpwright.types.stage import ProgramKind, Rule, StageId
from warpwright.types.verdict import CheckResult, Status
from warpwright.verifier.rules.checkers import check_rules


def checked(lab: ModuleType, child: str, rule: str, parent: str | None = None) -> CheckResult:
    stage = lab.stage_of(StageId.MEMORY, Rule(rule), kind=ProgramKind.FUSION)
    return check_rules(lab.context_of(parent or lab.SCALE, child, stage))


STORE = "tl.store(y_ptr + offsets, x * factor, mask=mask)"


def test_a_second_store_to_an_output_is_refused(lab: ModuleType) -> None:
    child = lab.replaced(lab.SCALE, STORE, f"{STORE}\n    {STORE}")
    assert "stores.one_per_output" in lab.rule_ids(
        checked(lab, child, "stores.one_per_output").violations
    )


def test_a_second_store_that_the_parent_has_is_told_only(lab: ModuleType) -> None:
    parent = lab.replaced(lab.SCALE, STORE, f"{STORE}\n    {STORE}")
    result = checked(lab, parent + "\n", "stores.one_per_output", parent)
    assert result.status is Status.PASS
    assert any("inherited" in note for note in result.notes)


def test_a_value_stored_and_loaded_again_is_refused(lab: ModuleType) -> None:
    again = "again = tl.load(y_ptr + offsets, mask=mask)\n    " + replace_once(
        STORE, "x *", "again *"
    )
    child = lab.replaced(lab.SCALE, STORE, f"{STORE}\n    {again}")
    result = checked(lab, child, "stores.no_store_then_load")
    assert "stores.no_store_then_load" in lab.rule_ids(result.violations)


def test_a_buffer_between_two_launches_is_an_intermediate(lab: ModuleType) -> None:
    child = lab.replaced(
        lab.SCALE,
        "    return y\n",
        "    z = torch.empty_like(x)\n"
        "    scale_kernel[grid](y, z, n, factor, BLOCK=BLOCK, num_warps=4)\n    return z\n",
    )
    result = checked(lab, child, "stores.no_intermediate")
    assert "stores.no_intermediate" in lab.rule_ids(result.violations)


def test_offsets_and_masks_that_differ_are_told_apart(lab: ModuleType) -> None:
    child = lab.replaced(
        lab.SCALE, "tl.load(x_ptr + offsets, mask=mask)", "tl.load(x_ptr + offsets + 1, mask=mask)"
    )
    assert checked(lab, child, "fusion.same_offsets").status is Status.FAIL
    child = lab.replaced(
        lab.SCALE,
        "tl.load(x_ptr + offsets, mask=mask)",
        "tl.load(x_ptr + offsets, mask=offsets < n - 1)",
    )
    assert checked(lab, child, "fusion.same_mask").status is Status.FAIL
    assert checked(lab, lab.SCALE + "\n", "fusion.same_mask").status is Status.PASS


def test_reductions_and_products_are_left_out_and_told(lab: ModuleType) -> None:
    result = checked(lab, lab.MATMUL + "\n", "fusion.same_offsets", lab.MATMUL)
    assert result.status is Status.PASS
    assert any("left out" in note for note in result.notes)


IN_TWO = """    if (tl.program_id(0) + 1) * BLOCK <= n:
        x = tl.load(x_ptr + offsets)
        tl.store(y_ptr + offsets, x * factor)
    else:
        x = tl.load(x_ptr + offsets, mask=mask)
        tl.store(y_ptr + offsets, x * factor, mask=mask)
"""
PLAIN = f"    x = tl.load(x_ptr + offsets, mask=mask)\n    {STORE}\n"
OF_STORES = ("stores.one_per_output", "stores.no_store_then_load")
ALL = (*OF_STORES, "fusion.same_offsets", "fusion.same_mask")


@pytest.mark.parametrize("rule", ALL)
def test_of_two_branches_a_block_runs_one(lab: ModuleType, rule: str) -> None:
    child = lab.replaced(lab.SCALE, PLAIN, IN_TWO)
    assert checked(lab, child, rule).status is Status.PASS
    in_place = child.replace("tl.load(x_ptr", "tl.load(y_ptr")
    found = checked(lab, in_place, rule)
    assert found.status is Status.PASS
    assert not any("inherited" in note for note in found.notes)


@pytest.mark.parametrize("rule", ALL)
def test_names_of_each_branch_are_read_by_themselves(lab: ModuleType, rule: str) -> None:
    child = lab.replaced(lab.SCALE, PLAIN, IN_TWO).replace("+ offsets", "+ at")
    line = "        at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)\n"
    child = child.replace("<= n:\n", f"<= n:\n{line}").replace("else:\n", f"else:\n{line}")
    assert checked(lab, child, rule).status is Status.PASS


@pytest.mark.parametrize("rule", OF_STORES)
def test_a_store_behind_two_branches_is_one_more(lab: ModuleType, rule: str) -> None:
    again = f"    x = tl.load(y_ptr + offsets, mask=mask)\n    {STORE}\n"
    child = lab.replaced(lab.SCALE, PLAIN, IN_TWO + again)
    assert checked(lab, child, rule).status is Status.FAIL


def test_two_stores_in_one_of_two_branches_are_refused(lab: ModuleType) -> None:
    line = "        tl.store(y_ptr + offsets, x * factor)\n"
    child = lab.replaced(lab.SCALE, PLAIN, lab.replaced(IN_TWO, line, line + line))
    assert checked(lab, child, "stores.one_per_output").status is Status.FAIL


def test_a_branch_of_a_loop_is_left_in_another_step(lab: ModuleType) -> None:
    loop = (
        "    for step in range(4):\n        if step < 2:\n"
        "            tl.store(y_ptr + offsets, step * factor, mask=mask)\n        else:\n"
        "            x = tl.load(y_ptr + offsets, mask=mask)\n"
    )
    child = lab.replaced(lab.SCALE, PLAIN, loop)
    assert checked(lab, child, "stores.no_store_then_load").status is Status.FAIL


def test_masks_that_differ_within_a_branch_are_refused(lab: ModuleType) -> None:
    child = lab.replaced(
        lab.SCALE, PLAIN, IN_TWO.replace("(x_ptr + offsets, mask=mask)", "(x_ptr + offsets)")
    )
    assert checked(lab, child, "fusion.same_mask").status is Status.FAIL
