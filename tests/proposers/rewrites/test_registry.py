"""Rewrites are found by their place; each says when it is tried."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import tiled

from warpwright.proposers import rewrites
from warpwright.proposers.rewrites import registry
from warpwright.proposers.rewrites.config_list import CONFIGS, apply_configs, configs_move
from warpwright.proposers.rewrites.pin import PIN, apply_pin, pin_move
from warpwright.types.config import Config

MADE_UP = """
from warpwright.proposers.rewrites.common.rewrite import Rewrite

REWRITES = (
    Rewrite("made-up", lambda program, calls: (), lambda source, move: source, "nothing"),
)
"""


def test_a_file_in_the_folder_is_all_that_a_new_rewrite_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made_up.py").write_text(MADE_UP)
    monkeypatch.setattr(rewrites, "__path__", [*rewrites.__path__, str(tmp_path)])
    try:
        listed = {rewrite.name: rewrite for rewrite in registry._listed()}
    finally:
        sys.modules.pop(f"{rewrites.__name__}.made_up", None)
    assert listed.keys() - registry.REWRITES.keys() == {"made-up"}
    assert listed["made-up"].alone
    assert listed["made-up"].place > max(r.place for r in registry.REWRITES.values())


def test_every_rewrite_has_a_name_and_a_place_of_its_own() -> None:
    listed = list(registry._listed())
    assert len({rewrite.name for rewrite in listed}) == len(listed)
    assert len({rewrite.place for rewrite in listed}) == len(listed)


def test_the_ways_begin_with_what_makes_others_possible() -> None:
    assert registry.FIRST == ("specialise", "count", "triangle")
    assert not set(registry.FIRST) & {name for way in registry.BRANCHES for name in way}
    assert ("pack", "accumulate") in registry.BRANCHES
    assert set(registry.PACKS) == {"pack", "repack"}
    assert {"grouped"} == registry.MEASURED
    assert registry.UNPACKS == ("transposed",)
    assert registry.FLOAT32_BY == {"planes": ("bf16", 6)}


def test_what_follows_in_a_way_is_a_rewrite() -> None:
    assert {name for way in registry.BRANCHES for name in way} <= registry.REWRITES.keys()


def test_a_list_with_other_configs_is_replayed_too() -> None:
    """What tiles are chosen is none of the registry's business; what was chosen, it replays."""
    pinned = pin_move("doubled", Config.of({"BLOCK": 128}, 2))
    text = registry.replay(tiled.STREAM, [pinned])
    assert text == apply_pin(tiled.STREAM, pinned) != tiled.STREAM
    listed = configs_move(
        "doubled", [Config.of({"BLOCK": 64}), Config.of({"BLOCK": 256})], ["count"]
    )
    text = registry.replay(tiled.STREAM, [listed])
    assert text == apply_configs(tiled.STREAM, listed) != tiled.STREAM
    names = {name for way in registry.BRANCHES for name in way}
    assert not names & {CONFIGS, PIN}
