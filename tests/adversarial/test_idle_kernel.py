"""Trick: the kernel is there and is never launched, or its result is thrown away."""

from __future__ import annotations

from types import ModuleType


def test_a_kernel_that_is_not_launched_any_more_is_refused(lab: ModuleType) -> None:
    child = lab.replaced(
        lab.MATMUL, "return project(x, self.weight)", "return x.new_zeros(x.shape[0], 4)"
    )
    assert "integrity.kernel_not_launched" in lab.rule_ids(lab.judged(lab.MATMUL, child).violations)


def test_a_launch_that_is_moved_out_of_reach_is_refused(lab: ModuleType) -> None:
    child = lab.replaced(lab.MATMUL, "return project(x, self.weight)", "return x.expand(x.shape)")
    assert "integrity.kernel_not_launched" in lab.rule_ids(lab.judged(lab.MATMUL, child).violations)


def test_a_result_that_nothing_reads_is_refused(lab: ModuleType) -> None:
    child = lab.replaced(lab.SCALE, "    return y\n", "    return x.clone()\n")
    assert "integrity.result_discarded" in lab.rule_ids(lab.judged(lab.SCALE, child).violations)


def test_a_wrapper_under_another_name_passes(lab: ModuleType) -> None:
    child = lab.MATMUL.replace("project(x", "launch_projection(x")
    assert lab.refusals(lab.MATMUL, child) == []


def test_a_spare_kernel_beside_the_working_one_is_told_only(lab: ModuleType) -> None:
    spare = lab.SCALE[lab.SCALE.index("@triton.jit") : lab.SCALE.index("def scale(")]
    child = lab.replaced(lab.MATMUL, "def project(x, w):", spare + "def project(x, w):")
    report = lab.judged(lab.MATMUL, child)
    assert not report.violations
    assert any("never launched" in note for result in report.results for note in result.notes)
