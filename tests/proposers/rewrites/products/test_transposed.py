"""transposed: which copies go, under which condition, what is refused, that no bit changes."""

from __future__ import annotations

import numpy as np
import pytest
import rewriting
from amounts import slow_but
from linear_layer import COPY, KERNEL, PROGRAM

from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.products import transposed
from warpwright.proposers.rewrites.registry import chains, found
from warpwright.types.candidate import Claim, Move

GUARDED = """\
weight = self.weight.t()
        if weight.shape[0] != depth:
            weight = weight.contiguous()
"""
SURE = PROGRAM.replace(
    f"        {COPY}", f"        assert depth == self.weight.shape[1]\n        {COPY}"
)
"""The program that has made sure of all sizes."""


def move(function: str = "ModelNew.forward", name: str = "weight") -> Move:
    arguments = (("function", function), ("operand", name), ("pointer", "w_ptr"))
    return Move(transposed.NAME, KERNEL, arguments, Claim.BIT_EQUAL)


def test_the_view_is_passed_where_its_sizes_are_those_of_the_masks() -> None:
    assert transposed.apply(PROGRAM, move()) == PROGRAM.replace(COPY + "\n", GUARDED)


@pytest.mark.parametrize(
    "test",
    [
        "assert x.is_cuda and depth == self.weight.shape[1], 'sizes'",
        "assert self.weight.size(1) == depth",
        "if x.dim() != 2 or depth != self.weight.shape[1]:\n            raise ValueError",
    ],
)
def test_no_condition_where_the_program_has_made_sure(test: str) -> None:
    text = PROGRAM.replace(f"        {COPY}", f"        {test}\n        {COPY}")
    assert transposed.apply(text, move()) == text.replace(COPY, "weight = self.weight.t()")


@pytest.mark.parametrize(
    "view",
    [
        "self.weight.T",
        "self.weight.mT",
        "self.weight.transpose(0, 1)",
        "self.weight.permute(1, 0)",
        "self.weight.swapaxes(0, 1)",
    ],
)
def test_all_views_that_turn_a_matrix(view: str) -> None:
    text = PROGRAM.replace("self.weight.t()", view)
    assert f"        weight = {view}\n        if " in transposed.apply(text, move())


@pytest.mark.parametrize(
    "line",
    ["y = self.weight", "y = self.weight.view(-1)", "flat = self.weight[:]\n        y = flat"],
)
def test_what_is_written_to_may_be_what_is_viewed(line: str) -> None:
    made = "y = torch.empty((rows, columns), device=x.device, dtype=torch.float32)"
    text = PROGRAM.replace(made, "pass").replace(COPY, f"{line}\n        {COPY}")
    with pytest.raises(DoesNotApply, match="by another name"):
        transposed.apply(text, move())
    same = PROGRAM.replace(made, "pass").replace(
        COPY, f"y = torch.empty_like(self.weight)\n        {COPY}"
    )
    assert "if weight.shape[0] != depth" in transposed.apply(same, move())


