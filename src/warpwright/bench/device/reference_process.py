"""The parent's side of `child_reference_process`: references and errors, as numbers."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from warpwright.bench.device.card import turn
from warpwright.bench.device.worker import States, device_environment, exchange_directory
from warpwright.sandbox.persistent import PersistentChild
from warpwright.tracing.trace import problem_payload
from warpwright.types.accuracy_numbers import (
    CaseSpec,
    CheckNumbers,
    NonfiniteMismatch,
    OutputNumbers,
    ReferenceNumbers,
    ReferenceOutput,
)
from warpwright.types.shapes import Problem, TensorSpec
from warpwright.types.verdict import ErrorMeasure
from warpwright.types.worker_reply import (
    Answer,
    CandidateFailed,
    Death,
    Done,
    WorkerDied,
    WorkerLimits,
)

PREPARE_S = 120.0
MEASURE_S = 60.0


class ReferenceProcess:
    """The process that holds the reference of one problem. Never runs a candidate."""

    def __init__(
        self,
        device: str = "cuda",
        *,
        limits: WorkerLimits | None = None,
        cores: Iterable[int] | None = None,
    ) -> None:
        self._device = device
        self._states_dir = exchange_directory()
        self._start = partial(
            PersistentChild,
            "reference",
            settings={"device": device},
            limits=limits,
            cores=None if cores is None else tuple(cores),
            environment=device_environment(device),
        )
        self._child = self._start()
        self._problem: Mapping[str, Any] | None = None  # what it loaded, for another process
        self.states = States()
        self.has_model = False
        self._interrupted = False

    def __enter__(self) -> ReferenceProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def facts(self) -> Mapping[str, Any]:
        """What it said of its device, once it is ready."""
        return self._child.facts

    @property
    def pid(self) -> int:
        return self._child.pid

    def ready(self) -> Answer:
        return self._child.ready()

    def load(
        self,
        problem: Problem,
        *,
        seed: int,
        evaluation_mode: bool = False,
        deadline_s: float = PREPARE_S,
    ) -> Answer:
        """Load a problem. `states` then holds the parameters that programs are given.

        `evaluation_mode`: its model is put into `eval()`, as the programs are.
        """
        payload = {
            "problem": problem_payload(problem),
            "seed": seed,
            "states_dir": str(self._states_dir),
            "evaluation_mode": evaluation_mode,
        }
        self._problem = None
        answer = self._child.call("load", payload, deadline_s=deadline_s)
        if isinstance(answer, Done):
            self.has_model = bool(answer.value["has_model"])
            manifests = answer.value["states"]
            self.states = States(manifests, self._states_dir if manifests else None)
            self._problem = payload if self.has_model else None
        return _told(answer)

    def prepare(
        self, spec: CaseSpec, *, deadline_s: float = PREPARE_S
    ) -> ReferenceNumbers | CandidateFailed | WorkerDied:
        """Compute a case's reference. The spec in the result may differ: `positive`."""
        answer = self._ask("prepare", {"spec": asdict(spec)}, deadline_s=deadline_s)
        return _reference(answer.value) if isinstance(answer, Done) else answer

    def measure(
        self,
        spec: CaseSpec,
        ran: Mapping[str, Any],
        directory: Path,
        *,
        label: str,
        is_parent: bool = False,
        deadline_s: float = MEASURE_S,
    ) -> CheckNumbers | CandidateFailed | WorkerDied:
        """Numbers of what `Worker.check` answered (`ran`) with files in `directory`.

        The parent's outputs are kept, for the bit-equality of candidates on the same case.
        """
        if "skipped" in ran:
            return CheckNumbers(spec.name, label, "skipped", reason=str(ran["skipped"]))
        payload = {
            "spec": asdict(spec),
            "outputs": list(ran["outputs"]),
            "directory": str(directory),
            "is_parent": is_parent,
        }
        answer = self._ask("measure", payload, deadline_s=deadline_s)
        return _check(spec, label, ran, answer.value) if isinstance(answer, Done) else answer

    def _ask(self, command: str, payload: Mapping[str, Any], *, deadline_s: float) -> Answer:
        """One request; where the process dies of it, once more in another.

        Not where it hung, nor without a reference: only the dead one had the parent's outputs.
        """
        answer = self._once(command, payload, deadline_s)
        died = isinstance(answer, WorkerDied) and answer.how is not Death.TIMEOUT
        if died and not self._interrupted:
            answer = self._once(command, payload, deadline_s)
        return _told(answer)

    def _once(self, command: str, payload: Mapping[str, Any], deadline_s: float) -> Answer:
        if not self._child.alive and self._problem is not None and not self._interrupted:
            self._child = self._start()
            with turn(self._device, alone=False):
                loaded = self._child.call("load", self._problem, deadline_s=PREPARE_S)
            if not isinstance(loaded, Done):
                return loaded
        with turn(self._device, alone=False):
            return self._child.call(command, payload, deadline_s=deadline_s)

    def interrupt(self) -> None:
        """End what it is at, from another thread; whatever is asked from now on has died."""
        self._interrupted = True
        self._child.interrupt()

    def close(self) -> None:
        self._child.close()
        shutil.rmtree(self._states_dir, ignore_errors=True)


