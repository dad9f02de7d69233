"""Trick: the output of an earlier call is returned again."""

from __future__ import annotations

from types import ModuleType

import pytest


@pytest.mark.parametrize(
    "body",
    [
        "if not hasattr(self, '_y'):\n            self._y = project(x, self.weight)\n"
        "        return self._y",
        "key = x.data_ptr()\n        y = project(x, self.weight)\n        return y",
        "key = id(x)\n        y = project(x, self.weight)\n        return y",
        "self.seen[x.shape] = project(x, self.weight)\n        return self.seen[x.shape]",
        "global LAST\n        LAST = project(x, self.weight)\n        return LAST",
    ],
)
def test_state_that_outlives_a_call_is_refused(lab: ModuleType, body: str) -> None:
    child = lab.replaced(lab.MATMUL, "return project(x, self.weight)", body)
    assert "integrity.state" in lab.rule_ids(lab.judged(lab.MATMUL, child).violations)


def test_a_module_level_dictionary_of_results_is_refused(lab: ModuleType) -> None:
    child = lab.replaced(lab.MATMUL, "def project(x, w):", "RESULTS = {}\n\n\ndef project(x, w):")
    child = lab.replaced(child, "    return y\n", "    RESULTS[x.shape] = y\n    return y\n")
    assert "integrity.state" in lab.rule_ids(lab.judged(lab.MATMUL, child).violations)


def test_a_mutable_default_argument_is_refused(lab: ModuleType) -> None:
    child = lab.replaced(lab.MATMUL, "def project(x, w):", "def project(x, w, kept={}):")
    assert "integrity.state" in lab.rule_ids(lab.judged(lab.MATMUL, child).violations)


def test_a_cache_decorator_is_refused(lab: ModuleType) -> None:
    child = lab.replaced(
        lab.MATMUL, "def project(x, w):", "@functools.lru_cache\ndef project(x, w):"
    )
    child = "import functools\n" + child
    assert "integrity.state" in lab.rule_ids(lab.judged(lab.MATMUL, child).violations)


def test_state_made_when_the_model_is_built_passes(lab: ModuleType) -> None:
    child = lab.replaced(
        lab.MATMUL,
        "        self.weight =",
        "        self.sizes = [inner, outer]\n        self.weight =",
    )
    child = lab.replaced(
        child,
        "return project(x, self.weight)",
        "parts = []\n        parts.append(x)\n        return project(parts[0], self.weight)",
    )
    assert lab.refusals(lab.MATMUL, child) == []
