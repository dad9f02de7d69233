"""The move that changes a config list: before → after, when it refuses, and its replay."""

from __future__ import annotations

import pytest

from warpwright.program.view import read_program
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.config_list import apply_configs, configs_move, move_configs
from warpwright.types.candidate import Claim, Move
from warpwright.types.config import Config

PROGRAM = """import torch
import triton
import triton.language as tl

FULL = 8


def clear(nargs):
    nargs["out"].zero_()


def zeroing(name):
    return lambda nargs: nargs[name].zero_()


@triton.autotune(
    configs=LIST,
    key=["n"],
)
@triton.jit
def total(x, out, n, B: tl.constexpr):
    at = tl.program_id(0) * B + tl.arange(0, B)
    tl.atomic_add(out, tl.sum(tl.load(x + at, mask=at < n, other=0.0)))


def run(x):
    out = torch.zeros(1, device=x.device)
    total[lambda m: (triton.cdiv(x.numel(), m["B"]),)](x, out, x.numel())
    return out
"""
WRITTEN = """[
        # small blocks
        triton.Config({"B": 128}, num_warps=4, pre_hook=clear),
        triton.Config({"B": 256}, FULL, 2, pre_hook=clear),  # the old default
        triton.Config({"B": 512}, num_warps=FULL, num_stages=1, maxnreg=64, pre_hook=clear),
    ]"""
AFTER = """[
        # small blocks
        triton.Config({"B": 256}, FULL, 2, pre_hook=clear),  # the old default
        triton.Config({"B": 512}, num_warps=FULL, num_stages=1, maxnreg=64, pre_hook=clear),
        triton.Config({"B": 512}, num_warps=4, num_stages=1, maxnreg=64, pre_hook=clear),
    ]"""


def program(configs: str) -> str:
    return PROGRAM.replace("LIST", configs)


def configs_of(source: str) -> tuple[Config, ...]:
    kernel = read_program(source).kernel("total")
    assert kernel is not None
    assert kernel.autotune is not None
    assert kernel.autotune.configs is not None
    return kernel.autotune.configs


def config(block: int, warps: int, stages: int, **more: int | str) -> Config:
    hook = str(more.get("hook", "clear"))
    maxnreg = more.get("maxnreg")
    return Config(
        (("B", block),), warps, stages, maxnreg=int(maxnreg) if maxnreg else None, pre_hook=hook
    )


def test_what_stays_keeps_its_own_text_and_what_is_new_is_written_like_it() -> None:
    kept = config(256, 8, 2), config(512, 8, 1, maxnreg=64)
    move = configs_move("total", [*kept, config(512, 4, 1, maxnreg=64)])
    assert apply_configs(program(WRITTEN), move) == program(AFTER)
    assert move.claim is Claim.BIT_EQUAL


@pytest.mark.parametrize(
    "built",
    [
        "[triton.Config({'B': b}, num_warps=w, pre_hook=clear) for b in (64, 128) for w in (2, 4)]",
        "[triton.Config({'B': b}, num_warps=4, pre_hook=clear if b > 64 else None) "
        "for b in (64, 128)]",
        "[triton.Config({'B': b}, num_warps=4, pre_hook=h) for b, h in ((64, None), (128, clear))]",
        "[triton.Config({'B': b}, 4, 3, 1, None, zeroing('out')) for b in (64, 128)]",
        "[triton.Config({'B': b}, pre_hook=zeroing(name)) for b in (64, 128) for name in ['out']]",
        "[triton.Config({'B': b}, pre_hook=lambda a: a['out'].zero_()) for b in (64, 128)]",
        "[triton.Config({'B': b}, ir_override=f) for b, f in ((64, 'a.ttgir'), (128, None))]",
    ],
)
def test_a_list_that_code_builds_is_written_out_with_hooks_and_other_arguments(built: str) -> None:
    """The hook by a name, by a condition, through a helper, by position, as a lambda."""
    before = configs_of(program(built))
    assert len(before) >= 2
    changed = apply_configs(program(built), configs_move("total", before[1:]))
    assert configs_of(changed) == before[1:]
    assert changed != program(built)


def test_a_hook_that_reads_a_name_of_the_comprehension_is_not_read_as_text() -> None:
    built = (
        "[triton.Config({'B': b}, pre_hook=lambda a: a[n].zero_()) for b in (1, 2) for n in 'o']"
    )
    kernel = read_program(program(built)).kernel("total")
    assert kernel is not None
    assert kernel.autotune is not None
    assert kernel.autotune.configs is None


def test_configs_that_differ_in_their_hooks_alone_are_two() -> None:
    one, other = config(128, 4, 3), config(128, 4, 3, hook="zeroing('out')")
    assert one != other
    changed = apply_configs(program(WRITTEN), configs_move("total", [one, other]))
    assert configs_of(changed) == (one, other)


def test_the_arguments_are_enough_to_replay_the_move() -> None:
    configs = [config(64, 2, 3), Config((("B", 32),), 1, 1, 2, others=(("ir_override", "'k'"),))]
    move = configs_move("total", configs)
    again = Move(move.name, move.kernel, tuple(move.arguments), move.claim)
    assert move_configs(again) == tuple(configs)
    assert apply_configs(program(WRITTEN), again) == apply_configs(program(WRITTEN), move)


@pytest.mark.parametrize(
    ("source", "move", "expected"),
    [
        (WRITTEN, configs_move("other", [config(64, 4, 2)]), "no kernel named other"),
        (WRITTEN, configs_move("total", []), "at least one config"),
        (WRITTEN, configs_move("total", [config(64, 4, 2, hook="<hook 1: f>")]), "no name"),
        (WRITTEN, Move("configs", "total", (("configs", ("1 + 1",)), ("key", ()))), "no config"),
    ],
)
def test_it_refuses_with_a_reason(source: str, move: Move, expected: str) -> None:
    with pytest.raises(DoesNotApply, match=expected):
        apply_configs(program(source), move)
