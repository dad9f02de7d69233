"""The benchmark of the criterion: what it makes of a program, and how it sums up."""

from __future__ import annotations

from typing import Any

from criterion.counting import one_config_each
from criterion.pairs import Pair
from criterion.table import recounted, summary
from laboratory import MATMUL, SCALE

from warpwright.program.view import read_program


def row(accepted: bool, speed: float | None) -> dict[str, Any]:
    counts = {"instructions": [100.0, 80.0], "sectors": [50.0, None]}
    return {"case": "one", "moves": "unroll", "accepted": accepted, "speed": speed, **counts}


def test_each_tuned_kernel_is_left_one_config() -> None:
    (kernel,) = read_program(one_config_each(MATMUL)).kernels
    assert kernel.autotune is not None and kernel.autotune.configs is not None
    assert len(kernel.autotune.configs) == 1
    assert one_config_each(SCALE) == SCALE


def test_precision_and_recall_count_what_was_timed() -> None:
    rows = [row(True, 1.2), row(True, 0.9), row(False, 1.5), row(False, 1.0), row(True, None)]
    *_, timed, precision, recall = summary(rows).splitlines()
    assert timed == "4 of 5 pairs were timed."
    assert "1 of 2" in precision
    assert "1 of 2" in recall
    assert "| one | unroll | -20.0% | ? | accepts | 1.200× |" in summary(rows)


def test_a_pair_is_counted_again_where_the_same_program_is_found() -> None:
    was = {**row(False, 1.5), "instructions": [100.0, None]}
    now = Pair("one", "", "", "unroll", {"accepted": True, "instructions": [100.0, 80.0]})
    other = Pair("one", "", "", "unroll", {"accepted": True, "instructions": [90.0, 80.0]})
    (again,) = recounted([was], [other, now])
    assert again["recounted"] and again["accepted"] and again["instructions"] == [100.0, 80.0]
    assert again["speed"] == 1.5
    (kept,) = recounted([was], [other])
    assert not kept["recounted"] and not kept["accepted"]
