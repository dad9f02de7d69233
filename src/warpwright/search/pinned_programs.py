"""What is measured: the parent program with one config of one kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from warpwright.proposers.configs.emit import emit_plans
from warpwright.types.answer import ConfigChoice, ConfigPlan
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Move, moves_label
from warpwright.types.config import Config
from warpwright.types.study import KernelStudy, Study


@dataclass(frozen=True, slots=True)
class Entrant:
    """A config of a kernel in its program. `pins`: the config that each tuned kernel is left.

    `launches`: kernels that the program must launch; None for those of the parent.
    """

    kernel: str
    config: Config
    proposed: bool
    source: str
    pins: Mapping[str, Config]
    launches: tuple[str, ...] | None = None
    moves: tuple[Move, ...] = ()  # where it is these that are tried, not the config

    @property
    def name(self) -> str:
        """One of its own among those that are tried: results are kept by it."""
        if self.moves:
            pins = "; ".join(f"{kernel}: {config}" for kernel, config in self.pins.items())
            return f"{' + '.join(map(str, self.moves))} with {pins or 'its own launch'}"
        return f"{self.kernel}: {self.config}"

    @property
    def label(self) -> str:
        """The name for people: as short as a line can be."""
        return moves_label(self.moves) if self.moves else self.name


def entrants_of(
    study: Study, plans: Sequence[ConfigPlan], chosen: Mapping[str, Config]
) -> tuple[Entrant, ...]:
    """Every config that a plan keeps, originals first.

    `chosen`: what the parent's own tuners took; a kernel runs with it while another is measured.
    """
    usual = usual_pins(study, chosen)
    found = [
        _entrant(study, calls, choice, usual)
        for plan, calls in zip(plans, study.calls, strict=True)
        for choice in plan.choices
        if choice.kept and not plan.left_alone
    ]
    return tuple(sorted(found, key=lambda entrant: entrant.proposed))


def usual_pins(study: Study, chosen: Mapping[str, Config]) -> dict[str, Config]:
    """The config that each tuned kernel is left with while something else is measured."""
    return {
        kernel.kernel: _usual(kernel, chosen.get(kernel.kernel))
        for kernel in study.kernels
        if kernel.autotuned
    }


def _usual(kernel: KernelStudy, chosen: Config | None) -> Config:
    if chosen is not None and kernel.config(chosen) is not None:
        return chosen
    return kernel.usual


def _entrant(
    study: Study, calls: KernelCalls, choice: ConfigChoice, usual: Mapping[str, Config]
) -> Entrant:
    source, config = study.view.source, choice.config
    if calls.name in usual:
        pins = {**usual, calls.name: config}
        return Entrant(calls.name, config, choice.proposed, source, pins)
    if choice.proposed:  # the kernel is not tuned: a list of this one config makes it so
        only = ConfigPlan(calls.name, (ConfigChoice(config, True, True, ""),))
        source = emit_plans(source, [(only, calls)])
    return Entrant(calls.name, config, choice.proposed, source, usual)
