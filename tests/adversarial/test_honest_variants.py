"""The other side of every trick: honest programs in many hands, none of which may be refused.

Each is held to the whole verdict of `check` without a GPU: read, traced, compiled, and its outputs
compared. The stage has no rules of its own, so that only what holds at every stage can refuse.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace

import honest_halves
import honest_hosts
import honest_linear
import honest_linear_kernels
import honest_maps
import honest_norms
import honest_shares
import honest_sums
import pytest
from accuracy_trial import changed

from warpwright import api
from warpwright.formats.reply import parse_reply
from warpwright.formats.request_text import parse_request
from warpwright.pipeline.check_reply import check_reply
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.request import Request
from warpwright.types.stage import ProgramKind, Stage, StageId
from warpwright.types.verdict import ACCURACY, Status, Verdict

pytestmark = pytest.mark.triton

SETS: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "linear": (
        honest_linear.PARENT, honest_linear.PROBLEM,
        {**honest_linear.VARIANTS, **honest_linear_kernels.VARIANTS},
    ),
    "halves": (honest_halves.PARENT, honest_halves.PROBLEM, honest_halves.VARIANTS),
    "shares": (honest_shares.SHARES, honest_shares.SHARES_PROBLEM, honest_shares.SHARES_VARIANTS),
    "normed": (honest_norms.NORMED, honest_norms.NORMED_PROBLEM, honest_norms.NORMED_VARIANTS),
    "depthwise": (
        honest_maps.DEPTHWISE, honest_maps.DEPTHWISE_PROBLEM, honest_maps.DEPTHWISE_VARIANTS,
    ),
    "chain": (honest_maps.CHAIN, honest_maps.CHAIN_PROBLEM, honest_maps.CHAIN_VARIANTS),
    "hosts": (honest_maps.CHAIN, honest_maps.CHAIN_PROBLEM, honest_hosts.HOST_VARIANTS),
    "sums": (honest_sums.SUMS, honest_sums.SUMS_PROBLEM, honest_sums.SUMS_VARIANTS),
}  # fmt: skip
ONE_IN = 3
QUICK: Mapping[str, tuple[str, ...]] = {
    "linear": ("splatted dictionaries", "blocks in groups", "memory from a helper"),
    "halves": (),
    "shares": ("online",),
    "normed": (),
    "depthwise": ("static taps",),
    "chain": ("a dictionary of kernels", "a loop over launches"),
    "hosts": ("one kernel in place of two", "a closure", "the output's form made before"),
    "sums": ("the last block joins",),
}  # fmt: skip


@pytest.fixture(scope="module")
def checked() -> Callable[[str, str], Verdict]:
    """`check` on a variant beside its parent, all in one run."""
    run_context = RunContext(ResultCache())
    requests: dict[str, Request] = {}

    def check(of: str, program: str) -> Verdict:
        parent, problem, _ = SETS[of]
        if of not in requests:
            text = api.request(parent, gpu="RTX 4090", stage="grid", problem=problem)
            stage = Stage(StageId.GRID, ProgramKind.SINGLE, "anything")
            requests[of] = replace(parse_request(text), stage=stage)
        return check_reply(requests[of], parse_reply(program), run_context)

    return check


def told(verdict: Verdict) -> list[str]:
    """What a verdict holds against a program, or could not find out."""
    open_checks = [result for result in verdict.results if result.status is not Status.PASS]
    notes = [f"{result.check}: {note}" for result in open_checks for note in result.notes]
    return [*map(str, verdict.violations), *notes]


def test_one_kernel_that_does_the_work_of_one_in_place_of_two_is_refused(
    checked: Callable[[str, str], Verdict],
) -> None:
    joined = SETS["hosts"][2]["one kernel in place of two"]
    idle = changed(joined, ("silu(x) * scale + x", "silu(x)"))
    assert {violation.rule for violation in checked("hosts", idle).violations} == {ACCURACY}


def passes(verdict: Verdict) -> None:
    assert not verdict.violations, told(verdict)
    (accuracy,) = (result for result in verdict.results if result.check == ACCURACY)
    assert accuracy.status is Status.PASS, told(verdict)
    assert verdict.status is Status.PASS, told(verdict)


def accepted() -> list[object]:
    """Each variant that is accepted: the quick ones, and of the others, which are slow, one in so
    many where WARPWRIGHT_EVERY_VARIANT does not ask for all."""
    assert all(name in SETS[of][2] for of, names in QUICK.items() for name in names)
    every = [(of, name) for of, (_, _, variants) in SETS.items() for name in variants]
    slow = [one for one in every if one not in REFUSED and one[1] not in QUICK[one[0]]]
    chosen = slow if "WARPWRIGHT_EVERY_VARIANT" in os.environ else slow[::ONE_IN]
    quick = [pytest.param(of, name) for of, names in QUICK.items() for name in names]
    return [*quick, *(pytest.param(of, name, marks=pytest.mark.slow) for of, name in chosen)]


def refused() -> list[object]:
    """Each honest variant that is not accepted yet, one of each reason quick."""
    assert all(name in SETS[of][2] for of, name in REFUSED)
    seen: set[str] = set()
    found: list[object] = []
    for (of, name), (reason, detail) in REFUSED.items():
        why = pytest.mark.xfail(strict=True, reason=f"{reason}: {detail}")
        found.append(pytest.param(of, name, marks=[why, *[pytest.mark.slow][: reason in seen]]))
        seen.add(reason)
    return found


UNRUN = "accuracy is not verified, `ran in no check`"
REFUSED = {
    ("depthwise", "memory by the sizes"): (
        UNRUN, "`if (high, wide) == (height, width)` not holding",
    ),
}  # fmt: skip
"""Honest and right, all the same: (which check says no, what it says)."""


@pytest.mark.parametrize(("of", "name"), accepted())
def test_an_honest_variant_passes(
    checked: Callable[[str, str], Verdict], of: str, name: str
) -> None:
    passes(checked(of, SETS[of][2][name]))


@pytest.mark.parametrize(("of", "name"), refused())
def test_an_honest_variant_that_is_not_accepted_yet(
    checked: Callable[[str, str], Verdict], of: str, name: str
) -> None:
    passes(checked(of, SETS[of][2][name]))
