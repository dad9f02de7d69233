"""`warpwright profile` where it cannot work: what is lacking, and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Command = Callable[..., CompletedProcess[str]]
EXAMPLE = Path(__file__).parents[2] / "examples" / "01-conv2d-stride4"
ARGUMENTS = (EXAMPLE / "program.py", "--problem", EXAMPLE / "problem.py")


def test_a_profile_needs_inputs(warpwright: Command) -> None:
    done = warpwright("profile", EXAMPLE / "program.py")
    assert done.returncode == 2
    assert "--problem FILE" in done.stderr


def test_wrong_names_are_refused_before_anything_is_started(warpwright: Command) -> None:
    for option, value in (("--metrics", "sm__thruput.avg"), ("--with", "l7"), ("--stage", "lunch")):
        done = warpwright("profile", *ARGUMENTS, option, value)
        assert done.returncode == 2, done.stderr
        assert value in done.stderr
    clocks = warpwright("profile", *ARGUMENTS, "--clock-control", "up")
    assert clocks.returncode == 2
    assert "--clock-control: unknown" in clocks.stderr


def profile_with(folder: Path, **tools: str) -> CompletedProcess[str]:
    """Run `profile` with only these programs, each a shell script, on the PATH."""
    for name, script in tools.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    return subprocess.run(
        [sys.executable, "-m", "warpwright", "profile", *map(str, ARGUMENTS)],
        env=os.environ | {"PATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_without_ncu_it_says_how_to_get_it(tmp_path: Path) -> None:
    done = profile_with(tmp_path)
    if "not on this machine" not in done.stderr:
        pytest.skip("Nsight Compute is installed beside the PATH")
    assert done.returncode == 3
    assert not done.stdout


def test_without_permission_it_names_the_drivers_option(tmp_path: Path) -> None:
    listing = "lts__t_sector_hit_rate.pct sm__throughput.avg.pct_of_peak_sustained_elapsed "
    listing += "sm__warps_active.avg.pct_of_peak_sustained_active "
    listing += "dram__throughput.avg.pct_of_peak_sustained_elapsed"
    done = profile_with(
        tmp_path,
        nvidia_smi='echo "NVIDIA H100 80GB HBM3, 580.1, 81559, 9.0"',
        ncu=f"""
for word in "$@"; do
  if [ "$word" = --query-metrics-mode ]; then printf '"%s","x"\\n' {listing}; exit 0; fi
done
while [ "$1" != --log-file ]; do shift; done
echo '==ERROR== ERR_NVGPUCTRPERM - The user does not have permission' > "$2"
exit 1""",
    )
    assert done.returncode == 3, done.stderr
    assert "NVreg_RestrictProfilingToAdminUsers=0" in done.stderr
    assert not done.stdout


def test_here_needs_a_gpu(warpwright: Command) -> None:
    done = warpwright("gpus", "here")
    if done.returncode == 0:
        pytest.skip("this machine has a GPU")
    assert done.returncode == 3
    assert "no NVIDIA GPU" in done.stderr
