"""Programs as people write them: each is inspected, passes a check of itself, and is answered.

`programs/` holds a program and its problem a form. No finding here may be that a program is wrong,
cannot run, or has no kernels.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from warpwright import api
from warpwright.formats.kernelbench import read_problem
from warpwright.program.view import read_program
from warpwright.types.shapes import Problem
from warpwright.types.verdict import Status

pytestmark = pytest.mark.triton
PROGRAMS = Path(__file__).parent / "programs"
NAMES = sorted(p.name.removesuffix("_problem.py") for p in PROGRAMS.glob("*_problem.py"))
# Each shows a part of the machinery that no other does.
QUICK = {
    "custom_op", "device_descriptor", "house_class", "kernel_as_argument", "library_op_tuned",
    "prune_early", "reads_max_length", "reads_tolist",
}  # fmt: skip
BY_FORM = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow, id=name) for name in NAMES
]


def program(name: str) -> str:
    return (PROGRAMS / f"{name}.py").read_text()


def problem(name: str) -> Problem:
    return read_problem((PROGRAMS / f"{name}_problem.py").read_text())


def document(name: str) -> str:
    text = (PROGRAMS / f"{name}_problem.py").read_text()
    return api.request(program(name), gpu="H100 SXM", problem=text)


@pytest.mark.parametrize("name", BY_FORM)
def test_it_is_inspected_and_passes_a_check_of_itself(name: str) -> None:
    study = api.inspect(program(name), gpu="H100 SXM", problem=problem(name))
    assert study.kernels
    for kernel in study.kernels:
        assert kernel.configs, kernel.kernel
        assert all(config.compiled for config in kernel.configs), kernel.kernel
    verdict = api.check(document(name), program(name))
    assert verdict.status is Status.PASS, verdict


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_answer_is_a_program_that_passes(name: str) -> None:
    found = api.answer(document(name))
    assert "cannot run" not in (found.reason or "")
    assert "wrong" not in (found.reason or "")
    verdict = api.check(document(name), found.program)
    assert verdict.status is Status.PASS, verdict


def test_equal_binaries_go_from_the_list_inside_a_decorator_of_the_house() -> None:
    found = api.answer(document("house_factory"))
    kernel = read_program(found.program).kernel("absolute")
    assert kernel is not None and kernel.autotune is not None
    configs = kernel.autotune.configs
    assert configs is not None
    same = [c for c in configs if (c.meta_dict["WIDTH"], c.num_warps) == (512, 4)]
    assert len(same) == 1, "stages do nothing in a kernel without a loop"
    assert "@tuned(\n    configs=[" in found.program
    assert "return triton.autotune(configs=configs, key=key, **options)(fn)" in found.program


def test_values_that_are_read_are_told() -> None:
    study = api.inspect(
        program("reads_max_length"), gpu="H100 SXM", problem=problem("reads_max_length")
    )
    told = [finding.text for finding in study.findings if finding.id == "values-read"]
    assert len(told) == 1
    assert "item at line 21" in told[0]
