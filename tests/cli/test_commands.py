"""The commands that read and write text, through the real program."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from warpwright.cli.main import app
from warpwright.formats.request_text import parse_request

Command = Callable[..., CompletedProcess[str]]
KERNEL = """import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def scale_kernel(x, y, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < n
    tl.store(y + offsets, 2.0 * tl.load(x + offsets, mask=inside), mask=inside)


def scale(x):
    y = torch.empty_like(x)
    scale_kernel[(triton.cdiv(x.numel(), 256),)](x, y, x.numel(), BLOCK=256)
    return y


class ModelNew(nn.Module):
    def forward(self, x):
        return scale(x)
"""

PROBLEM = """
import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        return 2.0 * x


def get_inputs():
    return [torch.rand(512, 512)]
"""


def test_help_teaches_the_first_steps_and_the_exit_codes(
    warpwright: Command, as_a_process: Command
) -> None:
    done = as_a_process("--help")
    assert done.returncode == 0
    for words in ("doctor", "answer request.txt", "bad input"):
        assert words in done.stdout
    for command in (
        "answer",
        "check",
        "inspect",
        "bench",
        "optimize",
        "request",
        "gpus",
        "stages",
        "runs",
        "doctor",
    ):
        assert warpwright(command, "--help").returncode == 0


def test_a_rendered_request_is_read_back_as_what_it_was_made_of(
    warpwright: Command, tmp_path: Path
) -> None:
    (tmp_path / "kernel.py").write_text(KERNEL)
    metrics = {"scale_kernel": {"launch__grid_size": 64, "lts__t_sector_hit_rate.pct": 50.5}}
    (tmp_path / "profile.json").write_text(json.dumps(metrics))
    done = warpwright("request", "kernel.py", "--gpu", "H100", "--profile", "profile.json")
    assert done.returncode == 0, done.stderr
    request = parse_request(done.stdout)
    assert request.program.strip() == KERNEL.strip()
    assert "H100" in request.gpu.name
    profile = request.profile.kernel("scale_kernel")
    assert profile is not None
    assert profile.metric("launch__grid_size") == 64


def test_a_request_is_not_written_with_a_profile_that_it_would_be_refused_for(
    warpwright: Command, tmp_path: Path
) -> None:
    (tmp_path / "kernel.py").write_text(KERNEL)
    (tmp_path / "profile.json").write_text('{"scale_kernl": {"launch__grid_size": 64}}')
    done = warpwright("request", "kernel.py", "--gpu", "H100", "--profile", "profile.json")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "profile.json:1" in done.stderr
    assert "did you mean scale_kernel?" in done.stderr


TUNED = (
    KERNEL.replace(
        "@triton.jit",
        """@triton.autotune(
    configs=[triton.Config({"BLOCK": 128 * k}, num_warps=k) for k in (2, 3, 4)],
    key=["width"],
    prune_configs_by={"early_config_prune": lambda configs, named, **other: configs[1:]},
)
@triton.jit""",
    )
    .replace("(triton.cdiv(x.numel(), 256),)", "lambda m: (triton.cdiv(x.numel(), m['BLOCK']),)")
    .replace(", BLOCK=256", "")
)


def test_request_warns_on_stderr_of_rules_that_the_program_breaks_already(
    warpwright: Command, tmp_path: Path
) -> None:
    literal = TUNED.replace(
        '[triton.Config({"BLOCK": 128 * k}, num_warps=k) for k in (2, 3, 4)]',
        "[triton.Config({'BLOCK': 128}, num_warps=3), triton.Config({'BLOCK': 256}, num_warps=6),\n"
        "             triton.Config({'BLOCK': 512}, num_warps=4)]",
    )
    (tmp_path / "kernel.py").write_text(literal)
    done = warpwright("request", "kernel.py", "--gpu", "4090", "--stage", "tuning")
    assert done.returncode == 0, done.stderr
    (warning,) = done.stderr.splitlines()
    said = "the program breaks a rule of the tuning stage already: num_warps.domain"
    assert warning.startswith(f"warning: kernel.py:8: {said}")
    assert "(and 1 more)" in warning
    assert parse_request(done.stdout).program.strip() == literal.strip()
    (tmp_path / "kernel.py").write_text(KERNEL)
    assert warpwright("request", "kernel.py", "--gpu", "4090").stderr == ""


@pytest.mark.triton
def test_inspect_shows_what_the_programs_own_pruning_drops_and_what_its_key_misses(
    warpwright: Command, tmp_path: Path
) -> None:
    (tmp_path / "kernel.py").write_text(TUNED.replace("(2, 3, 4)", "(2, 4, 8)"))
    (tmp_path / "problem.py").write_text(PROBLEM)
    command = ("inspect", "kernel.py", "--gpu", "4090", "--problem", "problem.py", "--quiet")
    told = warpwright(*command).stdout
    assert "3 configs listed, 1 dropped by the program's own pruning; left: 2 configs" in told
    assert "not tried: BLOCK=256 warps=2" in told
    assert "names width, which is no argument" in told
    (kernel,) = json.loads(warpwright(*command, "--json").stdout)["study"]["kernels"]
    assert [config["meta"] for config in kernel["pruned"]] == [{"BLOCK": 256}]
    assert len(kernel["configs"]) == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("MI300X", "is a GPU of AMD (CDNA 3, 304 compute units, 192 GB at 5,300 GB/s): Warpwright"),
        ("Apple M3 Max", "is a GPU of Apple: Warpwright supports NVIDIA GPUs only"),
    ],
)
def test_a_gpu_of_another_maker_gets_one_sentence(
    warpwright: Command, tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / "kernel.py").write_text(KERNEL)
    for command in (("gpus", name), ("request", "kernel.py", "--gpu", name)):
        done = warpwright(*command)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr


@pytest.mark.triton
def test_inspect_for_a_card_older_than_triton_supports_says_so(
    warpwright: Command, tmp_path: Path
) -> None:
    (tmp_path / "kernel.py").write_text(KERNEL)
    done = warpwright("inspect", "kernel.py", "--gpu", "V100 PCIe", "--input", "512x512", "--quiet")
    assert done.returncode in (0, 3)  # 3: a Triton whose ptxas has no sm_70 any more
    said = done.stdout + done.stderr
    assert "supports compute capability 8.0 and later" in said or "cannot compile for" in said


def test_bench_needs_a_problem(warpwright: Command, tmp_path: Path) -> None:
    (tmp_path / "kernel.py").write_text(KERNEL)
    done = warpwright("bench", "kernel.py")
    assert done.returncode == 2
    assert "--problem FILE" in done.stderr


@pytest.mark.triton
def test_bench_without_a_gpu_says_so_and_ends_with_3(
    warpwright: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    (tmp_path / "kernel.py").write_text(KERNEL)
    done = warpwright("bench", "kernel.py", "--input", "64x64", "--json")
    assert done.returncode == 3
    assert "GPU" in done.stderr
    assert json.loads(done.stdout)["schema_name"] == "warpwright.error"


@pytest.mark.gpu
def test_bench_on_a_gpu_makes_a_row_of_each_contender_with_conditions(
    warpwright: Command, tmp_path: Path
) -> None:
    (tmp_path / "kernel.py").write_text(KERNEL)
    (tmp_path / "problem.py").write_text(PROBLEM)
    done = warpwright(
        "bench", "kernel.py", "kernel.py", "-p", "problem.py", "--out", "raw.json", timeout_s=900
    )
    assert done.returncode == 0, done.stderr
    assert "Measured on" in done.stdout
    record = json.loads((tmp_path / "raw.json").read_text())
    assert [row["failed"] for row in record["rows"]] == [None] * 7
    assert record["gpu"]["driver"]
    assert record["bursts"][0]["burst"]["conditions"]["sm_clock_mhz"] > 0


def test_every_listing_has_json_with_a_schema_version(warpwright: Command) -> None:
    for command in ("gpus", "stages", "runs", "doctor"):
        done = warpwright(command, "--json")
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert document["schema_version"] == 1
        assert document["schema_name"] == f"warpwright.{command}"


def test_stages_tell_when_one_has_little_to_gain(capsys: pytest.CaptureFixture[str]) -> None:
    app(["stages", "single", "--json"], standalone_mode=False)
    rows = {row["id"]: row["skip_when"] for row in json.loads(capsys.readouterr().out)["stages"]}
    (bound,) = rows["grid"]
    assert bound["metric"].startswith("sm__throughput")
    assert (bound["comparison"], bound["target"]) == (">", 75)
    app(["stages", "single"], standalone_mode=False)
    assert capsys.readouterr().out.count("little left to gain") == len(rows)


def test_before_the_first_run_the_list_of_runs_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WARPWRIGHT_STATE_DIR", str(tmp_path))
    app(["runs"], standalone_mode=False)
    assert capsys.readouterr().out == "nothing was run on this machine yet\n"


def test_a_gpu_goes_by_many_names(warpwright: Command) -> None:
    names = ("4090", "RTX 4090", "NVIDIA GeForce RTX 4090")
    found = [json.loads(warpwright("gpus", name, "--json").stdout)["gpus"] for name in names]
    assert found[0] == found[1] == found[2]
    assert found[0][0]["name"] == "RTX 4090"


def test_a_sheet_shows_a_source_for_its_numbers(warpwright: Command) -> None:
    done = warpwright("gpus", "4090")
    assert "memory_bandwidth_gb_per_s" in done.stdout
    assert "1008" in done.stdout
