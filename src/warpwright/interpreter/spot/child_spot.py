"""Child: some blocks of a program's real launch, in Triton's interpreter, on full-size inputs.

The launches run in order. Of each, the chosen blocks run first; where all the others fit into the
time, they follow. A launch of which blocks are missing has to be the last. Result: what the blocks
wrote of the outputs, by place. This process never sees the reference's model or outputs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import triton
from triton.runtime.interpreter import InterpreterBuilder

from warpwright.interpreter import child_builder, child_executor
from warpwright.interpreter.child_block_order import every_block
from warpwright.interpreter.child_executor import session
from warpwright.interpreter.child_interpret import WALL_FACTOR, DeadlineError, failure, time_limit
from warpwright.interpreter.child_memory import Addresses, Memory
from warpwright.interpreter.reference.child_construct import constructed
from warpwright.interpreter.reference.child_state import copy_state
from warpwright.interpreter.spot.child_sparse import SparseCuda
from warpwright.interpreter.spot.child_spot_inputs import digest, full_inputs, without_model
from warpwright.interpreter.spot.spot_places import chosen_blocks, elements_at, places
from warpwright.sandbox import arrays, child_guard, child_tensors
from warpwright.sandbox.child_program import load_module
from warpwright.tracing.child_trace_driver import use_stand_in_driver
from warpwright.tracing.child_trace_problem import LoadedProblem, load_problem
from warpwright.tracing.child_trace_torch import hardware, stand_in_cuda

Values = npt.NDArray[Any]
MOST_ELEMENTS = 16_000_000  # of one output that are handed back


class PartialLaunchError(BaseException):
    """A kernel is launched after one of which blocks are missing: nothing is right any more."""


class SpareSpentError(Exception):
    """Raised between two blocks of a launch for which there is no more time."""


class Stopwatch:
    """Processor time of this process; where its clock is coarse, a part of the time on the wall."""

    def __init__(self) -> None:
        self._cpu_s = time.process_time()
        self._wall_s = time.monotonic()

    @property
    def spent_s(self) -> float:
        wall_s = time.monotonic() - self._wall_s
        return max(time.process_time() - self._cpu_s, wall_s / WALL_FACTOR)


class SpotMemory(Memory):
    """Memory that notes what a launch reads and writes while `noting`."""

    def __init__(self, addresses: Addresses) -> None:
        super().__init__(addresses)
        self.begin()

    def begin(self) -> None:
        self.noting = True
        self.written: list[list[Values]] = []  # by block
        self.touched: dict[str, set[int]] = {"read": set(), "write": set()}
        self.atomics = False

    def reach(
        self, pointers: Values, mask: Values, itemsize: int, access: str
    ) -> tuple[Values, Values | None]:
        real, lanes = super().reach(pointers, mask, itemsize, access)
        if self.noting:
            kept = np.broadcast_to(mask if lanes is None else lanes, pointers.shape)
            active = pointers[kept]
            if active.size:
                starts = np.array(self._starts, dtype=np.uint64)
                found = np.searchsorted(starts, [active.min(), active.max()], side="right")
                self.touched[access].update(map(int, found))
            if access == "write":
                self.written[-1].append(active)
        return real, lanes


class Sampler:
    """Runs chosen blocks of each launch, and all others where `spare_s` of processor time allow."""

    def __init__(self, memory: SpotMemory, seed: int, sample_s: float, spare_s: float) -> None:
        self._memory = memory
        self._seed = seed
        self._sample_s = sample_s
        self._spare_s = spare_s
        self.kernel: str | None = None  # of which blocks are missing
        self.ran = 0
        self.of = 0

    def __call__(
        self, kernel: str, extents: list[int], run: Callable[[tuple[int, int, int]], None]
    ) -> None:
        if self.kernel is not None:
            raise PartialLaunchError(f"{kernel} is launched after {self.kernel}")
        clock = Stopwatch()
        self._memory.begin()
        done = set()
        for block in chosen_blocks(extents, self._seed):
            self._memory.written.append([])
            run(block)
            done.add(block)
            if clock.spent_s > self._sample_s:
                break
        self._memory.noting = False
        self.ran, self.of = len(done), math.prod(extents)
        rest = self.of - self.ran
        if rest * clock.spent_s / self.ran > self._spare_s or not self._others(
            kernel, extents, run, done
        ):
            self.kernel = kernel

    def _others(
        self,
        kernel: str,
        extents: list[int],
        run: Callable[[tuple[int, int, int]], None],
        done: set[tuple[int, int, int]],
    ) -> bool:
        """Run what is not done; whether there was time for all of it."""
        clock = Stopwatch()

        def other(block: tuple[int, int, int]) -> None:
            if block not in done:
                if clock.spent_s > self._spare_s:
                    raise SpareSpentError
                run(block)

        try:
            every_block(kernel, extents, other)
        except SpareSpentError:
            return False
        self._spare_s -= clock.spent_s
        self.ran = self.of
        return True


def perform(payload: dict[str, Any], job_dir: Path) -> dict[str, Any]:
    """Payload: `source`, `problem`, `state` (manifest), `pins`, `seed`, `facts`,
    `compute_capability`, `evaluation_mode`, `sample_s`, `spare_s`, `run_s`, `spoil_undefined`."""
    if not triton.knobs.runtime.interpret:
        raise RuntimeError("Triton is not in interpreter mode")
    torch.set_num_threads(1)
    session.device = SparseCuda(session.addresses.of)
    child_builder.install(payload["compute_capability"])
    child_executor.install()
    _note_atomics()
    facts = hardware(payload["facts"])
    use_stand_in_driver(facts)
    with stand_in_cuda(session.device, facts):
        module = load_module(payload["source"], "program", job_dir)
    child_executor.adopt(module)
    return _Spot(payload, job_dir, module, facts).run()


def _note_atomics() -> None:
    """An element to which blocks add is right only when all of them have."""
    for name in ("create_atomic_rmw", "create_atomic_cas"):
        original = getattr(InterpreterBuilder, name)

        def noted(self: Any, *args: Any, original: Any = original) -> Any:
            if isinstance(session.memory, SpotMemory):
                session.memory.atomics = True
            return original(self, *args)

        setattr(InterpreterBuilder, name, noted)


class _Spot:
    def __init__(self, payload: dict[str, Any], job_dir: Path, module: Any, facts: Any) -> None:
        self.payload = payload
        self.job_dir = job_dir
        self.module = module
        self.facts = facts

    def run(self) -> dict[str, Any]:
        """The result; `outcome` is `ok`, `partial`, `timeout`, `unsupported` or `failed`."""
        problem = without_model(load_problem(self.payload["problem"], self.job_dir))
        inputs, repeats = full_inputs(problem, self.payload["seed"])
        session.begin(self.payload["pins"])
        memory = session.memory = SpotMemory(session.addresses)
        memory.spoil_undefined = self.payload["spoil_undefined"]
        sampler = session.schedule = Sampler(
            memory, self.payload["seed"], self.payload["sample_s"], self.payload["spare_s"]
        )
        result: dict[str, Any] = {"outcome": "ok", "reason": None, "outputs": []}
        result |= {"digest": digest(inputs), "repeats": repeats}
        try:
            with time_limit(self.payload["run_s"], self.payload.get("stop_at", math.inf)):
                outputs = self._forward(problem, inputs, result)
            result["outputs"] = self._written(outputs, memory, sampler)
        except PartialLaunchError as error:
            result |= {"outcome": "partial", "reason": str(error)}
        except DeadlineError:
            reason = f"not even the chosen blocks ran within {self.payload['run_s']:g} s"
            result |= {"outcome": "timeout", "reason": reason}
        except (child_guard.ForbiddenActionError, MemoryError):
            raise
        except BaseException as error:
            result |= failure(error, self.job_dir)
        return result | {
            "kernel": sampler.kernel,
            "ran": sampler.ran,
            "of": sampler.of,
            "mixed": mixed(memory) if sampler.kernel is not None else None,
            "memory_events": memory.events,
            "undefined_lines": sorted(memory.undefined),
            "launched": session.launched,
        }

    def _forward(self, problem: LoadedProblem, inputs: list[Any], result: dict[str, Any]) -> Any:
        args, kwargs = problem.init_args, problem.init_kwargs
        with self._foreign():
            model = constructed(lambda: self.module.ModelNew(*args, **kwargs), self.payload["seed"])
            if self.payload["evaluation_mode"]:
                model.eval()
        state = self.payload["state"]
        if state is not None:
            directory = self.job_dir / "in"
            wanted = {entry["name"]: child_tensors.load(directory, entry) for entry in state}
            result["matched"] = copy_state(model, wanted).matched
        torch.manual_seed(self.payload["seed"])
        with self._foreign(), torch.no_grad():
            return model(*inputs)

    @contextmanager
    def _foreign(self) -> Iterator[None]:
        with child_guard.foreign_code(), stand_in_cuda(session.device, self.facts):
            yield

    def _written(
        self, output: Any, memory: SpotMemory, sampler: Sampler
    ) -> list[Mapping[str, Any]]:
        """Each output's form, and the places and values that are known to be the program's."""
        found: list[Mapping[str, Any]] = []
        for number, (name, tensor) in enumerate(child_tensors.flatten(output, "output")):
            counts: list[int] = []
            if sampler.kernel is None:
                every = max(1, math.ceil(tensor.numel() / MOST_ELEMENTS))
                at = np.arange(0, tensor.numel(), every)
                offsets = places(at, tuple(tensor.shape), tuple(tensor.stride()))
            else:
                by_block = [_places_of(block, tensor) for block in memory.written]
                counts = [block.size for block in by_block]
                offsets = np.unique(np.concatenate(by_block))[:MOST_ELEMENTS]
                at = elements_at(offsets, tuple(tensor.shape), tuple(tensor.stride()))
                order = np.argsort(at)
                at, offsets = at[order], offsets[order]
            span = 1 + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
            flat = torch.as_strided(tensor.detach(), (span if tensor.numel() else 0,), (1,))
            values = flat[torch.from_numpy(offsets)]
            arrays.write_bits(self.job_dir / "out", f"at{number}.npy", at)
            entry = child_tensors.save(values, self.job_dir / "out", f"values{number}.npy", name)
            found.append(
                {**entry, "at": f"at{number}.npy", "shape": list(tensor.shape), "counts": counts}
            )
        return found


def _places_of(written: Sequence[Values], tensor: torch.Tensor) -> Values:
    """Which elements of a tensor lie at written addresses, each once, as offsets in elements."""
    addresses = np.unique(np.concatenate([np.zeros(0, np.uint64), *written]))
    base, size = np.uint64(session.addresses.of(tensor)), tensor.element_size()
    span = 1 + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    last = np.uint64(int(base) + span * size)
    inside = addresses[(addresses >= base) & (addresses < last)] - base
    offsets = (inside[inside % np.uint64(size) == 0] // np.uint64(size)).astype(np.int64)
    at = elements_at(offsets, tuple(tensor.shape), tuple(tensor.stride()))
    kept: Values = offsets[at >= 0]
    return kept


def mixed(memory: SpotMemory) -> str | None:
    """Why a block's values may not be final while other blocks are missing; None: they are."""
    if memory.atomics:
        return "its blocks add to one place by atomics"
    if memory.touched["read"] & memory.touched["write"]:
        return "its blocks read a tensor that the launch writes to"
    return None
