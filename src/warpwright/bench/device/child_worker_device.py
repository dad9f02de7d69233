"""Inside a worker: the device that programs run on, and the clock around a call.

Everything that times or synchronises is bound here when the module is imported, before any foreign
code: a program that exchanges `torch.cuda.synchronize` or a timer changes nothing for us. On the
CPU device kernels run in Triton's interpreter and programs see a stand-in for CUDA, so that all but
the GPU itself is the same.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch

from warpwright.sandbox.child_gpu import card_facts

clock = time.perf_counter
_empty = torch.empty
_fill = torch.Tensor.fill_
_zero = torch.Tensor.zero_

FLUSH_BYTES = 256 * 1024**2  # at least; four times L2 where that is more
CPU_FLUSH_BYTES = 8 * 1024**2
SPOILED = 0xFF  # as bytes: NaN in every floating-point type, -1 in every signed integer
HEALTH_ELEMENTS = 1024
MUCH_SHARE = 0.05  # of the device's memory
MAX_HOLD_US = 3000.0
SPIN_CYCLES_PER_US = 2000  # near the highest SM clock of current GPUs, in MHz
OUT_OF_MEMORY_WORDS = ("out of memory", "CUDA_ERROR_OUT_OF_MEMORY")


@dataclass(frozen=True, slots=True)
class TimedCall:
    """One timed call, in µs: device time, host time to issue it, and how long the device went on
    working after its end on other streams."""

    device_us: float
    host_us: float
    tail_us: float


@dataclass
class Recorded:
    """What a block of calls launched, by kernel, and the kernels whose tuners ran all configs."""

    launches: dict[str, int] = field(default_factory=dict)
    tuned: set[str] = field(default_factory=set)


class CpuDevice:
    """Triton's interpreter on CPU tensors that pass for CUDA tensors."""

    name = "cpu"
    index = torch.device("cpu")

    def __init__(self, compute_capability: int = 89) -> None:
        from warpwright.interpreter import child_builder, child_executor
        from warpwright.tracing.child_trace_driver import use_stand_in_driver
        from warpwright.tracing.child_trace_torch import hardware, stand_in_cuda

        torch.set_num_threads(1)
        child_builder.install(compute_capability)
        child_executor.install()
        major, minor = divmod(compute_capability, 10)
        self._facts = hardware(STAND_IN_FACTS | {"major": major, "minor": minor})
        use_stand_in_driver(self._facts)
        self._stand_in = stand_in_cuda
        self._session = child_executor.session
        self._adopt = child_executor.adopt
        self._flush = _empty(CPU_FLUSH_BYTES, dtype=torch.uint8)

    def facts(self) -> dict[str, Any]:
        return {"name": "cpu", "compute_capability": [self._facts.major, self._facts.minor]}

    def context(self) -> AbstractContextManager[Any]:
        """Around all foreign code."""
        return self._stand_in(self._session.device, self._facts)

    def placement(self) -> AbstractContextManager[Any]:
        """Around `get_inputs`: where its tensors are made."""
        return nullcontext()

    def adopt(self, module: ModuleType, pins: Mapping[str, Mapping[str, Any]]) -> None:
        from warpwright.bench.device import child_worker_tuner

        self._adopt(module)
        child_worker_tuner.pin(module, pins)  # as on a GPU: a config need not be listed
        self._session.begin(pins)

    @contextmanager
    def recorded(self) -> Iterator[Recorded]:
        """Counts launches by kernel while the block runs. Nothing tunes in the interpreter."""
        recorded = Recorded()
        self._session.launches = recorded.launches
        yield recorded

    def timed(self, call: Callable[[], Any], _hold_us: float) -> tuple[Any, TimedCall]:
        started = clock()
        result = call()
        elapsed_us = (clock() - started) * 1e6
        return result, TimedCall(elapsed_us, elapsed_us, 0.0)

    def flush(self) -> None:
        _fill(self._flush, 1)

    def synchronize(self) -> None:
        return None

    def poison(self, sizes_bytes: list[int]) -> None:
        """The stand-in fills all new uninitialised memory with NaN by itself."""

    def release(self) -> None:
        gc.collect()

    def broken(self) -> str | None:
        """Why the device can do nothing any more; None: it is well."""
        return None

    def leaked_bytes(self) -> int:
        return 0

    def free_share(self) -> float:
        """Share of the device's memory that is free, in torch's cache or beside it."""
        return 1.0

    def has_room(self, _size_bytes: int) -> bool:
        return True

    def give_up_cache(self) -> None:
        """Leave memory that is held and not in use to other processes, where it is much."""


# What host code may ask a GPU for on the CPU device: an RTX 4090's numbers.
STAND_IN_FACTS = {
    "name": "stand-in",
    "multi_processor_count": 128,
    "warp_size": 32,
    "max_threads_per_multi_processor": 1536,
    "max_threads_per_block": 1024,
    "regs_per_multiprocessor": 65536,
    "shared_memory_per_block": 49152,
    "shared_memory_per_block_optin": 101376,
    "shared_memory_per_multiprocessor": 102400,
    "L2_cache_size": 72 * 1024**2,
}


