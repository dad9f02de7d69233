"""A child that reads the card's state from NVML, the library behind nvidia-smi. No torch here.

In a process of its own, because a broken driver may hang or crash whoever asks it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TEXT_BYTES = 96
SM_CLOCK, MEMORY_CLOCK = 1, 2
GPU_TEMPERATURE = 0
# nvml.h, nvmlClocksEventReasons; idle is no reason that slows a kernel.
REASONS = {
    0x2: "application clocks",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
    0x100: "display clocks",
}


def start(settings: Mapping[str, Any], _job_dir: Path) -> _Nvml:
    """`settings`: `uuid` of the GPU as torch tells it, or None for the first."""
    return _Nvml(settings.get("uuid"))


class _Nvml:
    def __init__(self, uuid: str | None) -> None:
        self._library: Any = None
        self._uuid = uuid
        self._handle = ctypes.c_void_p()
        try:
            library = ctypes.CDLL("libnvidia-ml.so.1")
        except OSError:
            return
        if library.nvmlInit_v2() == 0 and self._find(library, uuid):
            self._library = library

    def _find(self, library: Any, uuid: str | None) -> bool:
        place = ctypes.byref(self._handle)
        if uuid is not None:
            text = uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"
            if library.nvmlDeviceGetHandleByUUID(text.encode(), place) == 0:
                return True
        return bool(library.nvmlDeviceGetHandleByIndex_v2(0, place) == 0)

    def facts(self) -> dict[str, Any]:
        """The driver's version and the card's highest clocks; None where NVML does not tell."""
        if self._library is None:
            return {"available": False}
        text = ctypes.create_string_buffer(TEXT_BYTES)
        known = self._library.nvmlSystemGetDriverVersion(text, TEXT_BYTES) == 0
        return {
            "available": True,
            "driver": text.value.decode(errors="replace") if known else None,
            "max_sm_clock_mhz": self._number("nvmlDeviceGetMaxClockInfo", SM_CLOCK),
            "max_memory_clock_mhz": self._number("nvmlDeviceGetMaxClockInfo", MEMORY_CLOCK),
        }

    def handle(self, command: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """`conditions`: the fields of `types.measurement.Conditions`. Payload: `uuid`."""
        if command != "conditions":
            raise ValueError(f"unknown command {command!r}")
        if self._library is None:
            return {}
        if payload["uuid"] != self._uuid and self._find(self._library, payload["uuid"]):
            self._uuid = payload["uuid"]
        power_mw = self._number("nvmlDeviceGetPowerUsage")
        return {
            "sm_clock_mhz": self._number("nvmlDeviceGetClockInfo", SM_CLOCK),
            "memory_clock_mhz": self._number("nvmlDeviceGetClockInfo", MEMORY_CLOCK),
            "temperature_c": self._number("nvmlDeviceGetTemperature", GPU_TEMPERATURE),
            "power_w": None if power_mw is None else power_mw / 1000,
            "throttle_reasons": self._reasons(),
        }

    def explain(self, error: BaseException) -> dict[str, Any]:
        reason = f"{type(error).__name__}: {error}"
        own = "the worker's own code failed"
        return {"died": {"how": own, "reason": reason, "blames_program": False}}

    def _number(self, function: str, *arguments: int) -> float | None:
        value = ctypes.c_uint(0)
        code = getattr(self._library, function)(self._handle, *arguments, ctypes.byref(value))
        return float(value.value) if code == 0 else None

    def _reasons(self) -> list[str]:
        bits = ctypes.c_ulonglong(0)
        name = "nvmlDeviceGetCurrentClocksThrottleReasons"
        if getattr(self._library, name)(self._handle, ctypes.byref(bits)) != 0:
            return []
        return [text for bit, text in REASONS.items() if bits.value & bit]
