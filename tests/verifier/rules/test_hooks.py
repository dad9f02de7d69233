"""What a config's pre_hook overwrites, and what follows for tuning on live buffers."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from warpwright.program.hooks import read_hook
from warpwright.program.view import read_program
from warpwright.types.program import Kernel, ProgramView
from warpwright.verifier.rules.autotune import behind_unread_hooks, changed_by_running
from warpwright.verifier.rules.checkers import check_rules

HOOKS = """import functools


def clear(nargs):
    \"\"\"Zero the output.\"\"\"
    nargs["out"].zero_()


def clear_both(args):
    first = args["out"]
    first.fill_(0)
    args["sums"][...] = 0


def clear_split(nargs):
    if nargs["SPLIT"] > 1:
        nargs["out"].zero_()


def clear_each(nargs):
    for name in ("out", "sums"):
        nargs[name].zero_()


def zeroing(name):
    def hook(nargs):
        nargs[name].zero_()

    return hook


def clear_named(name, nargs):
    nargs[name].copy_(nargs["saved"])


def set_block(nargs):
    m, n = nargs["M"], nargs["N"]
    nargs["desc"].block_shape = [m, n]


def elsewhere(nargs):
    reset_everything(nargs)


def some(nargs):
    if len(nargs) > 3:
        nargs["out"].zero_()


shortcut = lambda nargs: nargs["out"].zero_()
"""


@pytest.mark.parametrize(
    ("hook", "overwritten"),
    [
        ("clear", {"out"}),
        ("clear_both", {"out", "sums"}),
        ("clear_split", {"out"}),
        ("clear_each", {"out", "sums"}),
        ("zeroing('sums')", {"sums"}),
        ("functools.partial(clear_named, 'out')", {"out"}),
        ("lambda a: a['out'].zero_()", {"out"}),
        ("lambda a: (a['out'].zero_(), a['sums'].zero_())", {"out", "sums"}),
        ("shortcut", {"out"}),
        ("set_block", set()),
    ],
)
def test_a_hook_is_read(hook: str, overwritten: set[str]) -> None:
    effect = read_hook(HOOKS, hook, {"SPLIT": 4})
    assert effect.readable
    assert effect.overwritten == overwritten


def test_a_hook_that_looks_at_the_config_does_what_that_config_says() -> None:
    assert read_hook(HOOKS, "clear_split", {"SPLIT": 1}).overwritten == frozenset()


@pytest.mark.parametrize("hook", ["elsewhere", "some", "imported", "HOOKS[0]", "<hook 1: f>"])
def test_what_cannot_be_followed_is_not_claimed(hook: str) -> None:
    effect = read_hook(HOOKS, hook, {})
    assert not effect.readable
    assert effect.overwritten == frozenset()


PROGRAM = """import torch
import torch.nn as nn
import triton
import triton.language as tl


def clear(nargs):
    nargs["out"].zero_()


def log(nargs):
    write_log(nargs)


def shape(nargs):
    nargs["x"].block_shape = [1]


@triton.autotune(configs=[
    triton.Config({"B": 64, "SPLIT": 1}, num_warps=4),
    triton.Config({"B": 64, "SPLIT": 4}, num_warps=4, pre_hook=clear),
    triton.Config({"B": 64, "SPLIT": 8}, num_warps=4, pre_hook=clear),
], key=["n"])
@triton.jit
def total(x, out, n, B: tl.constexpr, SPLIT: tl.constexpr):
    at = tl.program_id(0) * B + tl.arange(0, B)
    part = tl.sum(tl.load(x + at, mask=at < n, other=0.0))
    if SPLIT == 1:
        tl.store(out, part)
    else:
        tl.atomic_add(out, part)


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty(1, device=x.device)
        total[lambda m: (m["SPLIT"],)](x, out, x.numel())
        return out
"""


def kernel_of(source: str) -> tuple[ProgramView, Kernel]:
    view = read_program(source)
    kernel = view.kernel("total")
    assert kernel is not None
    return view, kernel


def test_a_hook_that_zeroes_the_output_is_a_reset_where_the_kernel_adds_to_it() -> None:
    assert list(changed_by_running(*kernel_of(PROGRAM))) == []


def test_a_config_that_adds_and_has_no_hook_is_found_beside_others_that_have_one() -> None:
    source = PROGRAM.replace('"SPLIT": 8}, num_warps=4, pre_hook=clear', '"SPLIT": 8}, num_warps=4')
    assert [pointer for pointer, _ in changed_by_running(*kernel_of(source))] == ["out"]


def test_a_hook_that_is_read_and_resets_nothing_is_no_reset() -> None:
    source = PROGRAM.replace("pre_hook=clear", "pre_hook=shape")
    assert [pointer for pointer, _ in changed_by_running(*kernel_of(source))] == ["out"]


def test_a_hook_that_cannot_be_read_is_neither_reset_nor_violation() -> None:
    view, kernel = kernel_of(PROGRAM.replace("pre_hook=clear", "pre_hook=log"))
    assert list(changed_by_running(view, kernel)) == []
    assert {pointer for pointer, _ in behind_unread_hooks(view, kernel)} == {"out"}


def test_a_lost_hook_is_refused_and_an_unreadable_one_is_not_verified(lab: ModuleType) -> None:
    lost = PROGRAM.replace(", pre_hook=clear", "")
    unread = PROGRAM.replace("pre_hook=clear", "pre_hook=log")

    def checked(child: str) -> tuple[set[str], list[str]]:
        result = check_rules(lab.context_of(PROGRAM, child, lab.tuning_stage()))
        return lab.rule_ids(result.violations), [n for n in result.notes if "autotune.safe" in n]

    assert "autotune.safe" in checked(lost)[0]
    rules, notes = checked(unread)
    assert "autotune.safe" not in rules
    assert any("cannot be read" in note for note in notes)
    assert checked(PROGRAM + "\n") == (set(), [])


def test_configs_with_different_hooks_are_different_to_the_rules(lab: ModuleType) -> None:
    _, kernel = kernel_of(PROGRAM)
    assert kernel.autotune is not None
    configs = kernel.autotune.configs or ()
    assert replace(configs[1], pre_hook=None) != configs[1]
    child = PROGRAM.replace('"SPLIT": 4}, num_warps=4, pre_hook=clear', '"SPLIT": 4}, num_warps=4')
    result = check_rules(lab.context_of(PROGRAM, child, lab.tuning_stage()))
    assert "configs.keep_original" in lab.rule_ids(result.violations)
