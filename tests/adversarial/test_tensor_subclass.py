"""Trick: a lazy tensor, a hook, or a model that is not called as one."""

from __future__ import annotations

from types import ModuleType

import pytest

LAZY = "class Lazy(torch.Tensor):\n    pass\n\n\nclass ModelNew"


def test_a_tensor_subclass_is_refused(lab: ModuleType) -> None:
    child = lab.replaced(lab.MATMUL, "class ModelNew", LAZY)
    assert "integrity.subclass" in lab.rule_ids(lab.judged(lab.MATMUL, child).violations)


@pytest.mark.parametrize("method", ["__call__", "__getattr__"])
def test_a_model_with_its_own_call_is_refused(lab: ModuleType, method: str) -> None:
    child = lab.replaced(
        lab.MATMUL,
        "    def forward(self, x):",
        f"    def {method}(self, x):\n        return x\n\n    def forward(self, x):",
    )
    assert "integrity.subclass" in lab.rule_ids(lab.judged(lab.MATMUL, child).violations)


def test_a_model_that_derives_from_another_is_refused(lab: ModuleType) -> None:
    child = lab.replaced(lab.MATMUL, "class ModelNew(nn.Module):", "class ModelNew(nn.Linear):")
    assert "format.model" in lab.rule_ids(lab.judged(lab.MATMUL, child).violations)


def test_a_helper_module_passes(lab: ModuleType) -> None:
    helper = (
        "class Projection(nn.Module):\n    def forward(self, x, w):\n"
        "        return project(x, w)\n\n\n"
    )
    child = lab.replaced(lab.MATMUL, "class ModelNew", helper + "class ModelNew")
    child = lab.replaced(
        child,
        "        self.weight =",
        "        self.projection = Projection()\n        self.weight =",
    )
    child = lab.replaced(
        child, "return project(x, self.weight)", "return self.projection(x, self.weight)"
    )
    assert lab.refusals(lab.MATMUL, child) == []
