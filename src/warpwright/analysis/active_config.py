"""Which config ran when the profile was taken.

A profile names kernels, not configs. Four facts narrow the choice, in this order: a config
that cannot be launched did not run; the grid of the active one has as many blocks as
`launch__grid_size` says; a grid of few blocks cannot keep more warps active than those blocks
have; equal binaries are one. Where several binaries remain, the active warps that were measured
are compared with each one's occupancy; where they fit none, with whole numbers of blocks. Last, a
tuner is taken to prefer a tile to a larger one that only adds masked elements. These are weak (the
first holds for the toolchain that the profile was taken with, the second where blocks follow each
other without gaps, the third where the timing was clean), so they only break ties, and say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from warpwright.analysis.active_warps import expected, most_by_launch_pct, whole_blocks
from warpwright.types.compiled import Occupancy
from warpwright.types.config import Config
from warpwright.types.gpu import GpuSheet
from warpwright.types.launch_trace import Launch
from warpwright.types.request import KernelProfile
from warpwright.types.study import Activity, ConfigStudy, KernelStudy

GRID_SIZE = "launch__grid_size"
WARPS_ACTIVE = "sm__warps_active.avg.pct_of_peak_sustained_active"

# Percentage points by which measured active warps may exceed the compiled occupancy: they are
# an average over the kernel's time, sampled, and cannot be above it otherwise.
ABOVE_PCT = 1.5
# Below this share of the compiled occupancy a difference is worth telling.
LOW_SHARE = 0.75
# A tie is broken only if the next candidate fits worse by at least this much.
CLEAR_PCT = 4.0


@dataclass(frozen=True, slots=True)
class ActiveInference:
    """Configs that may have been active, in source order, and what says so.

    `certain`: all candidates are one binary. `findings` are disagreements between the profile
    and what was traced or compiled, each a sentence for a person.
    """

    candidates: tuple[Config, ...]
    certain: bool
    reason: str
    evidence: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    known: bool = True  # False: there was nothing to tell by

    def activity(self, config: Config) -> Activity:
        """What is known of one config."""
        if not self.known:
            return Activity.UNKNOWN
        if config not in self.candidates:
            return Activity.INACTIVE
        return Activity.ACTIVE if self.certain else Activity.POSSIBLE


@dataclass(frozen=True, slots=True)
class _State:
    """The candidates so far, and what narrowed them."""

    candidates: tuple[ConfigStudy, ...]
    evidence: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()

    @property
    def one_binary(self) -> bool:
        if len(self.candidates) == 1:
            return True
        classes = {candidate.cubin_class for candidate in self.candidates}
        return len(classes) == 1 and None not in classes


def infer_active(
    study: KernelStudy,
    launches: Sequence[Launch] = (),
    profile: KernelProfile | None = None,
    possible: Mapping[Config, bool] | None = None,
    sheet: GpuSheet | None = None,
    padded: Mapping[Config, frozenset[Config]] | None = None,
) -> ActiveInference:
    """Which of a kernel's configs the profile was taken with.

    `launches` are those of this kernel, with the grid of each config; empty where shapes are
    unknown. Then `possible` may say for each config whether the profile's grid size can come
    from it, by the grid's formula. `sheet` is the board of the profile, `padded` as
    `padded_configs` gives it. The answer is a set: more than one candidate means that they cannot
    be told apart.
    """
    state = _launchable(_State(study.configs))
    if profile is None:
        return _without_profile(state, study)
    if launches:
        state = _by_grid(state, launches, profile)
    elif possible and not all(possible.values()) and any(possible.values()):
        state = _by_formula(state, possible, profile)
    elif len(state.candidates) > 1 and profile.values(GRID_SIZE):
        text = "the grid of a config is not known without input shapes"
        state = replace(state, evidence=(*state.evidence, text))
    before = state.candidates
    if launches:  # without shapes each config has several occupancies, one a class
        state = _by_launch(state, profile, sheet)
        state = _by_warps(state, profile, sheet)
        state = _by_padding(state, padded or {})
    told = len(state.candidates) < len(study.configs) or len(study.configs) == 1
    return ActiveInference(
        candidates=tuple(candidate.config for candidate in state.candidates),
        certain=state.one_binary,
        reason=_reason(state, broken_tie=len(state.candidates) < len(before)),
        evidence=state.evidence,
        findings=state.findings,
        known=told or state.one_binary,
    )


def _without_profile(state: _State, study: KernelStudy) -> ActiveInference:
    configs = tuple(candidate.config for candidate in state.candidates)
    if state.one_binary:
        only = "the only config" if len(study.configs) == 1 else "the only one that can run"
        if len(configs) > 1:
            only = "all configs that can run are one binary"
        return ActiveInference(configs, True, only, state.evidence, state.findings)
    return ActiveInference(
        configs, False, "no profile of this kernel", state.evidence, state.findings, known=False
    )


def _launchable(state: _State) -> _State:
    """Drop configs that were compiled and cannot run on this GPU."""
    kept = tuple(c for c in state.candidates if not c.ruled_out)
    dropped = len(state.candidates) - len(kept)
    if not kept:
        text = "none of the configs can be launched on this GPU, as compiled here"
        return replace(state, findings=(*state.findings, text))
    if not dropped:
        return state
    text = f"{dropped} of {len(state.candidates)} configs cannot be launched on this GPU"
    return _State(kept, (*state.evidence, text), state.findings)


def _by_grid(state: _State, launches: Sequence[Launch], profile: KernelProfile) -> _State:
    """Keep configs whose grid has as many blocks as the profile says."""
    observed = tuple(dict.fromkeys(int(value) for value in profile.values(GRID_SIZE)))
    if not observed:
        return state
    fitting = [
        {c.config for c in state.candidates if size in _block_counts(launches, c.config)}
        for size in observed
    ]
    common = set.intersection(*fitting) or set.union(*fitting)
    shown = ", ".join(f"{size:,}" for size in observed)
    if not common:
        offered = {size for c in state.candidates for size in _block_counts(launches, c.config)}
        text = (
            f"the profile says {GRID_SIZE} {shown}, but the program's configs launch "
            f"{', '.join(f'{size:,}' for size in sorted(offered)) or 'nothing'}: the profile was "
            "taken with other shapes or another program"
        )
        return replace(state, findings=(*state.findings, text))
    kept = tuple(c for c in state.candidates if c.config in common)
    if len(kept) == len(state.candidates):
        text = f"{GRID_SIZE} {shown} fits every config"
    else:
        text = f"{GRID_SIZE} {shown} fits {len(kept)} of {len(state.candidates)} configs"
    return _State(kept, (*state.evidence, text), state.findings)


def _by_formula(state: _State, possible: Mapping[Config, bool], profile: KernelProfile) -> _State:
    """Drop configs whose grid cannot have that many blocks, whatever the shapes are."""
    kept = tuple(c for c in state.candidates if possible.get(c.config, True))
    if not kept:
        return state
    shown = ", ".join(f"{int(size):,}" for size in profile.values(GRID_SIZE))
    text = (
        f"{GRID_SIZE} {shown} can come from {len(kept)} of {len(state.candidates)} configs, "
        "by the grid's formula; the shapes are unknown"
    )
    return _State(kept, (*state.evidence, text), state.findings)


def _block_counts(launches: Sequence[Launch], config: Config) -> set[int]:
    return {
        traced.blocks for launch in launches for traced in launch.configs if traced.config == config
    }


def _by_launch(state: _State, profile: KernelProfile, sheet: GpuSheet | None) -> _State:
    """Drop configs whose grid is too small for as many active warps as were measured."""
    measured = profile.values(WARPS_ACTIVE)
    blocks = _most_blocks(profile)
    if sheet is None or not measured or not blocks or len(state.candidates) < 2:
        return state
    active = max(measured)
    kept = tuple(
        c for c in state.candidates if active <= most_by_launch_pct(c, sheet, blocks) + ABOVE_PCT
    )
    if not kept or len(kept) == len(state.candidates):
        return state
    text = (
        f"{active:.1f} % active warps are more than {len(state.candidates) - len(kept)} of "
        f"{len(state.candidates)} can have with a grid of this size"
    )
    return _State(kept, (*state.evidence, text), state.findings)


def _most_blocks(profile: KernelProfile) -> int | None:
    """Blocks of the largest profiled launch: a program may launch a kernel several times."""
    return max((int(size) for size in profile.values(GRID_SIZE)), default=None)


def _by_warps(state: _State, profile: KernelProfile, sheet: GpuSheet | None) -> _State:
    """Compare active warps with occupancy: break a tie if it is clear, tell a disagreement."""
    measured = profile.values(WARPS_ACTIVE)
    if not measured:
        return state
    active = max(measured)
    warps = {c.config: expected(c, sheet, _most_blocks(profile)) for c in state.candidates}
    known = {config: found for config, found in warps.items() if found is not None}
    if len(known) < len(state.candidates):
        return state
    possible = [c for c in state.candidates if active <= known[c.config].high_pct + ABOVE_PCT]
    if not possible:
        first = state.candidates[0]
        if not state.one_binary and sheet is not None:
            state = _by_whole_blocks(state, active, sheet)
            first = state.candidates[0]
        return _disagreement(state, active, _occupancy(first))
    distance = {config: found.distance_pct(active) for config, found in known.items()}
    if not state.one_binary:
        state = _break_tie(state, possible, active, distance)
    nearest = min(state.candidates, key=lambda c: distance[c.config])
    if active < LOW_SHARE * known[nearest.config].low_pct:
        return _disagreement(state, active, _occupancy(nearest))
    return state


def _break_tie(
    state: _State,
    possible: Sequence[ConfigStudy],
    active: float,
    distance: Mapping[Config, float],
) -> _State:
    """Keep the binaries whose active warps are clearly nearest to what was measured."""
    least = min(distance[c.config] for c in possible)
    kept = tuple(c for c in possible if distance[c.config] <= least + CLEAR_PCT / 2)
    rest = [c for c in state.candidates if c not in kept]
    margins = [distance[c.config] - least for c in rest]
    if not rest or least > (1 / LOW_SHARE - 1) * active or min(margins) < CLEAR_PCT:
        return state
    text = (
        f"a tie is broken by {active:.1f} % active warps, nearest to the occupancy of "
        f"{len(kept)} of {len(state.candidates)} (it holds only for the profile's toolchain)"
    )
    return _State(kept, (*state.evidence, text), state.findings)


def _by_whole_blocks(state: _State, active: float, sheet: GpuSheet) -> _State:
    """No binary of ours has so many active warps: which could in whole blocks?"""
    kept = whole_blocks(state.candidates, active, sheet)
    if not kept:
        return state
    text = (
        f"a tie is broken by {active:.1f} % active warps, a whole number of blocks on an SM for "
        f"{len(kept)} of {len(state.candidates)} (their occupancy as compiled here is lower)"
    )
    return _State(kept, (*state.evidence, text), state.findings)


def _by_padding(state: _State, padded: Mapping[Config, frozenset[Config]]) -> _State:
    """Drop configs that repeat another candidate with a larger tile, which is padding."""
    if state.one_binary:
        return state
    left = {candidate.config for candidate in state.candidates}
    kept = tuple(c for c in state.candidates if not padded.get(c.config, frozenset()) & left)
    if len(kept) == len(state.candidates):
        return state
    text = (
        f"a tie is broken by padding: {len(state.candidates) - len(kept)} of "
        f"{len(state.candidates)} do what a smaller tile does, and mask the rest of theirs out "
        "(a tuner has no reason to take them)"
    )
    return _State(kept, (*state.evidence, text), state.findings)


def _disagreement(state: _State, active: float, fit: Occupancy | None) -> _State:
    if fit is None or fit.blocks_per_sm == 0:
        return state
    per_block = fit.occupancy_pct / fit.blocks_per_sm
    blocks = active / per_block
    text = (
        f"the profile has {active:.1f} % active warps, but as compiled here "
        f"{fit.blocks_per_sm} blocks fit on an SM, which is {fit.occupancy_pct:.1f} %"
    )
    if round(blocks) != fit.blocks_per_sm and round(blocks) >= 1 and abs(
        blocks - round(blocks)
    ) < 0.1:  # fmt: skip
        text += (
            f"; {active:.1f} % is {round(blocks)} block{'s' if round(blocks) > 1 else ''} per SM: "
            "the toolchain of the profile used other registers or shared memory"
        )
    elif active < fit.occupancy_pct:
        text += "; too few blocks, uneven work or another toolchain can be the reason"
    else:
        text += "; the toolchain of the profile compiled it to fewer registers"
    return replace(state, findings=(*state.findings, text))


def _occupancy(study: ConfigStudy) -> Occupancy | None:
    """Occupancy in the first class that compiled and can be launched."""
    return next((view.occupancy for view in study.compiled if view.launchable), None)


def _reason(state: _State, broken_tie: bool) -> str:
    """One sentence: what was found, and by what."""
    because = "; ".join(state.evidence) or "nothing in the profile tells configs apart"
    count = len(state.candidates)
    if count == 1:
        return because if state.evidence else "the only config"
    if state.one_binary:
        return f"{because}; these {count} configs compile to one binary"
    weak = "" if not broken_tie else ", even so"
    return f"{because}; {count} configs{weak} cannot be told apart"
