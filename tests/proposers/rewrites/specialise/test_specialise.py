"""specialise: what becomes a constant, what must not, and that no bit changes."""

from __future__ import annotations

from textwrap import dedent

import numpy as np
import pytest
import reductions
import rewriting

from warpwright.program.launches import find_launches
from warpwright.program.parsed import parse_program
from warpwright.program.view import read_program
from warpwright.proposers.rewrites.common.kernel_text import kernel_text
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.specialise import specialise
from warpwright.proposers.rewrites.specialise.constants import unfit_parameters
from warpwright.proposers.rewrites.specialise.varying import Constancy, HostValues, flat
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.launch_trace import Launch, ScalarArgument

KERNEL = dedent(
    """
    import torch
    import triton
    import triton.language as tl


    @triton.jit
    def scale(
        x,  # values
        rows, width,  # sizes
        step: tl.int32,
        far: tl.int64,
        gain=2,
        TILE: tl.constexpr = 32,
    ):
        tl.multiple_of(width, 16)  # a hint
        at = tl.program_id(0) * width + tl.arange(0, TILE) * step
        tl.store(x + at, tl.load(x + at) * gain)
    """
)


def move(*names: str, kernel: str = "scale") -> Move:
    return Move(specialise.NAME, kernel, (("parameters", names),))


def test_parameters_are_annotated_and_all_else_stays() -> None:
    expected = (
        KERNEL.replace("rows, width,  #", "rows, width: tl.constexpr,  #")
        .replace("step: tl.int32,", "step: tl.constexpr,")
        .replace("gain=2,", "gain: tl.constexpr=2,")
        .replace("    tl.multiple_of(width, 16)  # a hint\n", "")
    )
    assert specialise.apply(KERNEL, move("width", "step", "gain")) == expected


@pytest.mark.parametrize(
    ("name", "source", "reason"),
    [
        ("TILE", KERNEL, "constant already"),
        ("far", KERNEL, "declared as a run-time value"),
        ("depth", KERNEL, "no parameter depth"),
        (
            "rows",
            KERNEL.replace("@triton.jit", '@triton.jit(do_not_specialize=["rows"])'),
            "declared as a run-time value",
        ),
        (
            "rows",
            KERNEL.replace("@triton.jit", "@triton.jit(do_not_specialize=[1])"),
            "declared as a run-time value",
        ),
        ("rows", KERNEL.replace("    at =", "    rows = rows // 2\n    at ="), "assigns"),
    ],
)
def test_it_refuses(name: str, source: str, reason: str) -> None:
    with pytest.raises(DoesNotApply, match=reason):
        specialise.apply(source, move(name))


def unfit(body: str, values: dict[str, int], more: str = "") -> set[str]:
    source = (
        "import triton\nimport triton.language as tl\n"
        + more
        + f"\n@triton.jit\ndef k(p, {', '.join(values)}, T: tl.constexpr):\n"
        + "".join(f"    {line}\n" for line in body.split("\n"))
    )
    return set(unfit_parameters(kernel_text(source, "k"), values, {"T": 32}))


@pytest.mark.parametrize(
    ("body", "stay"),
    [
        ("a = n * m", set()),
        ("a = n % m", set()),
        ("a = (n - m) // m", {"n", "m"}),  # -2 // 5 rounds down in Python, to zero in Triton
        ("a = n / m", {"n", "m"}),
        ("a = 1.0 / n", {"n"}),
        ("a = tl.load(p) / n", set()),
        ("a = n.to(tl.float32)", {"n"}),
        ("a = (n * 2).to(tl.float32)", {"n"}),
        ("a = big * big", {"big"}),
        ("tl.assume(n > 0)", set()),
        ("tl.assume(n)", {"n"}),
        ("for n in range(3):\n    a = n", {"n"}),
        ("a = tl.multiple_of(n, 8)", {"n"}),
        ("a = helper(n, m)", {"m"}),
    ],
)
def test_what_folding_could_change_stays_a_run_time_value(body: str, stay: set[str]) -> None:
    helper = "\n@triton.jit\ndef helper(a, b):\n    b += 1\n    return a * b\n"
    assert unfit(body, {"n": 3, "m": 5, "big": 70000}, helper) == stay


