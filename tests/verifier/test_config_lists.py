"""Config lists with hooks, and lists longer than the request allows: answered and checked whole.

Two programs of each kind, written in other forms than those that brought the kind to light.
"""

from __future__ import annotations

import pytest

from warpwright import api
from warpwright.data.stages import find_stage
from warpwright.formats.request_text import render_request
from warpwright.gpus.sheets import find_gpu
from warpwright.gpus.target_sheet import stated_gpu
from warpwright.program.view import read_program
from warpwright.types.answer import Answer, Decision, Fate
from warpwright.types.config import Config
from warpwright.types.request import Request
from warpwright.types.verdict import Status, Verdict

pytestmark = pytest.mark.triton

HEAD = """import functools

import torch
import torch.nn as nn
import triton
import triton.language as tl
"""


def problem(forward: str, inputs: str) -> str:
    return (
        "import torch\nimport torch.nn as nn\n\n\nclass Model(nn.Module):\n"
        f"    def forward(self, {forward}\n\n\ndef get_inputs():\n    return [{inputs}]\n\n\n"
        "def get_init_inputs():\n    return []\n"
    )


SUMS = problem("x):\n        return x.sum(1)", "torch.rand(48, 1000)")
SUM_KERNEL = """
@triton.jit
def row_sums(x, out, columns, BLOCK: tl.constexpr, PARTS: tl.constexpr):
    row, part = tl.program_id(0), tl.program_id(1)
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for start in range(part * BLOCK, columns, PARTS * BLOCK):
        at = start + tl.arange(0, BLOCK)
        total += tl.load(x + row * columns + at, mask=at < columns, other=0.0)
    tl.atomic_add(out + row, tl.sum(total, 0))


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty(x.shape[0], device=x.device, dtype=x.dtype)
        row_sums[lambda meta: (x.shape[0], meta["PARTS"])](x, out, x.shape[1])
        return out
"""
HOOK_FROM_HELPER = (
    HEAD
    + """

def zeroing(name):
    def before(nargs):
        nargs[name].zero_()

    return before


@triton.autotune(
    configs=[
        triton.Config({"BLOCK": 128, "PARTS": parts}, num_warps=4, num_stages=stages,
                      pre_hook=zeroing("out"))
        for parts in (1, 4) for stages in (1, 2, 3)
    ],
    key=["columns"],
)"""
    + SUM_KERNEL
)
HOOK_AS_LAMBDA = (
    HEAD
    + """

@triton.autotune(
    configs=[
        triton.Config({"BLOCK": 128, "PARTS": 1}, 4, 2, 1, None, lambda a: a["out"].zero_()),
        triton.Config({"BLOCK": 128, "PARTS": 1}, 4, 3, 1, None, lambda a: a["out"].zero_()),
        triton.Config({"BLOCK": 128, "PARTS": 8}, 4, 2, 1, None, lambda a: a["out"].zero_()),
    ],
    key=["columns"],
)"""
    + SUM_KERNEL
)
LIST_FROM_FUNCTION = (
    HEAD
    + """

def clear(nargs, name):
    nargs[name].fill_(0.0)


clear_out = functools.partial(clear, name="out")


def space():
    for parts in (2, 4):
        for stages in (2, 3):
            yield triton.Config(dict(BLOCK=64, PARTS=parts), num_stages=stages, pre_hook=clear_out)


@triton.autotune(configs=list(space()), key=["columns"])"""
    + SUM_KERNEL
)

COPY = problem("x):\n        return x * 2", "torch.rand(96, 160, dtype=torch.float16)")
COPY_KERNEL = """
@triton.jit
def doubled(source, target, rows, columns, R: tl.constexpr, C: tl.constexpr):
    row, column = tl.program_id(0) * R, tl.program_id(1) * C
    target.store([row, column], source.load([row, column]) * 2)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        one = [1, 1]
        source = TensorDescriptor(x, x.shape, x.stride(), one)
        target = TensorDescriptor(y, y.shape, y.stride(), one)
        grid = lambda meta: (triton.cdiv(x.shape[0], meta["R"]), triton.cdiv(x.shape[1], meta["C"]))
        doubled[grid](source, target, x.shape[0], x.shape[1])
        return y
"""
DESCRIPTORS = (
    HEAD
    + """from triton.tools.tensor_descriptor import TensorDescriptor


def shape(names, nargs):
    for name in names:
        nargs[name].block_shape = [nargs["R"], nargs["C"]]


@triton.autotune(
    configs=[
        triton.Config({"R": rows, "C": 32}, num_warps=4, num_stages=stages,
                      pre_hook=functools.partial(shape, ("source", "target")))
        for rows in (16, 32) for stages in (2, 3)
    ],
    key=["rows", "columns"],
)"""
    + COPY_KERNEL
)

