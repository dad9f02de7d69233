"""Integers that speak of sizes, at smaller sizes: indices stay inside what they index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warpwright.interpreter.reference.reference import ReferenceRun, make_reference
from warpwright.types.shapes import Problem, TensorSpec

pytestmark = pytest.mark.triton

MODEL = """
import torch

class Model(torch.nn.Module):
    def forward(self, *arguments):
        {forward}

def get_inputs():
    return [{inputs}]
"""


def made(tmp_path: Path, forward: str, inputs: str, *specs: TensorSpec) -> ReferenceRun:
    problem = Problem(source=MODEL.format(forward=forward, inputs=inputs))
    found = make_reference(problem, specs, tmp_path, seed=1, distributions=["problem"])
    assert isinstance(found, ReferenceRun), found
    return found


def values(run: ReferenceRun, number: int) -> np.ndarray:
    return np.load(run.directory / f"problem.in{number}.npy")


def test_an_index_stays_in_its_table(tmp_path: Path) -> None:
    run = made(
        tmp_path,
        "return arguments[0][arguments[1] // 1]",
        "torch.randn(100000, 64), torch.randint(0, 100000, (5000,)) + 0",
        TensorSpec((7, 4)),
        TensorSpec((30,), "int64"),
    )
    found = values(run, 1)
    assert found.min() >= 0
    assert found.max() < 7
    assert len(set(found.tolist())) > 3


def test_offsets_end_where_the_rows_end(tmp_path: Path) -> None:
    run = made(
        tmp_path,
        "return arguments[0].cumsum(0)[(arguments[1] - 1).clamp(min=0)]",
        "torch.randn(65536, 8), torch.arange(0, 65537, 64)",
        TensorSpec((40, 8)),
        TensorSpec((5,), "int64"),
    )
    found = values(run, 1)
    assert found[0] == 0
    assert found[-1] == 40
    assert (np.diff(found) >= 0).all()


def test_written_out_ends_of_groups_are_scaled(tmp_path: Path) -> None:
    run = made(
        tmp_path,
        "return arguments[0][: int(arguments[1][-1])]",
        "torch.randn(4096, 8), torch.tensor([512, 600, 600, 4096])",
        TensorSpec((64, 8)),
        TensorSpec((4,), "int64"),
    )
    assert values(run, 1).tolist() == [8, 9, 9, 64]


def test_a_bound_that_is_a_product_of_two_sizes(tmp_path: Path) -> None:
    # lengths of sequences in pages: at most pages times slots
    run = made(
        tmp_path,
        "return arguments[0].sum() + arguments[1].sum() + arguments[2]",
        "torch.randn(9, 128), torch.randn(500, 16), torch.randint(1, 2049, (9,))",
        TensorSpec((9, 3)),
        TensorSpec((20, 4)),
        TensorSpec((9,), "int64"),
    )
    assert values(run, 2).min() >= 1
    assert values(run, 2).max() <= 12


def test_integers_that_are_no_indices_stay(tmp_path: Path) -> None:
    run = made(
        tmp_path,
        "return arguments[0] * arguments[1]",
        "torch.randn(4096, 4096), torch.randint(-127, 128, (4096,), dtype=torch.int32)",
        TensorSpec((16, 16)),
        TensorSpec((16,), "int32"),
    )
    assert values(run, 1).min() < 0


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 1000), min_size=1, max_size=30),
    st.integers(1, 999),
    st.booleans(),
)
def test_what_is_brought_down_never_leaves_the_size(
    numbers: list[int], small: int, ordered: bool
) -> None:
    import torch

    from warpwright.interpreter.reference.child_index_values import brought_down

    tensor = torch.tensor(sorted(numbers) if ordered else numbers)
    full = 1000
    found = brought_down(tensor, full, small)
    assert bool((found >= 0).all())
    assert bool((found <= small).all())
    if int(tensor.max()) < full:
        assert bool((found < small).all())
    if ordered:
        assert bool((found[1:] >= found[:-1]).all())
