import re
from pathlib import Path

import pytest

from warpwright.data.rules import (
    CheckedBy,
    rule_definition,
    rule_definitions,
    scopes,
    validate_rule,
)
from warpwright.data.stages import (
    all_stages,
    find_stage,
    left_open,
    skip_conditions,
    stage_id_of_focus,
    stage_id_of_name,
)
from warpwright.errors import InputError
from warpwright.types.stage import ProgramKind, Rule, Stage, StageId


def test_there_is_a_stage_of_every_name_for_every_kind_once() -> None:
    pairs = [(stage.id, stage.kind) for stage in all_stages()]
    assert sorted(pairs) == sorted((i, k) for i in StageId for k in ProgramKind)


def test_every_rule_of_every_stage_fits_the_registry() -> None:
    for stage in all_stages():
        assert stage.rules
        for rule in stage.rules:
            assert validate_rule(rule) is rule


@pytest.mark.parametrize(
    ("name", "stage_id"),
    [
        ("tuning", StageId.TUNING),
        ("TUNING", StageId.TUNING),
        ("advanced_memory", StageId.TUNING),
        ("grid_and_parallel", StageId.GRID),
        ("block_tiling", StageId.TILING),
        ("memory_access", StageId.MEMORY),
    ],
)
def test_a_stage_is_found_by_its_name_and_by_its_recorded_name(
    name: str, stage_id: StageId
) -> None:
    assert find_stage(name).id is stage_id
    assert stage_id_of_name(name) is stage_id


def test_an_unknown_stage_is_refused_with_near_names() -> None:
    with pytest.raises(InputError, match="unknown stage") as caught:
        find_stage("tunning")
    assert caught.value.hint is not None
    assert "tuning" in caught.value.hint
    assert caught.value.expected == "one of grid, tiling, memory, tuning"


@pytest.mark.parametrize(
    ("focus", "stage_id"),
    [
        ("Final micro-tuning.", StageId.TUNING),
        ("Fine-tuning fused kernel parameters.", StageId.TUNING),
        ("Final micro-optimizations (small adjustments only).", StageId.TUNING),
        ("Grid layout & indexing for FUSED operations.", StageId.GRID),
        ("Optimize grid layout and parallel work distribution.", StageId.GRID),
        ("BLOCK_SIZE with register pressure awareness.", StageId.TILING),
        ("BLOCK_M/N/K selection.", StageId.TILING),
        ("Memory pattern for fused operations.", StageId.MEMORY),
        ("World peace.", None),
        ("", None),
    ],
)
def test_a_focus_tells_the_stage(focus: str, stage_id: StageId | None) -> None:
    assert stage_id_of_focus(focus) is stage_id


def test_the_focus_of_our_own_stages_tells_the_stage() -> None:
    for stage in all_stages():
        assert stage_id_of_focus(stage.focus) is stage.id


def test_our_table_fills_only_what_a_request_leaves_open() -> None:
    stated = Stage(StageId.TUNING, ProgramKind.SINGLE, "", (Rule("configs.count", {"max": 3}),))
    open_ids = [rule.id for rule in left_open(stated)]
    assert "configs.count" not in open_ids
    assert "grid.frozen" in open_ids
    assert left_open(find_stage("tuning")) == ()
    assert left_open(Stage(None, ProgramKind.SINGLE, "")) == ()


def test_every_stage_says_when_it_has_nothing_to_gain() -> None:
    for stage_id in StageId:
        for condition in skip_conditions(stage_id):
            assert condition.comparison in ("<", ">")
            assert condition.target is not None


def test_an_unknown_rule_is_refused_with_a_near_id() -> None:
    with pytest.raises(InputError, match="unknown rule") as caught:
        rule_definition("config.count")
    assert caught.value.hint is not None
    assert "configs.count" in caught.value.hint


@pytest.mark.parametrize(
    "rule",
    [
        Rule("configs.count", {"most": 3}),
        Rule("configs.count", {"max": "three"}),
        Rule("configs.count", {"max": True}),
        Rule("num_stages.step"),
        Rule("num_warps.domain", {"values": ()}),
        Rule("num_warps.domain", {"values": 4}),
    ],
)
def test_parameters_that_do_not_fit_are_refused(rule: Rule) -> None:
    with pytest.raises(InputError):
        validate_rule(rule)


def test_every_rule_says_what_it_means_and_how_it_is_checked() -> None:
    for rule_id, definition in rule_definitions().items():
        assert definition.meaning.endswith("."), rule_id
        assert definition.checked in CheckedBy
        for name in re.findall(r"\{(\w+)!?\}", definition.template):
            assert name in definition.parameters, rule_id
        for name in definition.parameters:
            assert re.search(rf"\{{{name}!?\}}", definition.template), rule_id


def test_every_pattern_compiles_and_names_parameters_that_exist() -> None:
    for rule_id, definition in rule_definitions().items():
        for phrase in definition.phrases:
            groups = re.compile(phrase.match).groupindex
            given = {*groups, *phrase.set, *phrase.copies, *phrase.copies.values()}
            assert given <= definition.parameters.keys(), rule_id
    parameters = {n for d in rule_definitions().values() for n in d.parameters}
    for scope in scopes():
        assert {*re.compile(scope.match).groupindex, *scope.set} <= parameters


def test_the_documented_table_of_rules_is_the_registry() -> None:
    page = Path(__file__).parents[2] / "docs" / "stages-and-rules.md"
    rows = [
        line
        for line in page.read_text("utf-8").split("\n")
        if re.match(r"\| `[a-z_]+(?:\.[a-z_]+)?` \|", line) and line.count("|") == 5
    ]
    expected = []
    for rule_id, definition in rule_definitions().items():
        names = ", ".join(
            name + ("?" if spec.optional else "") for name, spec in definition.parameters.items()
        )
        meaning = definition.meaning
        expected.append(f"| `{rule_id}` | {names} | {definition.checked.value} | {meaning} |")
    assert rows == expected
