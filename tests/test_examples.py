"""The examples are what their READMEs say, and the real tool answers them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from amounts import slow_but

from warpwright.formats.kernelbench import read_problem
from warpwright.formats.request_text import parse_request
from warpwright.program.view import read_program
from warpwright.tracing.trace import trace_program
from warpwright.types.config import Config
from warpwright.types.launch_trace import Trace

ROOT = Path(__file__).parent.parent
FOLDERS = sorted(path for path in (ROOT / "examples").iterdir() if path.is_dir())
EXAMPLES = [path for path in FOLDERS if (path / "request.txt").exists()]
OWN_KERNEL = ROOT / "examples" / "03-your-own-kernel"
# Compiling eight configs and interpreting the answer's, cold, on two cores with others at work.
ANSWER_LIMIT_S = 600
PATIENT = ("--time-limit", "500")  # other tests run beside it


@dataclass(frozen=True)
class Expected:
    """What an example shows. `active` is the config that its profile's grid stands for."""

    kernel: str
    active: Config
    grid: tuple[int, ...]
    configs: int
    binaries: int
    never_launch: int
    told: str  # a word of the explanation that a specialist would look for


EXPECTED = {
    "01-conv2d-stride4": Expected(
        kernel="strided_conv_kernel",
        active=Config.of({"TILE_PIXELS": 64, "TILE_FILTERS": 32, "TILE_TAPS": 32}, 4, 2),
        grid=(12288, 3),
        configs=8,
        binaries=4,
        never_launch=0,
        told="num_stages does nothing",
    ),
    "02-conv2d-dilated": Expected(
        kernel="dilated_conv_kernel",
        active=Config.of({"TILE_OUT": 64, "TILE_W": 128, "TILE_C": 32}, 8, 3),
        grid=(16256, 1),
        configs=4,
        binaries=4,
        never_launch=1,
        told="122,880",
    ),
}

each_example = pytest.mark.parametrize("folder", EXAMPLES, ids=lambda path: path.name)


@dataclass(frozen=True)
class Answered:
    """An example's folder, and what `warpwright answer` wrote for it."""

    folder: Path
    expected: Expected
    command: tuple[str | Path, ...]
    home: Path
    program: str
    explanation: str
    record: dict[str, Any]


