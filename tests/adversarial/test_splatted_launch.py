"""Trick: launch options in a dictionary, where a reader of keywords does not look."""

from __future__ import annotations

from types import ModuleType

import pytest

from warpwright.types.config import Config
from warpwright.types.launch_trace import ConstantArgument, Launch, Trace, TracedConfig
from warpwright.types.verdict import Status

LAUNCH = "scale_kernel[grid](x, y, n, factor, BLOCK=BLOCK, num_warps=4)"


def launched(lab: ModuleType, how: str, before: str = "") -> str:
    """The program with another launch, and statements before it."""
    lines = [*before.splitlines(), f"scale_kernel[grid]({how})"]
    return str(lab.replaced(lab.SCALE, LAUNCH, "\n    ".join(lines)))


def traced(warps: int) -> Trace:
    config = TracedConfig(Config((), num_warps=warps), (1, 1, 1))
    block = {"BLOCK": ConstantArgument(1024, "1024")}
    return Trace((Launch("scale_kernel", 0, block, (config,), False),))


@pytest.mark.parametrize(
    ("how", "before"),
    [
        ("x, y, n, factor, **dict(BLOCK=BLOCK, num_warps={})", ""),
        ("x, y, n, factor, **opts", 'opts = {{"BLOCK": BLOCK, "num_warps": {}}}'),
        ("*args, **dict(BLOCK=BLOCK, num_warps={})", "args = (x, y, n, factor)"),
        ("x, y, n, factor, **table[0]", "table = [dict(BLOCK=BLOCK, num_warps={})]"),
    ],
)
def test_a_dictionary_is_judged_by_what_it_holds(lab: ModuleType, how: str, before: str) -> None:
    honest = launched(lab, how.format(4), before.format(4))
    assert lab.judged(lab.SCALE, honest).status is Status.PASS
    smuggled = lab.refusals(lab.SCALE, launched(lab, how.format(32), before.format(32)))
    assert any("num_warps.domain" in reason for reason in smuggled)
    tile = launched(lab, how.format(4), before.format(4)).replace("BLOCK=BLOCK", "BLOCK=64")
    tile = tile.replace('"BLOCK": BLOCK', '"BLOCK": 64')
    assert any("block_sizes.frozen" in reason for reason in lab.refusals(lab.SCALE, tile))


HIDDEN = 'opts = dict(BLOCK=BLOCK)\nother = opts\nother["num_warps"] = {}'


def test_a_dictionary_that_cannot_be_read_is_unknown(lab: ModuleType) -> None:
    report = lab.judged(lab.SCALE, launched(lab, "x, y, n, factor, **opts", HIDDEN.format(4)))
    assert report.status is Status.NOT_VERIFIED


def test_the_trace_tells_what_such_a_dictionary_held(lab: ModuleType) -> None:
    honest = launched(lab, "x, y, n, factor, **opts", HIDDEN.format(4))
    report = lab.judged(lab.SCALE, honest, child_trace=traced(4))
    assert report.status is Status.PASS, [str(v) for v in report.violations]
    smuggled = launched(lab, "x, y, n, factor, **opts", HIDDEN.format(32))
    reasons = lab.refusals(lab.SCALE, smuggled, child_trace=traced(32))
    assert any("num_warps.domain" in reason for reason in reasons)


def test_such_a_dictionary_may_not_change_behind_an_unchanged_launch(lab: ModuleType) -> None:
    parent = launched(lab, "x, y, n, factor, **opts", HIDDEN.format(4))
    child = launched(lab, "x, y, n, factor, **opts", HIDDEN.format(32))
    assert lab.judged(parent, parent + "\n# the same\n").status is Status.PASS
    assert lab.judged(parent, child).status is Status.NOT_VERIFIED
