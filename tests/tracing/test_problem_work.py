"""What of a problem's work every program does, and what one may spare."""

from __future__ import annotations

import math

import pytest

from warpwright.tracing.problem_work import problem_cost
from warpwright.types.shapes import Problem
from warpwright.types.study import ProblemCost

pytestmark = pytest.mark.triton

SQUARE = 64 * 64 * 4  # bytes of a float32 matrix of 64×64
PRODUCT = 2 * 64**3
MATRICES = "torch.randn(64, 64), torch.randn(64, 64)"
HEADS = "*[torch.randn(2, 4, 64, 32) for _ in range(3)]"
ATTENTION = 2 * 2 * 64 * 64 * 32 * 8


def cost(forward: str, inputs: str = MATRICES, init: str = "pass", head: str = "") -> ProblemCost:
    source = (
        f"import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n{head}\n"
        "class Model(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        f"        {init}\n    def forward(self, *a):\n        {forward}\n"
        f"def get_inputs():\n    return [{inputs}]\ndef get_init_inputs():\n    return []\n"
    )
    found = problem_cost(Problem(source=source))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("forward", "inputs", "operations"),
    [
        ("return a[0] @ a[1]", MATRICES, PRODUCT),
        ("return torch.relu(a[0] @ a[1] + 1) * 2", MATRICES, PRODUCT),
        ("return torch.tanh(a[0] @ a[1]) @ a[1]", MATRICES, 2 * PRODUCT),
        ("return F.scaled_dot_product_attention(*a)", HEADS, ATTENTION),
        (
            "return torch.softmax(a[0] @ a[1].mT / 8, -1) @ a[2]",
            HEADS,
            ATTENTION,
        ),
        (
            "return F.scaled_dot_product_attention(*a, is_causal=True)",
            HEADS,
            ATTENTION * 65 // 128,  # the pairs on and under the diagonal
        ),
    ],
)
def test_work_that_nothing_spares_is_needed(forward: str, inputs: str, operations: int) -> None:
    found = cost(forward, inputs)
    assert found.needed[0] == operations == found.flops
    assert found.needed[1] == found.read_bytes
    assert not found.spared


@pytest.mark.parametrize(
    ("forward", "inputs"),
    [
        ("return torch.tril(a[0] @ a[1])", MATRICES),
        ("return (a[0] @ a[1])[:, :3]", MATRICES),
        ("return (a[0] @ a[1]).diagonal()", MATRICES),
        ("return (a[0] @ a[1]).sum(1)", MATRICES),
        ("return a[0] @ a[1] @ a[0]", MATRICES),
        ("return a[0] @ a[1]", "torch.triu(torch.randn(64, 64)), torch.randn(64, 64)"),
        ("return torch.diag(a[0]) @ a[1]", "torch.randn(64), torch.randn(64, 64)"),
        ("return torch.where(torch.ones(64, 64).tril() > 0, a[0] @ a[1], 0.0)", MATRICES),
        (
            "return F.scaled_dot_product_attention(*a[:3], attn_mask=a[3])",
            f"{HEADS}, torch.rand(64, 64) > 0.5",
        ),
        (
            "m = torch.ones(64, 64, dtype=torch.bool).triu(1); s = a[0] @ a[1].mT; "
            "return torch.softmax(s.masked_fill(m, -1e9), -1) @ a[2]",
            HEADS,
        ),
        (
            "m = torch.full((64, 64), float('-inf')).triu(1); "
            "return torch.softmax(a[0] @ a[1].mT + m, -1) @ a[2]",
            HEADS,
        ),
    ],
)
def test_work_that_a_program_may_spare_is_not_claimed(forward: str, inputs: str) -> None:
    found = cost(forward, inputs)
    assert found.flops > 0
    assert found.needed[0] == 0
    assert found.spared