class CudaDevice:
    """The first visible CUDA GPU, on torch's default stream."""

    name = "cuda"

    def __init__(self) -> None:
        self.index = torch.device("cuda", 0)
        torch.cuda.init()
        torch.cuda.set_device(0)
        # Bound below the names that a program could exchange, on the class and in the module.
        self._synchronize = torch._C._cuda_synchronize
        self._event = torch.cuda.Event
        self._record = torch.cuda.Event.record
        self._finish = torch.cuda.Event.synchronize
        self._elapsed_ms = torch.cuda.Event.elapsed_time
        self._stream = torch.cuda.current_stream()
        self._sleep = torch.cuda._sleep
        self._empty_cache = torch.cuda.empty_cache
        self._memory = torch.cuda.mem_get_info
        self._properties = torch.cuda.get_device_properties(0)
        l2_bytes = getattr(self._properties, "L2_cache_size", 0)
        self._flush = _empty(max(FLUSH_BYTES, 4 * l2_bytes), dtype=torch.uint8, device=self.index)
        self._warm_up_triton()
        self._synchronize()
        self._reserved = torch.cuda.memory_reserved
        self._reserved_at_start = self._reserved()

    def _warm_up_triton(self) -> None:
        """Triton builds its driver module once per process: not in a program's first call."""
        from warpwright.bench.device import child_worker_kernel

        numbers = _empty(HEALTH_ELEMENTS, dtype=torch.float32, device=self.index)
        child_worker_kernel.fill(numbers)
        self._synchronize()

    def facts(self) -> dict[str, Any]:
        """What `types.measurement.MeasuredGpu` holds, as far as torch tells it."""
        import triton

        return {**card_facts(self._properties), "triton": triton.__version__}

    def context(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def placement(self) -> AbstractContextManager[Any]:
        return torch.device("cuda", 0)  # type: ignore[no-any-return]

    def adopt(self, module: ModuleType, pins: Mapping[str, Mapping[str, Any]]) -> None:
        from warpwright.bench.device import child_worker_tuner

        child_worker_tuner.pin(module, pins)

    @contextmanager
    def recorded(self) -> Iterator[Recorded]:
        from warpwright.bench.device import child_worker_tuner

        recorded = Recorded()
        with (
            child_worker_tuner.count_launches(recorded.launches),
            child_worker_tuner.notice_tuning(recorded.tuned),
        ):
            yield recorded

    def timed(self, call: Callable[[], Any], hold_us: float) -> tuple[Any, TimedCall]:
        """`hold_us` keeps the device busy first, so that issuing the call is not in its time."""
        start, end = self._event(enable_timing=True), self._event(enable_timing=True)
        if hold_us > 0:
            self._sleep(int(min(hold_us, MAX_HOLD_US) * SPIN_CYCLES_PER_US))
        issued = clock()
        self._record(start, self._stream)
        result = call()
        self._record(end, self._stream)
        host_us = (clock() - issued) * 1e6
        self._finish(end)
        ended = clock()
        self._synchronize()  # the whole device: work on other streams is seen here
        tail_us = (clock() - ended) * 1e6
        return result, TimedCall(self._elapsed_ms(start, end) * 1e3, host_us, tail_us)

    def flush(self) -> None:
        _zero(self._flush)

    def synchronize(self) -> None:
        self._synchronize()

    def poison(self, sizes_bytes: list[int]) -> None:
        """Fill the memory that `torch.empty` will hand out next with NaN.

        First everything cached goes back to the driver: it may hold right results of before.
        """
        self._empty_cache()
        blocks = []
        for size in sizes_bytes:
            for _ in range(2):
                if self._memory()[0] < 2 * size:
                    break
                block = _empty(max(1, size), dtype=torch.uint8, device=self.index)
                blocks.append(_fill(block, SPOILED))
        self._synchronize()

    def release(self) -> None:
        gc.collect()
        self._empty_cache()

    def broken(self) -> str | None:
        try:
            self._synchronize()
            numbers = _fill(_empty(HEALTH_ELEMENTS, dtype=torch.int32, device=self.index), 1)
            total = int(numbers.sum())
        except RuntimeError as error:
            if is_out_of_memory(error):
                return None  # full, which `leaked_bytes` tells, and not broken
            return str(error).strip().splitlines()[0]
        return None if total == HEALTH_ELEMENTS else "a sum on the device came out wrong"

    def leaked_bytes(self) -> int:
        """Memory of this process that torch holds beyond what it held at the start."""
        return max(0, int(self._reserved()) - int(self._reserved_at_start))

    def free_share(self) -> float:
        free, total = self._memory()
        return float(free + self._cached()) / float(total)

    def has_room(self, size_bytes: int) -> bool:
        return bool(self._memory()[0] > size_bytes)

    def give_up_cache(self) -> None:
        if self._cached() > MUCH_SHARE * self._memory()[1]:
            self._empty_cache()

    def _cached(self) -> int:
        return int(torch.cuda.memory_reserved() - torch.cuda.memory_allocated())


Device = CpuDevice | CudaDevice


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that GPU memory is exhausted, by torch or by Triton's driver."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(word in text for word in OUT_OF_MEMORY_WORDS)


def open_device(name: str) -> Device:
    """The device by its name, "cuda" or "cpu"."""
    return CudaDevice() if name == "cuda" else CpuDevice()
