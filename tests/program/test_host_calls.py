"""What the calls of host code are."""

from __future__ import annotations

import pytest
from texts import replace_once

from warpwright.program.host_calls import HostCall, host_calls
from warpwright.program.torch_calls import CallKind

TEMPLATE = """\
import functools
import math
import torch
import torch as pt
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.functional import conv2d as convolve
import triton
import triton.language as tl

@triton.jit
def kernel(x, y):
    tl.store(y, tl.load(x).sum())

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)
    def forward(self, x):
        return self.inner(x)

class ModelNew(nn.Module):
    def __init__(self, norm=nn.LayerNorm):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.flat = nn.Flatten()
        self.norm = norm(8)
        self.block = Block()
        self.layers = nn.ModuleList([nn.Linear(8, 8) for _ in range(2)])
        self.weight = nn.Parameter(torch.randn(8, 8) / math.sqrt(8))
        self.reset()
    def reset(self):
        nn.init.kaiming_uniform_(self.weight)
        self.weight.data.mul_(2)
    def forward(self, x, scale: float = 1.0):
        y = torch.empty_like(x)
        {body}
        kernel[(1,)](x, y)
        return y
    def never(self, x):
        return torch.relu(x)
"""


def calls(body: str) -> list[HostCall]:
    found = host_calls(replace_once(TEMPLATE, "{body}", body))
    first = TEMPLATE[: TEMPLATE.index("{body}")].count("\n") + 1
    last = first + body.count("\n")
    return [call for call in found if first <= call.line <= last]


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("z = F.conv2d(x, self.conv.weight)", "torch.nn.functional.conv2d"),
        ("z = torch.nn.functional.relu(x)", "torch.nn.functional.relu"),
        ("z = convolve(x, x)", "torch.nn.functional.conv2d"),
        ("z = pt.matmul(x, x)", "torch.matmul"),
        ("z = self.conv(x)", "torch.nn.Conv2d (self.conv)"),
        ("z = self.conv.forward(x)", "torch.nn.Conv2d (self.conv.forward)"),
        ("z = self.norm(x)", "torch.nn.LayerNorm (self.norm)"),
        ("z = nn.ReLU()(x)", "torch.nn.ReLU (nn.ReLU())"),
        ("for layer in self.layers: x = layer(x)", "torch.nn.ModuleList (layer)"),
        ("z = self.layers[0](x)", "torch.nn.ModuleList (self.layers[0])"),
        ("op = self.conv\n        z = op(x)", "torch.nn.Conv2d (op)"),
        ("mm = torch.mm\n        z = mm(x, x)", "torch.mm"),
        ("z = getattr(torch, 'mm')(x, x)", "torch.mm"),
        ("z = getattr(x, 'matmul')(x)", ".matmul"),
        ("z = torch.ops.aten.mm(x, x)", "torch.ops.aten.mm"),
        ("z = x @ self.weight", "operator @"),
        ("z = x * 2", "operator *"),
        ("z = 1.0 / x", "operator /"),
        ("y += self.weight", "operator +="),
        ("z = -x", "operator -"),
        ("z = x.sum(dim=1)", ".sum"),
        ("z = x.view(-1).softmax(0)", ".softmax"),
        ("z = torch.Tensor.mm(x, x)", "torch.Tensor.mm"),
        ("z = super().forward(x)", "super().forward of torch.nn.Module"),
        ("z = list(map(F.gelu, [x]))", "torch.nn.functional.gelu"),
        ("z = functools.reduce(torch.Tensor.add, [x, x])", "torch.Tensor.add"),
        ("z = torch.compile(self.conv)(x)", "torch.compile"),
    ],
)
def test_work_that_torch_does_is_named(body: str, name: str) -> None:
    computing = [call.name for call in calls(body) if call.computes]
    assert computing == [name]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("z = torch.zeros((4, 4), device=x.device)", CallKind.ALLOCATION),
        ("z = x.new_empty(4)", CallKind.ALLOCATION),
        ("z = x.permute(0, 2, 1)", CallKind.VIEW),
        ("z = torch.flatten(x, 1)", CallKind.VIEW),
        ("z = self.flat(x)", CallKind.VIEW),
        ("z = x.unfold(1, 2, 2)", CallKind.VIEW),
        ("z = F.pad(x, (1, 1))", CallKind.PADDING),
        ("z = x.contiguous()", CallKind.COPY),
        ("z = x.to(torch.float16)", CallKind.COPY),
        ("y.copy_(x)", CallKind.COPY),
        ("z = x.numel()", CallKind.QUERY),
        ("z = torch.cuda.current_device()", CallKind.QUERY),
        ("z = triton.cdiv(x.shape[0], 8)", CallKind.PYTHON),
        ("z = math.sqrt(2)", CallKind.PYTHON),
        ("z = [].append(1)", CallKind.PYTHON),
        ("z = 'a'.join(['b'])", CallKind.PYTHON),
        ("z = self.block(x)", CallKind.PYTHON),
        ("z = strange(x)", CallKind.UNKNOWN),
        ("z = eval('torch.mm')", CallKind.UNKNOWN),
    ],
)
def test_honest_calls_are_not_work(body: str, kind: CallKind) -> None:
    found = calls(body)
    assert kind in {call.kind for call in found}
    assert not any(call.computes for call in found)


