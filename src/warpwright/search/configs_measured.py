"""The trial of a request, in its order: configs, accuracy in full, the decision."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from pydantic import TypeAdapter

from warpwright.bench.statistics.budget import LEFT_AFTER_CONFIGS, LEFT_AFTER_JUDGING
from warpwright.bench.statistics.family import choose_finalists
from warpwright.bench.statistics.minimum import Minimum
from warpwright.bench.statistics.speed_of_light import Light, against_light, light_floor
from warpwright.proposers.configs.one_list import TimedConfigs
from warpwright.sandbox.deadline import Deadline
from warpwright.search.beyond_device_time import measure_apart
from warpwright.search.config_rounds import ConfigRounds
from warpwright.search.draft import own_outputs_differ
from warpwright.search.final_decision import Final, decide_on
from warpwright.search.kept_trials import pairs_of, told
from warpwright.search.open_trial import Table, card
from warpwright.search.pinned_programs import Entrant, entrants_of
from warpwright.search.same_code import compile_texts
from warpwright.search.screening import Screening
from warpwright.store.run_context import RunContext
from warpwright.types.answer import ConfigPlan
from warpwright.types.config import Config
from warpwright.types.measurement import Outcome
from warpwright.types.study import Study
from warpwright.types.trial import ConfigTrial, Trial

CHOSEN = TypeAdapter(dict[str, Config])


@dataclass
class MeasuredConfigs:
    """What screening found. `timed`: kernel → what timings say of its new configs.

    `trial` is what was measured so far; `FullSizeChecks` add accuracy in full to it.
    """

    table: Table
    study: Study
    trial: Trial
    timed: Mapping[str, TimedConfigs] = field(default_factory=dict)
    chosen: Mapping[str, Config] = field(default_factory=dict)  # what the parent's tuners took
    moved: bool = False  # of a program that moves made of the parent
    call_us: float = 0.0  # the parent's time a call when it was loaded

    @property
    def wrong_originals(self) -> tuple[ConfigTrial, ...]:
        """The program's own configs whose output is wrong, or differs where nothing shows more."""
        return tuple(trial for trial in self.trial.configs if trial.wrong and not trial.proposed)

    @property
    def repaired(self) -> str | None:
        """Why the answer stands whatever its time: the parent has configs that are wrong."""
        if not self.wrong_originals or not self.table.bench.full_size.parent_is_right:
            return None
        wrong = "; ".join(f"{t.kernel} with {t.config}" for t in self.wrong_originals)
        return f"the parent computes something wrong ({wrong}), so its time is no measure"

    @property
    def wrong(self) -> dict[str, set[Config]]:
        """Kernel → its own configs that are wrong by the reference."""
        kernels = {trial.kernel for trial in self.wrong_originals} if self.repaired else set()
        return {
            kernel: {trial.config for trial in self.wrong_originals if trial.kernel == kernel}
            for kernel in kernels
        }

    @property
    def keep(self) -> str | None:
        """Why nothing is worth emitting; None where something is."""
        if self.repaired is not None:
            return None
        if self.wrong_originals:
            return self._own_outputs_differ()
        faster = self.moved or any(timed.faster for timed in self.timed.values())
        return None if faster else self._none_faster()

    def _own_outputs_differ(self) -> str:
        told = [f"{trial.config}: {trial.failure}" for trial in self.wrong_originals]
        chosen = self.chosen.get(self.wrong_originals[0].kernel)
        return own_outputs_differ(told) + ("" if chosen is None else f" (its tuner takes {chosen})")

    def _none_faster(self) -> str:
        new = [trial for trial in self.trial.configs if trial.proposed]
        if not new:
            return "no new config within the rules is distinct and can launch"
        gains = [trial.gain_pct for trial in new if trial.gain_pct is not None]
        failures = Counter(trial.failure for trial in new if trial.failure is not None)
        (usual, count), *_ = failures.most_common(1) or [("", 0)]
        untimed = f"none could be timed ({count} of {len(new)}: {usual})"
        best = f"the best was {max(gains):+.1f} % beside it" if gains else untimed
        return f"none of {len(new)} new configs is faster than the parent when measured: {best}"


