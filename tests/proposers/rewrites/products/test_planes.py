"""planes: what it writes, what it refuses, how exact it is, where NaN and infinities come out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rewriting
from amounts import slow_but
from linear_layer import KERNEL, PROGRAM, STEP

from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.products import planes
from warpwright.proposers.rewrites.registry import chains, found
from warpwright.types.candidate import Claim, Move

PARTS = """\
            left_1 = x.to(tl.bfloat16)
            left_rest = x - left_1.to(tl.float32)
            left_2 = left_rest.to(tl.bfloat16)
            left_3 = (left_rest - left_2.to(tl.float32)).to(tl.bfloat16)
            right_1 = w.to(tl.bfloat16)
            right_rest = w - right_1.to(tl.float32)
            right_2 = right_rest.to(tl.bfloat16)
            right_3 = (right_rest - right_2.to(tl.float32)).to(tl.bfloat16)
            part = tl.dot(left_1, right_3)
            part = tl.dot(left_3, right_1, part)
            part = tl.dot(left_2, right_2, part)
            part = tl.dot(left_1, right_2, part)
            part = tl.dot(left_2, right_1, part)
            # What is not finite has no other parts: it counts in the last product alone.
            part = tl.where(part == part, part, 0.0)
            part = tl.dot(left_1, right_1, part)
            total += part
"""
GOLDEN = f"""\
        # Float32 products on the tensor cores: three bfloat16 parts of each operand.
        if x.dtype == tl.float32 and w.dtype == tl.float32:
{PARTS}        else:
            total += tl.dot(x, w, allow_tf32=False)
