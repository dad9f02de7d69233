"""Tile sizes that host code computes, where the trace tells which value they had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from warpwright.gate.configs import KernelConfigs, LaunchConfig
from warpwright.gate.context import RuleContext
from warpwright.types.config import MetaValue
from warpwright.types.trace import ConstantArgument, Trace


def settled(context: RuleContext, configs: KernelConfigs) -> KernelConfigs:
    """The configs with what one side computes and the other writes as a number.

    `BLOCK=triton.next_power_of_2(n)` and a config of 2048 are one tile where the trace found 2048.
    Where both sides compute, their texts are compared: equal values at these shapes would hide
    another formula.
    """
    old, new = configs.originals, configs.candidates
    if not old or not new:
        return configs
    return replace(
        configs,
        originals=_with_values(old, new, _constants(context.parent_trace, configs.parent_name)),
        candidates=_with_values(new, old, _constants(context.child_trace, configs.kernel)),
    )


def _constants(trace: Trace | None, kernel: str) -> Mapping[str, MetaValue]:
    """Compile-time arguments of a kernel that have one value in all of its launches."""
    launches = [] if trace is None else [la for la in trace.launches if la.kernel == kernel]
    found: dict[str, MetaValue] = {}
    for name, argument in launches[0].arguments.items() if launches else ():
        others = (launch.arguments.get(name) for launch in launches)
        if isinstance(argument, ConstantArgument) and all(other == argument for other in others):
            found[name] = argument.value
    return found


def _with_values(
    configs: Sequence[LaunchConfig],
    others: Sequence[LaunchConfig],
    values: Mapping[str, MetaValue],
) -> tuple[LaunchConfig, ...]:
    written = {
        name
        for name in values
        if all(name in dict(c.tile) and name not in c.unknown for c in others)
    }
    return tuple(
        replace(
            config,
            tile=tuple(
                (name, values[name] if name in config.unknown & written else value)
                for name, value in config.tile
            ),
            unknown=config.unknown - written,
        )
        for config in configs
    )
