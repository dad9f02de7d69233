"""The parent's side of `child_nvml`: clocks, temperature, power and throttling of the card."""

from __future__ import annotations

from dataclasses import replace

from warpwright.sandbox.persistent import PersistentChild
from warpwright.types.measurement import Conditions, MeasuredGpu
from warpwright.types.worker_reply import Done, WorkerLimits

ANSWER_S = 2.0
LIMITS = WorkerLimits(start_s=10.0, memory_bytes=1024**3)


class ConditionsReader:
    """Reads the state of one card; gives None once NVML is missing or hangs.

    `uuid`: the card as torch names it, may be set later; None: the first.
    """

    def __init__(self, uuid: str | None = None) -> None:
        self.uuid = uuid
        self._child = PersistentChild("nvml", settings={"uuid": uuid}, limits=LIMITS)

    def __enter__(self) -> ConditionsReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self) -> Conditions | None:
        """The state now; None where NVML tells nothing."""
        if not self._available():
            return None
        answer = self._child.call("conditions", {"uuid": self.uuid}, deadline_s=ANSWER_S)
        if not isinstance(answer, Done) or not answer.value:
            return None
        value = dict(answer.value)
        return Conditions(**value | {"throttle_reasons": tuple(value["throttle_reasons"])})

    def complete(self, gpu: MeasuredGpu) -> MeasuredGpu:
        """The card with the driver's version added, where NVML tells it."""
        driver = self._child.facts.get("driver") if self._available() else None
        return replace(gpu, driver=driver)

    def max_sm_clock_mhz(self) -> float | None:
        """The card's highest SM clock: what the fastest possible run is held against."""
        value = self._child.facts.get("max_sm_clock_mhz") if self._available() else None
        return None if value is None else float(value)

    def _available(self) -> bool:
        ready = isinstance(self._child.ready(), Done)
        return ready and bool(self._child.facts.get("available"))

    def close(self) -> None:
        self._child.close()