@pytest.mark.parametrize(
    ("forward", "inputs", "read", "written"),
    [
        ("return a[0] + a[1]", MATRICES, 2 * SQUARE, SQUARE),
        ("return a[0][:, :16] * 2", MATRICES, SQUARE // 4, SQUARE // 4),
        (
            "return a[0] + a[1]",
            "torch.randn(1, 64).expand(64, 64), torch.randn(64, 64)",
            SQUARE + 256,
            SQUARE,
        ),
        (
            "return F.embedding(a[0], a[1])",
            "torch.randint(0, 9, (4,)), torch.randn(1000, 64)",
            0,
            4 * 64 * 4,
        ),
        ("return a[0].view(-1)", "torch.randn(64, 64)", 0, 0),
        ("return a[0].sum(1)", "torch.randn(64, 64)", SQUARE, 256),
        ("return torch.where(a[0] > 0, a[0], a[1])", MATRICES, SQUARE, SQUARE),
    ],
)
def test_only_bytes_that_are_surely_moved_count(
    forward: str, inputs: str, read: int, written: int
) -> None:
    found = cost(forward, inputs)
    assert found.needed[1] <= read
    assert found.needed[2] == written
    if "where" not in forward:
        assert found.needed[1] == read


def test_a_convolution_does_not_need_its_padding() -> None:
    found = cost("return self.c(a[0])", "torch.randn(2, 8, 16, 16)",
                 "self.c = nn.Conv2d(8, 16, 3, padding=1, stride=2)")  # fmt: skip
    taps = sum(0 <= 2 * place + tap - 1 < 16 for place in range(8) for tap in range(3))
    assert found.needed[0] == math.floor(found.flops * (taps / (8 * 3)) ** 2)


def test_integer_products_have_no_rate_on_the_sheets() -> None:
    eighths = "*[torch.randint(-9, 9, (64, 64), dtype=torch.int8) for _ in range(2)]"
    found = cost("return torch._int_mm(a[0], a[1])", eighths)
    assert found.needed[0] == 0


def test_a_problem_that_asks_for_the_card_when_it_is_imported_is_counted() -> None:
    head = "DEVICE = torch.device('cuda', torch.cuda.current_device())"
    assert cost("return a[0] @ a[1]", head=head).flops == PRODUCT


IMAGE = "torch.randn(2, 8, 32, 32)"
IMAGE_BYTES = 2 * 8 * 32 * 32 * 4
CONV = "self.c = nn.Conv2d(8, 16, 3)"


def test_a_problem_without_products_has_a_floor_by_its_bytes() -> None:
    found = cost("return torch.softmax(a[0], -1)", MATRICES)
    assert (found.flops, found.counted) == (0, ())
    assert found.needed == (0, SQUARE, SQUARE)


@pytest.mark.parametrize(
    "pooled",
    [
        "F.max_pool2d({}, 2)",
        "F.max_pool2d({}, 3, stride=2, padding=1)",
        "F.adaptive_max_pool2d({}, (5, 3))",
    ],
)
def test_the_largest_of_windows_that_reach_everything_needs_everything(pooled: str) -> None:
    assert cost(f"return {pooled.format('a[0]')}", IMAGE).needed[1] == IMAGE_BYTES
    behind = cost(f"return {pooled.format('self.c(a[0])')}", IMAGE, CONV)
    assert behind.needed[0] == behind.flops > 0
    assert not behind.spared


@pytest.mark.parametrize(
    "pooled", ["F.avg_pool2d({}, 2)", "F.avg_pool2d({}, (2, 4), 1)", "F.adaptive_avg_pool2d({}, 4)"]
)
def test_a_mean_of_windows_needs_what_it_reads_but_no_product_as_it_is(pooled: str) -> None:
    assert cost(f"return {pooled.format('a[0]')}", IMAGE).needed[1] == IMAGE_BYTES
    assert cost(f"return {pooled.format('self.c(a[0])')}", IMAGE, CONV).needed[0] == 0


@pytest.mark.parametrize(
    "pooled",
    [
        "F.max_pool2d({}, 2, stride=3)",
        "F.max_pool2d({}, 2, stride=1, dilation=2)",
        "F.max_pool2d({}, 7)",  # 30 and 32 are no multiples: the last lines are left out
        "F.avg_pool2d({}, 2, stride=3)",
    ],
)
def test_windows_that_leave_something_out_claim_nothing_and_are_named(pooled: str) -> None:
    assert cost(f"return {pooled.format('a[0]')}", IMAGE).needed[1] == 0
    behind = cost(f"return {pooled.format('self.c(a[0])')}", IMAGE, CONV)
    assert behind.needed[0] == 0
    assert any("not counted" in why and "pool2d" in why for why in behind.spared)


def test_an_operator_that_is_not_known_is_named() -> None:
    found = cost("return torch.sort(a[0] @ a[1])[0]")
    assert any("not counted" in why and "sort" in why for why in found.spared)
