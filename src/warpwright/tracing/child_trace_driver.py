"""Inside a child: a Triton driver that answers what the GPU's sheet says, and runs nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from warpwright.tracing.child_trace_cuda import CUDA, HardwareFacts, unknown_fact

TRITON_NAMES = {
    "max_shared_mem": "shared_memory_per_block_optin",
    "max_num_regs": "regs_per_multiprocessor",
    "multiprocessor_count": "multi_processor_count",
    "warpSize": "warp_size",
}


class DriverProperties(dict[str, Any]):
    """The dict of Triton's own driver; a fact that no sheet gives is not the program's mistake."""

    def __missing__(self, name: str) -> Any:
        raise unknown_fact(name)


class StandInDriver:
    """What `triton.runtime.driver.active` is in every child that has no GPU to run on."""

    def __init__(self, facts: HardwareFacts) -> None:
        self._facts = facts
        self.utils = self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise unknown_fact(f"{name} of Triton's driver")

    @staticmethod
    def is_active() -> bool:
        return True

    def get_current_device(self) -> int:
        return 0

    def set_current_device(self, _: int) -> None:
        return None

    def get_current_stream(self, _: int | None = None) -> int:
        return 0

    def get_active_torch_device(self) -> torch.device:
        return CUDA

    def get_device_interface(self) -> Any:
        return torch.cuda

    def get_device_capability(self, *_: Any) -> tuple[int, int]:
        return self._facts.major, self._facts.minor

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", self._facts.major * 10 + self._facts.minor, 32)

    def get_benchmarker(self) -> Callable[..., Any]:
        from triton.testing import do_bench

        benchmarker: Callable[..., Any] = do_bench
        return benchmarker

    def get_device_properties(self, _: int = 0) -> dict[str, Any]:
        """The dict of Triton's own driver, as far as it is known."""
        known = vars(self._facts)
        found = {name: known[fact] for name, fact in TRITON_NAMES.items() if fact in known}
        return DriverProperties(found)


def use_stand_in_driver(facts: HardwareFacts) -> None:
    from triton.runtime.driver import driver

    driver.set_active(StandInDriver(facts))