SCANS = problem("x):\n        return x.cumsum(1)", "torch.rand(40, 96)")
SCAN = (
    HEAD
    + """

@triton.autotune(
    configs=[triton.Config({"R": r}, num_warps=w) for r in (1, 2, 4, 8) for w in (1, 2, 4)],
    key=["rows"],
)
@triton.jit
def scan(x, y, rows, columns, R: tl.constexpr, WIDTH: tl.constexpr):
    row = tl.program_id(0) * R + tl.arange(0, R)
    column = tl.arange(0, WIDTH)
    inside = (row[:, None] < rows) & (column[None, :] < columns)
    at = row[:, None] * columns + column[None, :]
    total = tl.cumsum(tl.load(x + at, mask=inside, other=0.0), axis=1)
    tl.store(y + at, total, mask=inside)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        width = triton.next_power_of_2(x.shape[1])
        grid = lambda meta: (triton.cdiv(x.shape[0], meta["R"]),)
        scan[grid](x, y, x.shape[0], x.shape[1], WIDTH=width)
        return y
"""
)
PRODUCTS = problem(
    "a, b):\n        return a @ b",
    "torch.rand(96, 64, dtype=torch.float16), torch.rand(64, 80, dtype=torch.float16)",
)
MATMUL = (
    HEAD
    + """
TILES = [(16, 16), (16, 32), (32, 16), (32, 32), (64, 32), (64, 64)]


def wrap(a, b):
    c = torch.empty((a.shape[0], b.shape[1]), device=a.device, dtype=a.dtype)
    grid = lambda t: (triton.cdiv(a.shape[0], t["M"]), triton.cdiv(b.shape[1], t["N"]))
    product[grid](a, b, c, a.shape[0], b.shape[1], a.shape[1])
    return c


@triton.autotune(
    configs=[
        triton.Config({"M": m, "N": n, "K": 16}, num_warps=w, num_stages=s)
        for m, n in TILES for w in (2, 4) for s in (2, 3)
    ],
    key=["m", "n", "k"],
)
@triton.jit
def product(a, b, c, m, n, k, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    rows = tl.program_id(0) * M + tl.arange(0, M)
    columns = tl.program_id(1) * N + tl.arange(0, N)
    total = tl.zeros((M, N), dtype=tl.float32)
    for start in range(0, k, K):
        depth = start + tl.arange(0, K)
        left = (rows[:, None] < m) & (depth[None, :] < k)
        right = (depth[:, None] < k) & (columns[None, :] < n)
        total += tl.dot(
            tl.load(a + rows[:, None] * k + depth[None, :], mask=left, other=0.0),
            tl.load(b + depth[:, None] * n + columns[None, :], mask=right, other=0.0),
        )
    inside = (rows[:, None] < m) & (columns[None, :] < n)
    tl.store(c + rows[:, None] * n + columns[None, :], total.to(tl.float16), mask=inside)


class ModelNew(nn.Module):
    def forward(self, a, b):
        return wrap(a, b)
"""
)


def answered(program: str, of: str, gpu: str = "4090") -> tuple[Answer, Verdict]:
    """The answer to a tuning request without a profile, and its own check of it."""
    text = render_request(
        Request(
            gpu=stated_gpu(find_gpu(gpu)),
            stage=find_stage("tuning"),
            program=program,
            problem=of,
        )
    )
    answer = api.answer(text)
    return answer, api.check(text, answer.program)


def listed(source: str) -> tuple[Config, ...]:
    (kernel,) = read_program(source).launched_kernels
    assert kernel.autotune is not None
    return kernel.autotune.configs or ()


def fates(answer: Answer) -> set[Fate | None]:
    return {c.fate for plan in answer.plans for c in plan.choices if not c.proposed and not c.kept}


@pytest.mark.parametrize(
    ("program", "hook"),
    [
        (HOOK_FROM_HELPER, "zeroing('out')"),
        pytest.param(HOOK_AS_LAMBDA, "lambda a: a['out'].zero_()", marks=pytest.mark.slow),
        pytest.param(LIST_FROM_FUNCTION, "clear_out", marks=pytest.mark.slow),
    ],
)
def test_equal_binaries_go_and_every_config_that_stays_or_comes_has_its_hook(
    program: str, hook: str
) -> None:
    answer, checked = answered(program, SUMS)
    assert answer.decision is Decision.CHANGED, answer.reason
    assert {config.pre_hook for config in listed(answer.program)} == {hook}
    assert fates(answer) == {Fate.EQUAL}
    assert "computes something else" not in " ".join(answer.conflicts)
    assert checked.status is Status.PASS, checked.results


def test_a_hook_that_sets_a_descriptors_block_is_kept_and_run_in_the_interpreter() -> None:
    answer, checked = answered(DESCRIPTORS, COPY, "H100")
    assert answer.decision is Decision.CHANGED, answer.reason
    hook = "functools.partial(shape, ('source', 'target'))"
    assert {config.pre_hook for config in listed(answer.program)} == {hook}
    accuracy = next(result for result in checked.results if result.check == "accuracy")
    assert accuracy.status is Status.PASS, accuracy.notes
    assert checked.status is not Status.FAIL


@pytest.mark.slow
@pytest.mark.parametrize(("program", "of", "name"), [(SCAN, SCANS, "R"), (MATMUL, PRODUCTS, "M")])
def test_distinct_configs_are_left_out_by_the_limit_alone_and_those_that_stay_lie_apart(
    program: str, of: str, name: str
) -> None:
    answer, checked = answered(program, of)
    assert answer.decision is Decision.CHANGED, answer.reason
    before = {config.meta_dict[name] for config in listed(program)}
    after = {config.meta_dict[name] for config in listed(answer.program)}
    assert {min(before), max(before)} <= after
    assert "left out by the request's limit of 6" in answer.reason
    assert "redundant" not in answer.reason
    assert fates(answer) <= {Fate.LIMIT, Fate.EQUAL}
    assert checked.status is not Status.FAIL, checked.results


@pytest.mark.slow
def test_a_wrapper_that_stood_between_is_put_behind_the_kernel() -> None:
    answer, checked = answered(MATMUL, PRODUCTS)
    assert answer.program.index("def product(") < answer.program.index("def wrap(")
    notes = [note for result in checked.results for note in result.notes]
    assert not any("format.order" in note for note in notes)
