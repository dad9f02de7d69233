"""Names: undefined ones, imports, and what the parent has already."""

from __future__ import annotations

from types import ModuleType

import pytest

from warpwright.program.view import read_program
from warpwright.types.verdict import CheckResult, Status
from warpwright.verifier.checks.names import check_names


def checked(parent: str, child: str) -> CheckResult:
    return check_names(read_program(parent), read_program(child))


def test_a_module_that_is_used_and_not_imported_is_named_with_a_hint(lab: ModuleType) -> None:
    child = lab.replaced(lab.MATMUL, "return project(x, self.weight)", "return math.sqrt(2) * x")
    result = checked(lab.MATMUL, child)
    assert lab.rule_ids(result.violations) == {"names.undefined"}
    assert "math" in result.violations[0].found
    assert "import math" in result.violations[0].found


def test_math_is_allowed_where_the_parent_imports_it(lab: ModuleType) -> None:
    parent = "import math\n" + lab.MATMUL
    child = lab.replaced(parent, "(inner, outer))", "(inner, outer) / math.sqrt(inner))")
    assert checked(parent, child).status is Status.PASS
    assert checked(lab.MATMUL, child).status is Status.FAIL


@pytest.mark.parametrize(
    "line",
    [
        "import math",
        "import numpy as np",
        "from torch import *",
        "import torch.utils.data",
        "import os",
    ],
)
def test_an_import_beyond_the_allowed_ones_is_refused(lab: ModuleType, line: str) -> None:
    result = checked(lab.MATMUL, f"{line}\n{lab.MATMUL}")
    assert "names.imports" in lab.rule_ids(result.violations)


@pytest.mark.parametrize(
    "line",
    [
        "import torch.nn.functional as F",
        "from torch import nn",
        "from torch.nn import functional as F",
        "import triton.language as tl",
    ],
)
def test_the_allowed_imports_pass_in_every_form(lab: ModuleType, line: str) -> None:
    assert checked(lab.MATMUL, f"{line}\n{lab.MATMUL}").status is Status.PASS


def test_an_import_of_the_request_s_own_list_passes(lab: ModuleType) -> None:
    from warpwright.types.request import OutputRules

    rules = OutputRules(imports=("torch", "triton", "math"))
    child = read_program("import math\n" + lab.MATMUL)
    assert check_names(read_program(lab.MATMUL), child, rules).status is Status.PASS


def test_an_undefined_name_of_the_parent_is_told_only(lab: ModuleType) -> None:
    parent = lab.replaced(
        lab.MATMUL, "return project(x, self.weight)", "return project(x, missing)"
    )
    result = checked(parent, parent + "\n# again\n")
    assert result.status is Status.PASS
    assert any("missing" in note for note in result.notes)