@pytest.mark.parametrize(
    "body",
    ["n = x.shape[0] * x.stride(0) // 2", "n = x.numel() + 1", "n = scale * 2.0 + 1",
     "n = x.dim() - 1", "n = max(x.shape) - min(x.shape)", "n = (x.size(0) + 15) // 16 * 16"],
)  # fmt: skip
def test_arithmetic_on_numbers_is_not_work(body: str) -> None:
    assert not any(call.computes for call in calls(body))


def test_what_only_init_calls_creates_parameters() -> None:
    source = replace_once(TEMPLATE, "{body}", "pass")
    found = host_calls(source)
    for text in ("torch.randn", "nn.init.kaiming_uniform_", "self.weight.data.mul_"):
        line = source[: source.index(text)].count("\n") + 1
        here = [call for call in found if call.line == line]
        assert here and not any(call.computes for call in here)


def test_work_that_forward_never_reaches_does_not_count() -> None:
    found = host_calls(replace_once(TEMPLATE, "{body}", "pass"))
    relu = next(call for call in found if call.name == "torch.relu")
    assert relu.kind is CallKind.COMPUTE and not relu.reachable and not relu.computes


def test_work_in_a_submodule_of_the_program_is_told_there() -> None:
    found = host_calls(replace_once(TEMPLATE, "{body}", "z = self.block(x)"))
    inner = [call for call in found if call.function == "Block.forward"]
    assert [(call.name, call.computes) for call in inner] == [
        ("torch.nn.Linear (self.inner)", True)
    ]


@pytest.mark.parametrize(
    ("body", "guard"),
    [
        ("if not x.is_cuda: return self.conv(x)", "not x.is_cuda"),
        ("if x.is_cuda:\n            return y\n        self.conv(x)", "not (x.is_cuda)"),
        ("if x.is_cuda: pass\n        else: self.conv(x)", "not (x.is_cuda)"),
        ("try:\n            pass\n        except RuntimeError:\n            self.conv(x)",
         "except RuntimeError"),
        ("z = self.conv(x) if self.training else y", "self.training"),
        ("self.conv(x)", None),
    ],
)  # fmt: skip
def test_the_condition_a_call_stands_under_is_told(body: str, guard: str | None) -> None:
    found = next(call for call in calls(body) if call.computes)
    assert found.guard == guard


def test_launches_are_told_and_kernels_are_not_host_code() -> None:
    found = host_calls(replace_once(TEMPLATE, "{body}", "pass"))
    assert [call.name for call in found if call.kind is CallKind.LAUNCH] == ["kernel"]
    assert not any("tl." in call.text for call in found)
