"""What is compiled for a program stays where a launch of it looks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from warpwright.compiler.compile import CompileRequest, compile_configs
from warpwright.store.binaries import cache_directory, has_compiled
from warpwright.store.cache import ResultCache
from warpwright.types.compiled import Compiled, Specialization
from warpwright.types.config import Config

PROGRAM = dedent(
    """
    import triton
    import triton.language as tl

    @triton.jit
    def add_kernel(x_ptr, y_ptr, n, step, scale, odd, BLOCK: tl.constexpr):
        offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        mask = offsets < n
        x = tl.load(x_ptr + offsets, mask=mask) * scale + odd
        tl.store(y_ptr + offsets * step, x, mask=mask)
    """
)
NAMES = ("x_ptr", "y_ptr", "n")
SIGNATURE = {
    "x_ptr": "*fp32",
    "y_ptr": "*fp32",
    "n": "i32",
    "step": "constexpr",
    "scale": "fp32",
    "odd": "i32",
}
CALLED = Specialization("add_kernel", {**SIGNATURE, "BLOCK": "constexpr"}, {"step": 1}, NAMES)
SMALL, LARGE = Config.of({"BLOCK": 256}), Config.of({"BLOCK": 512}, num_warps=8, num_stages=2)

# A launch as far as its binary, on a machine that has no GPU: Triton's own path from the arguments
# to the name in its cache, with a driver that only tells the target.
LAUNCH = dedent(
    """
    import importlib.util, sys
    from pathlib import Path
    import torch
    from triton.backends.compiler import GPUTarget
    from triton.compiler import compiler
    from triton.runtime import driver
    from triton.runtime.jit import MockTensor

    class Driver:
        get_current_target = staticmethod(lambda: GPUTarget("cuda", 90, 32))
        get_current_device = staticmethod(lambda: 0)
        get_current_stream = staticmethod(lambda device: 0)

    driver.set_active(Driver())
    found, make = [], compiler.get_cache_manager

    def look(key):
        manager = make(key)
        directory = Path(manager.cache_dir)
        found.append(directory.is_dir() and any(directory.glob("*.cubin")))
        return manager

    compiler.get_cache_manager = look
    spec = importlib.util.spec_from_file_location("program", sys.argv[1])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    x, y = MockTensor(torch.float32), MockTensor(torch.float32)
    warmup = module.add_kernel.warmup
    warmup(x, y, 1024, 1, 0.5, 7, BLOCK=256, grid=(4,), num_warps=4)
    warmup(x, y, 1024, 1, 0.5, 7, BLOCK=512, grid=(2,), num_warps=8, num_stages=2)
    warmup(x, y, 1024, 1, 0.5, 7, BLOCK=128, grid=(8,))
    print(*found)
    """
)


def compiled(base: Path, cache: ResultCache | None, *configs: Config) -> list[bool]:
    requests = [CompileRequest(CALLED, config) for config in configs]
    results = compile_configs(
        PROGRAM, requests, compute_capability=(9, 0), cache=cache, binaries=base
    )
    return [isinstance(result, Compiled) for result in results]


@pytest.mark.triton
def test_a_launch_finds_what_was_compiled_for_its_program(tmp_path: Path) -> None:
    assert compiled(tmp_path / "kept", None, SMALL, LARGE) == [True, True]
    program, launch = tmp_path / "elsewhere.py", tmp_path / "launch.py"
    program.write_text(PROGRAM)
    launch.write_text(LAUNCH)
    directory = cache_directory(tmp_path / "kept", PROGRAM)
    done = subprocess.run(
        [sys.executable, launch, program],
        env={"TRITON_CACHE_DIR": str(directory), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.split() == ["True", "True", "False"], done.stderr


@pytest.mark.triton
def test_a_kept_result_does_not_stand_for_a_binary_that_is_not_there(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path / "results")
    pins = {"add_kernel": SMALL}
    assert compiled(tmp_path / "first", cache, SMALL) == [True]
    assert has_compiled(tmp_path / "first", PROGRAM, pins)
    assert not has_compiled(tmp_path / "second", PROGRAM, pins)
    assert compiled(tmp_path / "second", cache, SMALL) == [True]
    assert has_compiled(tmp_path / "second", PROGRAM, pins)
    assert any(cache_directory(tmp_path / "second", PROGRAM).glob("*/*.cubin"))


def test_each_kernel_must_be_there_under_its_config(tmp_path: Path) -> None:
    from warpwright.store.binaries import note_compiled

    note_compiled(tmp_path, PROGRAM, [("add_kernel", SMALL)])
    assert has_compiled(tmp_path, PROGRAM, {"add_kernel": SMALL})
    assert has_compiled(tmp_path, PROGRAM, {"add_kernel": None})
    assert not has_compiled(tmp_path, PROGRAM, {"add_kernel": LARGE})
    assert not has_compiled(tmp_path, PROGRAM, {"add_kernel": SMALL, "other_kernel": None})
    assert not has_compiled(tmp_path, PROGRAM + "\n", {"add_kernel": SMALL})


# Triton's own way from a launch to its launcher, as far as the file that it would build.
LAUNCHER = dedent(
    """
    from triton.backends.nvidia import driver as nvidia
    from triton.runtime import build
    from triton.runtime.cache import get_cache_manager

    class Found(Exception):
        pass

    def look(src, name, **_):
        key = hashlib.sha256((src + build.platform_key()).encode("utf-8")).hexdigest()
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        raise Found(get_cache_manager(key).get_file(f"{name}{suffix}") is not None)

    nvidia.compile_module_from_src, nvidia.library_dirs = look, list
    kernel = warmup(x, y, 1024, 1, 0.5, 7, BLOCK=256, grid=(4,), num_warps=4)
    try:
        nvidia.CudaLauncher(kernel.src, kernel.metadata)
    except Found as found:
        print("launcher:", found)
    """
)


@pytest.mark.triton
@pytest.mark.versions
def test_a_launch_finds_the_launcher_that_was_built_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a library in the driver's place: linking needs its name, and nothing is loaded."""
    nvidia = pytest.importorskip("triton.backends.nvidia.driver")
    if not hasattr(nvidia, "make_launcher"):
        pytest.skip("this Triton has one launcher for all kernels")
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    driver = tmp_path / "driver"
    driver.mkdir()
    (driver / "empty.c").write_text("")
    library = driver / "libcuda.so.1"
    subprocess.run([compiler, "-shared", "-o", library, driver / "empty.c"], check=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(driver))
    assert compiled(tmp_path / "kept", None, SMALL, LARGE) == [True, True]
    program, launch = tmp_path / "elsewhere.py", tmp_path / "launch.py"
    program.write_text(PROGRAM)
    launch.write_text(f"import hashlib, sysconfig\n{LAUNCH}\n{LAUNCHER}")
    directory = cache_directory(tmp_path / "kept", PROGRAM)
    assert len(list(directory.glob("*/__triton_launcher*.so"))) == 1  # of both configs
    done = subprocess.run(
        [sys.executable, launch, program],
        env={
            "TRITON_CACHE_DIR": str(directory),
            "HOME": str(tmp_path),
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "launcher: True" in done.stdout, done.stderr
