import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpwright.errors import InputError, InternalError, Place
from warpwright.gpus.sheets import all_gpus, find_gpu, limits_for
from warpwright.gpus.target_sheet import (
    COUNT_FIELDS,
    LIMIT_FIELDS,
    RATE_FIELDS,
    STATED_SOURCE,
    resolve_gpu,
)
from warpwright.types.gpu import StatedGpu

ADA_FIELDS = {
    "compute_capability": "8.9",
    "sm_count": 128,
    "memory_bandwidth_gb_per_s": 1008,
    "tf32_tflops": 82.6,
    "bf16_tflops": 165.2,
    "fp16_tflops": 165.2,
    "max_registers_per_thread": 255,
    "max_threads_per_block": 1024,
    "threads_per_sm": 1536,
    "warp_size": 32,
    "warps_per_sm": 48,
    "shared_bytes_per_sm": 102_400,
    "max_shared_bytes_per_block": 101_376,
    "l2_bytes": 72 * 2**20,
}


def test_a_sheet_that_says_what_ours_says_agrees():
    found = resolve_gpu(StatedGpu("4090", "Ada Lovelace", ADA_FIELDS))
    assert found.disagreements == ()
    assert found.notes == ()
    assert found.sheet == find_gpu("4090")


def test_what_is_stated_is_told_as_stated_and_the_rest_keeps_its_source():
    sheet = resolve_gpu(StatedGpu("4090", None, {"sm_count": 128})).sheet
    assert sheet.sources["sm_count"] == STATED_SOURCE
    assert sheet.sources["fp8_tflops"] == find_gpu("4090").sources["fp8_tflops"]


@pytest.mark.parametrize(
    ("name", "field", "stated", "ours"),
    [
        ("4090", "fp16_tflops", 330, 165.2),  # the rate with fp16 sums
        ("4090", "fp16_tflops", 82.6, 165.2),  # the rate without tensor cores
        ("H100 SXM", "fp16_tflops", 1979, 989.4),  # the sparse rate
        ("L4", "memory_bandwidth_gb_per_s", 3350, 300),
        ("A10", "shared_bytes_per_sm", 164 * 1024, 100 * 1024),
    ],
)
def test_the_request_wins_and_the_disagreement_is_told(name, field, stated, ours):
    found = resolve_gpu(StatedGpu(name, None, {field: stated}))
    [told] = found.disagreements
    assert (told.field, told.stated, told.ours) == (field, stated, ours)
    assert told.source == find_gpu(name).sources[field]
    holder = found.sheet.limits if field in LIMIT_FIELDS else found.sheet
    assert getattr(holder, field) == stated


@pytest.mark.parametrize(
    ("field", "stated"), [("fp16_tflops", 165), ("l2_bytes", 72_000_000), ("boost_mhz", 2520.4)]
)
def test_rounding_is_no_disagreement_and_still_the_request_wins(field, stated):
    found = resolve_gpu(StatedGpu("4090", None, {field: stated}))
    assert found.disagreements == ()
    assert getattr(found.sheet, field) == stated


def test_counts_and_limits_must_agree_exactly():
    found = resolve_gpu(StatedGpu("4090", None, {"sm_count": 127, "blocks_per_sm": 32}))
    assert [told.field for told in found.disagreements] == ["sm_count", "blocks_per_sm"]


def test_a_field_that_our_sheet_lacks_is_no_disagreement():
    found = resolve_gpu(StatedGpu("B200", None, {"l2_bytes": 126 * 2**20}))
    assert found.disagreements == ()
    assert found.sheet.l2_bytes == 126 * 2**20


@pytest.mark.parametrize("architecture", ["Ada Lovelace", "ada", "NVIDIA Ada Lovelace"])
def test_an_architecture_may_be_named_shorter_or_longer(architecture):
    assert resolve_gpu(StatedGpu("4090", architecture)).disagreements == ()


def test_another_architecture_is_told():
    [told] = resolve_gpu(StatedGpu("4090", "Hopper")).disagreements
    assert (told.field, told.stated, told.ours) == ("architecture", "Hopper", "Ada Lovelace")


def test_another_compute_capability_brings_its_own_limits():
    found = resolve_gpu(StatedGpu("4090", None, {"compute_capability": "9.0"}))
    [told] = found.disagreements
    assert (told.stated, told.ours) == ("9.0", "8.9")
    assert found.sheet.target == "sm_90"
    assert found.sheet.limits == limits_for((9, 0))


def test_threads_per_sm_alone_set_the_warps_as_well():
    limits = resolve_gpu(StatedGpu("4090", None, {"threads_per_sm": 2048})).sheet.limits
    assert limits.warps_per_sm == 64
    limits = resolve_gpu(StatedGpu("4090", None, {"warps_per_sm": 32})).sheet.limits
    assert limits.threads_per_sm == 1024


def test_threads_and_warps_that_contradict_each_other_are_told():
    fields = {"threads_per_sm": 1536, "warps_per_sm": 64}
    found = resolve_gpu(StatedGpu("4090", None, fields))
    assert any("the smaller of the two counts" in note for note in found.notes)


