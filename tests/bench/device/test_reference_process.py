"""The reference process: references, and numbers that agree with the verifier's on arrays."""

from __future__ import annotations

import os
import signal
from types import ModuleType

import numpy as np
import pytest

from warpwright.bench.device.reference_process import ReferenceProcess
from warpwright.types.accuracy_numbers import CaseSpec, ReferenceNumbers
from warpwright.types.shapes import Problem, TensorSpec
from warpwright.types.worker_reply import CandidateFailed, Done, WorkerDied
from warpwright.verifier.outputs import precision
from warpwright.verifier.outputs.comparison import nonfinite_differs

pytestmark = pytest.mark.triton


class Values:
    """A `TensorLike` of the verifier."""

    def __init__(self, data: np.ndarray, dtype: str = "float32") -> None:  # type: ignore[type-arg]
        self.name, self.dtype, self.data = "output", dtype, data


@pytest.mark.parametrize("dtype", ["float32", "int32", "bool"])
def test_numbers_are_those_of_the_gates_arithmetic(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    from warpwright.bench.device import child_reference_errors as measure

    rng = np.random.default_rng(7)
    right = rng.normal(size=(37, 41)) * 10
    eager = (right + rng.normal(size=right.shape) * 1e-3).astype(dtype)
    got = (right + rng.normal(size=right.shape) * 1e-2).astype(dtype)
    if dtype == "float32":
        got[3, 4], eager[5, 6], right[7, 8], eager[7, 8] = np.nan, np.inf, np.inf, np.inf
    else:
        right = eager.astype(np.float64)
    named = [("output", torch.from_numpy(array)) for array in (got, right, eager)]
    entry = measure.output_numbers(named[:1], named[1:2], named[2:])[0]
    kept = (precision.kinds(right) == 0) & (precision.kinds(eager) == 0)
    if dtype == "float32":
        wanted = precision.measure(got, right, kept)
    else:
        wanted = precision.measure_exact(got, right)
    assert np.allclose(
        entry["error"], (wanted.relative_l2, wanted.relative_max), rtol=1e-12, equal_nan=True
    )
    text = nonfinite_differs(Values(got), Values(right), Values(eager))
    assert (entry["nonfinite"] is None) == (text is None)
    if text is not None:
        assert str(tuple(entry["nonfinite"]["place"])) in text
        assert f"{entry['nonfinite']['count']} of" in text


def test_parts_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from warpwright.bench.device import child_reference_errors as measure

    right = torch.randn(1000, dtype=torch.float64)
    got = (right + 1e-3 * torch.randn(1000)).float()
    got[700] = float("nan")
    whole = measure.output_numbers([("y", got)], [("y", right)], [("y", right.float())])
    monkeypatch.setattr(measure, "CHUNK_ELEMENTS", 64)
    parts = measure.output_numbers([("y", got)], [("y", right)], [("y", right.float())])
    assert parts[0]["nonfinite"] == whole[0]["nonfinite"] == {
        "count": 1, "size": 1000, "place": [700],
    }  # fmt: skip
    assert np.allclose(parts[0]["error"], whole[0]["error"], equal_nan=True)


def prepared(source: str, *names: str) -> list[ReferenceNumbers | CandidateFailed]:
    with ReferenceProcess("cpu") as judge:
        loaded = judge.load(Problem(source=source), seed=3)
        assert isinstance(loaded, Done), loaded
        return [judge.prepare(CaseSpec(name, 10 + i)) for i, name in enumerate(names)]  # type: ignore[misc]


def model(expression: str) -> str:
    return f"""
import torch, torch.nn as nn
class Model(nn.Module):
    def forward(self, x):
        return {expression}
def get_inputs():
    return [torch.rand(16, 8)]
def get_init_inputs():
    return []
"""


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("torch.zeros_like(x)", "the reference is zero everywhere"),
        ("torch.ones_like(x)", "the reference is one constant"),
        ("torch.arange(8.0).expand(16, 8)", "the output does not depend on the input"),
    ],
)
def test_degenerate_problems_are_refused(expression: str, reason: str) -> None:
    from warpwright.verifier.outputs.measured import degenerate_numbers

    references = prepared(model(expression), "problem", "normal", "wide")
    found = degenerate_numbers(references)  # type: ignore[arg-type]
    assert set(found.values()) == {reason}
    assert set(found) == {"problem", "normal", "wide"}


def test_a_random_operator_has_no_case() -> None:
    (reference,) = prepared(model("torch.rand_like(x)"), "problem")
    assert isinstance(reference, ReferenceNumbers)
    assert reference.skipped == "the operator is random"


