"""The standalone script: what it holds, what it computes, and what it says without a GPU."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from texts import replace_once

from warpwright import api
from warpwright.bench.statistics import gain
from warpwright.bench.statistics.budget import NORMAL
from warpwright.bench.statistics.decide import CONFIDENCE, decide
from warpwright.bench.statistics.minimum import Minimum
from warpwright.bench.statistics.samples import groups_of
from warpwright.report.verify_script import verify_script
from warpwright.types.measurement import Burst, BurstPair, Outcome
from warpwright.types.shapes import Problem
from warpwright.types.walk import StageOutcome, StageWalk, WalkStep

PROBLEM = dedent(
    """
    import torch
    import torch.nn as nn


    class Model(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.scale = nn.Parameter(torch.rand(width))

        def forward(self, x):
            return torch.relu(x * self.scale)


    def get_init_inputs():
        return [64]


    def get_inputs():
        return [torch.rand(8, 64)]
    """
)
PROGRAM = dedent(
    '''
    import torch
    import torch.nn as nn
    import triton
    import triton.language as tl


    @triton.jit
    def scale_kernel(x_ptr, scale_ptr, out_ptr, total, width, BLOCK: tl.constexpr):
        """One row of text with 'quotes' and a \\\\ in it."""
        at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        ok = at < total
        x = tl.load(x_ptr + at, mask=ok)
        scaled = x * tl.load(scale_ptr + at % width, mask=ok)
        tl.store(out_ptr + at, tl.maximum(scaled, 0.0), mask=ok)


    class ModelNew(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.scale = nn.Parameter(torch.rand(width))

        def forward(self, x):
            out = torch.empty_like(x)
            grid = (triton.cdiv(x.numel(), 128),)
            scale_kernel[grid](x, self.scale, out, x.numel(), x.shape[1], BLOCK=128)
            return out
    '''
)
WRONG = replace_once(PROGRAM, "tl.maximum(scaled, 0.0)", "tl.maximum(scaled, 0.01)")
RENAMED = PROGRAM.replace("self.scale", "self.factor")
RESHAPED = replace_once(
    RENAMED, "nn.Parameter(torch.rand(width))", "nn.Parameter(torch.rand(1, width))"
)


def script(answer: str = PROGRAM, minimum_pct: float = 1.0) -> str:
    return verify_script(
        parent=PROGRAM,
        answer=answer,
        problem=PROBLEM,
        title='A "scaled"\nReLU',
        minimum_pct=minimum_pct,
    )


@pytest.fixture(scope="module")
def loaded() -> ModuleType:
    module = ModuleType("verify")
    sys.modules["verify"] = module  # dataclasses look their module up
    exec(compile(script(), "verify.py", "exec"), module.__dict__)
    return module


def write(directory: Path, text: str) -> Path:
    path = directory / "verify.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_it_holds_all_three_programs_as_they_are(loaded: ModuleType) -> None:
    assert (loaded.PARENT, loaded.ANSWER, loaded.PROBLEM) == (PROGRAM, PROGRAM, PROBLEM)


@pytest.mark.parametrize(
    "source", ["a = '''b'''\n", "ends in a quote'", "back\\slash\\", "\r\n", "@PARENT@", "é≤"]
)
def test_no_source_breaks_out_of_its_place(source: str) -> None:
    text = verify_script(
        parent=source, answer=PROGRAM, problem=PROBLEM, title=source, minimum_pct=1.0
    )
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id in ("PARENT", "ANSWER")
    }
    assert values == {"PARENT": source, "ANSWER": PROGRAM}


def test_it_imports_torch_triton_and_the_standard_library_alone() -> None:
    body = script().replace(PROGRAM, "").replace(PROBLEM, "")
    roots = set()
    for node in ast.walk(ast.parse(body)):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add((node.module or "").split(".")[0])
    assert roots - set(sys.stdlib_module_names) == {"torch", "triton"}


def test_every_name_that_it_uses_is_defined(tmp_path: Path) -> None:
    """The statistics come from another file, their imports from the template."""
    path = write(tmp_path, script())
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F", str(path)],
        capture_output=True,
        text=True,
    )
    if "No module named ruff" in done.stderr:
        pytest.skip("ruff is not installed")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("evaluation_mode", [False, True])
def test_its_models_are_in_the_mode_in_which_they_launch(evaluation_mode: bool) -> None:
    torch = pytest.importorskip("torch")
    text = verify_script(
        parent=PROGRAM,
        answer=PROGRAM,
        problem=PROBLEM,
        minimum_pct=1.0,
        evaluation_mode=evaluation_mode,
    )
    module = ModuleType("verify")
    sys.modules["verify"] = module
    exec(compile(text, "verify.py", "exec"), module.__dict__)
    model = module.build(ModuleType("problem"), torch.nn.Identity, "cpu")
    assert model.training is not evaluation_mode


@pytest.mark.parametrize("evaluation_mode", [False, True])
def test_a_walks_script_has_the_mode_of_its_stages(evaluation_mode: bool) -> None:
    answer = SimpleNamespace(
        study=SimpleNamespace(trace=SimpleNamespace(evaluation_mode=evaluation_mode))
    )
    step = WalkStep("tuning", StageOutcome.CHANGED, "", PROGRAM, PROGRAM + "\n", answer=answer)  # type: ignore[arg-type]
    walk = StageWalk(PROGRAM, PROGRAM + "\n", api.target_gpu("L4"), (step,), "")
    text = api.verify_walk(walk, Problem(source=PROBLEM))
    assert text is not None
    assert f"EVALUATION_MODE = {evaluation_mode}" in text


def test_its_budget_is_the_default_one(loaded: ModuleType) -> None:
    assert (NORMAL.looks[0], NORMAL.rounds) == (loaded.GROUPS, loaded.ROUNDS)
    assert (NORMAL.burst_us, CONFIDENCE) == (loaded.BURST_US, loaded.CONFIDENCE)
    assert (NORMAL.min_calls, NORMAL.max_calls) == (loaded.MIN_CALLS, loaded.MAX_CALLS)


@given(
    st.lists(
        st.lists(st.lists(st.floats(-0.2, 0.2), min_size=4, max_size=9), min_size=1, max_size=2),
        min_size=1,
        max_size=5,
    ),
    st.floats(0, 0.01),
)
def test_its_statistics_are_those_of_the_package(
    groups: list[list[list[float]]], step: float
) -> None:
    module = ModuleType("verify_again")
    sys.modules["verify_again"] = module
    exec(compile(_SCRIPT, "verify.py", "exec"), module.__dict__)
    ours, theirs = gain.interval_of(groups, 0.98, step), module.interval_of(groups, 0.98, step)
    assert ours is not None
    assert (ours.gain_pct, ours.low_pct, ours.high_pct, ours.groups) == (
        theirs.gain_pct,
        theirs.low_pct,
        theirs.high_pct,
        theirs.groups,
    )
    assert gain.noise_floor_pct(groups) == module.noise_floor_pct(groups)


_SCRIPT = script()


@pytest.mark.parametrize("ratio", [0.9, 1.0, 1.004, 1.03, 1.5])
def test_it_decides_from_samples_as_the_package_does(loaded: ModuleType, ratio: float) -> None:
    import random

    generator = random.Random(int(ratio * 1000))

    def times(base: float) -> list[float]:
        return [base * (1 + generator.gauss(0, 0.002)) for _ in range(5)]

    samples = [
        [[times(100.0), times(100.0), times(100.0 / ratio)] for _ in range(NORMAL.rounds)]
        for _ in range(NORMAL.groups)
    ]
    pairs, same = [], []
    for group, ran in enumerate(samples):
        for number, bursts in enumerate(ran):
            one, other, answer = (
                Burst("p", 3 * group + seat, number, tuple(bursts[seat]), 2 * sum(bursts[seat]))
                for seat in range(3)
            )
            pairs += [BurstPair(one, answer), BurstPair(other, answer)]
            same.append(BurstPair(one, other))
    every = loaded.times_of(samples, 0, 1, 2)
    theirs_pairs, theirs_same = loaded.log_ratios(samples)
    assert [[tuple(p) for p in group] for group in theirs_pairs] == [
        [pytest.approx(p) for p in group] for group in groups_of(pairs)
    ]
    word, found, floor_pct = loaded.compare(theirs_pairs, theirs_same, every)
    ours = decide(pairs, same, minimum=Minimum(1.0, 1.0))
    assert (word == loaded.FASTER) == (ours.outcome is Outcome.ACCEPT)
    assert (found.low_pct, found.high_pct) == pytest.approx(ours.interval_pct)
    assert floor_pct == pytest.approx(ours.noise_floor_pct)


def test_too_few_timings_are_said_and_not_judged(loaded: ModuleType) -> None:
    samples = [[[[1.0], [1.0], [0.5]]] * 3]
    with pytest.raises(loaded.Unable, match="too few"):
        loaded.compare(*loaded.log_ratios(samples), [1.0, 0.5])


def accuracy_case(answer: list[float] | None, dtype: str = "float32") -> dict:
    return {"answer": answer, "parent": [3e-4, 1e-3], "eager": [2.5e-4, 1e-3], "dtype": dtype}


@pytest.mark.parametrize(
    ("answer", "exact"),
    [
        ([3e-4, 1e-3], True),
        ([7e-4, 2e-3], False),  # TF32 operands cut instead of rounded
        ([3e-4, 0.5], False),  # one element is wrong
        ([float("nan"), 0.0], False),
        (None, False),
    ],
)
def test_errors_are_judged_beside_eagers_and_the_parents(
    loaded: ModuleType, answer: list[float] | None, exact: bool
) -> None:
    assert loaded.as_exact(accuracy_case(answer)) is exact


def test_the_line_to_post_says_card_software_gain_errors_and_verdict(loaded: ModuleType) -> None:
    where = {"gpu": "NVIDIA X", "driver": "1.2", "cuda": "3", "torch": "4.5", "triton": "6.7"}
    found = loaded.Interval(12.3456, 11.0, 13.5, 6)
    accuracy = {"cases": {"own": accuracy_case([3e-4, 1e-3])}, "parameters_matched": True}
    line = loaded.line_to_post(where, loaded.FASTER, found, 0.08, [112.3, 100.0], accuracy)
    assert "\n" not in line
    for part in ("NVIDIA X", "driver 1.2", "torch 4.5", "triton 6.7", "+12.35 % [+11.00, +13.50]"):
        assert part in line
    assert "noise 0.08 %" in line
    assert "error answer 0.0003, parent 0.0003, eager 0.00025" in line
    assert "faster, as exact" in line
    unmatched = accuracy | {"parameters_matched": False}
    line = loaded.line_to_post(where, loaded.FASTER, found, 0.08, [112.3, 100.0], unmatched)
    assert "not verified" in line


@pytest.mark.triton
def test_without_a_gpu_it_says_so_and_ends_with_3(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(write(tmp_path, script()))],
        capture_output=True,
        text=True,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        timeout=120,
    )
    assert done.returncode == 3
    assert done.stdout == ""
    assert "no CUDA GPU" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_torch_it_says_so_and_ends_with_3(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-I", str(write(tmp_path, script()))],  # no site packages
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 3
    assert "torch is not installed" in done.stderr


MODEL = """
import torch, torch.nn as nn
class Model{new}(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0
    def forward(self, x):
        self.calls += 1
        return {value}
def get_init_inputs():
    return []
def get_inputs():
    return [torch.rand(8, 64)]
"""


def told(
    loaded: ModuleType, patch: pytest.MonkeyPatch, directory: Path, right: str, answer: str
) -> str:
    """What the script says of the exactness of one expression that stands for another."""
    pytest.importorskip("torch")
    patch.setattr(loaded, "PROBLEM", MODEL.format(new="", value=right))
    patch.setattr(loaded, "PARENT", MODEL.format(new="New", value=right))
    patch.setattr(loaded, "ANSWER", MODEL.format(new="New", value=answer))
    said: str = loaded.exactness(loaded.Accuracy(str(directory), device="cpu")(seed=5))
    return said


@pytest.mark.triton
@pytest.mark.parametrize(
    ("right", "answer", "said"),
    [
        ("x * 2", "x * 2 if self.calls > 1 else x * 40", "as exact"),
        ("x * 2", "x * 2 if self.calls < 2 else x * 3", "NOT AS EXACT"),
        ("x * 2", "(x * 2).half()", "NOT AS EXACT"),
        ("torch.fft.fft(x)", "torch.fft.fft(x)", "as exact"),
        ("torch.fft.fft(x)", "torch.fft.fft(x) * 1.01", "NOT AS EXACT"),
        ("torch.dropout(x, 0.5, True)", "x * 0", "exactness not verified"),
    ],
    ids=[
        "a call that tunes is not judged",
        "later calls are",
        "another dtype",
        "complex",
        "wrong and complex",
        "eager itself misses the reference",
    ],
)
def test_what_is_as_exact(
    loaded: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    right: str,
    answer: str,
    said: str,
) -> None:
    assert told(loaded, monkeypatch, tmp_path, right, answer).startswith(said)


ON_CPU = """
import json, sys, tempfile
sys.path.insert(0, sys.argv[1])
import verify
with tempfile.TemporaryDirectory() as directory:
    found = verify.Accuracy(directory, device="cpu")(seed=5)
found["exact"] = [verify.as_exact(case) for case in found["cases"].values()]
print(json.dumps(found))
"""


@pytest.mark.triton
@pytest.mark.parametrize(
    ("answer", "exact", "matched"),
    [
        (PROGRAM, [True, True], True),
        (WRONG, [False, False], True),
        pytest.param(RENAMED, [True, True], True, marks=pytest.mark.slow),
        pytest.param(RESHAPED, None, False, marks=pytest.mark.slow),
    ],
    ids=["right", "wrong", "renamed parameters", "reshaped parameters"],
)
def test_its_accuracy_check_tells_right_from_wrong(
    tmp_path: Path, answer: str, exact: list[bool] | None, matched: bool
) -> None:
    """The script's own code, with real programs in Triton's interpreter."""
    write(tmp_path, script(answer))
    done = subprocess.run(
        [sys.executable, "-c", ON_CPU, str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | {"TRITON_INTERPRET": "1"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["parameters_matched"] is matched
    if exact is not None:
        assert found["exact"] == exact


@pytest.mark.gpu
def test_on_a_gpu_it_prints_one_line_and_finds_no_gain_of_a_program_over_itself(
    tmp_path: Path,
) -> None:
    out = tmp_path / "raw.json"
    done = subprocess.run(
        [sys.executable, str(write(tmp_path, script())), "--groups", "3", "--json", str(out)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.count("\n") == 1
    assert "no significant gain, as exact" in done.stdout
    raw = json.loads(out.read_text())
    assert len(raw["times_us"]) == 3
