"""Wording of stages that others write, and what it becomes. Wordings are bullets as they occur."""

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from warpwright.data.rules import rule_definitions
from warpwright.errors import InputError
from warpwright.formats.documents import Line
from warpwright.formats.rule_phrases import BulletReading, read_bullet
from warpwright.formats.rule_templates import read_rule, render_rule
from warpwright.formats.stage_text import MAX_ITEMS, parse_stage, render_stage
from warpwright.types.stage import MetricTarget, ParameterValue, ProgramKind, Rule, Stage, StageId

MN = ("BLOCK_M", "BLOCK_N")
LOW = "IF register pressure LOW (regs < 96, no spill):"
HIGH = "IF register pressure HIGH (regs > 128 or occupancy_limit_registers):"


def stage_of(text: str) -> Stage:
    return parse_stage([Line(line, n) for n, line in enumerate(text.split("\n"), 1)], line=1)


def rendered_and_read(stage: Stage) -> Stage:
    _heading, body = render_stage(stage).split("\n", 1)
    return stage_of(body)


@pytest.mark.parametrize(
    ("bullet", "rules"),
    [
        ("num_warps ∈ {2,4,8,16}", [("num_warps.domain", {"values": (2, 4, 8, 16)})]),
        ("`num_stages`: {2, 3, 4}", [("num_stages.domain", {"values": (2, 3, 4)})]),
        ("num_warps must be 4 or 8", [("num_warps.domain", {"values": (4, 8)})]),
        ("num_stages between 2 and 4", [("num_stages.domain", {"values": (2, 3, 4)})]),
        ("num_warps must be between 4 and 16", [("num_warps.domain", {"values": (4, 8, 16)})]),
        ("`num_stages` may change by at most 1.", [("num_stages.step", {"max": 1})]),
        (
            "Keep BLOCK sizes and the launch grid unchanged.",
            [("grid.frozen", {}), ("block_sizes.frozen", {})],
        ),
        ("BLOCK_* must stay fixed", [("block_sizes.frozen", {})]),
        ("The grid mapping stays unchanged", [("grid.frozen", {})]),
        ("The original config must be included", [("configs.keep_original", {})]),
        ("Never exceed 3 grid dimensions", [("grid.max_dims", {"max": 3})]),
        ("num_stages ∈ 2–4", [("num_stages.domain", {"values": (2, 3, 4)})]),
        ("num_warps in 2-8", [("num_warps.domain", {"values": (2, 4, 8)})]),
        (
            "Change num_warps only if occupancy suggests it",
            [("num_warps.only_if", {"condition": "occupancy"})],
        ),
        ("Change num_stages by ±1 only", [("num_stages.step", {"max": 1})]),
        ("Do NOT modify grid or BLOCK sizes", [("grid.frozen", {}), ("block_sizes.frozen", {})]),
        (
            "3–6 nearby configs",
            [("configs.count", {"min": 3, "max": 6}), ("configs.nearby", {})],
        ),
        ("Max 2-3 configs to reduce compilation time", [("configs.count", {"max": 3})]),
        ("2–4 configs max", [("configs.count", {"max": 4})]),
        ("at most 5 configs", [("configs.count", {"max": 5})]),
        ("exactly 2 configs", [("configs.count", {"min": 2, "max": 2})]),
        ("Always include original config", [("configs.keep_original", {})]),
        (
            "Always include conservative baseline (num_warps=4, num_stages=2)",
            [("configs.include", {"num_warps": 4, "num_stages": 2})],
        ),
        (
            "Revert if gain <1–2% or unstable",
            [("gain.minimum", {"low_pct": 1, "high_pct": 2}), ("gain.stable", {})],
        ),
        (
            "Test before/after: revert if gain < 2%",
            [("gain.minimum", {"low_pct": 2, "high_pct": 2})],
        ),
        (
            "FP32: M/N ∈ {32,64}, K ∈ {16}",
            [
                ("block_sizes.domain", {"names": MN, "values": (32, 64), "when": "fp32"}),
                ("block_sizes.domain", {"names": ("BLOCK_K",), "values": (16,), "when": "fp32"}),
            ],
        ),
        (
            "Tensor Core: BLOCK_M/N multiple of 16 (preference)",
            [
                (
                    "block_sizes.multiple",
                    {"names": MN, "of": 16, "when": "tensor cores", "preference": True},
                )
            ],
        ),
        ("If unsure about correctness, do NOT change grid", [("grid.frozen_if_unsure", {})]),
        ("Max 3 grid dims, static rank", [("grid.max_dims", {"max": 3}), ("grid.static_rank", {})]),
        ("grid=(G0,G1,G2) must match tl.program_id(0/1/2)", [("grid.matches_program_ids", {})]),
        (
            ">3D: flatten ONLY independent dims",
            [("grid.flatten", {"above": 3, "only_independent": True})],
        ),
        ("Autotune either BLOCK_* OR (num_warps, num_stages)", [("autotune.blocks_or_launch", {})]),
        ("Never redefine BLOCK_* in both kernel and launch", [("block_sizes.defined_once", {})]),
        ("✅ Single tl.store() for final output - required", [("stores.one_per_output", {})]),
        (
            "❌ tl.store() for intermediate results - NEVER (fusion removes it)",
            [("stores.no_intermediate", {})],
        ),
        (
            "If unsure, try num_stages ∈ {1,2,3} on kernel",
            [("num_stages.suggested", {"values": (1, 2, 3)}), ("autotune.on_kernel", {})],
        ),
    ],
)
def test_a_bullet_becomes_exactly_its_rules(
    bullet: str, rules: list[tuple[str, dict[str, ParameterValue]]]
) -> None:
    assert read_bullet(bullet) == BulletReading(tuple(Rule(*rule) for rule in rules))


