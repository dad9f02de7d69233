"""Which branches that no check ran leave a candidate not verified."""

from __future__ import annotations

from warpwright.program.branch_sites import Outcome
from warpwright.verifier.outputs.branches import unrun_branches

PARENT = "def run(n):\n    if n > 8:\n        n = 8\n    return n\n"
TEST = "n > 5000"
CHILD = PARENT.replace("    return", "    if n > 5000:\n        n = 0\n    return")


def found(
    ran: set[Outcome], source: str = CHILD, reached: set[Outcome] | None = None
) -> list[tuple[int, bool]]:
    branches = unrun_branches(source, PARENT, ran, reached=reached or set(), reached_at_full=set())
    return [(branch.line, branch.open) for branch in branches]


def test_a_way_of_its_own_that_never_ran_is_open_and_the_parents_is_not_told() -> None:
    assert found({(4, "if", TEST, False)}) == [(4, True)]
    assert found({(4, "if", TEST, False), (4, "if", TEST, True)}) == []


def test_what_stands_in_a_branch_that_never_ran_is_told_by_that_one() -> None:
    assert found(set()) == []


def test_a_guard_that_raises_may_stay_unrun() -> None:
    raising = CHILD.replace("n = 0", "raise ValueError(n)")
    assert found({(4, "if", TEST, False)}, raising) == []


def test_a_test_on_a_tensors_kind_is_told_only_unless_some_sizes_lead_there() -> None:
    kind = CHILD.replace(TEST, "not n.is_contiguous()")
    outcome = (4, "if", "not n.is_contiguous()", False)
    assert found({outcome}, kind) == [(4, False)]
    assert found({outcome}, kind, {(*outcome[:3], True)}) == [(4, True)]


def test_a_kernels_parameter_that_is_given_such_a_fact_is_one_too() -> None:
    """`kernel[grid](…, PACKED=fits)` with `fits = w.is_contiguous() and …` on the host."""
    source = """
def kernel(PACKED):
    if PACKED:
        n = 1
    else:
        n = 2


def wrapper(w, n):
    fits = w.is_contiguous() and n == 3
    return kernel[(1,)](PACKED=fits, MORE=n)
"""
    ran = {(3, "if", "PACKED", True)}
    assert [b.open for b in unrun_branches(source, "", ran, reached=(), reached_at_full=())] == [
        False
    ]
    other = source.replace("PACKED=fits, MORE=n", "PACKED=n, MORE=fits")
    assert [b.open for b in unrun_branches(other, "", ran, reached=(), reached_at_full=())] == [
        True
    ]
