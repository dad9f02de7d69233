import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpwright.costmodel.roofline import RateClass, floor
from warpwright.gpus.sheets import all_gpus, find_gpu

RTX_4090 = find_gpu("4090")
H100 = find_gpu("H100 SXM")


def test_a_convolution_bound_by_arithmetic():
    # 54.0 GFLOP of TF32 at 82.6 TFLOPS: 654 µs; 451 MB at 1008 GB/s: 447 µs.
    found = floor({RateClass.TF32: 54.0e9}, 451e6, RTX_4090)
    assert found.compute_us == pytest.approx(653.8, abs=0.1)
    assert found.memory_us == pytest.approx(447.4, abs=0.1)
    assert found.floor_us == found.compute_us
    assert found.bound == "compute"
    assert found.lacks == ()


def test_a_copy_is_bound_by_memory():
    found = floor({}, 3350e6, H100)
    assert found.compute_us == 0.0
    assert found.floor_us == found.memory_us == pytest.approx(1000.0)
    assert found.bound == "memory"


def test_tensor_core_classes_add_up_and_ordinary_units_run_beside_them():
    tensor = floor({RateClass.TF32: 82.6e6, RateClass.FP16: 165.2e6}, 0.0, RTX_4090)
    assert tensor.compute_us == pytest.approx(2.0)
    mixed = floor({RateClass.TF32: 82.6e6, RateClass.FP32: 82.6e6}, 0.0, RTX_4090)
    assert mixed.compute_us == pytest.approx(1.0)


def test_a_missing_rate_is_none_and_listed():
    found = floor({RateClass.FP8: 1e9}, 1e6, find_gpu("A100"))
    assert found.compute_us is None
    assert found.bound is None
    assert found.floor_us == found.memory_us
    assert found.lacks == ("fp8_tflops",)


def test_unknown_work_is_not_no_work():
    unknown = floor(None, None, RTX_4090)
    assert (unknown.compute_us, unknown.memory_us, unknown.floor_us) == (None, None, None)
    assert unknown.lacks == ("operations", "bytes")
    nothing = floor({}, 0, RTX_4090)
    assert nothing.floor_us == 0.0
    assert nothing.lacks == ()


def test_a_sheet_without_bandwidth_gives_the_compute_term_alone():
    sheet = dataclasses.replace(RTX_4090, memory_bandwidth_gb_per_s=None)
    found = floor({RateClass.FP16: 165.2e6}, 1e6, sheet)
    assert found.floor_us == pytest.approx(1.0)
    assert found.bound is None
    assert found.lacks == ("memory_bandwidth_gb_per_s",)


@given(
    st.dictionaries(st.sampled_from(list(RateClass)), st.floats(0, 1e18)),
    st.floats(0, 1e15),
    st.sampled_from(all_gpus()),
    st.floats(1, 10),
)
def test_more_work_never_lowers_the_floor(operations, bytes_moved, sheet, factor):
    less = floor(operations, bytes_moved, sheet)
    more = floor(
        {rate: count * factor for rate, count in operations.items()}, bytes_moved * factor, sheet
    )
    assert more.floor_us >= less.floor_us
    terms = [term for term in (less.compute_us, less.memory_us) if term is not None]
    assert less.floor_us == max(terms)
    assert (less.bound is None) == (less.compute_us is None)
