"""Trick: the kernel is there and is never launched, or its result is thrown away."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

from texts import replace_each

from warpwright.types.launch_trace import Launch, Trace
from warpwright.verifier.checks.checks import judge


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
    child = replace_each(lab.MATMUL, "project(x", "launch_projection(x", times=2)
    assert lab.refusals(lab.MATMUL, child) == []


def test_a_spare_kernel_beside_the_working_one_is_told_only(lab: ModuleType) -> None:
    spare = lab.SCALE[lab.SCALE.index("@triton.jit") : lab.SCALE.index("def scale(")]
    child = lab.replaced(lab.MATMUL, "def project(x, w):", spare + "def project(x, w):")
    report = lab.judged(lab.MATMUL, child)
    assert not report.violations
    assert any("never launched" in note for result in report.results for note in result.notes)


def test_a_kernel_that_a_table_hands_on_is_told_only(lab: ModuleType) -> None:
    child = lab.replaced(
        lab.MATMUL, "def project(x, w):", "WORK = [project_kernel]\n\n\ndef project(x, w):"
    )
    child = lab.replaced(child, "    project_kernel[", "    WORK[0][")
    report = lab.judged(lab.MATMUL, child)
    assert "integrity.kernel_not_launched" not in lab.rule_ids(report.violations)
    assert any("handed on" in note for result in report.results for note in result.notes)


def test_a_kernel_in_a_table_is_idle_where_the_trace_does_not_show_it(lab: ModuleType) -> None:
    child = lab.replaced(
        lab.MATMUL, "def project(x, w):", "WORK = [project_kernel]\n\n\ndef project(x, w):"
    )
    child = lab.replaced(child, "    project_kernel[", "    WORK[0][")
    context = lab.context_of(lab.MATMUL, child, lab.tuning_stage())
    for launches, refused in (((), True), ((Launch("project_kernel", 0, {}, (), True),), False)):
        report = judge(replace(context, child_trace=Trace(launches)))
        rules = lab.rule_ids(report.violations)
        assert ("integrity.kernel_not_launched" in rules) is refused
