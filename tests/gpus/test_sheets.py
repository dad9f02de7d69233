import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpwright.errors import InputError, Place
from warpwright.gpus.other_makers import other_maker
from warpwright.gpus.sheets import (
    all_gpus,
    compute_capabilities,
    find_gpu,
    gpu_candidates,
    limits_for,
    parse_compute_capability,
)
from warpwright.gpus.target_sheet import resolve_gpu
from warpwright.types.gpu import StatedGpu

# Operations a clock in one SM (a multiply-add is two): fp16 on the tensor cores with fp32 sums.
FP16_OPERATIONS_PER_SM_PER_CLOCK = {
    "RTX 3090": 512,
    "RTX 4090": 512,
    "RTX 5090": 512,
    "A10": 1024,
    "L4": 1024,
    "L40S": 1024,
    "RTX 6000 Ada": 1024,
    "A100 SXM 40GB": 2048,
    "A100 SXM 80GB": 2048,
    "H100 SXM": 4096,
    "H100 PCIe": 4096,
    "H200 SXM": 4096,
    "B200": 8192,
}
FP16_OPERATIONS_PER_SM_PER_CLOCK |= {
    "RTX PRO 6000 Blackwell": 1024,
    "T4": 1024,
    "V100 SXM2": 1024,
    "V100 PCIe": 1024,
    "A30": 2048,
    "GH200 144GB": 4096,
    "GH200 96GB": 4096,
} | {
    f"RTX {model}": 512
    for model in (
        "3060", "3060 Ti", "3070", "3070 Ti", "3080 10GB", "3080 12GB", "3080 Ti", "3090 Ti",
        "4060", "4060 Ti", "4070", "4070 SUPER", "4070 Ti", "4070 Ti SUPER", "4080", "4080 SUPER",
        "5070", "5070 Ti", "5080",
    )
}  # fmt: skip
FP32_OPERATIONS_PER_SM_PER_CLOCK = dict.fromkeys(
    ("A100 SXM 40GB", "A100 SXM 80GB", "A30", "T4", "V100 SXM2", "V100 PCIe"), 128
)  # else 256

# Boards whose printed rate is not the product to a percent: why, and by how much.
LOOSER = {
    "L40S": 0.015,  # the datasheet prints 362 for fp16 beside 733 for fp8
    "B200": 0.06,  # the datasheet's rates hold at about 1856 MHz, the boost clock is 1965
}


@pytest.mark.parametrize("sheet", all_gpus(), ids=lambda sheet: sheet.name)
def test_tensor_rates_follow_from_sms_and_clock(sheet):
    clock_mhz = sheet.tensor_boost_mhz or sheet.boost_mhz
    per_clock = FP16_OPERATIONS_PER_SM_PER_CLOCK[sheet.name]
    fp16_tflops = sheet.sm_count * per_clock * clock_mhz / 1e6
    tolerance = LOOSER.get(sheet.name, 0.01)
    assert sheet.fp16_tflops == pytest.approx(fp16_tflops, rel=tolerance)
    if sheet.compute_capability < (8, 0):
        assert (sheet.bf16_tflops, sheet.tf32_tflops, sheet.fp8_tflops) == (None, None, None)
        return
    assert sheet.bf16_tflops == sheet.fp16_tflops
    # L4's and B200's TF32 figures are printed to two digits.
    assert sheet.tf32_tflops == pytest.approx(sheet.fp16_tflops / 2, rel=0.025)
    if sheet.compute_capability >= (8, 9):
        assert sheet.fp8_tflops == pytest.approx(2 * sheet.fp16_tflops, rel=0.015)
    else:
        assert sheet.fp8_tflops is None


@pytest.mark.parametrize("sheet", all_gpus(), ids=lambda sheet: sheet.name)
def test_fp32_rate_follows_from_sms_and_clock(sheet):
    per_clock = FP32_OPERATIONS_PER_SM_PER_CLOCK.get(sheet.name, 256)
    fp32_tflops = sheet.sm_count * per_clock * sheet.boost_mhz / 1e6
    assert sheet.fp32_tflops == pytest.approx(fp32_tflops, rel=0.01)


@pytest.mark.parametrize("sheet", all_gpus(), ids=lambda sheet: sheet.name)
def test_every_number_of_a_sheet_has_a_source(sheet):
    numbers = {
        field.name
        for field in dataclasses.fields(sheet)
        if field.name not in {"name", "limits", "aliases", "sources"}
        and getattr(sheet, field.name) is not None
    }
    limits = {field.name for field in dataclasses.fields(sheet.limits)}
    assert numbers | limits == set(sheet.sources)
    assert all(len(source) > 10 for source in sheet.sources.values())


