"""Inside a tracing child: torch as it would look on a machine with one CUDA GPU.

Tensors are stand-ins on torch's `meta` device: shapes, strides and dtypes without memory. A
torch function mode answers `is_cuda`, `device` and the like as a CUDA tensor would, and sends
everything that asks for a CUDA device to the stand-in device.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode, resolve_name

from warpwright.tracing.child_own_ops import implementation, own_ops_seen
from warpwright.tracing.child_trace_checks import CHECKS
from warpwright.tracing.child_trace_cuda import CUDA as CUDA
from warpwright.tracing.child_trace_cuda import HardwareFacts, cuda_answers
from warpwright.tracing.child_trace_values import DataDependentError, KnownValues, needs_values
from warpwright.tracing.child_value_log import ValueLog, nothing_around


def hardware(facts: Mapping[str, Any]) -> HardwareFacts:
    """`facts` holds what the parent knows: names of `cudaDeviceProp` as torch has them."""
    return HardwareFacts(**facts)


class StandIns(TorchFunctionMode):  # type: ignore[misc]
    """Answers for stand-in tensors what a CUDA tensor would answer.

    `device` is where stand-ins live: `meta`, or `cpu` where an operator has no meta kernel.
    """

    def __init__(self, device: str, job_dir: Path) -> None:
        super().__init__()
        self.device = torch.device(device)
        self.values = KnownValues()
        self.around_real_work: Callable[[], contextlib.AbstractContextManager[None]] = (
            nothing_around
        )
        self.log = ValueLog(lambda: self.around_real_work())
        self.asleep = False  # while real tensors are worked on
        self.reads: dict[tuple[str, int | None], None] = {}  # (reader, line)
        self.operations: dict[tuple[str, int | None], int] = {}
        self.recording = False
        self.job_dir = job_dir
        self._bases: dict[int, int] = {}
        self._alive: list[torch.Tensor] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if self.asleep:
            return func(*args, **(kwargs or {}))
        answer = ANSWERS.get(func)
        if answer is not None:
            return answer(self, *args)
        own = implementation(func)
        if own is not None:
            with self:
                return own(*args, **(kwargs or {}))
        if needs_values(func, args, kwargs or {}):
            return self._read(func, args, kwargs or {})
        if self.recording:
            self._record(func)
        if func in CHECKS:
            CHECKS[func](args, kwargs or {})
        if func in MOVES:
            args, kwargs = self._moved(args, kwargs or {})
            if len(args) == 1 and not kwargs:
                return args[0]
            func = torch.Tensor.to
        fixed = {name: self._place(name, value) for name, value in (kwargs or {}).items()}
        fixed.pop("pin_memory", None)
        out = func(*args, **fixed)
        self.values.follow(func, args, fixed, out)
        self.log.note(func, args, fixed, out)
        return out

    def _read(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        try:
            return self._without_values(self.values.read(func, args, kwargs))
        except DataDependentError:
            if not self.log.follows:
                raise
        self.reads[getattr(func, "__name__", str(func)), self.foreign_line()] = None
        return self._without_values(self.log.read(func, args, kwargs))

    def _without_values(self, found: Any) -> Any:
        """Tensors of what was read as stand-ins, of which the values are known."""
        if type(found) in (list, tuple):
            return type(found)(self._without_values(item) for item in found)
        if not isinstance(found, torch.Tensor):
            return found
        stand_in = torch.empty_strided(
            tuple(found.shape), found.stride(), dtype=found.dtype, device=self.device
        )
        self.log.note_value(stand_in, found)
        self.values.keep(stand_in, found)
        return stand_in

    def _place(self, name: str, value: Any) -> Any:
        return self.device if name == "device" and value is not None else value

    def _moved(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments of `Tensor.to` and its kin without the device: data never moves."""
        kept = tuple(argument for argument in args if not names_device(argument))
        named = {name: value for name, value in kwargs.items() if name not in MOVE_KEYWORDS}
        kept = kept[:1] + tuple(
            argument.dtype if isinstance(argument, torch.Tensor) else argument
            for argument in kept[1:]
            if not isinstance(argument, bool)
        )
        return kept, named

    def _record(self, func: Any) -> None:
        name = resolve_name(func)
        if name is None or name.endswith((".__get__", ".__set__")):
            return
        key = (name.removeprefix("torch."), self.foreign_line())
        self.operations[key] = self.operations.get(key, 0) + 1

    def foreign_line(self) -> int | None:
        """Line of the innermost frame that stands in the program's file."""
        frame = sys._getframe(1)
        wanted = f"{self.job_dir}/program.py"
        while frame is not None:
            if frame.f_code.co_filename == wanted:
                return frame.f_lineno
            frame = frame.f_back  # type: ignore[assignment]
        return None

    def address(self, tensor: torch.Tensor) -> int:
        """An address as CUDA would give: storages apart, each aligned to 512 bytes."""
        storage = tensor.untyped_storage()
        base = self._bases.get(storage._cdata)
        if base is None:
            self._alive.append(tensor)  # so that no other storage gets the same identity
            base = (len(self._bases) + 1) << 36
            self._bases[storage._cdata] = base
        return base + int(tensor.storage_offset()) * int(tensor.element_size())

    def storage_number(self, tensor: torch.Tensor) -> int:
        return self.address(tensor) >> 36


def names_device(argument: Any) -> bool:
    if isinstance(argument, torch.device):
        return True
    return isinstance(argument, str) and argument.split(":")[0] in ("cuda", "cpu", "meta")


MOVE_KEYWORDS = ("device", "non_blocking", "copy")
MOVES = {torch.Tensor.to, torch.Tensor.cuda, torch.Tensor.cpu, torch.Tensor.pin_memory}


def _getter(name: str) -> Any:
    return getattr(torch.Tensor, name).__get__


def _text(_: StandIns, tensor: torch.Tensor, *__: Any) -> str:
    return f"<stand-in tensor {tuple(tensor.shape)} {tensor.dtype}>"


def _refuse_pointer(*_: Any) -> Any:
    raise DataDependentError("the host code passes a tensor's memory to other code")


ANSWERS: dict[Any, Callable[..., Any]] = {
    _getter("is_cuda"): lambda *_: True,
    _getter("is_cpu"): lambda *_: False,
    _getter("is_meta"): lambda *_: False,
    _getter("device"): lambda *_: CUDA,
    torch.Tensor.get_device: lambda *_: 0,
    torch.Tensor.is_pinned: lambda *_: False,
    torch.Tensor.record_stream: lambda *_: None,
    torch.Tensor.data_ptr: lambda mode, tensor, *_: mode.address(tensor),
    torch.Tensor.__repr__: _text,
    torch.Tensor.__str__: _text,
    torch.Tensor.__format__: _text,
    torch.Tensor.__dlpack__: _refuse_pointer,
}


@contextmanager
def stand_in_cuda(
    mode: StandIns, facts: HardwareFacts, note: Callable[[str], None] = lambda _: None
) -> Iterator[None]:
    """Everything in the block sees a CUDA machine; new tensors are stand-ins.

    `note` is told what of the answers the code may act on although nothing decides it here.
    """
    compile_before = torch.compile
    torch.compile = _compile_nothing
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(cuda_answers(facts, note))
            stack.enter_context(own_ops_seen())
            if mode.device.type == "meta":
                stack.enter_context(mode.device)
            stack.enter_context(mode)
            yield
    finally:
        torch.compile = compile_before


def _compile_nothing(model: Any = None, **_: Any) -> Any:
    return model if model is not None else (lambda function: function)
