"""What the verifier reads of a candidate: config lists that only running the host code tells."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

from warpwright.program.view import read_program
from warpwright.types.config import Config
from warpwright.types.study import ConfigStudy, KernelStudy
from warpwright.types.verdict import Status
from warpwright.verifier.checks.candidate_checks import with_built_lists
from warpwright.verifier.rules.checkers import check_rules

LISTED = (
    Config.of({"BLOCK_M": 64, "BLOCK_N": 64, "BLOCK_K": 32}, 4, 2),
    Config.of({"BLOCK_M": 32, "BLOCK_N": 64, "BLOCK_K": 32}, 4, 3),
)
MORE = (*LISTED, Config.of({"BLOCK_M": 64, "BLOCK_N": 64, "BLOCK_K": 32}, 4, 3))


def built(source: str) -> str:
    """The program with its config list made by a function that reading does not run."""
    start = source.index("configs=[")
    end = source.index("],", start) + 2
    return source[:start] + "configs=candidates()," + source[end:]


def studied(*configs: Config) -> dict[str, KernelStudy]:
    studies = tuple(ConfigStudy(config, ()) for config in configs)
    return {"project_kernel": KernelStudy("project_kernel", True, studies)}


def rules_of(lab: ModuleType, *configs: Config) -> tuple[Status, list[str], tuple[str, ...]]:
    """Status, broken rules and notes of a candidate whose built list the trace found to be this."""
    source = built(lab.MATMUL)
    context = lab.context_of(lab.MATMUL, source, lab.tuning_stage())
    child = with_built_lists(context.child, studied(*configs))
    result = check_rules(replace(context, child=child))
    return result.status, [violation.rule for violation in result.violations], result.notes


def test_a_list_that_code_builds_is_judged_as_the_trace_found_it(lab: ModuleType) -> None:
    status, broken, notes = rules_of(lab, *MORE)
    assert (status, broken) == (Status.PASS, [])
    assert any("built by code" in note for note in notes)


def test_a_built_list_that_breaks_a_rule_is_refused_at_its_decorator(lab: ModuleType) -> None:
    status, broken, _ = rules_of(lab, *MORE, replace(LISTED[0], num_stages=5))
    assert status is Status.FAIL
    assert set(broken) == {"num_stages.domain", "num_stages.step", "configs.nearby"}
    view = with_built_lists(read_program(built(lab.MATMUL)), studied(*MORE))
    (kernel,) = view.kernels
    assert kernel.autotune is not None and kernel.autotune.configs is not None
    assert {config.line for config in kernel.autotune.configs} == {kernel.autotune.line}


def test_a_built_list_of_which_nothing_is_known_stays_unknown(lab: ModuleType) -> None:
    status, broken, notes = rules_of(lab)
    assert (status, broken) == (Status.NOT_VERIFIED, [])
    assert any("built by code that reading does not run" in note for note in notes)


def test_a_list_that_can_be_read_stays_as_written(lab: ModuleType) -> None:
    view = read_program(lab.MATMUL)
    assert with_built_lists(view, studied(LISTED[0])) == view
