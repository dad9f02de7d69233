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


CALL = "return project(x, self.weight)"


@pytest.mark.parametrize(
    "body",
    [
        "w = self.weight\n        w._packed = w.t().contiguous()\n        return project(x, w)",
        "type(self).packed = self.weight.t()\n        return project(x, type(self).packed)",
        "setattr(self, 'packed', self.weight.t())\n        return project(x, self.packed)",
        "project.packed = self.weight.t()\n        return project(x, project.packed)",
        "object.__setattr__(self, 'packed', self.weight)\n        return project(x, self.packed)",
    ],
)
def test_a_packed_weight_kept_where_the_next_call_finds_it_is_refused(
    lab: ModuleType, body: str
) -> None:
    child = lab.replaced(lab.MATMUL, CALL, body)
    assert "integrity.state" in lab.rule_ids(lab.judged(lab.MATMUL, child).violations)


def test_a_default_argument_made_by_a_call_is_refused(lab: ModuleType) -> None:
    child = lab.replaced(lab.MATMUL, "def project(x, w):", "def project(x, w, kept=dict()):")
    assert "integrity.state" in lab.rule_ids(lab.judged(lab.MATMUL, child).violations)


MADE = "self.weight = nn.Parameter(torch.randn(inner, outer))\n"


@pytest.mark.parametrize(
    "kept",
    [
        "self.packed = self.weight.t().contiguous()",
        "self.register_buffer('packed', self.weight.detach().t().contiguous())",
        "w = self.weight.data\n        self.packed = w.t().contiguous()",
        "self.packed = nn.Parameter(self.weight.t().contiguous())",
    ],
)
def test_a_weight_packed_when_the_model_is_built_is_refused(lab: ModuleType, kept: str) -> None:
    """It is stale once the parameter is loaded or trained, and its time counts nowhere."""
    child = lab.replaced(lab.MATMUL, MADE, f"{MADE}        {kept}\n")
    violations = lab.judged(lab.MATMUL, child).violations
    assert "integrity.state" in lab.rule_ids(violations)
    assert any("parameter's values" in violation.found for violation in violations)


@pytest.mark.parametrize(
    "kept",
    [
        "self.rows = self.weight.shape[0]",
        "self.bias = nn.Parameter(torch.zeros(self.weight.size(1)))",
        "self.bias = nn.Parameter(torch.empty_like(self.weight[0]))",
        "self.alias = self.weight",
        "drawn = nn.Linear(inner, outer)\n        self.bias = nn.Parameter(drawn.bias.clone())",
        "fan = nn.init._calculate_correct_fan(self.weight, 'fan_in')\n        self.bound = fan",
    ],
)
def test_what_holds_no_values_of_a_parameter_may_be_kept(lab: ModuleType, kept: str) -> None:
    child = lab.replaced(lab.MATMUL, MADE, f"{MADE}        {kept}\n")
    assert "integrity.state" not in lab.rule_ids(lab.judged(lab.MATMUL, child).violations)


@pytest.mark.parametrize(
    "copy",
    [
        "self.weight.t().contiguous().t()",
        "self.weight.transpose(0, 1).contiguous().transpose(0, 1)",
        "torch.nn.functional.pad(self.weight, (0, 8)).reshape(self.weight.shape[0], -1)",
        "self.weight.permute(1, 0).contiguous().view(-1)",
    ],
)
def test_an_operand_permuted_or_padded_in_each_call_is_no_work_taken(
    lab: ModuleType, copy: str
) -> None:
    child = lab.replaced(lab.MATMUL, CALL, f"return project(x, {copy})")
    report = lab.judged(lab.MATMUL, child)
    integrity = next(result for result in report.results if result.check == "integrity")
    assert not integrity.violations
    assert any("its time and bytes count" in note for note in integrity.notes)
