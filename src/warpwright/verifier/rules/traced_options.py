"""Tiles and launch options that host code computes, where the trace tells which value they had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from warpwright.types.config import MetaValue
from warpwright.types.launch_trace import ConstantArgument, Trace
from warpwright.verifier.rules.launch_configs import UNREAD, KernelConfigs, LaunchConfig
from warpwright.verifier.rules.rule_context import RuleContext

_OPTIONS = ("num_warps", "num_stages", "num_ctas")
_Values = Mapping[str, MetaValue]


def settled(context: RuleContext, configs: KernelConfigs) -> KernelConfigs:
    """The configs with what one side computes and the other writes as a number.

    `BLOCK=triton.next_power_of_2(n)` and a config of 2048 are one tile where the trace found 2048.
    Where both sides compute, their texts are compared: equal values at these shapes would hide
    another formula. What comes from a mapping that reading does not follow has no text to
    compare: it is what the trace found.
    """
    old, new = configs.originals, configs.candidates
    if not old or not new:
        return configs
    before = _traced(context.parent_trace, configs.parent_name)
    after = _traced(context.child_trace, configs.kernel)
    told = sorted({name for config in new for name in _unread(config) & after.keys()})
    note = f"{configs.kernel}: {', '.join(told)} at its launch: judged as the host code passed them"
    return replace(
        configs,
        originals=tuple(_with_values(config, new, before) for config in old),
        candidates=tuple(_with_values(config, old, after) for config in new),
        notes=(*configs.notes, note) if told else configs.notes,
    )


def _traced(trace: Trace | None, kernel: str) -> _Values:
    """Compile-time arguments and launch options that have one value in all launches."""
    launches = [] if trace is None else [la for la in trace.launches if la.kernel == kernel]
    found: dict[str, MetaValue] = {}
    for name, argument in launches[0].arguments.items() if launches else ():
        others = (launch.arguments.get(name) for launch in launches)
        if isinstance(argument, ConstantArgument) and all(other == argument for other in others):
            found[name] = argument.value
    configs = {traced.config for launch in launches for traced in launch.configs}
    if len(configs) == 1 and not any(launch.autotuned for launch in launches):
        config = configs.pop()
        found |= {name: getattr(config, name) for name in _OPTIONS}
    return found


def _unread(config: LaunchConfig) -> set[str]:
    """What the config takes from a mapping that reading does not follow."""
    values = (*config.tile, *config.open_options)
    return {name for name, value in values if isinstance(value, str) and value.startswith(UNREAD)}


def _with_values(
    config: LaunchConfig, others: Sequence[LaunchConfig], values: _Values
) -> LaunchConfig:
    written = {
        name
        for name in config.unknown & values.keys()
        if all(name not in c.unknown and name in dict(c.tile) for c in others)
    }
    known = written | (_unread(config) & values.keys())

    def option(name: str, value: int) -> int:
        settled_value = values[name] if name in known else value
        return settled_value if isinstance(settled_value, int) else value

    return replace(
        config,
        tile=tuple((name, values[name] if name in known else value) for name, value in config.tile),
        num_warps=option("num_warps", config.num_warps),
        num_stages=option("num_stages", config.num_stages),
        num_ctas=option("num_ctas", config.num_ctas),
        unknown=config.unknown - known,
        open_options=tuple(pair for pair in config.open_options if pair[0] not in known),
    )
