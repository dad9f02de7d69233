"""Which compiler a machine has."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from pathlib import Path

import pytest

from warpwright.errors import MissingToolError
from warpwright.sandbox import toolchain as toolchain_module
from warpwright.sandbox.run import run_job
from warpwright.sandbox.toolchain import (
    TritonInstallation,
    find_triton,
    minor_version,
    ptxas_targets,
    ptxas_version,
    toolchain,
)
from warpwright.types.job import Job, JobLimits


def installation(version: str) -> TritonInstallation:
    tools = Path("tools")
    return TritonInstallation(
        version, tools, tools / "ptxas", tools / "ptxas-blackwell", tools / "cuobjdump"
    )


@pytest.mark.triton
def test_the_versions_are_found_without_importing_triton() -> None:
    before = {name for name in sys.modules if name.split(".")[0] in ("torch", "triton")}
    found = toolchain()
    after = {name for name in sys.modules if name.split(".")[0] in ("torch", "triton")}
    assert after == before
    assert found.triton == importlib.metadata.version("triton")
    assert found.torch == importlib.metadata.version("torch")
    assert minor_version(found.ptxas or "") >= (12, 0)


@pytest.mark.triton
def test_a_target_that_the_assembler_lacks_is_told_in_one_sentence() -> None:
    triton = find_triton()
    assert triton is not None
    assert triton.ptxas is not None
    assert {(8, 0), (8, 9), (9, 0)} <= ptxas_targets(triton.ptxas)
    with pytest.raises(MissingToolError, match=r"cannot compile for compute capability 3\.5\n"):
        toolchain((3, 5))


@pytest.mark.triton
def test_the_installed_triton_has_its_tools() -> None:
    triton = find_triton()
    assert triton is not None
    assert triton.ptxas is not None
    assert triton.cuobjdump is not None
    assert triton.supported


@pytest.mark.parametrize(
    ("version", "target", "name"),
    [
        ("3.7.1", (8, 9), "ptxas"),
        ("3.7.1", (9, 0), "ptxas"),
        ("3.7.1", (10, 0), "ptxas-blackwell"),
        ("3.7.1", (12, 0), "ptxas-blackwell"),
        ("3.9.0", (8, 9), "ptxas"),
        ("3.9.0", (9, 0), "ptxas-blackwell"),
    ],
)
def test_newer_targets_take_the_newer_assembler(
    version: str, target: tuple[int, int], name: str
) -> None:
    path = installation(version).ptxas_for(target)
    assert path is not None
    assert path.name == name


@pytest.mark.parametrize(
    ("version", "supported"),
    [("3.5.1", False), ("3.6.0", True), ("3.9.0+git1", True), ("3.10.0", False), ("dev", False)],
)
def test_supported_versions_are_those_that_were_tried(version: str, supported: bool) -> None:
    assert installation(version).supported is supported


def test_without_triton_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "meta_path", [])
    for name in ("torch", "triton"):  # another test of this process may have imported them
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert find_triton() is None
    with pytest.raises(MissingToolError, match="pip install") as caught:
        toolchain()
    assert caught.value.exit_code == 3


def test_a_wheel_without_ptxas_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = TritonInstallation("3.7.1", Path("bare"), None, None, None)
    monkeypatch.setattr(toolchain_module, "find_triton", lambda: bare)
    monkeypatch.setattr(toolchain_module, "installed_version", lambda name: "2.13.0")
    with pytest.raises(MissingToolError, match="no working ptxas"):
        toolchain()


def test_a_tool_that_does_not_run_has_no_version(tmp_path: Path) -> None:
    assert ptxas_version(tmp_path / "ptxas") is None
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexit 1\n")
    silent.chmod(0o755)
    assert ptxas_version(silent) is None


@pytest.mark.triton
@pytest.mark.versions
def test_the_triton_that_make_was_asked_for_is_the_one_that_children_use() -> None:
    asked = os.environ.get("WARPWRIGHT_TRITON")
    if asked is None:
        pytest.skip("WARPWRIGHT_TRITON names no version: `make test-triton` sets it")
    found = find_triton()
    assert found is not None
    assert found.version.startswith(f"{asked}.")
    assert found.supported
    source = f"import triton\nassert triton.__version__ == {found.version!r}, triton.__version__"
    result = run_job(Job("import", {"source": source}, JobLimits(deadline_s=60)))
    assert result.ok, result.reason