def measure_configs(
    screening: Screening,
    study: Study,
    plans: Sequence[ConfigPlan],
    moved: bool = False,
    rounds: ConfigRounds | None = None,
    run_context: RunContext | None = None,
) -> MeasuredConfigs:
    """Screen every config that the plans keep, then what `rounds` asks for while there is time.

    `moved`: the study is of a program that moves made of the parent. It is worth handing out with
    the configs that it has, and a new one is only if it is faster than those. With a `run_context`
    texts that were written for one config are compiled as programs by moves are. `screening` has
    begun. Raises ParentFailedError.
    """
    table = screening.table
    screening.forget_the_best()
    deadline = table.leaving(LEFT_AFTER_CONFIGS)
    chosen = settle_chosen(table, screening.chosen)
    entrants = list(entrants_of(study, plans, chosen))
    if run_context is not None:
        compile_texts(entrants, study, run_context)
    where = card(table.bench.gpu)
    table.tell("screen", f"measuring {len(entrants)} configs beside the parent on {where}")
    first = list(screening.run(entrants, deadline))
    while rounds is not None and not deadline.over and (more := rounds.ask(first)):
        further = entrants_of(study, more, chosen)
        if run_context is not None:
            compile_texts(further, study, run_context)
        table.tell("screen", f"measuring {len(further)} further configs on {where}")
        entrants += further
        first += screening.run(further, deadline)
    kernels = [plan.kernel for plan in plans]
    trials = _near_the_best_again(screening, entrants, first, kernels, deadline)
    trials = _settled(screening, entrants, trials, kernels, moved)
    if rounds is not None:
        rounds.keep(trials)
    trial = Trial(table.bench.gpu, table.budget.name, configs=trials, resumed=table.session.resumed)
    timed = {plan.kernel: _timed(table, plan.kernel, trials, moved) for plan in plans}
    return MeasuredConfigs(table, study, trial, timed, chosen, moved, screening.call_us)


def _settled(
    screening: Screening,
    entrants: Sequence[Entrant],
    trials: Sequence[ConfigTrial],
    kernels: Sequence[str],
    moved: bool,
) -> tuple[ConfigTrial, ...]:
    """The trials with verdicts on the outputs of those that may be handed out.

    Of each kernel's new configs the fastest; where every config sees every kind of data later, all
    that gain. Of a program that no move made its own configs, too: if one is wrong, that is news.
    What is left when the time is over is judged before it is handed out.
    """
    found = dict(zip((entrant.name for entrant in entrants), trials, strict=True))
    deadline = screening.table.leaving(LEFT_AFTER_JUDGING)

    def settle(some: Sequence[Entrant], wanted: int, least_pct: float) -> None:
        own = [found[entrant.name] for entrant in some]
        judged = screening.settle(some, own, wanted=wanted, least_pct=least_pct, deadline=deadline)
        found.update(zip((entrant.name for entrant in some), judged, strict=True))

    if not moved:
        own = [entrant for entrant in entrants if not entrant.proposed]
        settle(own, len(own), -100.0)
    for kernel in kernels:
        of_kernel = [entrant for entrant in entrants if entrant.kernel == kernel]
        gains = [found[e.name].gain_pct or 0.0 for e in of_kernel if not e.proposed]
        new = [entrant for entrant in of_kernel if entrant.proposed]
        wanted = len(new) if screening.table.budget.every_kind else 1
        settle(new, wanted, max([0.0, *gains]) if moved else 0.0)
    return tuple(found.values())


def settle_chosen(table: Table, chosen: Mapping[str, Config]) -> dict[str, Config]:
    """What the parent's tuners took when the question was first measured.

    They may choose otherwise in a run that goes on with it. Configs of one kernel would then have
    been measured with different ones of the others.
    """
    ours = CHOSEN.dump_python(dict(chosen), mode="json")
    return CHOSEN.validate_python(table.once("what the parent's tuners take", lambda: ours, ours))


def _near_the_best_again(
    screening: Screening,
    entrants: Sequence[Entrant],
    trials: Sequence[ConfigTrial],
    kernels: Sequence[str],
    deadline: Deadline,
) -> tuple[ConfigTrial, ...]:
    """All trials; each kernel's new configs near the best are timed again until their order is
    clear or the time is over."""
    found = dict(zip((entrant.name for entrant in entrants), trials, strict=True))
    for kernel in kernels:
        new = [entrant for entrant in entrants if entrant.kernel == kernel and entrant.proposed]
        again = screening.run_again(new, [found[entrant.name] for entrant in new], deadline)
        found |= dict(zip((entrant.name for entrant in new), again, strict=True))
    return tuple(found.values())


