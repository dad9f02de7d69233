"""Outputs at full size: each program on each case, and the verdicts from measured numbers.

Joins workers, reference process and verifier. What to run when, and what follows from it, is not
decided here.
"""

from __future__ import annotations

import math
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any

from warpwright.bench.device.reference_process import ReferenceProcess, failed_check
from warpwright.bench.device.worker import Program, Worker
from warpwright.sandbox.deadline import Deadline
from warpwright.types.accuracy_numbers import CaseSpec, CheckNumbers, ReferenceNumbers
from warpwright.types.verdict import AccuracyCase, CheckResult, Status
from warpwright.types.worker_reply import Answer, CandidateFailed, Done, WorkerDied
from warpwright.verifier.outputs.interpreted import conclude
from warpwright.verifier.outputs.measured import is_wrong, judge_measured

CASES = ("problem", "normal", "wide", "outliers", "nonfinite")
PERTURBED = "perturbed state"
SMALLER_BATCH = "smaller batch"
BESIDE_SHARE = 0.03  # of the card's memory: a larger output is judged before the next is made
CALL_S = 60.0
FULL_SIZE = "accuracy at full size"  # the name of the check in a verdict
FIRST_CALL_S = 300.0  # of what may not have been compiled ahead: the parent; another batch
# Bytes an element, of a kind of dtype that eager PyTorch gives; enough to poison the memory.
ELEMENT_BYTES = {"float64": 8, "int64": 8, "float16": 2, "bfloat16": 2, "bool": 1}

Failure = CandidateFailed | WorkerDied


class NotWantedError(Exception):
    """A check was ended because nobody wants to know any more."""


@dataclass(frozen=True, slots=True)
class Checked:
    """Accuracy of one program at full size. `failure`: what ended it early, if anything did."""

    result: CheckResult
    cases: tuple[AccuracyCase, ...] = ()
    failure: Failure | None = None


