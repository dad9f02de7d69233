import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpwright.errors import InputError
from warpwright.formats.nsight import (
    check_profile_kernels,
    foreign_kernels,
    parse_metrics,
    render_profile,
    retired_metrics,
    unknown_kernels,
)
from warpwright.types.request import KernelProfile, Profile

GRID = "launch__grid_size"
HIT = "lts__t_sector_hit_rate.pct"


def refused(text: str) -> InputError:
    with pytest.raises(InputError) as caught:
        parse_metrics(text)
    return caught.value


def test_a_kernel_has_one_launch_or_a_list_of_them() -> None:
    profile = parse_metrics(json.dumps({"a": {GRID: 3}, "b": [{GRID: 1}, {GRID: 2}]}))
    assert profile.kernels == (
        KernelProfile("a", ({GRID: 3.0},)),
        KernelProfile("b", ({GRID: 1.0}, {GRID: 2.0})),
    )
    assert parse_metrics(render_profile(profile)) == profile


@pytest.mark.parametrize("written", ["NaN", "null", '"N/A"', '"nan"', "Infinity", '""'])
def test_a_value_that_was_not_measured_is_none_and_not_zero(written: str) -> None:
    (kernel,) = parse_metrics(f'{{"a": {{"{HIT}": {written}}}}}').kernels
    assert kernel.launches[0][HIT] is None


def test_numbers_in_quotes_are_numbers() -> None:
    (kernel,) = parse_metrics(f'{{"a": {{"{GRID}": "48,400", "{HIT}": "93.4 %"}}}}').kernels
    assert kernel.launches[0] == {GRID: 48400.0, HIT: 93.4}


@pytest.mark.parametrize("written", ['"high"', "true", "[1]", "{}"])
def test_a_value_that_is_no_number_is_refused_at_its_line(written: str) -> None:
    error = refused(f'{{\n"a": {{\n"{GRID}": 1,\n"{HIT}": {written}\n}}}}')
    assert "no number" in error.what
    assert error.place.line == 4


def test_a_misspelt_metric_is_refused_with_the_near_name() -> None:
    error = refused('{"a":\n {"sm__thruput.avg.pct_of_peak_sustained_elapsed": 1}}')
    assert error.place.line == 2
    assert error.hint == "did you mean sm__throughput.avg.pct_of_peak_sustained_elapsed?"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"a": {', "not JSON"),
        ("hello", "not JSON"),
        ("[1]", "not JSON"),
        ('{"a": 3}', "no mapping"),
        ('{"a": {}} and more', "not JSON"),
        ('{"a": {}, "a": {}}', "kernel 'a' is given twice"),
        (f'{{"a": {{"{GRID}": 1, "{GRID}": 2}}}}', "given twice for one launch"),
        ('{"": {}}', "no name"),
        ("[" * 100_000, "not JSON"),
        (json.dumps({f"k{n}": {} for n in range(2000)}), "too many kernels"),
    ],
)
def test_what_is_no_profile_is_refused(text: str, what: str) -> None:
    assert what in refused(text).what


@pytest.mark.parametrize(
    "text",
    [
        "No metrics available.",
        "\nNone\n",
        "N/A",
        "null",
        "NCU profiling failed: ncu not found",
        "Metrics could not be collected",
    ],
)
def test_a_sentence_that_there_are_none_is_an_empty_profile(text: str) -> None:
    assert parse_metrics(text) == Profile()


def test_no_profile_is_rendered_as_a_sentence() -> None:
    assert parse_metrics(render_profile(Profile())) == Profile()


def test_retired_metrics_are_told_with_their_successor() -> None:
    name = "smsp__warp_issue_stalled_memory_dependency_per_warp_active.pct"
    (retired,) = retired_metrics([name, HIT, name])
    assert "long_scoreboard" in retired.successor


def profile_of(*names: str) -> Profile:
    return Profile(tuple(KernelProfile(name, ({},)) for name in names))


def test_kernels_that_the_program_lacks_are_found() -> None:
    profile = profile_of("scale_rows", "add_kernl")
    assert unknown_kernels(profile, ["scale_rows", "add_kernel"]) == (
        KernelProfile("add_kernl", ({},)),
    )
    assert unknown_kernels(profile_of("b"), ["a", "c"]) == (KernelProfile("b", ({},)),)


def test_the_suffix_that_triton_appends_is_the_same_kernel() -> None:
    assert unknown_kernels(profile_of("a_0d1d2d3c"), ["a"]) == ()
    profile = profile_of("a_bwd")
    assert unknown_kernels(profile, ["a"]) == foreign_kernels(profile, ["a"]) == profile.kernels


def test_library_kernels_beside_ours_are_no_error() -> None:
    for library in ("void at::native::copy<float>(int)", "ampere_sgemm_128x64_nn"):
        assert unknown_kernels(profile_of("a", library), ["a"]) == ()
        assert len(foreign_kernels(profile_of("a", library), ["a"])) == 1
        assert len(unknown_kernels(profile_of(library), ["a"])) == 1


def test_check_profile_kernels_is_silent_without_a_profile() -> None:
    check_profile_kernels(Profile(), [])


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8) | st.sampled_from([GRID, HIT]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@given(value=JSON)
def test_any_json_is_a_profile_or_an_input_error(value: object) -> None:
    try:
        profile = parse_metrics(json.dumps(value))
    except InputError:
        return
    assert parse_metrics(render_profile(profile)) == profile


@given(
    launches=st.dictionaries(
        st.text(min_size=1, max_size=10).filter(lambda name: name.strip()),
        st.lists(
            st.dictionaries(
                st.sampled_from([GRID, HIT]),
                st.none() | st.floats(allow_nan=False, allow_infinity=False),
            ),
            min_size=1,
            max_size=3,
        ),
        min_size=1,
        max_size=3,
    )
)
def test_every_profile_is_read_back(launches: dict[str, list[dict[str, float | None]]]) -> None:
    profile = Profile(tuple(KernelProfile(k, tuple(v)) for k, v in launches.items()))
    assert parse_metrics(render_profile(profile)) == profile


@given(text=st.text(max_size=200))
def test_any_text_is_a_profile_or_an_input_error(text: str) -> None:
    try:
        parse_metrics(text)
    except InputError as error:
        assert str(error)
