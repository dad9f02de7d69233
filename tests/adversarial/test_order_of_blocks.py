"""Mistake: a program counts on what another one wrote, or both write to one place."""

from __future__ import annotations

from textwrap import dedent

import accuracy_trial as trial
import pytest

from warpwright.types.shapes import Problem
from warpwright.types.verdict import OTHER_ORDER, Status

pytestmark = pytest.mark.triton

TOTALS = trial.IMPORTS + dedent(
    """
    @triton.jit
    def totals_kernel(x_ptr, out_ptr, ROWS, WIDTH, TILE: tl.constexpr):
        row = tl.program_id(0) % ROWS
        at = tl.program_id(0) // ROWS * TILE + tl.arange(0, TILE)
        x = tl.load(x_ptr + row * WIDTH + at, mask=at < WIDTH, other=0.0)
        tl.atomic_add(out_ptr + row, tl.sum(x, axis=0))


    class ModelNew(nn.Module):
        def forward(self, x):
            ROWS, WIDTH = x.shape
            out = torch.zeros(ROWS, device=x.device, dtype=x.dtype)
            totals_kernel[(ROWS * triton.cdiv(WIDTH, 64),)](x, out, ROWS, WIDTH, TILE=64)
            return out
    """
)
PROBLEM = Problem(
    source=dedent(
        """
        import torch

        class Model(torch.nn.Module):
            def forward(self, x):
                return x.sum(dim=1)

        def get_inputs():
            return [torch.rand(64, 1000)]

        def get_init_inputs():
            return []
        """
    )
)
ATOMIC = "        tl.atomic_add(out_ptr + row, tl.sum(x, axis=0))\n".removeprefix("    ")


def failed_cases(wrong: str) -> dict[str, str]:
    run = trial.accuracy_of(TOTALS, wrong, PROBLEM)
    assert run.result.status is Status.FAIL
    return {
        case.distribution: case.reason or "" for case in run.cases if case.status is Status.FAIL
    }


def test_parts_added_up_without_atomic_operations_are_refused_as_a_race() -> None:
    """One block after the other, it is right."""
    wrong = trial.changed(
        TOTALS,
        (ATOMIC, "    tl.store(out_ptr + row, tl.load(out_ptr + row) + tl.sum(x, axis=0))\n"),
    )
    failed = failed_cases(wrong)
    assert set(failed) == {OTHER_ORDER}
    assert "two programs of totals_kernel store different values" in failed[OTHER_ORDER]


def test_what_another_block_computed_first_is_not_there() -> None:
    """Block 0 sums up all rows, and the others pass on what it left."""
    wrong = trial.changed(
        TOTALS,
        (ATOMIC, "    if tl.program_id(0) == 0:\n"
         "        for other in range(0, ROWS):\n"
         "            whole = 0.0\n"
         "            for first in range(0, WIDTH, TILE):\n"
         "                at = first + tl.arange(0, TILE)\n"
         "                inside = at < WIDTH\n"
         "                whole += tl.sum(tl.load(x_ptr + other * WIDTH + at, mask=inside, "
         "other=0.0), axis=0)\n"
         "            tl.store(out_ptr + ROWS + other, whole)\n"
         "    tl.store(out_ptr + row, tl.load(out_ptr + ROWS + row))\n"),
        ("            out = torch.zeros(ROWS,".removeprefix("    "),
         "        out = torch.zeros(2 * ROWS,"),
        ("        return out\n", "        return out[:ROWS]\n"),
    )  # fmt: skip
    assert OTHER_ORDER in failed_cases(wrong)


def test_equal_values_from_several_blocks_pass() -> None:
    """Blocks that share a row each store its whole sum."""
    honest = trial.changed(
        TOTALS,
        (ATOMIC, "    whole = tl.zeros((TILE,), dtype=tl.float32)\n"
         "    for first in range(0, WIDTH, TILE):\n"
         "        at = first + tl.arange(0, TILE)\n"
         "        whole += tl.load(x_ptr + row * WIDTH + at, mask=at < WIDTH, other=0.0)\n"
         "    tl.store(out_ptr + row, tl.sum(whole, axis=0))\n"),
    )  # fmt: skip
    assert trial.status_of(TOTALS, honest, PROBLEM) is Status.PASS


def test_a_parent_that_has_the_race_is_not_held_against_its_candidate() -> None:
    racing = trial.changed(
        TOTALS,
        (ATOMIC, "    tl.store(out_ptr + row, tl.load(out_ptr + row) + tl.sum(x, axis=0))\n"),
    )
    again = trial.changed(
        racing, ("row = tl.program_id(0) % ROWS", "row = (tl.program_id(0)) % ROWS")
    )
    assert trial.status_of(racing, again, PROBLEM) is not Status.FAIL
