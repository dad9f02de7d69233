"""Inside a child: find small inputs on which program and reference run and all kernels launch."""

from __future__ import annotations

import ast
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from warpwright.interpreter.reference.child_inputs import small_inputs
from warpwright.interpreter.sizes.shrink_search import Item, Limits, Search, Sizes, SizesTried
from warpwright.program.loop_trips import body_runs, loop_trips
from warpwright.sandbox import child_guard
from warpwright.sandbox.child_program import load_module
from warpwright.sandbox.child_tensors import tensors_of
from warpwright.tracing.child_real_values import follow_values, stand_in_inputs, with_values
from warpwright.tracing.child_trace_driver import use_stand_in_driver
from warpwright.tracing.child_trace_launch import Recorder
from warpwright.tracing.child_trace_problem import LoadedProblem, load_problem
from warpwright.tracing.child_trace_torch import StandIns, hardware, stand_in_cuda
from warpwright.tracing.child_trace_values import DataDependentError
from warpwright.tracing.child_value_log import SEED

# A constructor argument below this is a kernel size, a stride or a group count, not a width.
SMALLEST_WIDTH = 16


def perform(payload: Mapping[str, Any], job_dir: Path) -> dict[str, Any]:
    """`{"inputs": …, "init": …}` with what the run will cost, or `{"failed": reason}`."""
    facts = hardware(payload["facts"])
    use_stand_in_driver(facts)
    mode = StandIns("meta", job_dir)
    recorder = Recorder(mode, payload["source"])
    recorder.install()
    follow_values(mode)
    enough = time.monotonic() + payload["search_s"]
    stop_at = payload.get("stop_at", enough)
    with stand_in_cuda(mode, facts):
        problem = load_problem(payload["problem"], job_dir)
        program = load_module(payload["source"], "program", job_dir)
        trial = ShrinkTrial(problem, program, recorder, payload)
        goal = trial.attempt({}, False)
        if goal is None:
            return {"failed": f"at full size: {trial.last_error}"}
        found = _search(trial, goal, payload, lambda: time.monotonic() > min(enough, stop_at))
        return {**found, "cut": stop_at < min(enough, time.monotonic())}


def _search(
    trial: ShrinkTrial, goal: SizesTried, payload: Mapping[str, Any], out_of_time: Any
) -> dict[str, Any]:
    limits = Limits(**payload["limits"])
    found = _smaller(trial, goal, limits, payload, out_of_time)
    if not found:
        return {"failed": "no smaller sizes run; " + (trial.last_error or "")}
    with_init, sizes, attempt = min(found, key=lambda entry: entry[2].steps)
    return {
        "inputs": [
            {"shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch.")}
            for tensor in tensors_of(trial.inputs(sizes))
        ],
        "with_init": with_init,
        "sizes": [[full, small] for full, small in sizes.items()],
        "blocks": attempt.blocks,
        "steps": attempt.steps,
        "elements": attempt.elements,
        "covered": len(attempt.covered & goal.covered),
        "to_cover": len(goal.covered),
        "kernels": sorted(attempt.kernels),
        "init": plain(trial.init(sizes)) if with_init else None,
        "evaluations": trial.evaluations,
    }


class _ReferenceRaisesError(Exception):
    """The problem's own model fails at full size."""


def _told(error: BaseException) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}"


