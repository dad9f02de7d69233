"""Right programs of kinds at which our own tools failed, through the whole pipeline.

Each asks the card at import, sums in bfloat16, or needs less than its problem's operators count.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from warpwright import api
from warpwright.errors import BrokenProgramError, InputError
from warpwright.report.roofline_text import floor_lines
from warpwright.types.compiled import Compiled
from warpwright.types.shapes import Problem
from warpwright.types.study import Study
from warpwright.types.verdict import CheckResult, Status

pytestmark = pytest.mark.triton

HEAD = "import torch\nimport torch.nn as nn\nimport triton\nimport triton.language as tl\n"


@dataclass(frozen=True)
class Case:
    """A problem's `forward` on inputs, and a program for it."""

    forward: str
    inputs: str
    program: str

    @property
    def problem(self) -> str:
        return (
            "import torch\nimport torch.nn as nn\n\nclass Model(nn.Module):\n"
            f"    def forward(self, *x):\n        {self.forward}\n\n"
            f"def get_inputs():\n    return [{self.inputs}]\n\n"
            "def get_init_inputs():\n    return []\n"
        )

    def study(self) -> Study:
        return api.inspect(HEAD + self.program, gpu="4090", problem=Problem(source=self.problem))

    def request(self) -> str:
        return api.request(HEAD + self.program, gpu="4090", problem=self.problem)

    def accuracy(self) -> CheckResult:
        gate = api.check(self.request(), HEAD + self.program)
        (found,) = [result for result in gate.results if result.check == "accuracy"]
        return found


SCALE = """
@triton.jit
def scaled(x, out, n, PER: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK * PER + tl.arange(0, BLOCK)
    for _ in range(PER):
        inside = at < n
        tl.store(out + at, tl.load(x + at, mask=inside) * 2.0, mask=inside)
        at += BLOCK


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        assert x.device == WHERE
        scaled[(triton.cdiv(x.numel(), 4 * BLOCK),)](x, out, x.numel(), PER=4, BLOCK=BLOCK)
        return out
"""
ASKS = {
    "torch's properties": """
assert torch.cuda.is_available()
CARD = torch.cuda.get_device_properties(torch.cuda.current_device())
BLOCK = 256 if CARD.multi_processor_count > 64 else 128
WHERE = torch.device("cuda", torch.cuda.current_device())
STREAM = torch.cuda.Stream()
TABLE = torch.arange(4, device="cuda")
""",
    "the driver's properties": """
from triton.runtime import driver
from torch.cuda import get_device_capability

KNOWN = driver.active.utils.get_device_properties(driver.active.get_current_device())
TARGET = driver.active.get_current_target()
if TARGET.backend != "cuda" or get_device_capability()[0] < 8:
    raise RuntimeError("needs an Ampere card")
BLOCK = 512 if KNOWN["multiprocessor_count"] > 100 and KNOWN["max_shared_mem"] > 65536 else 64
WHERE = torch.device("cuda", torch.accelerator.current_device_index())
assert torch.accelerator.current_accelerator().type == "cuda"
""",
}


@pytest.mark.parametrize("asks", ASKS)
def test_a_program_that_asks_for_the_card_at_import_is_compiled_and_judged(asks: str) -> None:
    case = Case("return x[0] * 2", "torch.rand(5000)", ASKS[asks] + SCALE)
    study = case.study()
    (kernel,) = study.kernels
    assert all(isinstance(v.result, Compiled) for c in kernel.configs for v in c.compiled)
    assert kernel.floor_us is not None  # it was lowered too
    assert case.accuracy().status is Status.PASS


@pytest.mark.slow
@pytest.mark.parametrize("asks", ASKS)
def test_its_answer_does_not_say_that_it_cannot_run(asks: str) -> None:
    case = Case("return x[0] * 2", "torch.rand(5000)", ASKS[asks] + SCALE)
    assert "cannot run" not in api.answer(case.request()).reason


def test_a_fact_that_no_sheet_has_is_not_called_the_programs_mistake() -> None:
    asks = "driver = triton.runtime.driver.active\nRATE = driver.utils.get_device_properties(0)"
    program = f"{asks}['mem_clock_rate']\nBLOCK, WHERE = 64, 'cuda'\n{SCALE}"
    with pytest.raises(InputError) as caught:
        Case("return x[0] * 2", "torch.rand(5000)", program).study()
    assert not isinstance(caught.value, BrokenProgramError)
    assert "Warpwright cannot trace" in caught.value.what
    assert "mem_clock_rate" in caught.value.what
    assert "nothing wrong with the program" in (caught.value.hint or "")


