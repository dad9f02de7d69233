import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpwright.data.metrics import retired_metric, validate_metric_name
from warpwright.errors import InputError, Place


@pytest.mark.parametrize(
    "name",
    [
        "sm__throughput.avg.pct_of_peak_sustained_elapsed",
        "launch__grid_size",
        "lts__t_sector_hit_rate.pct",
        "dram__bytes.sum.per_second",
        "gpu__time_duration.sum",
        "smsp__warp_issue_stalled_memory_dependency_per_warp_active.pct",
        # names that no table of ours lists, made of the same words
        "l1tex__t_sectors_pipe_tex.sum",
        "sm__inst_executed_pipe_fp64_op_dmma.sum",
        "lts__t_sectors_srcnode_gpc.sum",
    ],
)
def test_names_of_nsight_compute_are_right(name: str) -> None:
    assert validate_metric_name(name) == name


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("sm__thruput", "sm__throughput"),
        ("launch__grid_siz", "launch__grid_size"),
        ("dram__througput.avg", "dram__throughput.avg"),
        (
            "sm__throughput.avg.pct_of_peak_sustaned_elapsed",
            "sm__throughput.avg.pct_of_peak_sustained_elapsed",
        ),
    ],
)
def test_a_slip_is_refused_with_the_near_name(name: str, near: str) -> None:
    place = Place("request.txt", line=7)
    with pytest.raises(InputError, match="unknown metric") as caught:
        validate_metric_name(name, place=place)
    assert caught.value.hint == f"did you mean {near}?"
    assert caught.value.place == place


@pytest.mark.parametrize("name", ["", "foo", "zz__abc", "sm_throughput", "a" * 500, "sm__x..y"])
def test_what_has_not_the_form_of_a_metric_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        validate_metric_name(name)


def test_a_retired_name_has_a_successor_that_is_right() -> None:
    retired = retired_metric("smsp__warp_issue_stalled_memory_dependency_per_warp_active.pct")
    assert retired is not None
    assert validate_metric_name(retired.successor) == retired.successor
    assert retired_metric("launch__grid_size") is None


@given(name=st.text(max_size=40))
def test_any_text_is_a_name_or_an_input_error(name: str) -> None:
    try:
        assert validate_metric_name(name) == name
    except InputError as error:
        assert str(error)
