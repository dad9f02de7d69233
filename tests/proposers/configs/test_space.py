"""Spaces of tiles: their values, what is left out, and that every point computes the same."""

from __future__ import annotations

import numpy as np
import pytest
import rewriting
import tiled
from laboratory import refusals
from tiled import PRODUCT, ROWS, STREAM, SUMMED

from warpwright.data.stages import all_stages
from warpwright.proposers.configs.constraints import TuningRules
from warpwright.proposers.configs.space import TileSpace
from warpwright.proposers.configs.spread import spread
from warpwright.proposers.configs.tile_candidates import tile_candidates
from warpwright.types.config import Config
from warpwright.types.stage import Rule, Stage, StageId

pytestmark = pytest.mark.triton
FREE = [
    stage
    for stage in all_stages()
    if stage.id is not None and stage.rule("block_sizes.frozen") is None
]


def space(source: str, *rules: Rule) -> TileSpace:
    found = tiled.space_of(source, *rules)
    assert isinstance(found, TileSpace), found
    return found


def axes(found: TileSpace) -> dict[str, tuple[int | None, ...]]:
    return {axis.name: axis.values for axis in found.space.axes}


def test_a_product_on_the_plain_multipliers_has_the_sizes_of_its_kind() -> None:
    found = space(PRODUCT)
    assert found.use.kind == "plain"
    assert axes(found) == {
        "ROWS": (16, 32, 64, 128),
        "COLUMNS": (16, 32, 64, 128),
        "DEPTH": (16, 32, 64),
        "num_warps": (2, 4, 8, 16),
        "num_stages": (1, 2, 3),
    }
    assert found.space.start == Config.of({"ROWS": 16, "COLUMNS": 32, "DEPTH": 16}, 2, 3)
    wide = Config.of({"ROWS": 128, "COLUMNS": 128, "DEPTH": 16}, 2, 3)
    assert not found.space.allowed(wide), "256 sums a thread"


def test_without_exact_products_it_is_one_for_the_tensor_cores() -> None:
    source = PRODUCT.replace(", allow_tf32=False", "")
    tiled.SHAPES[source] = tiled.SHAPES[PRODUCT]
    assert space(source).use.kind == "product"


def test_no_tile_is_much_larger_than_what_it_covers() -> None:
    assert axes(space(STREAM))["BLOCK"] == (32, 64, 128, 256, 512, 1024, 2048)
    assert axes(space(STREAM))["num_stages"] == (3,), "nothing to pipeline"
    rows = axes(space(ROWS))
    assert rows["MANY"][-1] == 64
    assert rows["BLOCK"][-1] == 256


def test_rules_on_values_bound_the_axes() -> None:
    domain = Rule("block_sizes.domain", {"names": ("BLOCK",), "values": (256, 512)})
    assert axes(space(STREAM, domain))["BLOCK"] == (64, 256, 512), "its own always stays"
    multiple = Rule("block_sizes.multiple", {"names": ("BLOCK",), "of": 128})
    assert axes(space(STREAM, multiple))["BLOCK"] == (64, 128, 256, 512, 1024, 2048)
    warps = Rule("num_warps.domain", {"values": (4, 8)})
    assert axes(space(STREAM, warps))["num_warps"] == (4, 8)
    fewer = Rule("num_stages.increase_only_if", {"condition": "memory stalls"})
    assert axes(space(PRODUCT, fewer))["num_stages"] == (1, 2, 3)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (
            "y = torch.empty_like(x)",
            "y = torch.empty(triton.cdiv(x.numel(), 64) * 64)",
            "grids and",
        ),
        ("2.0 * tl.load", "BLOCK * tl.load", "it is used as"),
        ("triton.cdiv(x.numel(), 64)", "(x.numel() + 63) // 64", "rounding up"),
        ("tl.program_id(0) * BLOCK + tl", "tl", "whole row"),
    ],
)
def test_why_there_is_no_space_is_told(old: str, new: str, why: str) -> None:
    changed = STREAM.replace(old, new)
    assert changed != STREAM
    tiled.SHAPES[changed] = tiled.SHAPES[STREAM]
    found = tiled.space_of(changed)
    assert isinstance(found, str) and why in found