def _timed(table: Table, kernel: str, trials: Sequence[ConfigTrial], moved: bool) -> TimedConfigs:
    """Which new configs of a kernel may be faster, as `choose_finalists` tells.

    All of them go into one program, whose tuner chooses, so the budget's number of finalists
    does not bound them.
    """
    own = [trial for trial in trials if trial.kernel == kernel]
    new = {str(t.config): t for t in own if t.proposed and t.failure is None}
    room = replace(table.budget, finalists=max(1, len(new)))
    pairs = {name: pairs_of(trial) for name, trial in new.items() if trial.bursts}
    names = choose_finalists(pairs, room)
    if moved:  # beside the parent all of them are faster; what counts is the program's own best
        gains = [trial.gain_pct for trial in own if not trial.proposed]
        best = max((gain for gain in gains if gain is not None), default=0.0)
        names = [name for name in names if (new[name].gain_pct or 0.0) > best]
    others = sorted(set(new) - set(names), key=lambda name: -(new[name].gain_pct or 0.0))
    return TimedConfigs(
        tuple(new[name].config for name in names),
        tuple(new[name].config for name in others),
        tuple(trial.config for trial in sorted(own, key=_slowest_last) if not trial.proposed),
        {trial.config: f"measured: {told(trial)}" for trial in own},
    )


def _slowest_last(trial: ConfigTrial) -> float:
    """By the gain, which is beside the parent's bursts of its own minutes, not by the time."""
    return math.inf if trial.gain_pct is None else -trial.gain_pct


def decide_draft(
    table: Table, found: MeasuredConfigs, program: str, minimum: Minimum
) -> tuple[Trial, str | None]:
    """Decide on an emitted program; the trial, and why the parent stays (None: it does not).

    Raises ParentFailedError.
    """
    known = [trial.parent_us for trial in found.trial.configs if trial.parent_us is not None]
    if not known:  # the time was over before any config was timed
        known = [found.call_us]
    tried = sum(trial.proposed for trial in found.trial.configs)
    final = decide_on(table, program, call_us=median(known), minimum=minimum, tried=tried)
    trial, light = _with_light(found, final)
    if final.comparison is None:
        return trial, final.failure or "no decision could be made"
    if light is Light.REFUSED:
        return trial, f"its times cannot be true: {light}"
    if found.repaired is not None:
        return replace(trial, repaired=found.repaired), None
    if final.comparison.outcome is not Outcome.ACCEPT:
        return trial, f"{final.comparison.outcome}: {final.comparison.reason}"
    return trial, None


def _with_light(found: MeasuredConfigs, final: Final) -> tuple[Trial, Light]:
    """The final's numbers in the trial, and its times beside the floor of what must be moved."""
    cost = found.study.cost
    floor = light_floor(
        None,  # a convolution's or a product's operations can be spared by another algorithm
        None if cost is None else cost.needed[1],
        None if cost is None else cost.needed[2],
        found.study.gpu.sheet,
    )
    fastest = [t.time_us for t in found.trial.configs if t.time_us is not None and t.proposed]
    again = None if final.comparison is None else final.comparison.candidate_us
    medians_us = [time_us for time_us in (min(fastest, default=None), again) if time_us is not None]
    light = against_light(medians_us, floor.floor_us)
    trial = replace(
        found.trial,
        comparison=final.comparison,
        bursts=final.bursts,
        light=str(light),
        floor_us=floor.floor_us,
        failure=final.failure,
    )
    return trial, light


def with_apart(table: Table, trial: Trial, program: str) -> Trial:
    """The trial with what device time does not hold: of the parent, and of another answer."""
    if not table.budget.apart or table.deadline.over:
        return trial
    table.tell("apart", "first call, host overhead, CUDA graph, torch.compile")
    parent = measure_apart(table, table.bench.parent)
    if program == table.bench.parent:
        return replace(trial, parent=parent)
    return replace(trial, parent=parent, answer=measure_apart(table, program))
