"""Which kernels may begin to be tuned, and what a new tuner puts back after each try."""

from __future__ import annotations

from textwrap import dedent

import pytest

from warpwright.program.view import read_program
from warpwright.proposers.configs.emit import emit_plans, reason_to_leave_alone, to_restore
from warpwright.types.answer import ConfigChoice, ConfigPlan
from warpwright.types.calls import KernelCalls
from warpwright.types.config import Config
from warpwright.types.launch_trace import Launch, TensorArgument, TracedConfig
from warpwright.types.program import ProgramView
from warpwright.verifier.rules.autotune import changed_by_running

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
    """Why `shift` is left alone; `storages` are those of source and target in a traced launch."""
    return reason_to_leave_alone(*looked_at(program, storages))


def restored(program: str, storages: tuple[int, int] | None = None) -> tuple[str, ...]:
    """What a new tuner of `shift` puts back after each try."""
    names, lacking = to_restore(*looked_at(program, storages))
    assert lacking is None
    return names


def looked_at(
    program: str, storages: tuple[int, int] | None = None
) -> tuple[ProgramView, KernelCalls]:
    view = read_program(program)
    kernel = view.kernel("shift")
    assert kernel is not None
    config = Config.of({}, 4, 3)
    launches = ()
    if storages is not None:
        tensors = [TensorArgument("float32", (1000,), (1,), storage=x) for x in storages]
        arguments = dict(zip(("source", "target"), tensors, strict=True))
        launches = (Launch("shift", 0, arguments, (TracedConfig(config, (4,)),), False),)
    return view, KernelCalls(kernel, (config,), launches)


def changed(old: str, new: str, program: str = PROGRAM) -> str:
    assert program.count(old) == 1, old
    return program.replace(old, new)


def test_a_kernel_that_writes_what_it_does_not_read_may_be_tuned() -> None:
    assert reason(PROGRAM) is None
    assert reason(PROGRAM, storages=(1, 2)) is None


@pytest.mark.parametrize(
    "store",
    [
        "tl.atomic_add(target + at, value, mask=inside)",
        "tl.store(target + at, tl.load(target + at) + value)",
        "cells = target + at\n    old = tl.load(cells)\n    tl.store(cells, old + value)",
    ],
)
def test_what_a_kernel_accumulates_into_is_restored(store: str) -> None:
    program = changed(STORE, store)
    assert reason(program) is None
    assert restored(program) == ("target",)
    _, calls = looked_at(program)
    choices = tuple(ConfigChoice(Config.of({}, w, 3), w != 4, True, "") for w in (4, 8))
    written = emit_plans(program, [(ConfigPlan("shift", choices), calls)])
    assert "restore_value=['target']" in written.replace('"', "'")
    tuned = read_program(written)
    shift = tuned.kernel("shift")
    assert shift is not None
    assert not list(changed_by_running(tuned, shift))


def test_a_kernel_whose_helper_adds_to_what_is_not_known_is_left_alone() -> None:
    helper = "@triton.jit\ndef put(cells, value):\n    tl.atomic_add(cells, value)\n\n\n"
    program = changed(STORE, "put(target + at, value)")
    found = reason(changed("@triton.jit\ndef shift", helper + "@triton.jit\ndef shift", program))
    assert found is not None and "it calls put, which uses atomics" in found


def test_an_update_in_place_is_seen_in_the_launch_as_written() -> None:
    assert restored(changed("(x, y, x.numel()", "(x, x, x.numel()")) == ("target",)


def test_tensors_of_one_storage_are_seen_in_the_traced_launch() -> None:
    program = changed("y = torch.empty_like(x)", "y = x.view(-1)")
    assert restored(program) == ()  # by reading alone nothing tells
    assert restored(program, storages=(1, 1)) == ("target",)


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