@pytest.mark.parametrize("capability", compute_capabilities())
def test_limits_are_consistent_among_themselves(capability):
    limits = limits_for(capability)
    assert limits.compute_capability == capability
    assert limits.threads_per_sm == limits.warps_per_sm * limits.warp_size
    assert (
        limits.max_shared_bytes_per_block + limits.reserved_shared_bytes_per_block
        == limits.shared_bytes_per_sm
    )
    assert limits.shared_bytes_per_sm % limits.shared_allocation_unit_bytes == 0


def test_limits_of_an_ada_sm():
    limits = limits_for((8, 9))
    assert (limits.warps_per_sm, limits.blocks_per_sm, limits.threads_per_sm) == (48, 24, 1536)
    assert (limits.shared_bytes_per_sm, limits.max_shared_bytes_per_block) == (102400, 101376)


def test_sm_86_has_100_kb_of_shared_memory_not_the_164_of_sm_80():
    assert limits_for((8, 6)).shared_bytes_per_sm == 100 * 1024
    assert limits_for((8, 0)).shared_bytes_per_sm == 164 * 1024


def test_an_architecture_without_limits_is_refused_with_the_known_ones():
    with pytest.raises(InputError) as refused:
        limits_for((6, 1))
    assert refused.value.got == "6.1"
    assert "8.9" in refused.value.expected


@pytest.mark.parametrize(
    "name",
    [
        "4090",
        "RTX 4090",
        "rtx4090",
        "RTX-4090",
        "geforce rtx 4090",
        "GeForceRTX4090",
        "NVIDIA GeForce RTX 4090",
        "NVIDIA GeForce RTX™ 4090",
        "Nvidia(R) GeForce RTX(TM) 4090 GPU",
        "  4090 \n",
        "RTX 4090 24GB",
    ],
)
def test_one_board_has_many_names(name):
    assert find_gpu(name).name == "RTX 4090"