def test_strides_and_sizes_may_have_names() -> None:
    text = SURE.replace("weight.stride(0), weight.stride(1),", "down, right,").replace(
        "        y = torch.empty", "        down, right = weight.stride()\n        y = torch.empty"
    )
    assert transposed.apply(text, move()) == text.replace(COPY, "weight = self.weight.t()")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("w_at = w_ptr + step[:, None] * w_depth + column[None, :] * w_column",
         "w_at = w_ptr + (step[:, None] * w_depth + column[None, :] * w_column)"),
        ("        w_at += DEPTH * w_depth\n", "        w_at = w_at + w_depth * DEPTH\n"),
        ("inside = step < depth - start", "inside = start + step < depth"),
        ("inside = step < depth - start", "rest = depth - start\n        inside = rest > step"),
        ("    for start in range(0, depth, DEPTH):\n",
         "    for number in range(tl.cdiv(depth, DEPTH)):\n        start = number * DEPTH\n"),
        ("inside[:, None] & (column < columns)[None, :]",
         "(step[:, None] < depth - start) & (column[None, :] < columns)"),
        ("        w = tl.load(w_at, mask", "        w = tl.load(w_ptr + (start + step)[:, None] * "
         "w_depth + column.to(tl.int64)[None, :] * w_column, mask"),
        ("block_column = tl.program_id(1)",
         "block_column = tl.program_id(1) % ((columns + COLUMNS - 1) // COLUMNS)"),
    ],
)  # fmt: skip
def test_ways_to_write_the_address_and_the_mask(old: str, new: str) -> None:
    assert SURE.count(old) == 1
    text = SURE.replace(old, new)
    assert transposed.apply(text, move()) == text.replace(COPY, "weight = self.weight.t()")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("weight.stride(1),", "1,", "not told all strides"),
        ("w_at += DEPTH * w_depth", "w_at += DEPTH * columns", "not masked by a size"),
        ("w_at += DEPTH * w_depth", "w_at += 2 * DEPTH * w_depth", "not masked by a size"),
        ("        w_at +=", "        if rows > 1:\n            w_at +=", "not advanced"),
        ("step[:, None] * w_depth", "step[:, None] * w_depth * w_column", "not by w_depth alone"),
        ("step[:, None] * w_depth", "step[:, None]", "not masked by a size"),
        ("column[None, :] * w_column", "column[None, :] * w_column + rows", "by no stride"),
        ("step[:, None] * w_depth", "(step - 1)[:, None] * w_depth", "not surely at least zero"),
        ("mask=inside[:, None] & (column", "mask=inside[:, None] | (column", "not masked"),
        (", mask=inside[:, None] & (column < columns)[None, :], other=0.0)", ")", "not masked"),
        ("inside = step < depth - start", "inside = step <= depth - start", "not masked"),
        ("inside = step < depth - start", "inside = step < depth + 1 - start", "not masked"),
        ("inside[:, None] & (column", "inside[None, :] & (column", "not masked"),
        ("    for start in range(0, depth", "    for start in range(DEPTH, depth", "start at zero"),
        ("    for start in range(0, depth, DEPTH)", "    for start in range(0, depth, 16)",
         "does not advance as start does"),
        ("        x_at +=", "        tl.store(w_at, w)\n        x_at +=", "more than loads"),
        ("        x_at +=", "        w_at = x_at\n        x_at +=", "assigned elsewhere"),
        ("    step = tl", "    tl.multiple_of(w_depth, 16)\n    step = tl", "promises something"),
        ("    step = tl", "    w_depth = 1\n    step = tl", "assigns w_depth"),
        ("        return y", "        return y, weight", "used otherwise"),
        ("        return y", "        weight.zero_()\n        return y", "used otherwise"),
        ("        grid =", "        self.weight.zero_()\n        grid =", "used again behind"),
        ("        grid =", "        self.weight = x\n        grid =", "used again behind"),
        ("        return y", "        weight = y\n        return y", "makes no copy"),
        ("self.weight.t().contiguous()", "self.weight.t().clone()", "makes no copy"),
        ("self.weight.t().contiguous()", "self.weight.contiguous()", "makes no copy"),
        ("self.weight.t().contiguous()", "(self.weight * 2).t().contiguous()", "makes no copy"),
        ("rows, columns, depth,\n            x.s", "rows, columns, 2 * depth,\n            x.s",
         "not known where weight is made"),
    ],
)  # fmt: skip
def test_what_is_not_shown_is_refused(old: str, new: str, why: str) -> None:
    assert PROGRAM.count(old) == 1
    with pytest.raises(DoesNotApply, match=why):
        transposed.apply(PROGRAM.replace(old, new), move())


def test_another_condition_makes_no_size_sure() -> None:
    for test in (
        "assert depth != self.weight.shape[1]",
        "assert depth == x.shape[1]",
        "assert depth == self.weight.shape[1] or rows",
        "print(depth)",
    ):
        text = PROGRAM.replace(f"        {COPY}", f"        {test}\n        {COPY}")
        assert "if weight.shape[0] != depth:" in transposed.apply(text, move())


def test_what_is_made_sure_behind_the_copy_comes_too_late() -> None:
    text = PROGRAM.replace(
        f"        {COPY}\n",
        f"        if True:\n            {COPY}\n        assert depth == self.weight.shape[1]\n",
    )
    with pytest.raises(DoesNotApply, match="not known where weight is made"):
        transposed.apply(text, move())


def test_it_follows_planes_where_products_are_strict_and_is_a_way_of_its_own_elsewhere() -> None:
    view, calls = rewriting.traced(PROGRAM, rewriting.problem([(40, 24)], [24, 20]))
    assert found(transposed.NAME, PROGRAM, calls) == ()
    names = {tuple(m.name for m in way) for way in chains(view, calls)}
    assert ("specialise", "planes", transposed.NAME) in names
    text = PROGRAM.replace(", allow_tf32=False", "")
    view, calls = rewriting.traced(text, rewriting.problem([(40, 24)], [24, 20]))
    assert found(transposed.NAME, text, calls) == (move(),)
    assert ("specialise", transposed.NAME) in {
        tuple(m.name for m in way) for way in chains(view, calls)
    }


@pytest.mark.triton
@pytest.mark.parametrize("sizes", slow_but([(37, 100, 18)], [(37, 100, 18), (1, 16, 16)]))
@pytest.mark.parametrize("program", [PROGRAM, SURE])
def test_no_bit_changes(program: str, sizes: tuple[int, int, int]) -> None:
    rows, inputs, outputs = sizes
    problem = rewriting.problem([(rows, inputs)], [inputs, outputs])
    text = transposed.apply(program, move())
    before, after = (rewriting.outputs(one, problem) for one in (program, text))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.triton
@pytest.mark.parametrize("capability", [(8, 9), (9, 0)])
def test_the_text_compiles(capability: tuple[int, int]) -> None:
    problem = rewriting.problem([(40, 24)], [24, 20])
    assert rewriting.compile_faults(transposed.apply(SURE, move()), problem, capability) == []
