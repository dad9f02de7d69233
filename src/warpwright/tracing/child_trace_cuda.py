"""Inside a child without the target's GPU: what `torch.cuda` and its kin answer in its place.

Host code asks for the card at any time, at import too. What the card's sheet says is answered,
what it does not say is an error of ours (`UnknownHardwareError`), never one of the program.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch

from warpwright.tracing.child_trace_values import DataDependentError

CUDA = torch.device("cuda", 0)
CUDA_VERSION = "12.8"  # of the torch builds that ship the Triton versions which we read
TIMED = "the host code times its launches: this follows a run in which all take equally long"
_ABSENT = object()


class UnknownHardwareError(Exception):
    """The host code asks for a fact about the GPU that no sheet gave."""


class HardwareFacts(SimpleNamespace):
    """`torch.cuda.get_device_properties`: what the sheet says, an error for what it does not."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise unknown_fact(name)


def unknown_fact(name: str) -> UnknownHardwareError:
    return UnknownHardwareError(f"the host code asks the GPU for {name}, which is not known")


class _Idle:
    """A stream, an event, a context: anything may be asked of it, nothing happens."""

    cuda_stream = 0
    device = CUDA
    device_index = 0

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __enter__(self) -> _Idle:
        return self

    def __exit__(self, *_: Any) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: None

    def query(self) -> bool:
        return True

    def elapsed_time(self, *_: Any) -> float:
        self.note(TIMED)
        return 1.0

    def note(self, text: str) -> None:
        """Told when what the host code does next depends on what an answer here made up."""


def _refuse_graph(*_: Any, **__: Any) -> Any:
    raise DataDependentError("the host code records a CUDA graph, which a trace cannot follow")


def cuda_functions(facts: HardwareFacts, note: Callable[[str], None]) -> dict[str, Any]:
    """What stands in `torch.cuda` while a program is traced.

    Each entry is an object of its own: torch keeps rules for these functions by identity.
    """
    nothing = lambda *_, **__: None  # noqa: E731
    shared: dict[str, Any] = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "init": nothing,
        "_lazy_init": nothing,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": nothing,
        "synchronize": nothing,
        "empty_cache": nothing,
        "get_device_properties": lambda *_: facts,
        "get_device_capability": lambda *_: (facts.major, facts.minor),
        "get_device_name": lambda *_: facts.name,
        "mem_get_info": lambda *_: (facts.total_memory, facts.total_memory),
        "is_bf16_supported": lambda *_, **__: facts.major >= 8,
        "current_stream": _Idle,
        "default_stream": _Idle,
        "stream": _Idle,
        "device": _Idle,
        "device_of": _Idle,
        "set_stream": nothing,
        "Stream": _Idle,
        "Event": _Idle,
        "CUDAGraph": _refuse_graph,
        "graph": _refuse_graph,
        "make_graphed_callables": _refuse_graph,
        "reset_peak_memory_stats": nothing,
        "get_arch_list": lambda: [f"sm_{facts.major}{facts.minor}"],
        "is_tf32_supported": lambda: facts.major >= 8,
        "is_current_stream_capturing": lambda: False,
        "can_device_access_peer": lambda *_: False,
        "current_blas_handle": lambda: 0,
        "ipc_collect": nothing,
        "memory_reserved": lambda *_: 0,
        "max_memory_reserved": lambda *_: 0,
        "memory_allocated": lambda *_: 0,
        "max_memory_allocated": lambda *_: 0,
        "manual_seed": nothing,
        "manual_seed_all": nothing,
    }
    return {
        name: type(name, (_Idle,), {"note": staticmethod(note)})
        if isinstance(entry, type)
        else _copy(entry)
        for name, entry in shared.items()
    }


def _copy(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: function(*args, **kwargs)


def _beside_cuda(cuda: Mapping[str, Any]) -> list[tuple[Any, str, Any]]:
    """(holder, name, stand-in) of what tells of the GPU outside of `torch.cuda`."""
    nothing = lambda *_, **__: None  # noqa: E731
    values: list[tuple[Any, str, Any]] = [
        (torch.version, "cuda", CUDA_VERSION),
        (torch.backends.cuda, "is_built", lambda: True),
        (torch, "set_default_device", nothing),
        (torch, "get_device_module", lambda *_: torch.cuda),
        (torch._C, "_cuda_getCurrentRawStream", lambda *_: 0),
        (torch._C, "_cuda_getDevice", lambda *_: 0),
        (torch._C, "_cuda_getDeviceCount", lambda *_: 1),
        (torch.cuda, "_is_compiled", lambda: True),
        *((torch.cuda.nvtx, name, nothing) for name in ("range_push", "range_pop", "mark")),
        (torch.accelerator, "is_available", lambda: True),
        (torch.accelerator, "device_count", lambda: 1),
        (torch.accelerator, "current_accelerator", lambda *_, **__: torch.device("cuda")),
        (torch.accelerator, "current_device_index", lambda: 0),
        (torch.accelerator, "current_device_idx", lambda: 0),
        (torch.accelerator, "set_device_index", nothing),
        (torch.accelerator, "set_device_idx", nothing),
        (torch.accelerator, "synchronize", nothing),
        (torch.accelerator, "empty_cache", nothing),
        (torch.accelerator, "current_stream", cuda["current_stream"]),
        (torch.accelerator, "get_device_capability", cuda["get_device_capability"]),
    ]
    return [
        (holder, name, _copy(value) if callable(value) else value) for holder, name, value in values
    ]


@contextmanager
def cuda_answers(facts: HardwareFacts, note: Callable[[str], None]) -> Iterator[None]:
    """While the block runs, `torch.cuda` and its kin answer for the card of `facts`."""
    functions = cuda_functions(facts, note)
    changes = [(torch.cuda, name, value) for name, value in functions.items()]
    changes = [change for change in changes if hasattr(torch.cuda, change[1])]
    changes += _beside_cuda(functions)
    before = [(holder, name, vars(holder).get(name, _ABSENT)) for holder, name, _ in changes]
    for holder, name, value in changes:
        setattr(holder, name, value)
    try:
        yield
    finally:
        for holder, name, value in before:
            if value is not _ABSENT:
                setattr(holder, name, value)
            else:
                with contextlib.suppress(AttributeError):
                    delattr(holder, name)


@contextmanager
def other_memory(facts: HardwareFacts) -> Iterator[None]:
    """While the block runs, the card has other memory in use: what a program launches should not
    hang on that."""
    used = 4 * 1024**3
    answers: dict[str, Any] = {
        "mem_get_info": lambda *_: (facts.total_memory - used, facts.total_memory),
        **dict.fromkeys(
            ("memory_reserved", "max_memory_reserved", "memory_allocated", "max_memory_allocated"),
            lambda *_: used,
        ),
    }
    before = {name: getattr(torch.cuda, name) for name in answers}
    for name, answer in answers.items():
        setattr(torch.cuda, name, answer)
    try:
        yield
    finally:
        for name, answer in before.items():
            setattr(torch.cuda, name, answer)