@pytest.mark.parametrize(
    ("driver_name", "board"),
    [
        ("NVIDIA GeForce RTX 3090", "RTX 3090"),
        ("NVIDIA GeForce RTX 5090", "RTX 5090"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"),
        ("NVIDIA A10", "A10"),
        ("NVIDIA A100-SXM4-40GB", "A100 SXM 40GB"),
        ("NVIDIA A100-SXM4-80GB", "A100 SXM 80GB"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H200", "H200 SXM"),
        ("NVIDIA B200", "B200"),
        ("Tesla T4", "T4"),
        ("Tesla V100-SXM2-16GB", "V100 SXM2"),
        ("Tesla V100-PCIE-32GB", "V100 PCIe"),
        ("NVIDIA A30", "A30"),
        ("NVIDIA GH200 480GB", "GH200 96GB"),
        ("NVIDIA GeForce RTX 3060", "RTX 3060"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "RTX 4070 Ti SUPER"),
        ("NVIDIA GeForce RTX 5070 Ti", "RTX 5070 Ti"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "RTX PRO 6000 Blackwell"),
    ],
)
def test_the_drivers_name_finds_the_board(driver_name, board):
    assert find_gpu(driver_name).name == board
    assert [sheet.name for sheet in gpu_candidates(driver_name)] == [board]


@pytest.mark.parametrize(
    ("name", "boards"),
    [
        ("H100", ["H100 SXM", "H100 PCIe"]),
        ("A100", ["A100 SXM 80GB", "A100 SXM 40GB"]),
        ("A100 80GB", ["A100 SXM 80GB"]),
        ("a100-40gb", ["A100 SXM 40GB"]),
        ("H100 SXM", ["H100 SXM"]),
        ("H200", ["H200 SXM"]),
        ("H100-PCIe", ["H100 PCIe"]),
        ("4070 ti super", ["RTX 4070 Ti SUPER"]),
        ("rtx4070ti", ["RTX 4070 Ti"]),
        ("3080", ["RTX 3080 12GB", "RTX 3080 10GB"]),
        ("V100", ["V100 SXM2", "V100 PCIe"]),
        ("GH200", ["GH200 144GB", "GH200 96GB"]),
        ("tesla-t4", ["T4"]),
        ("RTX PRO 6000", ["RTX PRO 6000 Blackwell"]),
    ],
)
def test_a_short_name_takes_the_first_of_the_boards_it_fits(name, boards):
    assert [sheet.name for sheet in gpu_candidates(name)] == boards
    assert find_gpu(name).name == boards[0]


@pytest.mark.parametrize("name", ["H100", "A100", "3080", "V100", "GH200"])
def test_the_default_of_a_short_name_has_no_lower_rate_than_the_others(name):
    default, *others = gpu_candidates(name)
    assert others
    for other in others:
        assert default.memory_bandwidth_gb_per_s >= other.memory_bandwidth_gb_per_s
        assert default.fp16_tflops >= other.fp16_tflops


@pytest.mark.parametrize(
    "name",
    ["A10G", "RTX 4090 Ti", "RTX 4090 D", "RTX 4090 Laptop GPU", "RTX A6000", "409", "L40", "RTX"],
)
def test_a_name_that_only_resembles_a_board_is_not_that_board(name):
    with pytest.raises(InputError):
        find_gpu(name)


def test_an_unknown_gpu_is_told_with_near_matches_and_the_list():
    place = Place("request.txt", "Target GPU", 5)
    with pytest.raises(InputError) as refused:
        find_gpu("RTX 4085", place=place)
    assert "RTX 4080" in refused.value.hint
    assert all(sheet.name in refused.value.expected for sheet in all_gpus())
    assert str(refused.value).startswith("request.txt:5, in Target GPU: unknown GPU")


def test_a_huge_name_gives_a_short_error():
    with pytest.raises(InputError) as refused:
        find_gpu("RTX 4090 " * 100_000)
    assert len(str(refused.value)) < 1000


@given(st.text())
def test_any_text_finds_a_board_or_is_refused(name):
    try:
        assert find_gpu(name) in all_gpus()
    except InputError as refused:
        assert refused.exit_code == 2


@given(
    st.sampled_from([alias for sheet in all_gpus() for alias in (sheet.name, *sheet.aliases)]),
    st.sampled_from(["", "NVIDIA ", "nvidia  ", "NVIDIA-"]),
    st.sampled_from(["", " GPU", " "]),
    st.sampled_from([str.lower, str.upper, str.title]),
    st.sampled_from([" ", "", "-", "_"]),
)
def test_case_spaces_and_the_makers_name_do_not_count(alias, prefix, suffix, case, separator):
    written = case(prefix + alias + suffix).replace(" ", separator)
    if separator == "" and suffix == " GPU":
        written = written[:-3]
    assert find_gpu(written) == find_gpu(alias)


@pytest.mark.parametrize(
    ("text", "capability"),
    [("8.9", (8, 9)), ("10.0", (10, 0)), ("sm_120", (12, 0)), ("SM_90", (9, 0)), ("89", (8, 9))],
)
def test_compute_capability_is_read(text, capability):
    assert parse_compute_capability(text) == capability


@pytest.mark.parametrize("text", ["", "8", "8.", "Ada", "8.9.1", "-8.9", "8.99"])
def test_what_is_no_compute_capability_is_none(text):
    assert parse_compute_capability(text) is None


def test_the_target_is_the_compilers_name():
    assert find_gpu("4090").target == "sm_89"
    assert find_gpu("5090").target == "sm_120"


@pytest.mark.parametrize(
    ("name", "maker"),
    [
        ("MI300X", "AMD"),
        ("AMD Instinct MI250X", "AMD"),
        ("Radeon RX 7900 XTX", "AMD"),
        ("gfx942", "AMD"),
        ("Intel Arc B580", "Intel"),
        ("Gaudi 3", "Intel"),
        ("Data Center GPU Max 1550", "Intel"),
        ("Apple M3 Max", "Apple"),
        ("m4 ultra", "Apple"),
    ],
)
def test_a_board_of_another_maker_is_refused_in_one_sentence(name, maker):
    stated = StatedGpu(name, fields={"compute_capability": "9.0", "sm_count": 304})
    for look_up in (lambda: find_gpu(name), lambda: resolve_gpu(stated)):
        with pytest.raises(InputError) as refused:
            look_up()
        assert refused.value.what.startswith(f"{name!r} is a GPU of {maker}")
        assert refused.value.what.endswith("supports NVIDIA GPUs only")
        assert refused.value.expected is None


def test_what_is_known_of_a_board_of_another_maker_is_told():
    with pytest.raises(InputError, match="304 compute units, 192 GB at 5,300 GB/s"):
        find_gpu("amd mi300x")


@pytest.mark.parametrize("sheet", all_gpus(), ids=lambda sheet: sheet.name)
def test_no_name_of_a_board_of_ours_is_taken_for_another_makers(sheet):
    assert [other_maker(name) for name in (sheet.name, *sheet.aliases)] == [None] * (
        1 + len(sheet.aliases)
    )


@pytest.mark.parametrize(("name", "told"), [("T4", True), ("V100 PCIe", True), ("A30", False)])
def test_a_card_older_than_triton_supports_is_told(name, told):
    notes = resolve_gpu(StatedGpu(name)).notes
    assert any("Triton supports compute capability 8.0 and later" in n for n in notes) is told
