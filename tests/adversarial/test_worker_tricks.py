"""Tricks that only running shows: caught on the device, each with an honest twin."""

from __future__ import annotations

from types import ModuleType

import pytest

from warpwright.bench.device.reference_process import ReferenceProcess
from warpwright.bench.device.worker import Worker
from warpwright.types.accuracy_numbers import CaseSpec, CheckNumbers, ReferenceNumbers
from warpwright.types.verdict import Status
from warpwright.types.worker_reply import CandidateFailed, Done, FailureKind
from warpwright.verifier.outputs.interpreted import conclude
from warpwright.verifier.outputs.measured import judge_measured

pytestmark = pytest.mark.triton


def run(worker: Worker, program: object) -> object:
    loaded = worker.load(program)  # type: ignore[arg-type]
    return worker.time(2, seed=11) if isinstance(loaded, Done) else loaded


def verdict(
    worker: Worker, judge: ReferenceProcess, workshop: ModuleType, *names: str
) -> tuple[Status, list[str]]:
    """The verifier's verdict on what is loaded, by numbers of the reference process."""
    references: list[ReferenceNumbers] = []
    runs: list[CheckNumbers] = []
    for seed, name in enumerate(names or ("problem", "normal")):
        reference, numbers = workshop.checked(worker, judge, CaseSpec(name, 900 + seed))
        references.append(reference)
        runs.append(numbers)
    result = conclude(judge_measured(runs, [], references, required_kernels=[workshop.KERNEL]))
    return result.status, [violation.found for violation in result.violations]


def test_the_honest_program_passes_everything(
    worker: Worker, judge: ReferenceProcess, workshop: ModuleType
) -> None:
    assert isinstance(run(worker, workshop.program(judge=judge)), Done)
    assert verdict(worker, judge, workshop) == (Status.PASS, [])


@pytest.mark.parametrize(
    "patch",
    [
        "import time; time.perf_counter = lambda: 0.0",
        "torch.equal = lambda *a: True",
        "triton.testing.do_bench = lambda *a, **k: 0.001",
        "torch.rand = lambda *a, **k: torch.zeros(*a)",
    ],
)
def test_a_patched_library_is_found_out(worker: Worker, workshop: ModuleType, patch: str) -> None:
    answer = run(worker, workshop.program(top=f"\n{patch}\n"))
    assert isinstance(answer, CandidateFailed), answer
    assert answer.kind is FailureKind.TAMPERED
    assert not worker.healthy


def test_a_patched_clock_does_not_change_times(worker: Worker, workshop: ModuleType) -> None:
    """Undone before it is looked for: the time is taken by references of before."""
    body = f"""
        import time
        kept = time.perf_counter
        time.perf_counter = lambda: 0.0
        begun = kept()
        while kept() - begun < 0.05:
            pass
        time.perf_counter = kept
        {workshop.RETURN}
    """
    answer = run(worker, workshop.program(body))
    assert isinstance(answer, Done), answer
    assert min(answer.value["times_us"]) > 40_000


def test_a_lazy_tensor_is_refused(worker: Worker, workshop: ModuleType) -> None:
    body = "return x.as_subclass(Lazy)"
    answer = run(worker, workshop.program(body, top="\nclass Lazy(torch.Tensor):\n    pass\n"))
    assert isinstance(answer, CandidateFailed), answer
    assert answer.kind is FailureKind.BAD_OUTPUT
    assert "Lazy" in answer.reason


def test_an_output_kept_from_the_first_call_is_wrong(
    worker: Worker, judge: ReferenceProcess, workshop: ModuleType
) -> None:
    body = """
        if not hasattr(self, "kept"):
            self.kept = affine(x, self.weight, self.bias)
        return self.kept
    """
    worker.load(workshop.program(body, judge=judge))
    burst = worker.time(4, seed=70, keep=3)
    assert isinstance(burst, Done)
    reference = judge.prepare(CaseSpec(**burst.value["kept"]))
    assert isinstance(reference, ReferenceNumbers)
    kept = worker.kept_output()
    assert isinstance(kept, Done)
    ran = {"outputs": kept.value["outputs"], "launches": {workshop.KERNEL: 1}, "changed_inputs": []}
    numbers = judge.measure(reference.spec, ran, worker.out_dir, label="timed call")
    assert isinstance(numbers, CheckNumbers)
    cases = judge_measured([numbers], [], [reference], required_kernels=[workshop.KERNEL])
    assert cases[0].status is Status.FAIL