HOST = """
import torch
import triton
import triton.language as tl

@triton.jit
def k(p, v, T: tl.constexpr):
    pass

def launch(x, w):
    {lines}
    k[(1,)](x, {argument}, T=1)

class ModelNew(torch.nn.Module):
    def forward(self, x):
        return launch(x, self.weight)
"""


@pytest.mark.parametrize(
    ("lines", "argument", "varies"),
    [
        ("n, c, h = x.shape", "n", True),
        ("n, c, h = x.shape", "c * h", False),
        ("n, *rest = x.size()", "rest[0]", False),
        ("pass", "x.shape[0]", True),
        ("pass", "x.size(1)", False),
        ("pass", "x.shape[-1]", False),
        ("pass", "w.shape[0]", False),
        ("pass", "x.numel()", True),
        ("pass", "w.numel()", False),
        ("m = x.shape[0] * x.shape[2]", "m", True),
        ("y = torch.empty((x.shape[0], 3))", "y.stride(0)", False),
        ("y = torch.empty((3, x.shape[0]))", "y.stride(0)", True),
        ("y = x.transpose(0, 1)", "y.shape[1]", True),
        ("y = x.contiguous()", "y.shape[0]", True),
        ("y = x.view(x.shape[0], -1)", "y.shape[1]", True),
        ("y = x.reshape(-1, 8)", "y.shape[1]", False),
        ("y = x.reshape(-1, 8)", "y.shape[0]", True),
        ("y = x if x.is_contiguous() else x.contiguous()", "y.shape[2]", False),
        ("n = len(x)", "n", True),
        ("sizes = [4, 5]\n    sizes = x.shape", "sizes[1]", False),
        ("n = 1\n    if w is None:\n        n = x.shape[0]", "n", True),
    ],
)
def test_what_follows_from_a_batch_varies(lines: str, argument: str, varies: bool) -> None:
    program = parse_program(HOST.format(lines=lines, argument=argument))
    launch = find_launches(program)[0]
    origin = HostValues(program).origin(launch.call.args[1], launch.function)
    assert (flat(origin) is not Constancy.FIXED) == varies


def test_values_that_differ_between_launches_stay() -> None:
    source = HOST.format(lines="pass", argument="7")
    view = read_program(source)
    kernel = view.kernel("k")
    assert kernel is not None

    def launches(*values: int) -> tuple[KernelCalls, ...]:
        made = tuple(
            Launch("k", order, {"v": ScalarArgument(value, "i32")}, (), False)
            for order, value in enumerate(values)
        )
        return (KernelCalls(kernel, (), made),)

    assert specialise.find(view, launches(7, 8)) == ()
    assert specialise.find(view, launches(7, 7)) == (move("v", kernel="k"),)


@pytest.mark.triton
@pytest.mark.parametrize("name", reductions.PROGRAMS)
def test_no_bit_changes(name: str) -> None:
    source = reductions.PROGRAMS[name]
    problem = rewriting.problem([(2, 5, *reductions.SHAPES[name])], (5, 9))
    view, calls = rewriting.traced(source, problem)
    (found,) = specialise.find(view, calls)
    assert found.claim is Claim.BIT_EQUAL
    names = found.argument("parameters")
    assert isinstance(names, tuple)
    assert not {"batch", "B", "P"} & set(names), "a batch must not compile the kernel again"
    changed = specialise.apply(source, found)
    before = rewriting.outputs(source, problem)
    after = rewriting.outputs(changed, problem)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    for capability in ((8, 9), (9, 0)):
        assert rewriting.compile_faults(changed, problem, capability) == []
