"""Inside a tracing child: what host code did to its tensors, done again where it reads a value.

Stand-ins have no values. Every torch call on them is noted with the stand-ins that it took and
gave; where the host code reads one (`mask.sum().item()`), the calls that it follows from are made
again on the CPU, on inputs made for real. Nothing is made before something is read. What a kernel
wrote is not known: reading it is `DataDependentError`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from warpwright.sandbox.child_tensors import storage_of, tensors_of
from warpwright.tracing.child_trace_values import DataDependentError, writes_in_place

MAX_INPUT_BYTES = 1024**3
SEED = 17

RealInputs = Callable[[], Sequence[Any]]
"""Makes the inputs for real: the same structure as the stand-ins, with values."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A call on stand-ins; `kernel` where a kernel wrote, of which no values are known."""

    func: Callable[..., Any] | None
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outs: tuple[torch.Tensor, ...]
    kernel: str = ""

    @property
    def written(self) -> torch.Tensor | None:
        """The tensor that the call writes into, where it makes none of its own."""
        given = self.kwargs.get("out")
        if self.func is None or not isinstance(given, torch.Tensor):
            name = getattr(self.func, "__name__", "")
            given = self.args[0] if self.args and writes_in_place(name) else None
        return given if isinstance(given, torch.Tensor) else None


class ValueLog:
    """Calls in their order, and how to make the inputs that they began from."""

    def __init__(self, around: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        self._around = around
        self._calls: list[_Call] = []
        self._stand_ins: list[torch.Tensor] = []
        self._make: RealInputs | None = None
        self._made: list[torch.Tensor] | None = None
        self._begun: dict[int, int] = {}  # storage of an input → the call that is its first
        self.notes = False
        """Whether calls are noted."""
        self.follows = False
        """Whether values may be read."""

    def begin(self, inputs: Sequence[Any], make: RealInputs) -> None:
        """The inputs of a call from here on."""
        self._stand_ins, self._make, self._made = tensors_of(inputs), make, None
        self._begun |= {storage_of(tensor): len(self._calls) for tensor in self._stand_ins}
        self.follows = True

    def note(self, func: Any, args: Any, kwargs: Mapping[str, Any], out: Any) -> None:
        if self.notes and getattr(func, "__name__", "") != "__get__":  # (a view, or a fact)
            self._calls.append(_Call(func, tuple(args), kwargs, tuple(tensors_of(out))))

    def note_launch(self, kernel: str, tensors: Sequence[torch.Tensor]) -> None:
        """A kernel wrote into these."""
        if self.notes:
            self._calls.append(_Call(None, (), {}, tuple(tensors), kernel))

    def note_value(self, stand_in: torch.Tensor, value: torch.Tensor) -> None:
        """A stand-in whose values are known already."""
        self._calls.append(_Call(lambda: value, (), {}, (stand_in,)))

    def read(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What `func`, which needs values, gives for real. Raises `DataDependentError`."""
        given = tensors_of([args, dict(kwargs)])
        calls, needed = self._behind(given)
        with self._around():
            torch.manual_seed(SEED)
            values = _Values()
            self._put_inputs(values, calls, needed)
            for call in calls:
                values.do(call)
            return func(*values.real(tuple(args)), **values.real(dict(kwargs)))

    def _behind(self, tensors: Sequence[torch.Tensor]) -> tuple[list[_Call], set[int]]:
        """The calls that these follow from, in order, and the storages that were looked at."""
        wanted = {storage_of(tensor) for tensor in tensors}
        found = []
        for index, call in reversed(list(enumerate(self._calls))):
            written = call.written
            changed = [*call.outs, *([] if written is None else [written])]
            storages = {storage_of(tensor) for tensor in changed}
            if not any(s in wanted and index >= self._begun.get(s, 0) for s in storages):
                continue
            if call.func is None:
                raise DataDependentError(
                    f"the host code reads what kernel {call.kernel} computes: kernels do not run "
                    "while launches are traced, and what comes next depends on it"
                )
            found.append(call)
            wanted |= {storage_of(tensor) for tensor in tensors_of([call.args, dict(call.kwargs)])}
        return found[::-1], wanted

    def _put_inputs(self, values: _Values, calls: Sequence[_Call], needed: set[int]) -> None:
        wanted = [i for i, tensor in enumerate(self._stand_ins) if storage_of(tensor) in needed]
        if not wanted:
            return
        real = self._real_inputs()
        changed = {storage_of(written) for call in calls if (written := call.written) is not None}
        for i in wanted:
            own = real[i].clone() if storage_of(self._stand_ins[i]) in changed else real[i]
            values.put(self._stand_ins[i], own)

    def _real_inputs(self) -> list[torch.Tensor]:
        if self._made is None:
            total = sum(t.numel() * t.element_size() for t in self._stand_ins)
            if total > MAX_INPUT_BYTES or self._make is None:
                raise DataDependentError(
                    f"the host code reads a value of its inputs, which take {total / 2**30:.1f} "
                    f"GiB: up to {MAX_INPUT_BYTES / 2**30:g} GiB are made here"
                )
            self._made = tensors_of(self._make())
        same = len(self._made) == len(self._stand_ins) and all(
            a.shape == b.shape for a, b in zip(self._made, self._stand_ins, strict=True)
        )
        if not same:
            raise DataDependentError("get_inputs makes other tensors each time it is called")
        return self._made


class _Values:
    """Real tensors in the place of stand-ins."""

    def __init__(self) -> None:
        self._by_tensor: dict[int, torch.Tensor] = {}
        self._by_storage: dict[int, torch.Tensor] = {}

    def put(self, stand_in: torch.Tensor, value: torch.Tensor) -> None:
        self._by_tensor[id(stand_in)] = value
        self._by_storage[storage_of(stand_in)] = value

    def do(self, call: _Call) -> None:
        assert call.func is not None
        out = call.func(*self.real(call.args), **_on_cpu(self.real(dict(call.kwargs))))
        for stand_in, value in zip(call.outs, tensors_of(out), strict=False):
            self.put(stand_in, value)

    def real(self, value: Any) -> Any:
        """The value with every stand-in replaced, in lists, tuples and mappings too."""
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if type(value) in (list, tuple):
            return type(value)(self.real(item) for item in value)
        if isinstance(value, torch.Size) or type(value) is not dict:
            return value
        return {name: self.real(item) for name, item in value.items()}

    def _tensor(self, stand_in: torch.Tensor) -> torch.Tensor:
        known = self._by_tensor.get(id(stand_in))
        if known is not None:
            return known
        base = self._by_storage.get(storage_of(stand_in))
        if base is None:
            raise DataDependentError("the host code reads a value whose origin is not known here")
        # a view, or a parameter, of memory that another tensor has
        layout = stand_in.storage_offset(), tuple(stand_in.shape), stand_in.stride()
        return torch.empty(0, dtype=stand_in.dtype).set_(base.untyped_storage(), *layout)


def _on_cpu(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: "cpu" if name == "device" and v is not None else v for name, v in kwargs.items()}


@contextmanager
def nothing_around() -> Iterator[None]:
    yield