def test_inputs_that_no_seed_fixes_give_no_case_and_others_do() -> None:
    """Each process would make others, and what is right would look wrong."""
    source = model("x * 2").replace("torch.rand(16, 8)", "torch.tensor([[time.time_ns() % 1e6]])")
    own, normal = prepared(f"import time\n{source}", "problem", "normal")
    assert isinstance(own, ReferenceNumbers) and isinstance(normal, ReferenceNumbers)
    assert own.skipped is not None and "get_inputs gives other values" in own.skipped
    assert normal.skipped is None


def test_a_judge_that_died_starts_again_with_the_same_parameters() -> None:
    with ReferenceProcess("cpu") as judge:
        assert isinstance(judge.load(Problem(source=model("x * 2")), seed=3), Done)
        before = judge.prepare(CaseSpec("problem", 10))
        os.kill(judge.pid, signal.SIGKILL)
        assert judge.prepare(CaseSpec("problem", 10)) == before


def test_a_dead_judge_of_no_reference_is_told_and_held_against_no_program() -> None:
    """Only it had the parent's outputs, without which nothing is refused."""
    with ReferenceProcess("cpu") as judge:
        shapes = Problem(inputs=(TensorSpec((4, 4)),))
        assert isinstance(judge.load(shapes, seed=3), Done)
        os.kill(judge.pid, signal.SIGKILL)
        answer = judge.prepare(CaseSpec("problem", 10))
    assert isinstance(answer, WorkerDied) and not answer.blames_program
    assert "the process that judges outputs died" in answer.reason


def test_undefined_values_are_made_positive() -> None:
    (reference,) = prepared(model("torch.sqrt(x)"), "normal")
    assert isinstance(reference, ReferenceNumbers)
    assert reference.spec.positive
    assert reference.outputs


def test_a_smaller_batch_is_the_leading_part(judge: ReferenceProcess, workshop: ModuleType) -> None:
    reference = judge.prepare(CaseSpec("problem", 4, batch=5))
    assert isinstance(reference, ReferenceNumbers)
    assert reference.inputs[0].shape == (5, workshop.COLUMNS)


def test_a_model_that_raises_is_told_and_the_judge_goes_on() -> None:
    source = model("x @ x")
    with ReferenceProcess("cpu") as judge:
        assert isinstance(judge.load(Problem(source=source), seed=3), Done)
        answer = judge.prepare(CaseSpec("problem", 1))
        assert isinstance(answer, CandidateFailed), answer
        assert isinstance(judge.load(Problem(source=model("x + 1")), seed=3), Done)
        assert isinstance(judge.prepare(CaseSpec("problem", 1)), ReferenceNumbers)


def test_parts_of_the_batch_are_used_only_where_they_are_independent(tmp_path) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("torch")
    code = """
import sys
from pathlib import Path
from warpwright.sandbox import child_guard
child_guard.install(Path.cwd())
from warpwright.bench.device.child_cases import Cases
from warpwright.bench.device.child_reference_model import ChunkError, Model
from warpwright.bench.device.child_worker_device import open_device
import torch
device = open_device("cpu")
for name in ("independent", "dependent"):
    source = Path(name + ".txt").read_text()
    payload = {"source": source, "inputs": [], "init_args": [], "init_kwargs": {}}
    cases = Cases(payload, Path.cwd() / name, device)
    model = Model(cases, device, 1)
    arguments = cases.make({"name": "problem", "seed": 2})
    whole, _ = model.reference(arguments, "own")
    try:
        parts = model._in_parts(arguments, "own", 4, None)
        print(name, torch.allclose(parts[0][1], whole[0][1], rtol=1e-13, atol=0))
    except ChunkError:
        print(name, "refused")
"""
    import os
    import subprocess
    import sys

    (tmp_path / "independent.txt").write_text(model("torch.softmax(x, 1)"))
    (tmp_path / "dependent.txt").write_text(model("torch.softmax(x, 0)"))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == ["independent True", "dependent refused"], done.stderr


def test_sums_in_another_order_are_no_random_operator() -> None:
    torch = pytest.importorskip("torch")
    from warpwright.bench.device.child_reference_model import alike

    generator = torch.Generator().manual_seed(3)
    values = torch.randn(64, 4096, generator=generator)
    one = [("output", values.sum(dim=1))]
    order = torch.randperm(4096, generator=generator)
    assert alike(one, one)
    assert alike(one, [("output", values[:, order].sum(dim=1))])
    assert not alike(one, [("output", torch.randn(64, generator=generator))])
    assert not alike(one, [("output", one[0][1].double())])
    holed = one[0][1].clone()
    holed[5] = float("nan")
    assert not alike(one, [("output", holed)])
    counts = [("output", torch.arange(8))]
    assert alike(counts, [("output", torch.arange(8))])
    assert not alike(counts, [("output", torch.arange(8) + 1)])
