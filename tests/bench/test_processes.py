"""The bench: a problem's programs checked and timed, through real processes."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest

from warpwright.bench.processes import Bench, open_bench
from warpwright.types.measurement import Burst
from warpwright.types.shapes import Problem, TensorSpec
from warpwright.types.verdict import AccuracyCase, Status
from warpwright.types.worker_reply import Death, WorkerDied

pytestmark = pytest.mark.triton


@pytest.fixture(scope="module")
def bench(workshop: ModuleType) -> Iterator[Bench]:
    problem = Problem(source=workshop.PROBLEM)
    with open_bench(problem, workshop.PROGRAM, [workshop.KERNEL], device="cpu", spares=1) as bench:
        assert bench.open() is None
        yield bench


def test_a_renamed_copy_passes_bit_by_bit(bench: Bench, workshop: ModuleType) -> None:
    worker = bench.pool.take()
    checked = bench.full_size.check(worker, bench.program(workshop.PROGRAM + "\n# a copy\n"))
    bench.pool.give_back(worker)
    assert checked.result.status is Status.PASS, checked
    assert len(checked.cases) == 7
    assert all(case.bit_equal_to_parent for case in checked.cases)


def test_a_wrong_program_fails(bench: Bench, workshop: ModuleType) -> None:
    worker = bench.pool.take()
    checked = bench.full_size.check(
        worker, bench.program(workshop.PROGRAM.replace("x * w + b", "x * w - b"))
    )
    bench.pool.give_back(worker)
    assert checked.result.status is Status.FAIL  # zero biases: only the perturbed state shows it
    failed = [case.distribution for case in checked.cases if case.status is Status.FAIL]
    assert failed == ["perturbed state"]


def test_a_parameter_that_is_left_open_gets_values_that_show_what_is_wrong(
    workshop: ModuleType,
) -> None:
    """Left as it is, it is NaN here and chance on a device: then all outputs are NaN, or differ."""
    left_open = workshop.PROGRAM.replace("torch.zeros(columns)", "torch.empty(columns)")
    assert left_open != workshop.PROGRAM
    shapes = Problem(
        inputs=(TensorSpec((workshop.ROWS, workshop.COLUMNS)),), init_args=(workshop.COLUMNS,)
    )
    with open_bench(shapes, left_open, [workshop.KERNEL], device="cpu", spares=0) as bench:
        assert bench.open() is None
        worker = bench.pool.take(fresh=True)
        same = bench.full_size.check(worker, bench.program(left_open))
        wrong = bench.full_size.check(
            worker, bench.program(left_open.replace("x * w + b", "x * w - b"))
        )
        bench.pool.give_back(worker)
    assert [case.bit_equal_to_parent for case in same.cases if case.gating] == [True] * 5
    assert wrong.result.status is Status.FAIL


def for_one_batch(workshop: ModuleType) -> str:
    """A program that allocates its output for the batch size of the problem alone."""
    fixed = f"torch.empty({workshop.ROWS}, {workshop.COLUMNS}, device=x.device)"
    program: str = workshop.PROGRAM.replace("torch.empty_like(x)", fixed)
    assert program != workshop.PROGRAM
    return program


def test_a_program_for_one_batch_size_fails_where_the_parent_takes_others(
    bench: Bench, workshop: ModuleType
) -> None:
    worker = bench.pool.take()
    checked = bench.full_size.check(worker, bench.program(for_one_batch(workshop)))
    bench.pool.give_back(worker)
    failed = [case for case in checked.cases if case.status is Status.FAIL]
    assert [(case.distribution, case.inputs) for case in failed] == [
        ("smaller batch", (f"{workshop.ROWS // 2}x{workshop.COLUMNS}",))
    ]


@pytest.mark.slow
def test_a_parent_for_one_batch_size_asks_no_other_of_a_candidate(workshop: ModuleType) -> None:
    problem, parent = Problem(source=workshop.PROBLEM), for_one_batch(workshop)
    with open_bench(problem, parent, [workshop.KERNEL], device="cpu", spares=0) as bench:
        assert bench.open() is None
        worker = bench.pool.take()
        checked = bench.full_size.check(worker, bench.program(parent + "# a copy"))
        bench.pool.give_back(worker)
    assert checked.result.status is Status.PASS, checked
    assert "smaller batch" not in [case.distribution for case in checked.cases]


def test_a_program_that_dies_is_told_and_the_pool_gives_another_worker(
    bench: Bench, workshop: ModuleType
) -> None:
    worker = bench.pool.take()
    crash = workshop.program("import os; os.abort()").source
    checked = bench.full_size.check(worker, bench.program(crash))
    assert isinstance(checked.failure, WorkerDied)
    assert checked.failure.how is Death.ABORT
    assert checked.result.status is Status.FAIL
    bench.pool.give_back(worker)
    other = bench.pool.take()
    assert other is not worker
    assert (
        bench.full_size.check(other, bench.program(workshop.PROGRAM)).result.status is Status.PASS
    )
    bench.pool.give_back(other)


def test_bursts_of_two_workers_alternate_and_a_timed_output_is_right(
    bench: Bench, workshop: ModuleType
) -> None:
    workers = [bench.pool.take(fresh=True) for _ in range(2)]
    bursts = []
    for worker in workers:
        worker.load(bench.program(workshop.PROGRAM))
        bench.warm_up(worker, 0.05)
    for _ in range(2):
        for number, worker in enumerate(workers):
            bursts.append(bench.burst(worker, f"p{number}", number, 3, keep=True))
    assert all(isinstance(burst, Burst) for burst in bursts), bursts
    assert [burst.worker for burst in bursts] == [0, 1, 0, 1]  # type: ignore[union-attr]
    orders = [burst.order for burst in bursts]  # type: ignore[union-attr]
    assert orders == sorted(set(orders))
    case = bench.check_kept(workers[1], "timed call")
    assert isinstance(case, AccuracyCase), case
    assert case.status is Status.PASS
    for worker in workers:
        bench.pool.give_back(worker)


def test_a_timed_output_may_be_as_inexact_as_the_parent_and_no_more(workshop: ModuleType) -> None:
    """The parent breaks the policy; what is timed is judged by the bound that `check` uses."""
    coarse = workshop.PROGRAM.replace(
        "x * w + b, mask", "(x * w + b).to(tl.float16).to(tl.float32), mask"
    )
    assert coarse != workshop.PROGRAM
    coarser = coarse.replace("tl.float16", "tl.bfloat16")
    problem = Problem(source=workshop.PROBLEM)
    with open_bench(problem, coarse, [workshop.KERNEL], device="cpu", spares=1) as bench:
        assert bench.open() is None
        worker, other = bench.pool.take(fresh=True), bench.pool.take(fresh=True)
        other.load(bench.program(coarse))
        found = []
        for program in (coarse + "# a copy", coarser):
            worker.load(bench.program(program))
            for parent in (other, None):
                assert isinstance(bench.burst(worker, "candidate", 1, 3, keep=True), Burst)
                case = bench.check_kept(worker, "timed call", parent)
                assert isinstance(case, AccuracyCase), case
                found.append(case.status)
        bench.pool.give_back(worker)
        bench.pool.give_back(other)
    assert found == [Status.PASS, Status.FAIL, Status.FAIL, Status.FAIL]
