"""Which kernels must not begin to be tuned: those that a second run would find changed."""

from __future__ import annotations

from textwrap import dedent

import pytest

from warpwright.program.view import read_program
from warpwright.proposers.configs.emit import emit_plans, reason_to_leave_alone
from warpwright.types.answer import ConfigChoice, ConfigPlan
from warpwright.types.calls import KernelCalls
from warpwright.types.config import Config
from warpwright.types.launch_trace import Launch, TensorArgument, TracedConfig

PROGRAM = dedent(
    """
    import torch
    import torch.nn as nn
    import triton
    import triton.language as tl


    @triton.jit
    def shift(source, target, count, TILE: tl.constexpr):
        at = tl.program_id(0) * TILE + tl.arange(0, TILE)
        inside = at < count
        value = tl.load(source + at, mask=inside)
        tl.store(target + at, value + 1.0, mask=inside)


    class ModelNew(nn.Module):
        def forward(self, x):
            y = torch.empty_like(x)
            shift[(triton.cdiv(x.numel(), 256),)](x, y, x.numel(), TILE=256)
            return y
    """
).lstrip()
STORE = "tl.store(target + at, value + 1.0, mask=inside)"
TUNED = (
    "@triton.autotune(configs=[triton.Config({{'TILE': 256}}, num_warps=4){more}], "
    "key=['count'])\n@triton.jit"
)


def reason(program: str, storages: tuple[int, int] | None = None) -> str | None:
    """The verdict on `shift`; `storages` are those of source and target in a traced launch."""
    view = read_program(program)
    kernel = view.kernel("shift")
    assert kernel is not None
    config = Config.of({}, 4, 3)
    launches = ()
    if storages is not None:
        tensors = [TensorArgument("float32", (1000,), (1,), storage=x) for x in storages]
        arguments = dict(zip(("source", "target"), tensors, strict=True))
        launches = (Launch("shift", 0, arguments, (TracedConfig(config, (4,)),), False),)
    return reason_to_leave_alone(view, KernelCalls(kernel, (config,), launches))


def changed(old: str, new: str, program: str = PROGRAM) -> str:
    assert program.count(old) == 1, old
    return program.replace(old, new)


def test_a_kernel_that_writes_what_it_does_not_read_may_be_tuned() -> None:
    assert reason(PROGRAM) is None
    assert reason(PROGRAM, storages=(1, 2)) is None


@pytest.mark.parametrize(
    ("store", "why"),
    [
        ("tl.atomic_add(target + at, value, mask=inside)", "atomics on target"),
        ("tl.store(target + at, tl.load(target + at) + value)", "reads and writes target"),
        (
            "cells = target + at\n    old = tl.load(cells)\n    tl.store(cells, old + value)",
            "reads and writes target",
        ),
    ],
)
def test_a_kernel_that_accumulates_is_left_alone(store: str, why: str) -> None:
    found = reason(changed(STORE, store))
    assert found is not None and why in found


def test_an_update_in_place_is_seen_in_the_launch_as_written() -> None:
    found = reason(changed("(x, y, x.numel()", "(x, x, x.numel()"))
    assert found is not None and "in place" in found


def test_tensors_of_one_storage_are_seen_in_the_traced_launch() -> None:
    program = changed("y = torch.empty_like(x)", "y = x.view(-1)")
    assert reason(program) is None  # by reading alone nothing tells
    found = reason(program, storages=(1, 1))
    assert found is not None and "one tensor, read and written" in found


def test_one_input_given_twice_is_no_update_in_place() -> None:
    kernel = changed("def shift(source, target,", "def shift(source, other, target,")
    kernel = changed("value = tl.load(source + at, mask=inside)",
                     "value = tl.load(source + at) + tl.load(other + at)", kernel)  # fmt: skip
    view = read_program(changed("(x, y, x.numel()", "(x, x, y, x.numel()", kernel))
    shift = view.kernel("shift")
    assert shift is not None
    numbered = {"source": 1, "other": 1, "target": 2}
    arguments = {
        name: TensorArgument("float32", (1000,), (1,), storage=storage)
        for name, storage in numbered.items()
    }
    config = Config.of({}, 4, 3)
    launch = Launch("shift", 0, arguments, (TracedConfig(config, (4,)),), False)
    assert reason_to_leave_alone(view, KernelCalls(shift, (config,), (launch,))) is None


def test_a_list_of_one_config_is_not_tried_so_that_a_longer_one_begins_the_tuning() -> None:
    accumulating = changed(STORE, "tl.atomic_add(target + at, value, mask=inside)")
    launched = changed(", TILE=256)", ")", accumulating)
    one = changed("@triton.jit", TUNED.format(more=""), launched)
    assert reason(one) is not None
    more = ", triton.Config({'TILE': 256}, num_warps=8)"
    assert reason(changed("@triton.jit", TUNED.format(more=more), launched)) is None


def test_a_plan_of_which_nothing_is_left_changes_nothing() -> None:
    tuned = changed("@triton.jit", TUNED.format(more=""), changed(", TILE=256)", ")"))
    kernel = read_program(tuned).kernel("shift")
    assert kernel is not None and kernel.autotune is not None
    config = Config.of({}, 4, 3)
    gone = ConfigPlan("shift", (ConfigChoice(config, False, False, "can never run"),))
    assert emit_plans(tuned, [(gone, KernelCalls(kernel, (config,)))]) == tuned


LAUNCH = "shift[(triton.cdiv(x.numel(), 256),)](x, y, x.numel(), TILE=256)"


def test_a_kernel_whose_launch_is_not_found_by_reading_is_left_alone() -> None:
    through_a_table = changed(LAUNCH, 'TABLE["shift"][(4,)](x, y, x.numel(), TILE=256)')
    found = reason(through_a_table, (1, 2))
    assert found is not None
    assert "no launch of it is found by reading" in found


def test_a_kernel_whose_launch_may_hide_its_options_is_left_alone() -> None:
    found = reason(changed(LAUNCH, LAUNCH.replace("TILE=256", "**options")), (1, 2))
    assert found is not None
    assert "keyword arguments that are written out" in found


def test_a_launch_that_unpacks_its_positional_arguments_may_be_tuned() -> None:
    unpacked = LAUNCH.replace("(x, y, x.numel(), TILE", "(*(x, y), x.numel(), TILE")
    assert reason(changed(LAUNCH, unpacked), (1, 2)) is None
