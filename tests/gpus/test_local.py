"""`here` as a target: what the device reports lies over the sheet, each field with its source."""

from __future__ import annotations

import pytest

from warpwright import api
from warpwright.gpus.driver import read_device
from warpwright.gpus.local import BANDWIDTH_SOURCE, DEVICE_SOURCE, resolve_device
from warpwright.gpus.sheets import find_gpu

ATTRIBUTES = {
    "max_threads_per_block": 1024,
    "warp_size": 32,
    "registers_per_block": 65536,
    "sm_count": 114,
    "memory_clock_khz": 2_619_000,
    "memory_bus_bits": 5120,
    "l2_bytes": 52_428_800,
    "threads_per_sm": 2048,
    "major": 9,
    "minor": 0,
    "shared_bytes_per_sm": 233_472,
    "registers_per_sm": 65536,
    "max_shared_bytes_per_block": 232_448,
    "blocks_per_sm": 32,
    "reserved_shared_bytes_per_block": None,
}


def test_the_device_overrides_its_sheet_and_each_field_keeps_its_source() -> None:
    facts = read_device({"name": "NVIDIA H100 80GB HBM3", "attributes": ATTRIBUTES})
    assert facts is not None
    resolved = resolve_device(facts)
    sheet, ours = resolved.sheet, find_gpu("H100 SXM")
    assert sheet.name == "H100 SXM"
    assert (sheet.sm_count, sheet.sources["sm_count"]) == (114, DEVICE_SOURCE)
    assert [d.field for d in resolved.disagreements] == ["sm_count"]
    assert sheet.tf32_tflops == ours.tf32_tflops
    assert sheet.sources["tf32_tflops"] == ours.sources["tf32_tflops"]
    assert sheet.memory_bandwidth_gb_per_s == ours.memory_bandwidth_gb_per_s


def test_a_board_without_a_sheet_is_what_the_device_reports() -> None:
    facts = read_device({"name": "NVIDIA H100 64GB of another make", "attributes": ATTRIBUTES})
    assert facts is not None
    sheet = resolve_device(facts).sheet
    assert sheet.compute_capability == (9, 0)
    assert sheet.memory_bandwidth_gb_per_s == 3352.3
    assert sheet.sources["memory_bandwidth_gb_per_s"] == BANDWIDTH_SOURCE
    assert sheet.tf32_tflops is None


def test_without_a_driver_there_are_no_facts() -> None:
    assert read_device({"name": None, "attributes": {}}) is None


def test_other_names_still_mean_their_sheets() -> None:
    assert api.target_gpu("4090").sheet == find_gpu("4090")


@pytest.mark.gpu
def test_this_machines_gpu_is_a_target() -> None:
    sheet = api.target_gpu("here").sheet
    assert sheet.sources["sm_count"] == DEVICE_SOURCE
    assert sheet.memory_bandwidth_gb_per_s is not None
