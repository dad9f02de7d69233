"""How the runs of one set of inputs are shared out to processes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from warpwright.types.config import Config
from warpwright.verifier.accuracy_case import LEAST_RUNS, Task, in_parts
from warpwright.verifier.accuracy_pins import PinnedRun


def runs_of(task: Task) -> list[tuple[str, str]]:
    """What a task runs, in order."""
    _, pinned, cases = task
    return [(run.label, case) for run in pinned for case in cases]


@given(configs=st.integers(0, 12), kinds=st.integers(1, 14), count=st.integers(1, 20))
def test_parts_are_the_task_and_none_is_left_with_less_than_a_few(
    configs: int, kinds: int, count: int
) -> None:
    pinned = [PinnedRun(str(number), {"kernel": Config()}) for number in range(configs)]
    task: Task = ("source", pinned, [f"kind {number}" for number in range(kinds)])
    parts = in_parts(task, count)
    assert [run for part in parts for run in runs_of(part)] == runs_of(task)
    assert 1 <= len(parts) <= count
    if len(parts) > 1:
        assert min(max(len(pinned), len(cases)) for _, pinned, cases in parts) >= LEAST_RUNS
