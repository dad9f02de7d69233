"""Small programs of our own, mutated at random: the verifier refuses other results."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent

import pytest
from mutation.engine import sample
from mutation.truth import changes, other_sizes
from mutations import changes_output, judged, refused, studied, subject_of

from warpwright import api
from warpwright.formats.request_text import parse_request
from warpwright.interpreter.sizes.shrink import ShrunkenInputs, plan_shrunken_inputs
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.shapes import Problem
from warpwright.types.verdict import Status
from warpwright.verifier.accuracy import verify_accuracy

# What each mutant shows, tests/adversarial and tests/interpreter/test_interpret.py show one by one.
pytestmark = [pytest.mark.triton, pytest.mark.slow]

ROW_NORM = dedent(
    """
    import torch
    import torch.nn as nn
    import triton
    import triton.language as tl


    @triton.jit
    def row_norm_kernel(x_ptr, gain_ptr, y_ptr, width, stride_x, stride_y, BLOCK: tl.constexpr):
        row = tl.program_id(0)
        total = tl.zeros((BLOCK,), dtype=tl.float32)
        for start in range(0, width, BLOCK):
            columns = start + tl.arange(0, BLOCK)
            x = tl.load(x_ptr + row * stride_x + columns, mask=columns < width, other=0.0)
            total += x * x
        scale = tl.rsqrt(tl.sum(total, axis=0) / width + 1e-2)
        for start in range(0, width, BLOCK):
            columns = start + tl.arange(0, BLOCK)
            inside = columns < width
            x = tl.load(x_ptr + row * stride_x + columns, mask=inside, other=0.0)
            gain = tl.load(gain_ptr + columns, mask=inside, other=0.0)
            y = tl.maximum(x * scale * gain, -0.5)
            tl.store(y_ptr + row * stride_y + columns, y, mask=inside)


    def row_norm(x, gain):
        y = torch.empty_like(x)
        rows, width = x.shape
        row_norm_kernel[(rows,)](x, gain, y, width, x.stride(0), y.stride(0), BLOCK=64)
        return y


    class ModelNew(nn.Module):
        def __init__(self, width=300):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(width))

        def forward(self, x):
            return row_norm(x, self.gain)
    """
).lstrip()

PROBLEM = dedent(
    """
    import torch
    import torch.nn as nn


    class Model(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(width))

        def forward(self, x):
            scale = torch.rsqrt((x * x).mean(dim=-1, keepdim=True) + 1e-2)
            return torch.clamp(x * scale * self.gain, min=-0.5)


    def get_init_inputs():
        return [300]


    def get_inputs():
        return [torch.randn(500, 300)]
    """
)

SEED = 11
MUTANTS = 8


@dataclass(frozen=True)
class Verdicts:
    honest: Status
    rows: list[dict[str, object]]


@pytest.fixture(scope="module")
def verdicts() -> Verdicts:
    """The honest twin and each mutant, judged as the benchmark judges recorded ones."""
    cache = ResultCache()
    request = parse_request(api.request(ROW_NORM, gpu="RTX 4090", stage="memory", problem=PROBLEM))
    problem = Problem(source=PROBLEM)
    study = studied(request, problem, cache)
    assert not isinstance(study, str), study
    assert study.trace is not None
    plan = plan_shrunken_inputs(ROW_NORM, problem, study.trace, gpu=study.gpu.sheet, cache=cache)
    assert isinstance(plan, ShrunkenInputs)
    kernels = {kernel.kernel: kernel for kernel in study.kernels}
    honest = verify_accuracy(study, study.view, kernels, RunContext(cache=cache)).result.status
    subject = subject_of(study, plan)
    found = sample(ROW_NORM, MUTANTS, SEED)
    truths = changes(subject, other_sizes(subject, 3.0), [m.source for m in found])
    rows = []
    for mutant, truth in zip(found, truths, strict=True):
        changed = changes_output(truth, dot=False)
        verdict = judged(mutant, request, study, problem, cache) if changed else {}
        told = {"operator": mutant.operator, "line": mutant.line, "changes": changed}
        rows.append({**told, **verdict})
    return Verdicts(honest, rows)


def test_the_honest_twin_passes(verdicts: Verdicts) -> None:
    assert verdicts.honest is Status.PASS


def test_every_mutant_that_computes_something_else_is_refused(verdicts: Verdicts) -> None:
    changing = [row for row in verdicts.rows if row["changes"]]
    assert len(changing) >= MUTANTS // 2, verdicts.rows
    assert [row for row in changing if not refused(row)] == []