def warpwright(*arguments: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    """The command as a user runs it, its journal in `home`."""
    places = {"WARPWRIGHT_STATE_DIR": str(home)}
    return subprocess.run(
        [sys.executable, "-c", "from warpwright.cli.main import run; run()", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | places,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=ANSWER_LIMIT_S,
    )


# Slow, for a convolution takes a minute of processor time: whole answers of small programs are in
# test_every_stage.py and cli/test_answer.py.
@pytest.fixture(scope="module", params=slow_but([], EXAMPLES), ids=lambda path: path.name)
def answered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Answered:
    """The real tool, once on each example."""
    folder: Path = request.param
    home = tmp_path_factory.mktemp(folder.name)
    given = (folder / "request.txt", "--problem", folder / "problem.py")
    out = home / "answer.py"
    done = warpwright("answer", *given, *PATIENT, "--out", out, home=home)
    assert done.returncode == 0, done.stderr
    return Answered(
        folder,
        EXPECTED[folder.name],
        given,
        home,
        program=out.read_text(),
        explanation=out.with_name("answer.explanation.md").read_text(),
        record=json.loads(out.with_name("answer.record.json").read_text()),
    )


def test_every_example_is_expected_here() -> None:
    assert [path.name for path in EXAMPLES] == sorted(EXPECTED)


@each_example
def test_the_request_holds_the_program_that_lies_beside_it(folder: Path) -> None:
    request = parse_request((folder / "request.txt").read_text())
    assert request.program == (folder / "program.py").read_text()
    assert all(rule.is_checkable for rule in request.stage.rules)


@each_example
def test_the_program_lists_the_configs_that_the_readme_tells_of(folder: Path) -> None:
    expected = EXPECTED[folder.name]
    (kernel,) = read_program((folder / "program.py").read_text()).kernels
    assert kernel.name == expected.kernel
    assert kernel.autotune is not None
    assert kernel.autotune.configs is not None
    assert len(kernel.autotune.configs) == expected.configs
    assert expected.active in kernel.autotune.configs


@pytest.mark.triton
@each_example
def test_the_profiles_grid_is_that_of_the_config_it_stands_for(folder: Path) -> None:
    expected = EXPECTED[folder.name]
    problem = read_problem((folder / "problem.py").read_text())
    trace = trace_program((folder / "program.py").read_text(), problem)
    assert isinstance(trace, Trace), trace
    (launch,) = trace.launches
    (active,) = [traced for traced in launch.configs if traced.config == expected.active]
    assert active.grid == expected.grid
    assert f'"launch__grid_size": {active.blocks}\n' in (folder / "request.txt").read_text()


@pytest.mark.triton
def test_the_study_finds_what_the_readme_tells_of(answered: Answered) -> None:
    (kernel,) = answered.record["study"]["kernels"]
    configs = kernel["configs"]
    assert len(configs) == answered.expected.configs
    assert len({config["cubin_class"] for config in configs}) == answered.expected.binaries
    assert sum(not config["launchable"] for config in configs) == answered.expected.never_launch
    assert answered.expected.told in answered.explanation


@pytest.mark.triton
def test_the_answer_holds_each_binary_that_can_run_once_and_stays_within_the_rules(
    answered: Answered,
) -> None:
    (plan,) = answered.record["plans"]
    kept = [choice for choice in plan["choices"] if choice["kept"]]
    binaries = [choice["compiled"][0]["cubin_sha256"] for choice in kept]
    originals = [choice for choice in kept if choice["source"] == "original"]
    assert 3 <= len(kept) <= 6
    assert len(set(binaries)) == len(kept)
    assert len(originals) == answered.expected.binaries - answered.expected.never_launch
    assert answered.record["decision"] == "changed"
    assert not answered.record["measured"]


@pytest.mark.triton
def test_the_answer_passes_every_check_on_its_own(answered: Answered) -> None:
    request, *problem = answered.command
    answer = answered.home / "answer.py"
    done = warpwright("check", request, answer, *problem, *PATIENT, "--json", home=answered.home)
    assert done.returncode == 0, done.stdout + done.stderr
    gate = json.loads(done.stdout)["gate"]
    assert gate["status"] == "pass"
    if "not verified in time" not in json.dumps(answered.record["gate"]):
        assert gate["results"] == answered.record["gate"]["results"]


@pytest.mark.triton
def test_a_change_of_the_tile_is_refused_with_its_rule(answered: Answered) -> None:
    request, *problem = answered.command
    smaller = re.sub(r'("TILE_(W|PIXELS)"): 128', r"\1: 32", answered.program)
    assert smaller != answered.program
    reply = answered.home / "reply.py"
    reply.write_text(smaller)
    done = warpwright("check", request, reply, *problem, "--json", home=answered.home)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "block_sizes.frozen" in done.stdout


@pytest.mark.triton
def test_a_function_of_a_file_comes_back_as_the_patch_that_the_page_shows(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "your-own-kernel.md").read_text()
    for name in ("norms.py", "cases.py"):
        (tmp_path / name).write_text((OWN_KERNEL / name).read_text())
    home = {
        "WARPWRIGHT_STATE_DIR": str(tmp_path / "s"),
        "WARPWRIGHT_CACHE_DIR": str(tmp_path / "c"),
    }
    command = ["answer", "norms.py", "--cases", "cases.py", "--gpu", "4090", "--stage", "grid"]
    done = subprocess.run(
        [sys.executable, "-m", "warpwright", *command, "--diff", *PATIENT],
        cwd=tmp_path,
        env={**os.environ, **home, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        timeout=ANSWER_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = page.split("```diff\n")[1].split("```")[0]
    assert shown in done.stdout
    assert "case decode (weight 1): pass" in done.stderr


def test_the_page_shows_the_cases_of_the_example() -> None:
    page = (ROOT / "docs" / "your-own-kernel.md").read_text()
    shown = page.split("```python\n")[1].split("```")[0]
    text = (OWN_KERNEL / "cases.py").read_text()
    for part in shown.split("def decode(): ..."):
        for block in part.strip().split("\n\n\n"):
            assert block.strip() in text
