"""Measures and bounds of precision."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpwright.types.verdict import ErrorMeasure
from warpwright.verifier.outputs import precision


def test_the_measures_are_relative_to_the_reference():
    error = precision.measure(np.array([3.0, 4.5]), np.array([3.0, 4.0]))
    assert error.relative_l2 == pytest.approx(0.5 / 5)
    assert error.relative_max == pytest.approx(0.5 / 4)


def test_a_zero_reference_allows_only_zero():
    assert precision.measure(np.zeros(3), np.zeros(3)) == ErrorMeasure(0.0, 0.0)
    assert precision.measure(np.ones(3), np.zeros(3)).relative_l2 == math.inf


@given(st.floats(1e-300, 1e300), st.floats(-0.5, 0.5))
def test_scale_does_not_matter(scale, relative):
    reference = np.array([1.0, -2.0]) * scale
    error = precision.measure(reference * (1 + relative), reference)
    assert error.relative_l2 == pytest.approx(abs(relative), abs=1e-12)


def test_nan_keeps_no_bound():
    assert not precision.within(ErrorMeasure(math.nan, 0.0), ErrorMeasure(1.0, 1.0))


def test_the_floor_grows_with_the_root_of_the_summands():
    def per_root(n: int) -> float:
        empty = precision.rounding_floor("float32", 0, 0.0).relative_l2
        return (precision.rounding_floor("float32", n, 0.0).relative_l2 - empty) / math.sqrt(n)

    assert per_root(100) == pytest.approx(per_root(1_000_000))


@pytest.mark.parametrize("inner", [64, 1024, 16384])
def test_honest_orders_of_summation_keep_the_floor(inner):
    rng = np.random.default_rng(inner)
    for draw in (rng.random, rng.standard_normal):
        a = draw((32, inner)).astype(np.float32)
        b = draw((inner, 32)).astype(np.float32)
        right = a.astype(np.float64) @ b.astype(np.float64)
        one_by_one = np.zeros((32, 32), np.float32)
        for k in range(inner):
            one_by_one += a[:, k : k + 1] * b[k : k + 1]
        floor = precision.rounding_floor("float32", inner, 1.5)
        assert precision.within(precision.measure(one_by_one, right), floor)


def test_the_parent_widens_a_bound_by_measure_and_never_narrows_it():
    bound = ErrorMeasure(1e-3, 1e-3)
    wide = precision.with_parent(bound, ErrorMeasure(2e-3, 1e-6))
    assert wide.relative_l2 == pytest.approx(2.1e-3)
    assert wide.relative_max == 1e-3
    assert precision.with_parent(bound, None) == bound


def test_kinds_tell_nan_and_both_infinities_apart():
    found = precision.kinds(np.array([0.0, np.nan, np.inf, -np.inf]))
    assert found.tolist() == [0, 1, 2, 3]
    assert precision.kinds(np.array([1, 2])).tolist() == [0, 0]
