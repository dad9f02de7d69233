"""What ncu prints becomes values, whatever else stands in the log."""

from __future__ import annotations

import csv
import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpwright.profiler.ncu_output import (
    Trouble,
    find_trouble,
    number,
    parse_metric_names,
    parse_ncu_output,
)

GRID = "launch__grid_size"
HIT = "lts__t_sector_hit_rate.pct"
STALL = "smsp__warp_issue_stalled_long_scoreboard_per_warp_active.pct"
FIRST = ["ID", "Process ID", "Process Name", "Host Name", "Kernel Name", "Context", "Stream"]
FIRST += ["Block Size", "Grid Size", "Device", "CC"]


def as_csv(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return text.getvalue()


def launch(number: int, kernel: str, *values: str) -> list[str]:
    place = [str(number), "4711", "python3.12", "127.0.0.1", kernel, "1", "7"]
    return [*place, "(128, 1, 1)", "(960, 1, 1)", "0", "9.0", *values]


HEAD = [*FIRST, GRID, HIT]
UNITS = [*[""] * len(FIRST), "", "%"]
LOG = (
    "==PROF== Connected to process 4711 (/usr/bin/python3.12)\n"
    '==PROF== Profiling "blur_kernel": 0%....50%....100% - 5 passes\n'
    "==WARNING== Launching the workload is taking more time than expected.\n"
    "==PROF== Disconnected from process 4711\n"
)


def test_each_row_is_a_launch_with_the_metrics_that_were_asked_for() -> None:
    rows = [HEAD, UNITS, launch(0, "blur_kernel", "960", "91.25"), launch(1, "tail", "4", "7.50")]
    output = parse_ncu_output(LOG + as_csv(rows), [HIT, GRID])
    assert [each.kernel for each in output.launches] == ["blur_kernel", "tail"]
    assert output.launches[0].values == {HIT: 91.25, GRID: 960.0}
    assert output.units == {HIT: "%"}
    assert not output.errors
    assert output.warnings == ("Launching the workload is taking more time than expected.",)


def test_a_metric_without_a_column_or_a_number_is_none_and_never_zero() -> None:
    for written in ("n/a", "nan", "", "inf", "no data", "CachePreferNone"):
        output = parse_ncu_output(as_csv([HEAD, UNITS, launch(0, "k", "8", written)]), [HIT, STALL])
        assert output.launches[0].values == {HIT: None, STALL: None}


def test_thousands_are_read_with_and_without_separators() -> None:
    assert number("1,234,567") == 1234567.0
    assert number("1234567.25") == 1234567.25
    assert number("0") == 0.0


def test_kernel_names_may_hold_commas_and_quotes() -> None:
    name = 'void at::native::reduce<int, float>(T1, "x")'
    output = parse_ncu_output(as_csv([HEAD, UNITS, launch(0, name, "2", "1.00")]), [GRID])
    assert output.launches[0].kernel == name


def test_a_second_table_with_other_columns_is_read_by_its_own_header() -> None:
    other = [*FIRST, HIT, GRID]
    rows = [HEAD, UNITS, launch(0, "a", "1", "2.00"), other, launch(1, "b", "3.00", "4")]
    output = parse_ncu_output(as_csv(rows), [GRID, HIT])
    assert [dict(each.values) for each in output.launches] == [
        {GRID: 1.0, HIT: 2.0},
        {GRID: 4.0, HIT: 3.0},
    ]


def test_a_truncated_table_keeps_the_whole_rows() -> None:
    text = as_csv([HEAD, UNITS, launch(0, "a", "1", "2.00"), launch(1, "b", "3", "4.00")])
    output = parse_ncu_output(text[: text.index('"1","4711"') + 12], [GRID])
    assert [each.kernel for each in output.launches] == ["a"]


@pytest.mark.parametrize(
    ("message", "trouble"),
    [
        ("ERR_NVGPUCTRPERM - The user does not have permission to access …", Trouble.PERMISSION),
        ("Profiling failed because a driver resource was unavailable.", Trouble.BUSY),
        ("Failed to open/create lock file /tmp/x.", Trouble.BUSY),
        ("Failed to find metric regex:^sm__nope$", Trouble.UNKNOWN_METRIC),
        ("Profiling is not supported on this device", Trouble.UNSUPPORTED),
        ("Driver could not be loaded.", Trouble.NO_DRIVER),
        ("Nsight Compute failed to connect to the CUDA driver (stub?).", Trouble.NO_DRIVER),
        ("No kernels were profiled.", Trouble.NOTHING_LAUNCHED),
    ],
)
def test_troubles_are_told_apart(message: str, trouble: Trouble) -> None:
    found = find_trouble(["The application returned an error code (1).", message])
    assert found == (trouble, message)


def test_no_trouble_is_seen_in_other_messages() -> None:
    assert find_trouble(["The application returned an error code (11)."]) is None


TABLE = """Device NVIDIA H100
------------------ ------- ---- --------------------------
Metric Name        Type    Unit Metric Description
------------------ ------- ---- --------------------------
dram__bytes        Counter byte # of bytes accessed in DRAM
lts__t_sector_hit_rate.pct  Ratio  %  proportion of lookups
                                      that hit l1tex__not_a_row
"""


def test_names_are_read_from_a_listing_as_table_and_as_csv() -> None:
    assert parse_metric_names(TABLE) == {"dram__bytes", HIT}
    listed = '"Metric name","Metric type","gh100"\n"dram__bytes.sum","Counter","1"\n'
    assert parse_metric_names(listed) == {"dram__bytes.sum"}


@given(st.text(max_size=400))
def test_no_log_breaks_the_reader(text: str) -> None:
    output = parse_ncu_output('"ID","Kernel Name"\n' + text, [GRID])
    assert all(value is None for each in output.launches for value in each.values.values())
    parse_ncu_output(text, [GRID])
    parse_metric_names(text)


values = st.floats(allow_nan=False, allow_infinity=False, width=32)


# Every sign that ends a line for `str.splitlines`: none can stand in a kernel's name.
LINE_ENDS = "\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
signs = st.characters(codec="utf-8", exclude_characters="\x00" + LINE_ENDS)
names = st.text(signs, min_size=1).filter(lambda name: bool(name.strip()))


@given(st.lists(st.tuples(names, values), max_size=5))
def test_what_is_written_as_a_raw_page_is_read_back(rows: list[tuple[str, float]]) -> None:
    table = [[*FIRST, HIT], *(launch(i, k, f"{v:,.6f}") for i, (k, v) in enumerate(rows))]
    read = parse_ncu_output(as_csv(table), [HIT]).launches
    assert [each.kernel for each in read] == [kernel for kernel, _ in rows]
    for each, (_, value) in zip(read, rows, strict=True):
        found = each.values[HIT]
        assert found is not None
        assert math.isclose(found, value, abs_tol=1e-6)
