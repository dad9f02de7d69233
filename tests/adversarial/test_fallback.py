"""Trick: a kernel that fails is replaced by torch, silently."""

from __future__ import annotations

from types import ModuleType


def test_a_try_that_goes_on_without_the_kernel_is_refused(lab: ModuleType) -> None:
    child = lab.replaced(
        lab.MATMUL,
        "        return project(x, self.weight)",
        "        try:\n            return project(x, self.weight)\n"
        "        except Exception:\n            return x @ self.weight",
    )
    rules = lab.rule_ids(lab.judged(lab.MATMUL, child).violations)
    assert {"integrity.fallback", "integrity.torch_work"} <= rules


def test_an_error_with_better_words_passes(lab: ModuleType) -> None:
    child = lab.replaced(
        lab.MATMUL,
        "        return project(x, self.weight)",
        "        try:\n            return project(x, self.weight)\n"
        "        except RuntimeError as error:\n"
        "            raise RuntimeError('the projection failed') from error",
    )
    assert lab.refusals(lab.MATMUL, child) == []
