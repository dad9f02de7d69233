"""How a kernel is called: what its configs are compiled with."""

from __future__ import annotations

from dataclasses import dataclass

from warpwright.types.compiled import Specialization
from warpwright.types.config import Config
from warpwright.types.launch_trace import Launch
from warpwright.types.program import Kernel


@dataclass(frozen=True, slots=True)
class KernelCalls:
    """One kernel with its configs in source order and the ways it is called.

    `launches` is empty where shapes are unknown; `classes` then holds one specialisation for
    each class of arguments that could be passed. `varying`: integers that have other values in the
    problem's other cases.
    """

    source: Kernel
    configs: tuple[Config, ...]
    launches: tuple[Launch, ...] = ()
    classes: tuple[Specialization, ...] = ()
    varying: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def autotuned(self) -> bool:
        if self.launches:
            return any(launch.autotuned for launch in self.launches)
        return self.source.autotune is not None

    @property
    def pruned(self) -> tuple[Config, ...]:
        """Configs that the program's own pruning leaves out of every launch; empty untraced."""
        left_out = dict.fromkeys(t.config for launch in self.launches for t in launch.pruned)
        return tuple(config for config in left_out if config not in self.configs)

    def grid(self, config: Config) -> tuple[int, ...] | None:
        """The grid of the first launch under a config, if traced."""
        for launch in self.launches:
            for traced in launch.configs:
                if traced.config == config:
                    return traced.grid
        return None