def test_a_condition_in_the_heading_reaches_the_rules_below() -> None:
    assert read_bullet("Try num_warps=8 for compute-bound fusion", LOW).rules == (
        Rule(
            "num_warps.when",
            {
                "value": 8,
                "strength": "try",
                "registers_below": 96,
                "no_spill": True,
                "when": "compute-bound",
            },
        ),
    )
    assert read_bullet("Keep num_stages=2 (more registers)", HIGH).rules == (
        Rule(
            "num_stages.when",
            {"value": 2, "strength": "use", "registers_above": 128, "register_limited": True},
        ),
    )


def test_a_rule_below_a_condition_that_it_cannot_hold_is_not_read_as_unconditional() -> None:
    (rule,) = read_bullet("Do NOT modify grid", "IF the moon is full:").rules
    assert rule == Rule("unchecked", {"text": "IF the moon is full: Do NOT modify grid"})


def test_a_clause_that_nothing_covers_is_listed_and_not_dropped() -> None:
    found = read_bullet("Do NOT modify grid, and never touch the masks")
    assert found.rules == (
        Rule("grid.frozen"),
        Rule("unchecked", {"text": "never touch the masks"}),
    )


def test_prose_is_a_note_only_under_its_heading() -> None:
    text = "Fusion keeps values in registers"
    assert read_bullet(text, "Key Principle:") == BulletReading(notes=(text,))
    assert read_bullet(text, "Rules:").rules == (Rule("unchecked", {"text": text}),)


def test_a_stage_of_bold_headings_reads_like_one_of_plain_headings() -> None:
    plain = stage_of(
        "Focus: BLOCK_M/N/K selection.\n\nMetrics:\n"
        "- sm__warps_active.avg.pct_of_peak_sustained_active (>50%)\n\nRules:\n"
        "- BLOCK_* must be powers of 2\n"
    )
    bold = stage_of(
        "**Focus**: Tune BLOCK_M/N/K sizes.\n\n**NCU Metrics to Check**:\n"
        "• `sm__warps_active.avg.pct_of_peak_sustained_active`: occupancy (target: >50%)\n\n"
        "**Guidelines**:\n* **All BLOCK_* must be powers of 2**\n"
    )
    assert plain == bold
    assert plain.id is StageId.TILING
    assert plain.metrics == (
        MetricTarget("sm__warps_active.avg.pct_of_peak_sustained_active", ">", 50),
    )
    assert plain.rules == (Rule("block_sizes.power_of_two"),)


def test_a_code_block_in_the_stage_is_a_note() -> None:
    stage = stage_of(
        "Focus: memory\nExample:\n```\n- Do NOT modify grid\n```\n- Do NOT modify grid"
    )
    assert stage.notes == ("- Do NOT modify grid",)
    assert stage.rules == (Rule("grid.frozen"),)
    assert rendered_and_read(stage) == stage


