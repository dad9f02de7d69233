"""The move that gives a kernel without autotune one other config: its launches pass it."""

from __future__ import annotations

from warpwright.errors import InputError
from warpwright.program.edit.config_text import ConfigStyle, write_config
from warpwright.program.edit.pin_launch import pin_launches
from warpwright.program.view import read_program
from warpwright.proposers.rewrites.common.config_texts import ONE_LINE, read_config_text
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite
from warpwright.proposers.rewrites.config_list import find_none
from warpwright.types.candidate import Claim, Move
from warpwright.types.config import Config

PIN = "pin"


def pin_move(kernel: str, config: Config) -> Move:
    """The move that launches a kernel with exactly this config."""
    text = write_config(config, ConfigStyle("triton.Config", '"', ()), ONE_LINE)
    claim = Claim.SAME_SUM if config.meta else Claim.BIT_EQUAL
    return Move(PIN, kernel, (("config", text),), claim)


def apply_pin(source: str, move: Move) -> str:
    """The source whose launches of the kernel pass the move's config as plain numbers.

        grid = (triton.cdiv(n, BLOCK),)               grid = (triton.cdiv(n, 512),)
        k[grid](x, n, BLOCK=BLOCK, num_warps=4)   →   k[grid](x, n, BLOCK=512, num_warps=8)

    Applies to kernels that no tuner may try several configs of, and where one is enough.

    Refuses (`DoesNotApply`): a kernel with an autotune; a launch that unpacks its arguments; a size
    that the launch does not pass; host code that needs the size for more than the grid; a grid that
    divides by it without rounding up.
    """
    config = read_config_text(str(move.argument("config")))
    found = read_program(source).kernel(move.kernel)
    if found is None:
        raise DoesNotApply(f"the program has no kernel named {move.kernel}")
    if found.autotune is not None:
        raise DoesNotApply(f"{move.kernel} has an autotune: its configs are those of its list")
    if config.pre_hook is not None or config.others:
        raise DoesNotApply(f"a launch of {move.kernel} takes no hook")
    try:
        return pin_launches(source, move.kernel, config)
    except InputError as error:
        got = f"; got {error.got}" if error.got else ""
        raise DoesNotApply(f"{error.what} (expected {error.expected}{got})") from error


REWRITES = (
    Rewrite(
        PIN,
        find_none,
        apply_pin,
        "its launches pass one other config, {config}",
        place=210,
        alone=False,
    ),
)