"""


def move(product: int = 0) -> Move:
    return Move(planes.NAME, KERNEL, (("product", product),), Claim.OTHER_ARITHMETIC)


def moved(step: str) -> str:
    """The step as the move writes it, without its margin and comments."""
    text = planes.apply(PROGRAM.replace(STEP, f"        {step}\n"), move())
    lines = text[text.index("# Float32 products") :].split("        x_at +=")[0].splitlines()
    return "\n".join(line.strip() for line in lines if not line.strip().startswith("#"))


def test_the_product_is_six_products_of_parts() -> None:
    assert planes.apply(PROGRAM, move()) == PROGRAM.replace(STEP, GOLDEN)


@pytest.mark.parametrize(
    ("step", "by_parts"),
    [
        ("total = tl.dot(x, w, total, allow_tf32=False)", "total = total + part"),
        ('total = tl.dot(x, w, acc=total, input_precision="ieee")', "total = total + part"),
        ("total = total + tl.dot(x, w, None, allow_tf32=False)", "total = total + part"),
        ("total += tl.dot(x, w, allow_tf32=False, out_dtype=tl.float32) * 2.0",
         "total += part * 2.0"),
        ("total = 2.0 * tl.dot(x, w, total, allow_tf32=False)", "total = 2.0 * (total + part)"),
    ],
)  # fmt: skip
def test_all_ways_to_write_a_strict_product(step: str, by_parts: str) -> None:
    assert f"\n{by_parts}\nelse:\n{step}" in moved(step)


def test_an_operand_that_is_no_name_gets_one_and_a_cast_needs_no_test() -> None:
    step = "total += tl.dot(x.to(tl.float32), 2.0 * w, allow_tf32=False)"
    assert moved(step).startswith(
        "left = x.to(tl.float32)\nright = 2.0 * w\nif right.dtype == tl.float32:\nleft_1 = left.to("
    )
    step = "total += tl.dot(x.to(tl.float32), w.to(tl.float32), allow_tf32=False)"
    assert "if " not in moved(step)


def test_names_that_the_kernel_has_are_not_reused() -> None:
    text = PROGRAM.replace("    step = tl.a", "    part = 1\n    left_1 = 2\n    step = tl.a")
    assert "left_1_ = x.to(tl.bfloat16)" in planes.apply(text, move())
    assert "total += part_\n" in planes.apply(text, move())


def test_a_product_over_several_lines_is_kept_as_it_is_written() -> None:
    step = "        total += tl.dot(\n            x,\n            w, allow_tf32=False\n        )\n"
    kept = "".join(f"    {line}\n" for line in step.splitlines())
    new = GOLDEN.partition("        else:\n")
    assert planes.apply(PROGRAM.replace(STEP, step), move()) == PROGRAM.replace(
        STEP, new[0] + new[1] + kept
    )


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ("total += tl.dot(x, w)", "no product in strict"),
        ("total += tl.dot(x, w, allow_tf32=True)", "no product in strict"),
        ("total += tl.dot(x, w, allow_tf32=columns)", "no product in strict"),
        ('total += tl.dot(x, w, input_precision="tf32x3")', "no product in strict"),
        ('total += tl.dot(x, w, input_precision="ieee", max_num_imprecise_acc=0)', "no product"),
        ("total += tl.dot(x, w, allow_tf32=False, out_dtype=tl.float16)", "no product in strict"),
        ("total += tl.dot(*both, allow_tf32=False)", "no product in strict"),
        ("total += tl.dot(x, w, allow_tf32=False) if rows else 0.0", "no product in strict"),
        ("x = x; total += tl.dot(x, w, allow_tf32=False)", "shares its line"),
        ("total += tl.dot(x, w, allow_tf32=False); x = x", "shares its line"),
    ],
)
def test_other_products_are_refused(step: str, why: str) -> None:
    with pytest.raises(DoesNotApply, match=why):
        planes.apply(PROGRAM.replace(STEP, f"        {step}\n"), move())


def test_a_product_is_rewritten_once() -> None:
    with pytest.raises(DoesNotApply, match="already"):
        planes.apply(planes.apply(PROGRAM, move()), move())
    with pytest.raises(DoesNotApply, match="number 1"):
        planes.apply(PROGRAM, move(product=1))


def test_it_is_found_where_a_tensor_is_float32() -> None:
    view, calls = rewriting.traced(PROGRAM, rewriting.problem([(40, 24)], [24, 20]))
    assert found(planes.NAME, PROGRAM, calls) == (move(),)
    names = {tuple(m.name for m in way) for way in chains(view, calls)}
    assert ("specialise", planes.NAME) in names


def _errors(text: str, sizes: tuple[int, int, int], distribution: str) -> tuple[Any, Any]:
    rows, inputs, outputs = sizes
    problem = rewriting.problem([(rows, inputs)], [inputs, outputs])
    return tuple(
        rewriting.outputs(program, problem, distribution=distribution)[0]
        for program in (PROGRAM, text)
    )


@pytest.mark.triton
@pytest.mark.parametrize("distribution", slow_but(["wide"], ["normal", "wide", "outliers"]))
@pytest.mark.parametrize("sizes", slow_but([(37, 100, 18)], [(37, 100, 18), (1, 16, 16)]))
def test_its_sums_are_as_near_as_the_parents(
    sizes: tuple[int, int, int], distribution: str
) -> None:
    before, after = _errors(planes.apply(PROGRAM, move()), sizes, distribution)
    assert np.linalg.norm(after - before) <= 4e-7 * np.linalg.norm(before)


@pytest.mark.triton
def test_nan_and_infinities_come_out_where_the_parent_has_them() -> None:
    before, after = _errors(planes.apply(PROGRAM, move()), (37, 40, 18), "nonfinite")
    assert not np.isfinite(before).all()
    for kind in (np.isnan, np.isposinf, np.isneginf):
        np.testing.assert_array_equal(kind(after), kind(before))


@pytest.mark.triton
@pytest.mark.parametrize("capability", [(8, 9), (9, 0)])
def test_the_text_compiles(capability: tuple[int, int]) -> None:
    problem = rewriting.problem([(40, 24)], [24, 20])
    text = planes.apply(PROGRAM, move())
    assert rewriting.compile_faults(text, problem, capability) == []
