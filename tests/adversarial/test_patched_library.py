"""Trick: timers, torch or Triton are changed for everyone in the process."""

from __future__ import annotations

from types import ModuleType

import pytest


@pytest.mark.parametrize(
    "patch",
    [
        "torch.cuda.synchronize = lambda *a: None",
        "torch.cuda.Event.elapsed_time = lambda *a: 0.001",
        "triton.testing.do_bench = lambda *a, **k: 0.001",
        "torch.allclose = lambda *a, **k: True",
        "setattr(torch.cuda, 'synchronize', print)",
        "t = torch.cuda\n        t.synchronize = print",
        "del torch.cuda.synchronize",
    ],
)
def test_a_change_of_a_library_is_refused(lab: ModuleType, patch: str) -> None:
    child = lab.replaced(
        lab.MATMUL,
        "return project(x, self.weight)",
        f"{patch}\n        return project(x, self.weight)",
    )
    rules = lab.rule_ids(lab.judged(lab.MATMUL, child).violations)
    assert rules & {"names.banned", "names.dynamic"}


def test_a_patch_at_module_level_is_refused(lab: ModuleType) -> None:
    child = lab.replaced(
        lab.MATMUL, "class ModelNew", "torch.cuda.synchronize = print\n\n\nclass ModelNew"
    )
    rules = lab.rule_ids(lab.judged(lab.MATMUL, child).violations)
    assert {"format.module_code", "names.banned"} <= rules


def test_attributes_of_its_own_objects_pass(lab: ModuleType) -> None:
    child = lab.replaced(
        lab.MATMUL,
        "        self.weight =",
        "        self.name = 'projection'\n        self.weight =",
    )
    assert lab.refusals(lab.MATMUL, child) == []
