"""Trick: torch computes, and the kernels are for show."""

from __future__ import annotations

from types import ModuleType

import pytest


@pytest.mark.parametrize(
    "work",
    [
        "return x @ self.weight",
        "return torch.matmul(x, self.weight)",
        "return nn.functional.linear(x, self.weight.t())",
        "return x.matmul(self.weight)",
        "f = torch.mm\n        return f(x, self.weight)",
        "return getattr(torch, 'matmul')(x, self.weight)",
        "return torch.einsum('ij,jk->ik', x, self.weight)",
    ],
)
def test_a_product_on_the_host_is_refused_and_named(lab: ModuleType, work: str) -> None:
    child = lab.replaced(lab.MATMUL, "return project(x, self.weight)", work)
    rules = lab.rule_ids(lab.judged(lab.MATMUL, child).violations)
    assert rules & {"integrity.torch_work", "names.dynamic"}


def test_a_host_convolution_in_the_wrapper_is_refused_and_named(lab: ModuleType) -> None:
    child = lab.replaced(lab.SCALE, "    return y\n", "    return F.conv2d(y, y)\n")
    child = lab.replaced(
        child, "import triton\n", "import torch.nn.functional as F\nimport triton\n"
    )
    reasons = lab.refusals(lab.SCALE, child)
    assert any("conv2d" in reason for reason in reasons)


def test_a_submodule_that_computes_is_refused(lab: ModuleType) -> None:
    child = lab.replaced(
        lab.MATMUL,
        "self.weight = nn.Parameter",
        "self.layer = nn.Linear(inner, outer)\n        self.weight = nn.Parameter",
    )
    child = lab.replaced(child, "return project(x, self.weight)", "return self.layer(x)")
    assert "integrity.torch_work" in lab.rule_ids(lab.judged(lab.MATMUL, child).violations)


def test_views_casts_and_allocations_on_the_host_pass(lab: ModuleType) -> None:
    child = lab.replaced(
        lab.MATMUL,
        "    M, K = x.shape\n",
        "    x = x.contiguous().to(torch.float32)\n    M, K = x.shape\n",
    )
    assert lab.refusals(lab.MATMUL, child) == []


def test_what_the_parent_leaves_to_torch_is_told_and_not_blamed(lab: ModuleType) -> None:
    parent = lab.replaced(
        lab.MATMUL, "return project(x, self.weight)", "return torch.relu(project(x, self.weight))"
    )
    child = lab.replaced(
        lab.MATMUL,
        "return project(x, self.weight)",
        "return nn.functional.relu(project(x, self.weight))",
    )
    report = lab.judged(parent, child)
    assert not report.violations
    notes = [note for result in report.results for note in result.notes]
    assert any("inherited" in note and "relu" in note for note in notes)