def test_a_rule_said_twice_is_one_rule() -> None:
    stage = stage_of("Focus: grid\nRules:\n- Max 3 grid dims\n- Never use more than 3 dimensions!")
    assert stage.rules == (Rule("grid.max_dims", {"max": 3}),)


def test_the_kind_comes_from_the_text_unless_it_is_stated() -> None:
    rule = "\nRules:\n- Max 3 grid dims"
    assert stage_of("Focus: grid" + rule).kind is ProgramKind.SINGLE
    assert stage_of("Focus: grid for FUSED operations" + rule).kind is ProgramKind.FUSION
    assert stage_of("Focus: grid of a whole network" + rule).kind is ProgramKind.NETWORK
    assert stage_of("Kind: single\nFocus: grid, fused" + rule).kind is ProgramKind.SINGLE


def test_a_retired_metric_is_read_and_kept() -> None:
    name = "smsp__warp_issue_stalled_memory_dependency_per_warp_active.pct"
    stage = stage_of(f"Focus: memory\nMetrics:\n- {name} (<20%)")
    assert stage.metrics == (MetricTarget(name, "<", 20),)


def test_a_stage_of_thousands_of_bullets_is_refused() -> None:
    with pytest.raises(InputError, match="too many bullets"):
        stage_of("Focus: grid\n" + "- Max 3 grid dims\n" * (MAX_ITEMS + 1))


WORDS = st.from_regex(r"[a-z]{1,8}( [a-z]{1,8}){0,2}", fullmatch=True)
VALUES: dict[str, st.SearchStrategy[ParameterValue]] = {
    "int": st.integers(0, 10**6),
    "float": st.integers(0, 10**6) | st.floats(0, 1e6, width=32),
    "flag": st.just(True),
    "token": st.from_regex(r"[a-z_]{1,10}", fullmatch=True),
    "word": WORDS,
    "text": st.text(max_size=60),
    "ints": st.lists(st.integers(0, 10**6), min_size=1, max_size=5).map(tuple),
    "powers": st.lists(st.integers(0, 10**6), min_size=1, max_size=5).map(tuple),
    "words": st.lists(WORDS, min_size=1, max_size=4).map(tuple),
    "blocks": st.lists(st.from_regex(r"BLOCK_[A-Z]", fullmatch=True), min_size=1).map(tuple),
}


@st.composite
def any_rule(draw: st.DrawFn) -> Rule:
    rule_id = draw(st.sampled_from(sorted(rule_definitions())))
    parameters = {
        name: draw(VALUES[spec.type])
        for name, spec in rule_definitions()[rule_id].parameters.items()
        if not spec.optional or draw(st.booleans())
    }
    return Rule(rule_id, parameters)


@given(rule=any_rule())
def test_every_rule_is_read_back_from_its_own_wording(rule: Rule) -> None:
    assert read_rule(render_rule(rule)) == rule


@given(rules=st.lists(any_rule(), max_size=5), kind=st.sampled_from(ProgramKind))
def test_every_stage_is_read_back_from_its_own_wording(
    rules: list[Rule], kind: ProgramKind
) -> None:
    unique = tuple(rule for at, rule in enumerate(rules) if rule not in rules[:at])
    stage = Stage(StageId.GRID, kind, "Launch grid", unique)
    assert rendered_and_read(stage) == stage


@settings(max_examples=examples(100), deadline=None)
@given(text=st.text(max_size=1200), heading=st.text(max_size=100))
def test_any_bullet_is_read_and_never_lost(text: str, heading: str) -> None:
    found = read_bullet(text, heading)
    assert found.rules or found.notes or not any(ch.isalnum() for ch in text)


@settings(deadline=None, max_examples=examples(50))
@given(
    pieces=st.lists(
        st.sampled_from(
            ["num_stages ", "do not modify ", "{", "(", "2-3 ", "configs ", "BLOCK_* ", "unsure, "]
        ),
        max_size=200,
    )
)
def test_bullets_made_to_be_slow_are_read_all_the_same(pieces: list[str]) -> None:
    assert isinstance(read_bullet("".join(pieces)), BulletReading)
