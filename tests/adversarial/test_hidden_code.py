"""Trick: code or data that reading does not see."""

from __future__ import annotations

from types import ModuleType

import pytest


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("exec('y = x')", "names.banned"),
        ("y = eval('x')", "names.banned"),
        ("y = __import__('os')", "names.banned"),
        ("y = open('/tmp/y').read()", "names.banned"),
        ("y = torch.load('y.pt')", "names.banned"),
        ("y = getattr(torch, 'mat' + 'mul')", "names.dynamic"),
        ("y = getattr(x, 'mat' + 'mul')", "names.dynamic"),
        ("y = x.__class__.__subclasses__", "names.banned"),
        ("run = exec\n        run('y = x')", "names.banned"),
        ("y = torch.utils.cpp_extension.load", "names.banned"),
    ],
)
def test_code_that_cannot_be_read_is_refused(lab: ModuleType, code: str, rule: str) -> None:
    child = lab.replaced(
        lab.MATMUL,
        "return project(x, self.weight)",
        f"{code}\n        return project(x, self.weight)",
    )
    assert rule in lab.rule_ids(lab.judged(lab.MATMUL, child).violations)


def test_an_environment_variable_is_refused_even_where_os_is_imported(lab: ModuleType) -> None:
    parent = "import os\n" + lab.MATMUL
    child = lab.replaced(
        parent,
        "return project(x, self.weight)",
        "os.environ['TRITON_CACHE_DIR'] = '/tmp'\n        return project(x, self.weight)",
    )
    assert "names.banned" in lab.rule_ids(lab.judged(parent, child).violations)


def test_an_attribute_read_by_a_fixed_name_passes(lab: ModuleType) -> None:
    child = lab.replaced(
        lab.MATMUL,
        "return project(x, self.weight)",
        "weight = getattr(self, 'weight')\n        return project(x, weight)",
    )
    assert lab.refusals(lab.MATMUL, child) == []
