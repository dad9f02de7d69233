"""The configs that a kernel may be tuned over: a product of axes less what is ruled out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from warpwright.types.config import Config, MetaValue

WARPS = "num_warps"
STAGES = "num_stages"
REGISTERS = "maxnreg"
_OPTIONS = (WARPS, STAGES, REGISTERS)


@dataclass(frozen=True, slots=True)
class Axis:
    """One parameter of a config with the values it may take, in ascending order.

    `name`: a meta-parameter of the kernel, or one of num_warps, num_stages and maxnreg.
    """

    name: str
    values: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class ConfigSpace:
    """Every config whose axes take one of their values and that `allowed` lets pass.

    `start` is the kernel's own config that the others are steps from; what no axis names stays as
    it is there.
    """

    start: Config
    axes: tuple[Axis, ...]
    allowed: Callable[[Config], bool] = lambda _: True

    def configs(self) -> Iterator[Config]:
        """All of them, the last axis running fastest."""
        for values in itertools.product(*(axis.values for axis in self.axes)):
            config = self.start
            for axis, value in zip(self.axes, values, strict=True):
                config = with_value(config, axis.name, value)
            if self.allowed(config):
                yield config

    def neighbours(self, config: Config) -> tuple[Config, ...]:
        """Those one step away along one axis."""
        found = []
        for axis in self.axes:
            value = value_of(config, axis.name)
            if value not in axis.values:
                continue
            place = axis.values.index(value)
            for other in (
                axis.values[max(0, place - 1) : place] + axis.values[place + 1 : place + 2]
            ):
                step = with_value(config, axis.name, other)
                if self.allowed(step):
                    found.append(step)
        return tuple(found)


def value_of(config: Config, name: str) -> MetaValue:
    """What a config gives an axis; None where it does not say."""
    if name in _OPTIONS:
        value: MetaValue = getattr(config, name)
        return value
    return config.meta_dict.get(name)


def with_value(config: Config, name: str, value: int | None) -> Config:
    """The config with another value on one axis."""
    if name == WARPS:
        assert value is not None
        return replace(config, num_warps=value)
    if name == STAGES:
        assert value is not None
        return replace(config, num_stages=value)
    if name == REGISTERS:
        return replace(config, maxnreg=value)
    meta = tuple((key, value if key == name else old) for key, old in config.meta)
    if all(key != name for key, _ in config.meta):
        meta = (*meta, (name, value))
    return replace(config, meta=meta)