def test_where_lanes_beyond_the_end_count_only_divisors_of_a_fixed_size_are_tried() -> None:
    sizes = tiled.SHARES.replace("BLOCK = 16", "BLOCK = 64")
    tiled.SHAPES[sizes] = tiled.SHAPES[tiled.SHARES]
    assert axes(space(sizes))["BLOCK"] == (32, 64)
    worked_out = tiled.SHARES.replace("BLOCK = 16", "BLOCK = triton.next_power_of_2(width)")
    tiled.SHAPES[worked_out] = tiled.SHAPES[tiled.SHARES]
    found = tiled.space_of(worked_out)
    assert isinstance(found, str) and "worked out by host code" in found


def test_known_shapes_come_first_and_the_rest_lies_apart() -> None:
    found = space(PRODUCT)
    first = tile_candidates(found, TuningRules(), 24)
    assert first[0] == Config.of({"ROWS": 128, "COLUMNS": 128, "DEPTH": 16}, 8, 2)
    assert len(set(first)) == 24
    assert all(found.space.allowed(config) for config in first)
    assert found.space.start.meta not in {config.meta for config in first}
    advised = TuningRules.of(
        [Rule("block_sizes.start", {"names": ("BLOCK",), "values": (256, 512)})]
    )
    sizes = [c.meta_dict["BLOCK"] for c in tile_candidates(space(STREAM), advised, 8)]
    assert set(sizes[:3]) <= {256, 512}


@pytest.mark.parametrize("source", [PRODUCT, STREAM, ROWS], ids=["product", "stream", "rows"])
def test_every_sort_of_point_computes_the_same(source: str) -> None:
    found = space(source)
    points = spread(list(found.space.configs())[::7], 5, [found.space.start])
    program = tiled.with_list(source, points)
    (wanted,) = tiled.outputs(source, source)
    name = tiled.launched(source)[1].name
    for config in (found.space.start, *points):
        (got,) = tiled.outputs(program, source, {name: config})
        np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("capability", [(8, 9), (9, 0)])
@pytest.mark.parametrize("source", [PRODUCT, STREAM, ROWS], ids=["product", "stream", "rows"])
def test_what_is_tried_first_compiles(source: str, capability: tuple[int, int]) -> None:
    found = space(source)
    program = tiled.with_list(source, tile_candidates(found, TuningRules(), 3))
    problem = rewriting.problem(tiled.shapes_of(source))
    assert rewriting.compile_faults(program, problem, capability) == []


@pytest.mark.parametrize("stage", FREE, ids=lambda s: f"{s.id}-{s.kind}")
def test_the_verifier_takes_other_tiles_where_the_stage_leaves_them_free(stage: Stage) -> None:
    rules = TuningRules.of(stage.rules)
    found = space(STREAM, *stage.rules)
    own = found.space.start
    same = [c for c in tile_candidates(found, rules, 24) if c.num_stages == own.num_stages]
    same = [c for c in same if c.num_warps == own.num_warps]
    program = tiled.with_list(STREAM, same[:2])
    assert program.count("triton.Config(") == 3
    assert [r for r in refusals(STREAM, program, stage) if "configs.include" not in r] == []


def test_it_refuses_them_where_they_are_frozen() -> None:
    stage = next(s for s in all_stages() if s.rule("block_sizes.frozen") is not None)
    assert stage.id is StageId.TUNING
    program = tiled.with_list(STREAM, [Config.of({"BLOCK": 128}, 4, 3)])
    assert any("block_sizes.frozen" in refusal for refusal in refusals(STREAM, program, stage))
    assert tiled.space_of(STREAM, *stage.rules) == "the stage's rules leave BLOCK sizes as they are"


def test_what_adds_by_atomics_may_have_one_other_tile() -> None:
    found = space(SUMMED)
    assert axes(found)["BLOCK"] == (32, 64, 128, 256, 512)
    pinned = tiled.alone(SUMMED, Config.of({"BLOCK": 128}, 8, 3))
    line = "summed[(triton.cdiv(x.numel(), 128),)](x, y, x.numel(), BLOCK=128, num_warps=8)"
    assert line in pinned
    (wanted,), (got,) = tiled.outputs(SUMMED, SUMMED), tiled.outputs(pinned, SUMMED)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