def test_output_cached_by_place_meets_other_values_at_other_places(
    worker: Worker, judge: ReferenceProcess, workshop: ModuleType
) -> None:
    """`data_ptr` as a key: within a burst two calls in a row never share a place."""
    body = """
        if not hasattr(self, "places"):
            self.places = []
        timed = len(self.places) >= 2  # the two calls that warm up share their inputs
        assert not timed or self.places[-1] != x.data_ptr(), "the same place"
        self.places.append(x.data_ptr())
        return affine(x, self.weight, self.bias)
    """
    worker.load(workshop.program(body, judge=judge))
    assert isinstance(worker.time(6, seed=3), Done)


def test_unwritten_memory_is_nan_and_fails(
    worker: Worker, judge: ReferenceProcess, workshop: ModuleType
) -> None:
    body = "affine(x, self.weight, self.bias)\nreturn torch.empty_like(x)"
    worker.load(workshop.program(body, judge=judge))
    status, found = verdict(worker, judge, workshop)
    assert status is Status.FAIL
    assert "NaN" in found[0]


def test_a_kernel_that_was_not_launched_proves_nothing(
    worker: Worker, judge: ReferenceProcess, workshop: ModuleType
) -> None:
    worker.load(workshop.program("return x * self.weight + self.bias", judge=judge))
    status, _ = verdict(worker, judge, workshop)
    assert status is Status.NOT_VERIFIED


def test_a_changed_input_fails(
    worker: Worker, judge: ReferenceProcess, workshop: ModuleType
) -> None:
    body = "y = affine(x, self.weight, self.bias)\nx.zero_()\nreturn y"
    worker.load(workshop.program(body, judge=judge))
    status, found = verdict(worker, judge, workshop)
    assert status is Status.FAIL
    assert found[0] == "it changes its input 0 in place"


def test_a_bias_that_is_left_out_shows_with_another_state(
    worker: Worker, judge: ReferenceProcess, workshop: ModuleType
) -> None:
    body = "return affine(x, self.weight, torch.zeros_like(self.bias))"
    worker.load(workshop.program(body, judge=judge))
    assert verdict(worker, judge, workshop)[0] is Status.PASS
    spec = CaseSpec("perturbed state", 5, state="perturbed")
    reference, numbers = workshop.checked(worker, judge, spec)
    cases = judge_measured([numbers], [], [reference], required_kernels=[workshop.KERNEL])
    assert cases[0].status is Status.FAIL


def test_the_reference_is_not_in_the_workers_process(worker: Worker, workshop: ModuleType) -> None:
    body = """
        import gc, sys
        names = [o.__name__ for o in gc.get_objects() if isinstance(o, type)]
        assert "ModelNew" in names and "Model" not in names, "the reference is here"
        return affine(x, self.weight, self.bias)
    """
    assert isinstance(run(worker, workshop.program(body)), Done)


def test_a_thread_that_is_left_is_told(worker: Worker, workshop: ModuleType) -> None:
    body = f"""
        import threading, time
        threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
        {workshop.RETURN}
    """
    answer = run(worker, workshop.program(body))
    assert isinstance(answer, CandidateFailed), answer
    assert answer.kind is FailureKind.THREADS


def test_a_forbidden_action_that_is_caught_is_told_all_the_same(
    worker: Worker, workshop: ModuleType
) -> None:
    body = f"""
        import os
        try:
            os.system("true")
        except BaseException:
            pass
        {workshop.RETURN}
    """
    answer = run(worker, workshop.program(body))
    assert isinstance(answer, CandidateFailed), answer
    assert answer.kind is FailureKind.FORBIDDEN