BF16_MEAN = """
@triton.jit
def column_mean(x, out, rows, columns, R: tl.constexpr, C: tl.constexpr):
    c = tl.program_id(0) * C + tl.arange(0, C)
    r = tl.arange(0, R)
    inside = (r[:, None] < rows) & (c[None, :] < columns)
    block = tl.load(x + r[:, None] * columns + c[None, :], mask=inside, other=0.0)
    tl.store(out + c, (tl.sum(block, axis=0) / rows).to(out.dtype.element_ty), mask=c < columns)


class ModelNew(nn.Module):
    def forward(self, x):
        rows, columns = x.shape
        out = torch.empty(columns, device=x.device, dtype=x.dtype)
        column_mean[(triton.cdiv(columns, 16),)](
            x, out, rows, columns, R=triton.next_power_of_2(rows), C=16)
        return out
"""
BF16_SCAN = """
@triton.jit
def larger(a, b):
    return tl.where(a > b, a, b)


@triton.jit
def running_max(x, out, columns, C: tl.constexpr):
    at = tl.program_id(0) * columns + tl.arange(0, C)
    inside = tl.arange(0, C) < columns
    row = tl.load(x + at, mask=inside, other=float("-inf"))
    tl.store(out + at, tl.associative_scan(row, 0, larger), mask=inside)


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        running_max[(x.shape[0],)](x, out, x.shape[1], C=triton.next_power_of_2(x.shape[1]))
        return out
"""


@pytest.mark.parametrize(
    ("forward", "program"),
    [
        ("return x[0].mean(0)", BF16_MEAN),
        ("return torch.cummax(x[0], dim=1).values", BF16_SCAN),
    ],
)
def test_a_right_bfloat16_reduction_passes(forward: str, program: str) -> None:
    case = Case(forward, "torch.randn(300, 150).to(torch.bfloat16)", program)
    found = case.accuracy()
    assert found.status is Status.PASS, found


LOWER_PRODUCT = """
@triton.jit
def lower(a, b, out, N: tl.constexpr, T: tl.constexpr):
    i = tl.program_id(0)
    j = tl.program_id(1)
    r = i * T + tl.arange(0, T)
    c = j * T + tl.arange(0, T)
    total = tl.zeros((T, T), dtype=tl.float32)
    stop = tl.where(j <= i, N, 0)
    for start in range(0, stop, T):
        k = start + tl.arange(0, T)
        total += tl.dot(tl.load(a + r[:, None] * N + k[None, :]),
                        tl.load(b + k[:, None] * N + c[None, :]))
    total = tl.where(r[:, None] >= c[None, :], total, 0.0)
    tl.store(out + r[:, None] * N + c[None, :], total.to(tl.float16))


class ModelNew(nn.Module):
    def forward(self, a, b):
        out = torch.empty_like(a)
        n = a.shape[0]
        lower[(n // 64, n // 64)](a, b, out, N=n, T=64)
        return out
"""
ONE_COLUMN = """
@triton.jit
def summed(a, w, out, N: tl.constexpr):
    r = tl.program_id(0)
    k = tl.arange(0, N)
    row = tl.load(a + r * N + k).to(tl.float32)
    tl.store(out + r, tl.sum(row * tl.load(w + k).to(tl.float32)).to(tl.float16))


class ModelNew(nn.Module):
    def forward(self, a, b):
        out = torch.empty(a.shape[0], device=a.device, dtype=a.dtype)
        summed[(a.shape[0],)](a, b.sum(1), out, N=a.shape[1])
        return out
"""
HALVES = "*[torch.randn(4096, 4096).half() for _ in range(2)]"


@pytest.mark.parametrize(
    ("forward", "program"),
    [
        ("return torch.tril(x[0] @ x[1])", LOWER_PRODUCT),
        ("return (x[0] @ x[1]).sum(1)", ONE_COLUMN),
    ],
)
def test_no_floor_is_claimed_above_what_the_program_needs(forward: str, program: str) -> None:
    case = Case(forward, HALVES, program)
    study = case.study()
    assert study.cost is not None
    assert study.cost.flops == 2 * 4096**3
    assert study.floor_withdrawn is not None
    # all of the products at the card's rate take 830 µs: more than these programs need
    assert study.floor_us is None or study.floor_us < 200
    (kernel,) = study.kernels
    assert kernel.floor_us is not None
    assert study.floor_us is None or study.floor_us <= kernel.floor_us
    told = floor_lines(study)[0].floor
    assert "every program must do" in told or "no floor is sure" in told
