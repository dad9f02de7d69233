"""Inside a child: find small inputs on which the program and the reference still run.

Each plan is a list of steps that make one size smaller; a step is kept if the program's host
code and the reference's `Model` both run on meta tensors afterwards, agree on the output's shape,
and every kernel that must be launched is launched.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from warpwright.sandbox import child_guard, child_tensors
from warpwright.sandbox.child_program import load_module
from warpwright.sandbox.child_trace import Stage, build_model, call_model
from warpwright.sandbox.child_trace_driver import use_stand_in_driver
from warpwright.sandbox.child_trace_launch import Recorder
from warpwright.sandbox.child_trace_problem import LoadedProblem, load_problem
from warpwright.sandbox.child_trace_torch import StandIns, hardware, stand_in_cuda


@dataclass(frozen=True)
class Sizes:
    """Shapes of the tensor inputs in order, and the constructor arguments."""

    shapes: tuple[tuple[int, ...], ...]
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]

    def smaller(self, step: Mapping[str, Any], size: int, with_init: bool) -> Sizes:
        """The sizes after one step: every dimension of a value, or one axis of one input."""
        old = step["value"]
        shapes = tuple(
            tuple(
                size if extent == old and step.get("axis") in (None, [index, axis]) else extent
                for axis, extent in enumerate(shape)
            )
            for index, shape in enumerate(self.shapes)
        )
        if not with_init:
            return Sizes(shapes, self.args, self.kwargs)
        args = tuple(_replaced(value, old, size) for value in self.args)
        kwargs = tuple((name, _replaced(value, old, size)) for name, value in self.kwargs)
        return Sizes(shapes, args, kwargs)

    def nudged(self, axis: Sequence[int], by: int) -> Sizes:
        """One axis of one input a little larger, so that it differs from its twin."""
        shapes = [list(shape) for shape in self.shapes]
        shapes[axis[0]][axis[1]] += by
        return Sizes(tuple(map(tuple, shapes)), self.args, self.kwargs)


def _replaced(value: Any, old: int, new: int) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_replaced(item, old, new) for item in value)
    return new if value == old and type(value) is int else value


def perform(payload: Mapping[str, Any], job_dir: Path) -> dict[str, Any]:
    """For each plan of `payload["plans"]`: the sizes it came to, and the grids launched there."""
    facts = hardware(payload["facts"])
    use_stand_in_driver(facts)
    mode = StandIns("meta", job_dir)
    recorder = Recorder(mode)
    recorder.install()
    ends_at = time.monotonic() + payload["deadline_s"]
    with stand_in_cuda(mode, facts):
        trial = _Trial(payload, job_dir, mode, recorder)
        found = [trial.follow(plan, ends_at) for plan in payload["plans"]]
    return {"found": [entry for entry in found if entry is not None]}


class _Trial:
    """The program and the reference, ready to be tried on any sizes."""

    def __init__(
        self, payload: Mapping[str, Any], job_dir: Path, mode: StandIns, recorder: Recorder
    ) -> None:
        self.problem = load_problem(payload["problem"], job_dir)
        self.program = load_module(payload["source"], "program", job_dir)
        self.required = set(payload["kernels"])
        self.mode = mode
        self.recorder = recorder
        self.inputs = self.problem.make_inputs()
        self.full = Sizes(
            tuple(tuple(t.shape) for t in self.inputs if isinstance(t, torch.Tensor)),
            tuple(self.problem.init_args),
            tuple(self.problem.init_kwargs.items()),
        )

    def follow(self, plan: Sequence[Mapping[str, Any]], ends_at: float) -> dict[str, Any] | None:
        """Take the plan's steps that work; None when time is up before the plan is done."""
        sizes = self.full
        launches = self.launches(sizes)
        for step in plan:
            for candidate in _alternatives(sizes, step):
                if time.monotonic() > ends_at:
                    return None
                tried = self.launches(candidate)
                if tried is not None:
                    sizes, launches = candidate, tried
                    break
        if launches is None:
            return None
        return {
            "shapes": [list(shape) for shape in sizes.shapes],
            "init": child_tensors.literal((list(sizes.args), dict(sizes.kwargs)))
            if (sizes.args, sizes.kwargs) != (self.full.args, self.full.kwargs)
            else None,
            "launches": launches,
        }

    def launches(self, sizes: Sizes) -> list[dict[str, Any]] | None:
        """Kernels and grids that these sizes launch, or None where something does not run."""
        self.recorder.launches.clear()
        try:
            ours = self._run_program(sizes)
            launches = [
                {"kernel": launch["kernel"], "grids": [c["grid"] for c in launch["configs"]]}
                for launch in self.recorder.launches
            ]
            if not self.required <= {launch["kernel"] for launch in launches}:
                return None
            theirs = self._run_reference(sizes)
        except Exception:  # whatever host code raises on sizes it was not made for
            return None
        if theirs is not None and theirs != ours:
            return None
        return launches

    def _run_program(self, sizes: Sizes) -> list[tuple[int, ...]]:
        problem = LoadedProblem(self.problem.payload, None, list(sizes.args), dict(sizes.kwargs))
        stage = Stage()
        model = build_model(self.program, problem, stage)
        output = call_model(model, self._inputs(sizes), stage, self.mode)
        return _shapes(output)

    def _run_reference(self, sizes: Sizes) -> list[tuple[int, ...]] | None:
        if self.problem.module is None:
            return None
        with child_guard.foreign_code(), torch.no_grad():
            model = self.problem.module.Model(*sizes.args, **dict(sizes.kwargs))
            return _shapes(model(*self._inputs(sizes)))

    def _inputs(self, sizes: Sizes) -> list[Any]:
        shapes: Iterator[tuple[int, ...]] = iter(sizes.shapes)
        return [
            torch.empty(next(shapes), dtype=value.dtype)
            if isinstance(value, torch.Tensor)
            else value
            for value in self.inputs
        ]


def _alternatives(sizes: Sizes, step: Mapping[str, Any]) -> Iterator[Sizes]:
    """The step with each of its sizes, on the inputs alone first, then on the constructor too."""
    if "nudge" in step:
        yield sizes.nudged(step["axis"], step["nudge"])
        return
    for with_init in (False, True) if step.get("axis") is None else (False,):
        for size in step["to"]:
            candidate = sizes.smaller(step, size, with_init)
            if candidate != sizes:
                yield candidate


def _shapes(value: Any) -> list[tuple[int, ...]]:
    if isinstance(value, torch.Tensor):
        return [tuple(value.shape)]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [shape for item in value for shape in _shapes(item)]
    return []