def _told(answer: Answer) -> Answer:
    """An answer that names the reference process where it died, and blames no program for it."""
    if not isinstance(answer, WorkerDied):
        return answer
    reason = f"the process that judges outputs died: {answer.reason}"
    return replace(answer, reason=reason, blames_program=False)


def failed_check(spec: CaseSpec, label: str, answer: CandidateFailed | WorkerDied) -> CheckNumbers:
    """A run that gave no outputs, as the verifier judges it."""
    if isinstance(answer, WorkerDied):
        return CheckNumbers(
            spec.name, label, "failed" if answer.blames_program else "lost", reason=answer.reason
        )
    where = f"{answer.where}: " if answer.where else ""
    outcome = "unsupported" if answer.kind == "unsupported" else "failed"
    return CheckNumbers(spec.name, label, outcome, reason=f"{where}{answer.reason}")


def _error(value: Sequence[float] | None) -> ErrorMeasure | None:
    return None if value is None else ErrorMeasure(float(value[0]), float(value[1]))


def _measured(value: Sequence[float]) -> ErrorMeasure:
    return ErrorMeasure(float(value[0]), float(value[1]))


def _mismatch(value: Mapping[str, Any] | None) -> NonfiniteMismatch | None:
    if value is None:
        return None
    return NonfiniteMismatch(value["count"], value["size"], tuple(value["place"]))


def _reference(value: Mapping[str, Any]) -> ReferenceNumbers:
    spec = CaseSpec(**value["spec"])
    if "skipped" in value:
        return ReferenceNumbers(spec, skipped=str(value["skipped"]))
    return ReferenceNumbers(
        spec=spec,
        inputs=tuple(TensorSpec(tuple(i["shape"]), i["dtype"]) for i in value["inputs"]),
        outputs=tuple(
            ReferenceOutput(
                name=output["name"],
                dtype=output["dtype"],
                shape=tuple(output["shape"]),
                policy_error=_measured(output["policy_error"]),
                conditioning=output["conditioning"],
                finite=output["finite"],
                largest=output["largest"],
                constant=output["constant"],
            )
            for output in value["outputs"]
        ),
        summands=value.get("summands", 0),
        changes_inputs=tuple(value.get("changes_inputs", ())),
        like_first=value.get("like_first", False),
        how=value.get("how", ""),
    )


def _check(
    spec: CaseSpec, label: str, ran: Mapping[str, Any], value: Mapping[str, Any]
) -> CheckNumbers:
    if "skipped" in value:
        return CheckNumbers(spec.name, label, "skipped", reason=str(value["skipped"]))
    return CheckNumbers(
        case=spec.name,
        label=label,
        outcome="ok",
        outputs=tuple(
            OutputNumbers(
                name=output["name"],
                dtype=output["dtype"],
                shape=tuple(output["shape"]),
                error=_error(output.get("error")),
                nonfinite=_mismatch(output.get("nonfinite")),
            )
            for output in value["outputs"]
        ),
        launches={str(kernel): int(count) for kernel, count in dict(ran["launches"]).items()},
        changed_inputs=tuple(int(index) for index in ran["changed_inputs"]),
        parameters=str(ran.get("parameters", "")),
        parameters_matched=bool(ran.get("parameters_matched", True)),
        bit_equal_to_parent=value["bit_equal"],
        apart=_error(value["apart"]),
        apart_nonfinite=_mismatch(value["apart_nonfinite"]),
        parent_finite=bool(value["parent_finite"]),
    )
