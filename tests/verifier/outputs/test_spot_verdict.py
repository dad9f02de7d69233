"""Verdicts on single blocks at full size, from values alone."""

from __future__ import annotations

import numpy as np
import pytest

from warpwright.interpreter.interpret import MemoryEvent
from warpwright.interpreter.spot.spot import SpotOutput, SpotRun
from warpwright.sandbox.arrays import Array
from warpwright.types.verdict import CheckResult, Status
from warpwright.verifier.outputs.spot_verdict import (
    against_parent_blocks,
    against_reference_values,
    concluded,
    conduct_at_full_size,
    left_out,
)

SIZE = 100_000


def run(first: int = 0, last: int = 1000, factor: float = 1.0, **changes: object) -> SpotRun:
    at = np.arange(first, last)
    values = (np.sin(at) * factor).astype(np.float32)
    output = SpotOutput(Array("output", "float32", values), at, (SIZE,), (500, 500))
    given: dict[str, object] = {"outcome": "ok", "outputs": (output,), "kernel": "k", "ran": 2,
                                "of": 200, "digest": "d"}  # fmt: skip
    return SpotRun(**{**given, **changes})  # type: ignore[arg-type]


def test_common_elements_are_compared_and_counted() -> None:
    compared = against_parent_blocks(run(), run(400, 3000))
    assert (compared.count, compared.fault) == (600, None)
    assert not against_parent_blocks(run(), run(900, 3000)).is_enough
    result = concluded(run(), compared, "the parent")
    assert isinstance(result, CheckResult)
    assert result.status is Status.PASS
    assert "2 of the 200 blocks of k" in result.notes[0]


@pytest.mark.parametrize(("factor", "wrong"), [(1.0001, False), (1.01, True), (0.25, True)])
def test_values_too_far_apart_fail(factor: float, wrong: bool) -> None:
    result = concluded(run(), against_parent_blocks(run(factor=factor), run()), "the parent")
    assert isinstance(result, CheckResult)
    assert (result.status is Status.FAIL) is wrong


def test_nothing_in_common_is_no_pass() -> None:
    told = concluded(run(), against_parent_blocks(run(), run(5000, 6000)), "the parent")
    assert isinstance(told, str)
    assert told.startswith("not verified at full size")


def test_the_reference_decides_only_where_the_parent_is_right() -> None:
    at = np.arange(0, 2000)
    right = {"output": (at, np.sin(at))}
    ours = against_reference_values(run(factor=0.5), run(500, 2000), right)
    assert ours is not None
    assert ours.fault is not None
    assert against_reference_values(run(factor=0.5), run(500, 2000, factor=0.5), right) is None


def test_a_grid_that_is_too_small_for_the_output_fails_with_an_element_that_is_lost() -> None:
    assert left_out(run(), run()) is None
    short = left_out(run(of=150), run(0, 1500))
    assert short is not None
    assert "75,000 of its 100,000 elements" in short
    assert left_out(run(of=150), run(0, 1500, of=150)) is None  # so does the parent


def test_conduct_is_judged_before_values() -> None:
    write = MemoryEvent("k", 3, "write", 7, "tl.store(p, x)")
    read = MemoryEvent("k", 3, "read", 7, "tl.load(p)")
    lines = frozenset({"tl.load(p)", "tl.store(p, x)"})
    fails = [
        (run(outcome="failed", reason="ValueError"), run()),
        (run(memory_events=(write,)), run()),
        (run(outputs=()), run()),
    ]
    for ours, theirs in fails:
        found = conduct_at_full_size(ours, theirs, lines)
        assert isinstance(found, CheckResult)
        assert found.status is Status.FAIL
    open_ = [
        (run(outcome="timeout", reason="slow"), run()),
        (run(), run(outcome="failed", reason="ValueError")),
        (run(digest="other"), run()),
        (run(mixed="atomics"), run()),
        (run(matched=False), run()),
    ]
    for ours, theirs in open_:
        assert isinstance(conduct_at_full_size(ours, theirs, lines), str)
    assert conduct_at_full_size(run(memory_events=(read,)), run(), lines) is None
    assert (
        conduct_at_full_size(run(memory_events=(write,)), run(memory_events=(write,)), lines)
        is None
    )
