"""Inside a tracing child: inputs as stand-ins, and for real on the CPU where values are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from warpwright.tracing.child_device import CudaOnCpu
from warpwright.tracing.child_host_watch import HostWatch
from warpwright.tracing.child_trace_problem import LoadedProblem, load_problem
from warpwright.tracing.child_trace_torch import StandIns
from warpwright.tracing.child_trace_values import DataDependentError
from warpwright.tracing.child_value_log import SEED


def follow_values(mode: StandIns, watch: HostWatch | None = None) -> None:
    """From now on the host code may read values of what it is given by `stand_in_inputs`."""

    @contextmanager
    def for_real() -> Iterator[None]:
        """The block works on real tensors in the CPU's memory, as if they lay on the card."""
        looking, recording = watch is not None and watch.recording, mode.recording
        mode.asleep, mode.recording = True, False
        if watch is not None:
            watch.recording = False
        try:
            with torch.device("cpu"), CudaOnCpu(), torch.no_grad():
                yield
        finally:
            mode.asleep, mode.recording = False, recording
            if watch is not None:
                watch.recording = looking

    mode.around_real_work = for_real
    mode.log.notes = True


def stand_in_inputs(
    problem: LoadedProblem,
    mode: StandIns,
    seed: int = SEED,
    real: Callable[[], Sequence[Any]] | None = None,
) -> list[Any]:
    """The problem's inputs as stand-ins, whose values can be read (after `follow_values`).

    They are made for real only where something reads them: with this seed, or by `real`. A
    `get_inputs` that reads values itself is run for real at once.
    """

    def make() -> Sequence[Any]:
        with mode.around_real_work():
            own = with_values(problem, mode)
            torch.manual_seed(seed)
            made = own.make_inputs()
            return made if own.module is not None else [_drawn(item) for item in made]

    mode.log.follows = False
    try:
        inputs = problem.make_inputs()
    except DataDependentError:
        made = list(make())
        inputs = [_without_values(item) for item in made]
        mode.log.begin(inputs, lambda: made)
        return inputs
    mode.log.begin(inputs, real or make)
    return inputs


def with_values(problem: LoadedProblem, mode: StandIns) -> LoadedProblem:
    """The problem loaded once more: tensors of its module have values too."""
    return load_problem(problem.payload, mode.job_dir)


def _drawn(item: Any) -> Any:
    """Standard normal values for a tensor of which only the form is known; ones for integers."""
    if not isinstance(item, torch.Tensor):
        return item
    return torch.randn_like(item) if item.is_floating_point() else torch.ones_like(item)


def _without_values(item: Any) -> Any:
    """A stand-in of the same form. (Views of one tensor become tensors of their own.)"""
    if isinstance(item, torch.Tensor):
        return torch.empty_strided(tuple(item.shape), item.stride(), dtype=item.dtype)
    if type(item) in (list, tuple):
        return type(item)(_without_values(entry) for entry in item)
    if isinstance(item, dict):
        return {name: _without_values(entry) for name, entry in item.items()}
    return item
