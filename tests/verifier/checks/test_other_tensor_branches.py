"""Torch work for tensors of another kind: told where the trace shows that it was not done."""

from __future__ import annotations

from types import ModuleType

import pytest

from warpwright.types.launch_trace import HostOperation, Launch, Trace
from warpwright.types.verdict import Verdict
from warpwright.verifier.checks.other_tensor_branches import asks_for_kind

LAUNCH = Launch("project_kernel", 0, {}, (), autotuned=True)


def with_fallback(lab: ModuleType, condition: str) -> str:
    return str(
        lab.replaced(
            lab.MATMUL,
            "    M, K = x.shape\n",
            f"    if {condition}:\n        return torch.matmul(\n            x, w)\n"
            "    M, K = x.shape\n",
        )
    )


def judged(lab: ModuleType, child: str, *ran: int) -> Verdict:
    operations = tuple(HostOperation("matmul", line) for line in ran)
    trace = Trace((LAUNCH,), host_operations=operations)
    report: Verdict = lab.judged(lab.MATMUL, child, child_trace=trace)
    return report


@pytest.mark.parametrize(
    "condition",
    [
        "not x.is_cuda",
        "x.device.type != 'cuda'",
        "x.dtype != torch.float32 or w.dtype not in (torch.float32, torch.float16)",
        "not torch.cuda.is_available()",
    ],
)
def test_a_way_for_another_device_or_dtype_that_was_not_taken_is_told(
    lab: ModuleType, condition: str
) -> None:
    child = with_fallback(lab, condition)
    report = judged(lab, child)
    assert not report.violations
    notes = [note for result in report.results for note in result.notes]
    assert any("another kind" in note and "matmul" in note for note in notes)


def test_without_a_trace_nothing_shows_that_it_is_not_taken(lab: ModuleType) -> None:
    child = with_fallback(lab, "not x.is_cuda")
    assert "integrity.torch_work" in lab.rule_ids(lab.judged(lab.MATMUL, child).violations)


def test_a_way_that_was_taken_is_refused(lab: ModuleType) -> None:
    child = with_fallback(lab, "x.is_cuda")
    line = child[: child.index("torch.matmul")].count("\n") + 1
    for ran in (line, line + 1):  # the statement goes over two lines
        violations = judged(lab, child, ran).violations
        assert lab.rule_ids(violations) == {"integrity.torch_work"}


@pytest.mark.parametrize("condition", ["x.shape[0] > 512", "self.training", "x.numel() == 0"])
def test_a_way_for_other_sizes_or_modes_is_refused_although_not_taken(
    lab: ModuleType, condition: str
) -> None:
    child = with_fallback(lab, condition)
    assert "integrity.torch_work" in lab.rule_ids(judged(lab, child).violations)


@pytest.mark.parametrize(
    "condition",
    ["except RuntimeError", "x.is_cuda and x.shape[0] > 4", "torch.float32", "x.sum() > 0", "fast"],
)
def test_conditions_on_more_than_device_and_dtype_are_known(condition: str) -> None:
    assert not asks_for_kind(condition)


def test_what_the_parent_does_always_may_be_done_sometimes(lab: ModuleType) -> None:
    last = "return project(x, self.weight)"
    parent = lab.replaced(lab.MATMUL, last, "return torch.relu(project(x, self.weight))")
    sometimes = (
        "y = project(x, self.weight)\n        if self.training:\n"
        "            y = torch.relu(y)\n        return y"
    )
    assert lab.refusals(parent, lab.replaced(lab.MATMUL, last, sometimes)) == []
    assert lab.refusals(lab.replaced(lab.MATMUL, last, sometimes), parent) != []