def _where_the_reference_raises(error: BaseException) -> str:
    """The error, and the line of the problem that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).name == "problem.py"]
    line = f" at `{own[-1].line}`" if own else ""
    return f"the reference raises {_told(error)}{line}"


def _smaller(
    trial: ShrinkTrial, goal: SizesTried, limits: Limits, payload: Mapping[str, Any], late: Any
) -> list[tuple[bool, Sizes, SizesTried]]:
    """Sizes that run, with whether constructor arguments shrink; the full ones where they may."""
    found: list[tuple[bool, Sizes, SizesTried]] = []
    whole: tuple[bool, Sizes, SizesTried] = (False, {}, goal)
    reads_values = trial.reads_values
    for with_init in (False, True):
        variables = trial.input_sizes()
        if with_init:
            more = trial.init_sizes()
            if not more:
                break
            variables = sorted({*variables, *more})
        evaluate = partial(trial.attempt, with_init=with_init)
        fixed = trial.fixed_sizes(variables)
        search = Search(evaluate, goal, limits, late, fixed, payload["aligned"])
        if reads_values and search.fits(goal):
            return [whole]  # the values may speak of the full sizes
        best = search.run(variables)
        if best is not None:
            found.append((with_init, *best))
            if search.fits(best[1]):
                break
    return [*found, whole] if search.fits(goal) else found


class ShrinkTrial:
    """Runs program and reference on stand-ins of some sizes, and counts what is launched."""

    def __init__(
        self,
        problem: LoadedProblem,
        program: ModuleType,
        recorder: Recorder,
        payload: Mapping[str, Any],
    ) -> None:
        self._problem = problem
        self._program = program
        self._recorder = recorder
        self._evaluation = bool(payload["evaluation_mode"])
        self._full = stand_in_inputs(problem, recorder.mode)
        tree = ast.parse(payload["source"])
        self._kernels = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
        self.functions: Mapping[str, ast.FunctionDef] = self._kernels
        self.last_error: str | None = None
        self.compares = True
        """Whether the outputs' shapes are held against the reference's."""
        self.reads_values = False
        """Whether the program's host code reads values of tensors."""
        self.evaluations = 0
        self._parameter_sizes: set[int] = set()
        self._reference: Any = getattr(problem.module, "Model", None)

    def input_sizes(self) -> list[int]:
        """Distinct sizes above 1 of the inputs at full size.

        Without a reference nothing tells that an input still fits the parameters, so sizes that
        a parameter has are left out.
        """
        sizes = {size for x in tensors_of(self._full) for size in x.shape if size > 1}
        if self._reference is None:
            sizes -= self._parameter_sizes
        return sorted(sizes)

    def init_sizes(self) -> list[int]:
        """Distinct widths among the constructor's arguments."""
        found: set[int] = set()
        _counts([self._problem.init_args, self._problem.init_kwargs], found)
        return sorted(count for count in found if count >= SMALLEST_WIDTH)

    def fixed_sizes(self, variables: Sequence[int]) -> frozenset[int]:
        """Sizes above 1 of parameters, and counts among the constructor's arguments, that stay."""
        counts: set[int] = set()
        _counts([self._problem.init_args, self._problem.init_kwargs], counts)
        return frozenset({n for n in self._parameter_sizes | counts if n > 1} - {*variables})

    def inputs(self, sizes: Sizes) -> list[Any]:
        return [
            torch.empty([sizes.get(s, s) for s in x.shape], dtype=x.dtype)
            if isinstance(x, torch.Tensor)
            else x
            for x in self._full
        ]

    def _readable_inputs(self, sizes: Sizes) -> list[Any]:
        """The inputs, with values for host code that reads some: as the reference makes them."""
        inputs = self.inputs(sizes)
        if self._problem.module is None:
            return inputs
        specs = [
            {"shape": list(x.shape), "dtype": str(x.dtype).removeprefix("torch.")}
            for x in tensors_of(inputs)
        ]

        def make() -> list[Any]:
            with self._recorder.mode.around_real_work():
                module = with_values(self._problem, self._recorder.mode).module
                assert module is not None
                return small_inputs(module.get_inputs, specs, SEED)[0]

        self._recorder.mode.log.begin(inputs, make)
        return inputs

    def init(self, sizes: Sizes) -> tuple[list[Any], dict[str, Any]]:
        return (
            _mapped(self._problem.init_args, sizes),
            _mapped(self._problem.init_kwargs, sizes),
        )

    def attempt(self, sizes: Sizes, with_init: bool) -> SizesTried | None:
        """None, with `last_error`, where something raises or the outputs' shapes differ."""
        self.evaluations += 1
        try:
            return self._attempt(sizes, with_init)
        except MemoryError:
            raise
        except _ReferenceRaisesError as error:
            self.last_error = str(error)
            return None
        except Exception as error:
            self.last_error = _told(error)
            return None

    def _attempt(self, sizes: Sizes, with_init: bool) -> SizesTried | None:
        args, kwargs = self.init(sizes if with_init else {})
        self._recorder.launches.clear()
        self._recorder.mode.reads.clear()
        with child_guard.foreign_code(), torch.no_grad():
            model = self._program.ModelNew(*args, **kwargs)
            if self._evaluation:
                model.eval()
            output = model(*self._readable_inputs(sizes))
        self.reads_values = bool(self._recorder.mode.reads)
        expected = self._expected(sizes, args, kwargs) if self.compares else None
        if expected is not None:
            ours = [tuple(tensor.shape) for tensor in tensors_of(output)]
            theirs = [tuple(tensor.shape) for tensor in tensors_of(expected)]
            if ours != theirs:
                self.last_error = f"outputs {ours} where the reference has {theirs}"
                return None
            if any(0 in shape for shape in theirs):
                self.last_error = "an output without elements"
                return None
        return self._count(model, sizes)

    def _expected(self, sizes: Sizes, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """What the reference gives for stand-ins of these sizes; None without a reference.

        One that reads values or has an operator without stand-ins counts as none.
        """
        if self._reference is None:
            return None
        try:
            with child_guard.foreign_code(), torch.no_grad():
                return self._reference(*args, **kwargs)(*self._readable_inputs(sizes))
        except (DataDependentError, NotImplementedError):
            if sizes:
                raise
            self._reference = None
            return None
        except MemoryError:
            raise
        except Exception as error:
            if sizes:
                raise
            raise _ReferenceRaisesError(_where_the_reference_raises(error)) from error

    def _count(self, model: Any, sizes: Sizes) -> SizesTried:
        blocks, steps = 0, 0
        covered: set[Item] = set()
        for launch in self._recorder.launches:
            covered |= set(_not_degenerate(launch))
            counts, costs = [], []
            for index, variant in enumerate(launch["configs"]):
                total = 1
                for extent in variant["grid"]:
                    total *= extent
                counts.append(total)
                costs.append(total * self._trips(launch, variant, index, covered))
                covered |= {
                    (launch["kernel"], index, "grid", axis)
                    for axis, extent in enumerate(variant["grid"])
                    if extent > 1
                }
            blocks += min(counts)
            steps += max(costs)
        parameters = list(model.parameters()) if isinstance(model, torch.nn.Module) else []
        if not sizes:
            self._parameter_sizes = {size for p in parameters for size in p.shape}
        elements = sum(p.numel() for p in parameters)
        elements += sum(x.numel() for x in tensors_of(self.inputs(sizes)))
        # a grid axis without blocks launches nothing
        kernels = frozenset(
            launch["kernel"]
            for launch in self._recorder.launches
            if all(extent > 0 for variant in launch["configs"] for extent in variant["grid"])
        )
        return SizesTried(kernels, blocks, steps, frozenset(covered), elements)

    def _trips(
        self, launch: Mapping[str, Any], variant: Mapping[str, Any], index: int, covered: set[Item]
    ) -> int:
        node = self._kernels.get(launch["kernel"])
        if node is None:
            return 1
        values = {n: a.get("value") for n, a in launch["arguments"].items()}
        values |= {n: a.get("value") for n, a in variant["arguments"].items()}
        values |= {**variant["meta"], **variant["heuristic_values"]}
        loops = loop_trips(node, values)
        for number, loop in enumerate(loops):
            if loop.trips is not None and loop.trips > 1:
                covered.add((launch["kernel"], index, "loop", number))
        return body_runs(loops)


def _not_degenerate(launch: Mapping[str, Any]) -> Iterator[Item]:
    """Sizes above 1 that the kernel sees: with a width of 1, `i // width` tests nothing."""
    kernel = launch["kernel"]
    for name, argument in launch["arguments"].items():
        if argument["kind"] == "scalar" and argument["type"].startswith("i"):
            if argument["value"] > 1:
                yield kernel, "value", name
        elif argument["kind"] == "tensor":
            for axis, size in enumerate(argument["shape"]):
                if size > 1:
                    yield kernel, "shape", name, axis


def _counts(value: Any, found: set[int]) -> None:
    """Whole numbers among constructor arguments: widths, kernel sizes, groups."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            _counts(item, found)
    elif isinstance(value, int) and not isinstance(value, bool):
        found.add(value)


def _mapped(value: Any, sizes: Sizes) -> Any:
    """Constructor arguments with widths replaced."""
    if isinstance(value, dict):
        return {name: _mapped(item, sizes) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(item, sizes) for item in value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= SMALLEST_WIDTH:
        return sizes.get(value, value)
    return value


def plain(value: Any) -> Any:
    """Constructor arguments as JSON, in the form that `trace.encode` has."""
    if isinstance(value, tuple):
        return {"tuple": [plain(item) for item in value]}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {"dict": {name: plain(item) for name, item in value.items()}}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a constructor argument of {type(value).__name__}")