@dataclass
class FullSize:
    """What verdicts on programs of one problem need: references, and the parent's runs.

    `make_references` and `run_parent` fill them; seeds are secret and stand in the specs.
    `right_parent`: where the parent's tuner takes a config whose output is wrong, the parent with
    configs of its own that are right; it is judged so, and timed as it is.
    """

    reference_process: ReferenceProcess
    required_kernels: tuple[str, ...]
    references: list[ReferenceNumbers] = field(default_factory=list)
    parent_runs: list[CheckNumbers] = field(default_factory=list)
    right_parent: Program | None = None
    left_out: dict[str, str] = field(default_factory=dict)  # case → why it has no reference

    def forget(self) -> None:
        """Forget all references and runs, as if none had been made."""
        for made in (self.references, self.parent_runs, self.left_out):
            made.clear()
        self.right_parent = None

    def make_references(self, deadline: Deadline | None = None) -> WorkerDied | None:
        """Compute every case's reference; what the reference process died of, if it did.

        Once the deadline is over only the problem's own data get one; the other cases are left out.
        """
        died = self._prepare([CaseSpec(name, secret_seed()) for name in CASES], deadline)
        more = [CaseSpec(PERTURBED, secret_seed(), state="perturbed"), *_smaller(self.references)]
        return died or self._prepare(more, deadline)

    def run_parent(self, worker: Worker, parent: Program, own: Sequence[Program]) -> Failure | None:
        """Run the parent on every case; what it failed of, if it did.

        `own`: the parent with its own configs pinned, one by one.
        """
        self.parent_runs, failure = self._runs(worker, parent, True)
        if failure is None:
            self._settle_on_a_right_config(worker, own)
        failed_at = self.parent_runs[-1].case if failure and self.parent_runs else None
        self._drop_a_batch_that_the_parent_does_not_serve()
        return None if failed_at == SMALLER_BATCH else failure

    def _prepare(self, specs: Sequence[CaseSpec], deadline: Deadline | None) -> WorkerDied | None:
        """Compute the references. A case in which the problem itself fails is left out."""
        for spec in specs:
            if spec.name != CASES[0] and deadline is not None and deadline.over:
                self.left_out[spec.name] = deadline.reason
                continue
            reference = self.reference_process.prepare(spec)
            if isinstance(reference, WorkerDied):
                return reference
            if isinstance(reference, CandidateFailed):
                self.left_out[spec.name] = f"the problem fails: {reference.reason}"
                continue
            self.references.append(reference)
            if reference.skipped is not None:
                self.left_out[spec.name] = reference.skipped
        return None

    @property
    def parent_is_right(self) -> bool | None:
        """Whether the parent's output on the problem's own inputs is the reference's, if imprecise.

        Only then is an output that differs wrong by the reference. None: no reference, or no run.
        """
        return self._right(self.parent_runs)

    def parent_verdict(self) -> CheckResult | None:
        """The verdict on the parent as its own tuner runs it, on every kind of data.

        None where that has no meaning: its tuner takes a config whose output is wrong.
        """
        if self.right_parent is not None:
            return None
        ran = [run for run in self.parent_runs if run.outputs is not None]
        judged = judge_measured(ran, ran, self.references, required_kernels=self.required_kernels)
        result = conclude(judged)
        open_ones = [run for run in self.parent_runs if run.outputs is None]
        if open_ones and result.status is Status.PASS:
            result = replace(result, status=Status.NOT_VERIFIED)
        told = [f"{run.case} inputs: it did not run here: {run.reason}" for run in open_ones]
        as_run = "judged as its own tuner runs it, not config by config"
        return replace(result, notes=(*result.notes, as_run, *told))

    def _right(self, runs: Sequence[CheckNumbers]) -> bool | None:
        first = next((ref for ref in self.references if ref.name == CASES[0] and ref.outputs), None)
        found = next((run for run in runs if run.case == CASES[0]), None)
        return None if first is None or found is None else not is_wrong(found, first)

    def _settle_on_a_right_config(self, worker: Worker, own: Sequence[Program]) -> None:
        """Where the parent's tuner took a config that is wrong, judge by one that is right.

        Else the wrong output would excuse all that are wrong like it.
        """
        if self.parent_is_right is not False or len(own) < 2:
            return
        for program in own:
            runs, failure = self._runs(worker, program, False, wanted=CASES[:1])
            if failure is None and self._right(runs):
                self.parent_runs, _ = self._runs(worker, program, True)
                self.right_parent = program
                return
            if not worker.healthy:
                return

    def _drop_a_batch_that_the_parent_does_not_serve(self) -> None:
        """A parent made for its own batch size alone asks no more of a candidate."""
        ours = [reference for reference in self.references if reference.name == SMALLER_BATCH]
        runs = [run for run in self.parent_runs if run.case == SMALLER_BATCH]
        judged = judge_measured(runs, runs, ours, required_kernels=self.required_kernels)
        if any(
            case.status is Status.PASS
            or (case.status is Status.NOT_VERIFIED and case.error is not None)  # no reference
            for case in judged
        ):
            return
        self.references = [ref for ref in self.references if ref.name != SMALLER_BATCH]
        self.parent_runs = [run for run in self.parent_runs if run.case != SMALLER_BATCH]

    def check(
        self,
        worker: Worker,
        program: Program,
        label: str = "as launched",
        cases: Sequence[str] | None = None,
        required_kernels: Sequence[str] | None = None,
        is_unwanted: Callable[[], bool] = lambda: False,
    ) -> Checked:
        """Run a program on every case, or on those named; the verifier's verdict from the reference
        process's numbers. The program stays loaded. `required_kernels`: those that it must launch,
        where they are not the parent's. Raises NotWantedError as soon as it `is_unwanted`."""
        runs, failure = self._runs(worker, program, False, label, cases, is_unwanted)
        judged = judge_measured(
            runs,
            self.parent_runs,
            self.references,
            required_kernels=self.required_kernels
            if required_kernels is None
            else required_kernels,
        )
        if failure is not None and not judged:
            result = CheckResult("accuracy", Status.NOT_VERIFIED, notes=(failure.reason,))
            return Checked(result, (), failure)
        return Checked(conclude(judged), judged, failure)

    def judge_output(
        self,
        worker: Worker,
        spec: CaseSpec,
        ran: Mapping[str, Any],
        label: str,
        parent: Worker | None = None,
    ) -> AccuracyCase | Failure:
        """The verdict on an output that a worker wrote (`ran`), on the inputs of `spec`.

        `parent`: a worker that holds the parent. It runs on the same inputs, and its error bounds
        the candidate's as it does in `check`; without one the policy alone does.
        """
        reference = self.reference_process.prepare(spec)
        if not isinstance(reference, ReferenceNumbers):
            return reference
        launches = dict.fromkeys(self.required_kernels, 1)  # counted in the checks, not here
        answer = Done({**ran, "launches": launches, "changed_inputs": ()})
        numbers = self._measured(worker, reference, answer, label, False)
        if not isinstance(numbers, CheckNumbers):
            return numbers
        theirs = [] if parent is None else self._parent_on(parent, reference)
        (case,) = judge_measured(
            [numbers], theirs, [reference], required_kernels=self.required_kernels
        )
        return case

    def _parent_on(self, parent: Worker, reference: ReferenceNumbers) -> list[CheckNumbers]:
        """The parent's run on the inputs of a reference; none where it fails there."""
        ran = parent.check(reference.spec, deadline_s=CALL_S)
        if not isinstance(ran, Done):
            return []
        numbers = self._measured(parent, reference, ran, "parent", False)
        return [numbers] if isinstance(numbers, CheckNumbers) else []

    def _runs(
        self,
        worker: Worker,
        program: Program,
        is_parent: bool,
        label: str = "as launched",
        wanted: Sequence[str] | None = None,
        is_unwanted: Callable[[], bool] = lambda: False,
    ) -> tuple[list[CheckNumbers], Failure | None]:
        if is_unwanted():
            raise NotWantedError
        loaded = worker.load(program)
        if not isinstance(loaded, Done):
            first = self.references[:1]
            return [failed_check(ref.spec, label, loaded) for ref in first], loaded
        runs: list[CheckNumbers] = []
        # While the reference process judges one output, the worker makes the next.
        with ThreadPoolExecutor(max_workers=1) as judge:
            judged: Future[CheckNumbers | Failure] | None = None
            for number, reference in enumerate(self._wanted(wanted)):
                if is_unwanted():
                    raise NotWantedError
                if judged is not None and not self._two_fit(worker, reference):
                    wait([judged])
                ran = self._run(worker, reference, first=is_parent and not number)
                if (failed := _taken(judged, runs)) is not None:
                    return runs, failed
                judged = None
                if isinstance(ran, Done):
                    judged = judge.submit(self._measured, worker, reference, ran, label, is_parent)
                    continue
                runs.append(failed_check(reference.spec, label, ran))
                if isinstance(ran, WorkerDied) or not worker.healthy:
                    return runs, ran
            return runs, _taken(judged, runs)

    def _wanted(self, names: Sequence[str] | None) -> list[ReferenceNumbers]:
        """The references of these cases, or of all, that there are."""
        return [
            reference
            for reference in self.references
            if reference.skipped is None and (names is None or reference.name in names)
        ]

    def _two_fit(self, worker: Worker, reference: ReferenceNumbers) -> bool:
        """Whether there is room for an output beside the one before it: where the files lie, and
        on the card, for what both processes make of them."""
        size_bytes = sum(_sizes(reference))
        gpu = worker.gpu()
        on_card = gpu is None or size_bytes <= BESIDE_SHARE * gpu.memory_bytes
        return on_card and 2 * size_bytes <= shutil.disk_usage(worker.out_dir).free

    def _run(self, worker: Worker, reference: ReferenceNumbers, *, first: bool) -> Answer:
        """One call on a case's inputs. `first`: it may compile and tune."""
        return worker.check(
            reference.spec,
            poison_bytes=_sizes(reference),
            deadline_s=FIRST_CALL_S if first or reference.name == SMALLER_BATCH else CALL_S,
        )

    def _measured(
        self, worker: Worker, reference: ReferenceNumbers, ran: Done, label: str, is_parent: bool
    ) -> CheckNumbers | Failure:
        numbers = self.reference_process.measure(
            reference.spec, ran.value, worker.out_dir, label=label, is_parent=is_parent
        )
        worker.forget(ran.value.get("outputs", ()))
        if isinstance(numbers, CandidateFailed):  # files that are not what the worker said
            return failed_check(reference.spec, label, numbers)
        return numbers


def _taken(
    judged: Future[CheckNumbers | Failure] | None, runs: list[CheckNumbers]
) -> Failure | None:
    """Put what was judged beside the next run among the runs; or the failure that it met."""
    if judged is None:
        return None
    numbers = judged.result()
    if not isinstance(numbers, CheckNumbers):
        return numbers
    runs.append(numbers)
    return None


def _smaller(references: Sequence[ReferenceNumbers]) -> list[CaseSpec]:
    """The problem's own values in half its batch, where its inputs share a leading dimension."""
    own = next((reference for reference in references if reference.name == CASES[0]), None)
    shapes = [] if own is None else [tensor.shape for tensor in own.inputs]
    batches = {shape[0] if shape else 0 for shape in shapes}
    if len(batches) != 1 or (batch := batches.pop()) < 2:
        return []
    return [CaseSpec(SMALLER_BATCH, secret_seed(), batch=batch // 2)]


def secret_seed() -> int:
    return secrets.randbelow(2**31)


def _sizes(reference: ReferenceNumbers) -> list[int]:
    return [
        ELEMENT_BYTES.get(output.dtype, 4) * math.prod(output.shape) for output in reference.outputs
    ]
