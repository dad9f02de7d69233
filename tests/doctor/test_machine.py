"""What `doctor` finds, on this machine and on machines that lack everything."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from warpwright.doctor import machine
from warpwright.doctor.machine import MachineItem, PartStatus, examine_machine
from warpwright.gpus import driver
from warpwright.gpus.driver import Driver, Gpu, read_nvml, read_smi

NAMES = ("system", "python", "processor", "memory", "torch", "triton", "c compiler", "gpu", "ncu")


def test_every_part_of_this_machine_is_examined_in_a_few_seconds(tmp_path: Path) -> None:
    started = time.monotonic()
    report = examine_machine(tmp_path)
    assert time.monotonic() - started < 8
    assert [item.name for item in report.items if item.name in NAMES] == list(NAMES)
    for item in report.items:
        assert isinstance(item.status, PartStatus)
        assert item.found
        assert item.enables
        assert item.status is PartStatus.OK or item.fix, f"{item.name} lacks a fix"
    with pytest.raises(KeyError):
        report.item("coffee machine")


@pytest.mark.triton
def test_torch_and_triton_are_seen_with_their_versions(tmp_path: Path) -> None:
    before = set(sys.modules)
    report = examine_machine(tmp_path)
    assert report.item("torch").status is PartStatus.OK
    assert report.item("triton").status is PartStatus.OK
    assert report.item("ptxas").status is PartStatus.OK
    assert report.item("torch").facts["sees_cuda"] in (True, False)
    assert not {"torch", "triton"} & (set(sys.modules) - before)


def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No tools on the PATH, no torch, no Triton, no driver files."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(machine, "installed_version", lambda name: None)
    monkeypatch.setattr(machine, "find_triton", lambda: None)
    monkeypatch.setattr(driver, "NCU_PLACES", ())
    monkeypatch.setattr(driver, "DRIVER_PARAMETERS", tmp_path / "params")


def test_a_machine_with_nothing_gets_a_fix_for_everything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bare_machine(monkeypatch, tmp_path)
    report = examine_machine(tmp_path / "cache")
    for name in ("torch", "triton", "c compiler", "ncu"):
        assert report.item(name).status is PartStatus.MISSING
        assert report.item(name).fix
    assert "pip install" in str(report.item("triton").fix)
    assert report.item("cache").status is PartStatus.OK
    assert "ptxas" not in [item.name for item in report.items]


def test_a_probe_that_fails_does_not_hide_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken() -> None:
        raise OSError("the directory is odd")

    monkeypatch.setattr(machine, "default_cache_dir", broken)
    report = examine_machine()
    assert report.item("cache").status is PartStatus.LIMITED
    assert "the directory is odd" in report.item("cache").found
    assert report.item("python").status is PartStatus.OK


def tool(directory: Path, name: str, script: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_the_gpus_are_those_that_nvidia_smi_lists(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tool(tmp_path, "nvidia-smi", 'echo "NVIDIA GeForce RTX 4090, 570.86.10, 24564, 8.9"')
    monkeypatch.setenv("PATH", str(tmp_path))
    item = machine.driver_item()
    assert item.status is PartStatus.OK
    assert item.found == "NVIDIA GeForce RTX 4090 24 GiB sm_89, driver 570.86.10"


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("echo 'NVIDIA-SMI has failed: no driver' >&2; exit 9", "no driver"),
        ("echo 'No devices were found'", "No devices were found"),
        ("/bin/sleep 60", "no answer"),
    ],
)
def test_a_driver_that_does_not_answer_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, found: str
) -> None:
    tool(tmp_path, "nvidia-smi", script)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(driver, "TOOL_TIMEOUT_S", 0.5)
    item = machine.driver_item()
    assert item.status is PartStatus.LIMITED
    assert found in item.found
    assert item.fix


def test_unknown_numbers_of_a_gpu_are_none() -> None:
    text = "NVIDIA H100 NVL, 580.1, [N/A], [N/A]\nNVIDIA L4, 580.1, 23034, 8.9\n"
    assert read_smi(text) == Driver(
        "580.1", (Gpu("NVIDIA H100 NVL"), Gpu("NVIDIA L4", 23034 * 1024**2, (8, 9)))
    )


def test_nvml_tells_the_same_as_nvidia_smi() -> None:
    gpu = {"name": "NVIDIA L4", "memory_bytes": 23034 * 1024**2, "compute_capability": [8, 9]}
    assert read_nvml({"driver": "580.1", "gpus": [gpu]}) == read_smi("NVIDIA L4, 580.1, 23034, 8.9")
    assert read_nvml({"driver": "580.1", "gpus": []}).problem


def profiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[MachineItem]:
    tool(tmp_path, "ncu", 'echo "Version 2025.3.1.0 (build 36398880) (public-release)"')
    monkeypatch.setenv("PATH", str(tmp_path))
    return list(machine.profiler_items())


@pytest.mark.parametrize(
    ("parameters", "capabilities", "status"),
    [
        ("RmProfilingAdminOnly: 1\n", "0000000000000000", PartStatus.LIMITED),
        ("RmProfilingAdminOnly: 0\n", "0000000000000000", PartStatus.OK),
        ("RmProfilingAdminOnly: 1\n", "000001ffffffffff", PartStatus.OK),
        ("RmProfilingAdminOnly: 1\n", "0000004000000000", PartStatus.OK),  # CAP_PERFMON alone
        ("Other: 1\n", "0000000000000000", PartStatus.LIMITED),
    ],
)
def test_the_counters_permission_is_told_with_its_fix(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    parameters: str,
    capabilities: str,
    status: PartStatus,
) -> None:
    (tmp_path / "params").write_text(parameters)
    (tmp_path / "status").write_text(f"Name:\tpython\nCapEff:\t{capabilities}\n")
    monkeypatch.setattr(driver, "DRIVER_PARAMETERS", tmp_path / "params")
    monkeypatch.setattr(driver, "PROCESS_STATUS", tmp_path / "status")
    ncu, counters = profiler(monkeypatch, tmp_path)
    assert ncu.status is PartStatus.OK
    assert "2025.3.1.0" in ncu.found
    assert counters.status is status
    if status is PartStatus.LIMITED:
        assert "NVreg_RestrictProfilingToAdminUsers=0" in str(counters.fix)


def test_a_child_has_its_own_group_and_directory() -> None:
    item = machine.isolation_item()
    assert item.status in (PartStatus.OK, PartStatus.LIMITED)
    assert item.facts["network"] is (item.status is PartStatus.LIMITED)


def test_without_a_c_compiler_the_fix_names_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert machine.compiler_item().status is PartStatus.MISSING
    tool(tmp_path, "gcc", "true")
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    assert machine.compiler_item().status is PartStatus.LIMITED
    (tmp_path / "Python.h").touch()
    assert machine.compiler_item().status is PartStatus.OK


def test_the_cache_is_measured_and_an_unwritable_one_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "value.json").write_bytes(b"x" * 3 * 1024**2)
    item = machine.cache_item(tmp_path)
    assert item.facts["bytes"] == 3 * 1024**2
    assert item.found == f"{tmp_path}, 3.0 MiB"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert machine.cache_item(tmp_path).status is PartStatus.LIMITED
    assert "WARPWRIGHT_CACHE_DIR" in str(machine.cache_item(tmp_path).fix)


def test_a_directory_that_is_not_there_yet_is_judged_by_the_one_above(tmp_path: Path) -> None:
    assert machine.existing_parent(tmp_path / "a" / "b") == tmp_path
    assert machine.directory_bytes(tmp_path / "a") == (0, True)
