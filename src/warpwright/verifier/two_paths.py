"""Does a program launch the same wherever we run it? One that does not sees that it is tested.

Traced, its kernels are compiled functions on stand-ins of tensors; at full size they are
interpreted, on tensors that hold data. Inputs, card and configs are the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from warpwright.interpreter.spot.spot import SeenLaunch, SpotRun
from warpwright.types.config import Config
from warpwright.types.launch_trace import (
    ConstantArgument,
    Launch,
    ScalarArgument,
    Trace,
    TracedConfig,
)

DIMENSIONS = 3  # of a grid


def launches_otherwise(run: SpotRun, trace: Trace, pins: Mapping[str, Config]) -> str | None:
    """How a run's launches differ from those of the trace; None where they do not, as far as the
    run went. `pins`: kernel → the config that it was run under.

    Nothing is said of a config that the program's own pruning left out of the trace."""
    if run.outcome not in ("ok", "partial"):
        return None
    if any(_under(launch, pins.get(launch.kernel)) is None for launch in trace.launches):
        return None
    traced = [
        (launch, config)
        for launch in trace.launches
        if (config := _under(launch, pins.get(launch.kernel))) is not None and config.blocks
    ]
    if run.outcome == "ok" and len(traced) != len(run.launched):
        return f"{len(run.launched)} launches in the interpreter, {len(traced)} when it is traced"
    for (launch, config), seen in zip(traced, run.launched, strict=False):
        if launch.kernel != seen.kernel:
            return f"{seen.kernel} in the interpreter where {launch.kernel} is traced"
        grid = (*config.grid, *(1,) * (DIMENSIONS - len(config.grid)))
        if grid != seen.grid:
            return (
                f"{seen.kernel} with grid {seen.grid} in the interpreter, {grid} when it is traced"
            )
        found = _other_number(launch, seen)
        if found is not None:
            return found
    return None


def _under(launch: Launch, pin: Config | None) -> TracedConfig | None:
    if pin is None or len(launch.configs) < 2:
        return launch.configs[0] if launch.configs else None
    same = [traced for traced in launch.configs if traced.config.meta == pin.meta]
    return same[0] if same else None


def _other_number(launch: Launch, seen: SeenLaunch) -> str | None:
    for name, argument in launch.arguments.items():
        if not isinstance(argument, (ScalarArgument, ConstantArgument)):
            continue
        value = argument.value
        if not isinstance(value, (int, float)) or name not in seen.numbers:
            continue
        if seen.numbers[name] != value and not math.isnan(value):
            return (
                f"{seen.kernel} with {name}={seen.numbers[name]!r} in the interpreter, {value!r} "
                "when it is traced"
            )
    return None
