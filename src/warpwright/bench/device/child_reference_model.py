"""Inside the reference process: the model in float64 and as eager PyTorch has it here."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch

from warpwright.bench.device.child_cases import Arguments, Cases, foreign, seed_everything
from warpwright.bench.device.child_reference_errors import CHUNK_ELEMENTS
from warpwright.bench.device.child_worker_device import Device, is_out_of_memory
from warpwright.interpreter.reference import child_distributions
from warpwright.interpreter.reference.child_construct import constructed
from warpwright.interpreter.reference.child_policy import EagerGpuPolicy
from warpwright.interpreter.reference.child_state import as_bytes, same_bits
from warpwright.sandbox import child_tensors

Named = list[tuple[str, torch.Tensor]]
State = Mapping[str, torch.Tensor]
UNIT_ROUNDOFF = 2.0**-24  # float32
SHAKE_SHIFT = 8
INDEPENDENT = 1e-12  # relative: chunks computed apart and together agree in float64
MODEL_COPIES = 12  # with states and float64 copies, twice over
CPU = torch.device("cpu")


class ChunkError(Exception):
    """The batch cannot be computed in parts."""


class Model:
    """The problem's `Model`, made on the CPU; copies of it run on the device.

    It lies on the device where that has room for it: copying a large layer there and rounding it up
    to float64 takes a moment, on the CPU it takes seconds for each kind of data.
    """

    def __init__(
        self, cases: Cases, device: Device, seed: int, *, evaluation_mode: bool = False
    ) -> None:
        self._device = device
        self._seed = seed
        self._states: dict[str, dict[str, torch.Tensor]] = {}
        self._model: Any = None
        module = cases.module
        if module is None or not hasattr(module, "Model"):  # inputs alone: programs are compared
            return
        args, kwargs = cases.init_arguments()
        seed_everything(seed)
        with foreign(device):
            self._model = constructed(lambda: module.Model(*args, **kwargs), seed)
            if evaluation_mode:
                self._model.eval()
        state = self._model.state_dict()
        if device.has_room(sum(MODEL_COPIES * _bytes(value) for value in state.values())):
            self._model = self._model.to(device.index)
            state = self._model.state_dict()
        self._states["own"] = {name: value.detach().clone() for name, value in state.items()}

    @property
    def exists(self) -> bool:
        return self._model is not None

    def has_state(self, name: str) -> bool:
        return name in self._states

    def states(self, seed: int) -> Mapping[str, State]:
        """The model's parameters, and once more with constant ones given other values."""
        if not self.exists:
            return {}
        perturbed = child_distributions.perturb_constants(self._states["own"], seed)
        if perturbed is not None:
            self._states["perturbed"] = perturbed
        return self._states

    def policy(self, arguments: Arguments, state: str) -> tuple[Named, int, list[int]]:
        """Eager PyTorch's output on this device, the length of its sums, inputs it changes."""
        mine = arguments.with_tensors([tensor.clone() for tensor in arguments.tensors])
        model = copy.deepcopy(self._model)
        model.load_state_dict(self._states[state])
        model = model.to(self._device.index)
        with EagerGpuPolicy(emulate=self._device.name == "cpu") as mode:
            outputs = self._forward(model, mine, None)
        changed = [
            index
            for index, (a, b) in enumerate(zip(arguments.tensors, mine.tensors, strict=True))
            if not same_bits(a, b)
        ]
        return outputs, mode.summands, changed

    def reference(
        self, arguments: Arguments, state: str, seed: int | None = None
    ) -> tuple[Named, str]:
        """The float64 output, on the device, and how it was computed.

        Whole where it fits; else in parts of the batch, where these prove to be independent of
        each other; else on the CPU.
        """
        target = self._device.index
        try:
            return self._double(arguments, state, target, seed), "whole"
        except RuntimeError as error:
            if target.type == "cpu":
                raise
            full = is_out_of_memory(error)  # not the error itself: it holds memory
        self._device.release()
        if full:
            for parts in (4, 16, 64):
                try:
                    return self._in_parts(arguments, state, parts, seed), f"{parts} parts"
                except ChunkError:
                    break
                except RuntimeError as error:
                    if not is_out_of_memory(error):
                        raise
                self._device.release()
        outputs = self._double(arguments, state, CPU, seed)
        return [(name, value.to(target)) for name, value in outputs], "on the CPU"

    def shaken(self, arguments: Arguments, state: str) -> Named | None:
        """The float64 output for inputs and parameters moved by one float32 unit roundoff each.

        None where it does not fit on the device.
        """
        tensors = _shake(arguments.tensors, self._seed + SHAKE_SHIFT)
        values = dict(self._states[state])
        moved = _shake(list(values.values()), self._seed + SHAKE_SHIFT + 1)
        shaken_state = dict(zip(values, moved, strict=True))
        try:
            return self._double(
                arguments.with_tensors(tensors), shaken_state, self._device.index, None
            )
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            self._device.release()
            return None

    def _double(
        self, arguments: Arguments, state: str | State, target: torch.device, seed: int | None
    ) -> Named:
        model = copy.deepcopy(self._model).double()
        model.load_state_dict(self._states[state] if isinstance(state, str) else state)
        wide = [
            (t.double() if t.is_floating_point() else t.clone()).to(target)
            for t in arguments.tensors
        ]
        torch.set_default_dtype(torch.float64)
        try:
            return self._forward(model.to(target), arguments.with_tensors(wide), seed)
        finally:
            torch.set_default_dtype(torch.float32)

    def _in_parts(self, arguments: Arguments, state: str, parts: int, seed: int | None) -> Named:
        sizes = {tensor.shape[0] if tensor.dim() else 0 for tensor in arguments.tensors}
        batch = next(iter(sizes))
        if len(sizes) != 1 or batch < 2 * parts:
            raise ChunkError
        step = -(-batch // parts)

        def part(first: int, last: int) -> Named:
            tensors = [tensor[first:last] for tensor in arguments.tensors]
            piece = arguments.with_tensors(tensors)
            return self._double(piece, state, self._device.index, seed)

        half = max(1, step // 2)
        together, left, right = part(0, 2 * half), part(0, half), part(half, 2 * half)
        if not _is_concatenation(together, left, right):
            raise ChunkError
        del together, left, right
        pieces = [part(first, min(batch, first + step)) for first in range(0, batch, step)]
        names = [name for name, _ in pieces[0]]
        return [
            (name, torch.cat([piece[index][1] for piece in pieces]))
            for index, name in enumerate(names)
        ]

    def _forward(self, model: Any, arguments: Arguments, seed: int | None) -> Named:
        values = arguments.values()
        seed_everything(self._seed if seed is None else seed)
        with foreign(self._device):
            result = model(*values)
        named = child_tensors.flatten(result, "output")
        return [(name, value.detach()) for name, value in named]


def _bytes(value: Any) -> int:
    """What a state's entry takes; extra state, which may be anything, counts nothing."""
    return value.numel() * value.element_size() if isinstance(value, torch.Tensor) else 0


def _is_concatenation(together: Named, left: Named, right: Named) -> bool:
    for (_, whole), (_, a), (_, b) in zip(together, left, right, strict=True):
        if whole.dim() == 0 or whole.shape[0] != a.shape[0] + b.shape[0]:
            return False
        joined = torch.cat([a, b])
        scale = torch.linalg.vector_norm(whole.double())
        apart = torch.linalg.vector_norm((whole - joined).double())
        if not float(apart) <= INDEPENDENT * float(scale):
            return False
    return True


def _shake(tensors: list[torch.Tensor], seed: int) -> list[torch.Tensor]:
    """Each value moved by one float32 unit roundoff, up or down at random, in float64."""
    shaken = []
    for tensor in tensors:
        if not tensor.is_floating_point():
            shaken.append(tensor)
            continue
        generator = torch.Generator(device=tensor.device).manual_seed(seed)
        up = torch.rand(tensor.shape, generator=generator, device=tensor.device) < 0.5
        factor = up.double().mul_(2).sub_(1).mul_(UNIT_ROUNDOFF).add_(1)  # in place: it is large
        shaken.append(factor.mul_(tensor))
    return shaken


def all_finite(outputs: Named) -> bool:
    """In parts, for what `isfinite` makes of an output is as large as the output."""
    return all(
        bool(torch.isfinite(part).all())
        for _, value in outputs
        for part in value.reshape(-1).split(CHUNK_ELEMENTS)
    )


ROUNDING = 1e-5
"""Relative difference (L2) of two runs of an operator that only sums in another order: cuDNN's
transposed convolutions add atomically, so no two runs are equal. Random numbers differ far more."""


def alike(a: Named, b: Named) -> bool:
    """Whether two runs on equal inputs differ in the rounding of their sums at most."""
    if equal_outputs(a, b):
        return True
    if [(n, x.shape, x.dtype) for n, x in a] != [(n, x.shape, x.dtype) for n, x in b]:
        return False
    return all(_close(x, y) for (_, x), (_, y) in zip(a, b, strict=True))


def _close(x: torch.Tensor, y: torch.Tensor) -> bool:
    if not x.is_floating_point():
        return bool(torch.equal(as_bytes(x), as_bytes(y)))
    finite = x.isfinite()
    if not torch.equal(finite, y.isfinite()):
        return False
    x, y = x[finite].double(), y[finite].double()
    return bool((x - y).norm() <= ROUNDING * x.norm())


def equal_outputs(a: Named, b: Named) -> bool:
    """Same names, shapes, dtypes and bits."""
    return len(a) == len(b) and all(
        n == m
        and x.shape == y.shape
        and x.dtype == y.dtype
        and torch.equal(as_bytes(x), as_bytes(y))
        for (n, x), (m, y) in zip(a, b, strict=True)
    )