def test_of_several_boards_the_one_that_agrees_is_taken():
    default = resolve_gpu(StatedGpu("A100"))
    assert default.sheet.name == "A100 SXM 80GB"
    assert "A100 SXM 40GB" in default.notes[0]
    by_bandwidth = resolve_gpu(StatedGpu("A100", None, {"memory_bandwidth_gb_per_s": 1555}))
    assert by_bandwidth.sheet.name == "A100 SXM 40GB"
    assert by_bandwidth.disagreements == ()
    by_sms = resolve_gpu(StatedGpu("H100", None, {"sm_count": 114}))
    assert by_sms.sheet.name == "H100 PCIe"


def test_an_unknown_board_is_usable_if_it_is_stated():
    fields = {"compute_capability": "8.9", "sm_count": 60, "memory_bandwidth_gb_per_s": 432}
    found = resolve_gpu(StatedGpu("RTX 4000 Ada Laptop", "Ada Lovelace", fields))
    assert found.sheet.name == "RTX 4000 Ada Laptop"
    assert found.sheet.limits == limits_for((8, 9))
    assert found.sheet.memory_bandwidth_gb_per_s == 432
    assert found.sheet.tf32_tflops is None
    assert found.disagreements == ()
    assert "no sheet is known" in found.notes[0]


@pytest.mark.parametrize(
    ("fields", "lacking"),
    [
        ({}, "its compute capability and its number of SMs"),
        ({"sm_count": 60}, "its compute capability"),
        ({"compute_capability": "8.9"}, "its number of SMs"),
    ],
)
def test_an_unknown_board_without_enough_fields_is_refused(fields, lacking):
    place = Place("request.txt", "Target GPU", 4)
    with pytest.raises(InputError) as refused:
        resolve_gpu(StatedGpu("RTX 4085", None, fields), place=place)
    assert refused.value.what.endswith(f"does not state {lacking}")
    assert "RTX 4080" in refused.value.hint
    assert refused.value.place is place


@pytest.mark.parametrize("name", ["4090", "some board"])
def test_an_architecture_without_limits_is_refused(name):
    stated = StatedGpu(name, None, {"compute_capability": "6.1", "sm_count": 20})
    with pytest.raises(InputError, match="compute capability"):
        resolve_gpu(stated)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sm_count", 0),
        ("sm_count", -1),
        ("sm_count", 12.5),
        ("sm_count", "many"),
        ("fp16_tflops", float("nan")),
        ("fp16_tflops", float("inf")),
        ("l2_bytes", 0),
        ("compute_capability", "Ada"),
    ],
)
def test_a_value_that_is_no_positive_number_is_refused(field, value):
    with pytest.raises(InputError) as refused:
        resolve_gpu(StatedGpu("4090", None, {field: value}))
    assert field in refused.value.what
    assert refused.value.got == repr(value)


def test_a_reserve_of_nothing_may_be_stated():
    stated = StatedGpu("4090", None, {"reserved_shared_bytes_per_block": 0})
    assert resolve_gpu(stated).sheet.limits.reserved_shared_bytes_per_block == 0


def test_a_whole_number_written_as_a_fraction_is_a_count():
    sheet = resolve_gpu(StatedGpu("4090", None, {"sm_count": 128.0})).sheet
    assert sheet.sm_count == 128
    assert isinstance(sheet.sm_count, int)


def test_a_field_that_no_sheet_has_is_a_bug_of_the_caller():
    with pytest.raises(InternalError, match="fp4_tflops"):
        resolve_gpu(StatedGpu("4090", None, {"fp4_tflops": 1}))


def test_every_number_of_a_sheet_may_be_stated():
    numbers = {field.name for field in dataclasses.fields(find_gpu("4090"))}
    numbers -= {"name", "architecture", "compute_capability", "limits", "aliases", "sources"}
    assert numbers == {*RATE_FIELDS, *COUNT_FIELDS}


@pytest.mark.parametrize("sheet", all_gpus(), ids=lambda sheet: sheet.name)
def test_a_board_stated_with_all_our_numbers_is_that_board(sheet):
    fields = {name: getattr(sheet, name) for name in (*RATE_FIELDS, *COUNT_FIELDS)}
    fields = {name: value for name, value in fields.items() if value is not None}
    fields |= {name: getattr(sheet.limits, name) for name in LIMIT_FIELDS}
    fields["compute_capability"] = ".".join(map(str, sheet.compute_capability))
    found = resolve_gpu(StatedGpu(sheet.name, sheet.architecture, fields))
    assert found.sheet == sheet
    aged = sheet.compute_capability < (8, 0)  # a note tells what Triton supports
    assert (found.disagreements, len(found.notes)) == ((), int(aged))


@given(
    st.dictionaries(
        st.sampled_from([*RATE_FIELDS, *COUNT_FIELDS, *LIMIT_FIELDS]), st.integers(1, 10**9)
    )
)
def test_every_stated_number_stands_in_the_sheet(fields):
    sheet = resolve_gpu(StatedGpu("4090", None, fields)).sheet
    for name, value in fields.items():
        assert getattr(sheet.limits if name in LIMIT_FIELDS else sheet, name) == value
