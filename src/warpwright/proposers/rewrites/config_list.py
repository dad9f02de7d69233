"""The first move: another list of configs for a kernel's autotuner."""

from __future__ import annotations

from collections.abc import Sequence

from warpwright.errors import InputError
from warpwright.program.edit.config_edit import add_autotune, set_configs
from warpwright.program.edit.config_text import ConfigStyle, write_config
from warpwright.program.view import read_program
from warpwright.proposers.rewrites.common.config_texts import ONE_LINE, read_config_text
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.config import Config
from warpwright.types.program import ProgramView

CONFIGS = "configs"


def configs_move(
    kernel: str,
    configs: Sequence[Config],
    key: Sequence[str] = (),
    claim: Claim = Claim.BIT_EQUAL,
    restored: Sequence[str] = (),
) -> Move:
    """The move that gives a kernel exactly these configs, in this order.

    Its arguments hold each config as text, hook and all, so that it can be replayed on the parent
    with nothing else. `key`: the autotune's key where the kernel has no autotune yet, and
    `restored`: its `restore_value`. `claim`: what other tiles than the parent's do to sums.
    """
    style = ConfigStyle("triton.Config", '"', ())
    texts = tuple(write_config(config, style, ONE_LINE) for config in configs)
    arguments = (("configs", texts), ("key", tuple(key)))
    more = (("restore_value", tuple(restored)),) if restored else ()
    return Move(CONFIGS, kernel, (*arguments, *more), claim)


def find_none(_program: ProgramView, _calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """Nothing: which configs are worth trying is for `proposers/configs` to say."""
    return ()


def apply_configs(source: str, move: Move) -> str:
    """The source with the move's configs in the kernel's `@triton.autotune`, which is added where
    there is none.

        configs=[                                          configs=[
            triton.Config({"B": 32}, pre_hook=clear),  →       triton.Config({"B": 32}, pre_hook=clear),
            triton.Config({"B": 64}, pre_hook=clear),          triton.Config({"B": 32}, num_warps=8,
        ],                                                                   pre_hook=clear),
                                                           ],

    Configs that stay keep their own text, comments and order; new ones are written like them.

    Applies to a list that is written out, and to one built by code: that becomes a literal list.
    A list at module level that this kernel alone reads is edited where it stands.

    Refuses (`DoesNotApply`): no such kernel; no config; a config with a hook that the module knows
    by no name; a list that does not read back as what was written; a launch whose options cannot
    be moved into new configs.
    """  # noqa: E501
    configs = move_configs(move)
    key = move.argument("key")
    found = read_program(source).kernel(move.kernel)
    if found is None:
        raise DoesNotApply(f"the program has no kernel named {move.kernel}")
    if not configs:
        raise DoesNotApply(f"{move.kernel}: an autotune needs at least one config")
    try:
        if found.autotune is not None:
            return set_configs(source, move.kernel, configs)
        names, restored = (
            tuple(map(str, value)) if isinstance(value, tuple) else ()
            for value in (key, dict(move.arguments).get("restore_value"))
        )
        return add_autotune(source, move.kernel, configs, names, restore_value=restored)
    except InputError as error:
        got = f"; got {error.got}" if error.got else ""
        raise DoesNotApply(f"{error.what} (expected {error.expected}{got})") from error


def move_configs(move: Move) -> tuple[Config, ...]:
    """The configs that a move holds as texts. Raises `DoesNotApply` for a text that is none."""
    texts = move.argument("configs")
    return tuple(
        read_config_text(str(text)) for text in (texts if isinstance(texts, tuple) else ())
    )


REWRITES = (
    Rewrite(
        CONFIGS,
        find_none,
        apply_configs,
        "the list of configs that its tuner tries was set",
        place=200,
        alone=False,
    ),
)
