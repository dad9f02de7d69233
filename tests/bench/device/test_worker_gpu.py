"""Workers on a GPU: what only a GPU shows."""

from __future__ import annotations

import secrets
import statistics
from collections.abc import Iterator
from types import ModuleType

import pytest

from warpwright.bench.device.reference_process import ReferenceProcess
from warpwright.bench.device.worker import EagerVariant, Worker
from warpwright.store.binaries import cache_directory
from warpwright.types.accuracy_numbers import CaseSpec
from warpwright.types.shapes import Problem
from warpwright.types.worker_reply import CandidateFailed, Death, Done, FailureKind, WorkerDied

pytestmark = [pytest.mark.gpu, pytest.mark.triton]

ROWS, COLUMNS = 4096, 8192


@pytest.fixture(scope="module")
def gpu_problem(workshop: ModuleType) -> Problem:
    small = f"torch.rand({workshop.ROWS}, {workshop.COLUMNS})"
    source = workshop.PROBLEM.replace(small, f"torch.rand({ROWS}, {COLUMNS})")
    return Problem(source=source.replace(f"return [{workshop.COLUMNS}]", f"return [{COLUMNS}]"))


@pytest.fixture(scope="module")
def judge(workshop: ModuleType, gpu_problem: Problem) -> Iterator[ReferenceProcess]:
    with ReferenceProcess("cuda") as judge:
        loaded = judge.load(gpu_problem, seed=workshop.SEED)
        assert isinstance(loaded, Done), loaded
        yield judge


@pytest.fixture(scope="module")
def shared(workshop: ModuleType) -> Iterator[Worker]:
    """One worker for all tests that leave it healthy."""
    with Worker("cuda") as worker:
        assert isinstance(worker.ready(), Done)
        yield worker


def on_gpu(workshop: ModuleType, problem: Problem, body: str | None = None, **fields: object):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    return replace(workshop.program(body, **fields), problem=problem)


def test_an_honest_program_is_right_on_every_kind_of_data(
    shared: Worker, workshop: ModuleType, judge: ReferenceProcess, gpu_problem: Problem
) -> None:
    loaded = shared.load(on_gpu(workshop, gpu_problem, judge=judge))
    assert isinstance(loaded, Done), loaded
    for name in ("problem", "normal", "wide", "outliers", "nonfinite", "perturbed state"):
        state = "perturbed" if name == "perturbed state" else "own"
        spec = CaseSpec(name, secrets.randbelow(2**31), state=state)
        _, numbers = workshop.checked(shared, judge, spec)
        assert numbers.launches[workshop.KERNEL] >= 1
        assert numbers.outputs[0].error.relative_l2 < 1e-6
        assert numbers.outputs[0].nonfinite is None


def test_what_a_tuner_leaves_in_its_first_call_is_not_the_output(
    shared: Worker, workshop: ModuleType, judge: ReferenceProcess, gpu_problem: Problem
) -> None:
    """The tuner runs both configs into one output; the faster leaves half of it unwritten."""
    halves = workshop.program(judge=judge).source
    listed = '[triton.Config({"BLOCK": 512}), triton.Config({"BLOCK": 1024}, num_warps=8)]'
    assert listed in halves
    halves = halves.replace(
        listed, '[triton.Config({"BLOCK": 1024}), triton.Config({"BLOCK": 512})]'
    )
    halves = halves.replace('triton.cdiv(x.numel(), meta["BLOCK"])', "triton.cdiv(x.numel(), 1024)")
    halves = halves.replace("torch.empty_like(x)", "torch.zeros_like(x)")
    program = on_gpu(workshop, gpu_problem, judge=judge)
    from dataclasses import replace

    assert isinstance(shared.load(replace(program, source=halves)), Done)
    spec = CaseSpec("problem", secrets.randbelow(2**31))
    errors = []
    for _ in range(2):
        _, numbers = workshop.checked(shared, judge, spec)
        assert numbers.launches == {workshop.KERNEL: 1}
        errors.append(numbers.outputs[0].error.relative_l2)
    assert errors[0] == errors[1] > 0.5


def test_times_are_those_of_the_device_and_fit_the_wall_clock(
    shared: Worker, workshop: ModuleType, gpu_problem: Problem
) -> None:
    assert isinstance(shared.load(on_gpu(workshop, gpu_problem)), Done)
    burst = shared.time(20, seed=5, warm_up_s=0.1, keep=7)
    assert isinstance(burst, Done), burst
    median = statistics.median(burst.value["times_us"])
    assert 10 < median < 5000  # 268 MB are read and written
    assert sum(burst.value["times_us"]) < burst.wall_s * 1e6
    bench = shared.do_bench(seed=1)
    assert isinstance(bench, Done), bench
    assert 0.5 < bench.value["median_us"] / median < 2


def test_an_illegal_address_ends_the_worker_and_is_told(
    workshop: ModuleType, gpu_problem: Problem
) -> None:
    program = on_gpu(workshop, gpu_problem)
    stray = program.source.replace(
        "y_ptr + offsets, x", "y_ptr + (1 << 40) + offsets.to(tl.int64), x"
    )
    assert stray != program.source
    from dataclasses import replace

    with Worker("cuda") as worker:
        loaded = worker.load(replace(program, source=stray))
        assert isinstance(loaded, Done), loaded
        answer = worker.time(1, seed=1)
        assert isinstance(answer, WorkerDied), answer
        assert answer.how is Death.STICKY_CUDA_ERROR
        assert answer.blames_program
        assert "illegal" in answer.reason
        assert not worker.healthy


def test_exhausted_gpu_memory_fails_the_program_and_not_the_worker(
    shared: Worker, workshop: ModuleType, gpu_problem: Problem
) -> None:
    hog = """
        kept = []
        while True:
            kept.append(torch.empty(1 << 30, device=x.device))
    """
    assert isinstance(shared.load(on_gpu(workshop, gpu_problem, hog)), Done)
    answer = shared.time(1, seed=1)
    assert isinstance(answer, CandidateFailed), answer
    assert answer.kind is FailureKind.GPU_OUT_OF_MEMORY
    assert shared.healthy
    assert isinstance(shared.load(on_gpu(workshop, gpu_problem)), Done)
    assert isinstance(shared.time(2, seed=1), Done)


def test_too_much_shared_memory_fails_the_program(
    shared: Worker, workshop: ModuleType, gpu_problem: Problem
) -> None:
    top = """
        @triton.jit
        def large_kernel(x_ptr, N: tl.constexpr):
            a = tl.load(x_ptr + tl.arange(0, N)[:, None] * N + tl.arange(0, N)[None, :])
            tl.store(x_ptr + tl.arange(0, N)[:, None] * N + tl.arange(0, N)[None, :], tl.dot(a, a))
    """
    body = "y = torch.empty_like(x)\nlarge_kernel[(1,)](y, N=256, num_warps=8)\nreturn y"
    loaded = shared.load(on_gpu(workshop, gpu_problem, body, top=top))
    assert isinstance(loaded, Done), loaded
    answer = shared.time(1, seed=1, deadline_s=300)
    assert isinstance(answer, CandidateFailed), answer
    assert answer.kind is FailureKind.OUT_OF_RESOURCES
    assert shared.healthy


def test_work_on_a_side_stream_shows_after_the_end(
    shared: Worker, workshop: ModuleType, gpu_problem: Problem
) -> None:
    body = """
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(40):
                y = x * self.weight + self.bias
        return y
    """
    assert isinstance(shared.load(on_gpu(workshop, gpu_problem, body)), Done)
    hidden = shared.time(5, seed=1, warm_up_s=0.05)
    assert isinstance(shared.load(on_gpu(workshop, gpu_problem)), Done)
    honest = shared.time(5, seed=1, warm_up_s=0.05)
    assert isinstance(hidden, Done) and isinstance(honest, Done), (hidden, honest)
    assert statistics.median(hidden.value["tail_us"]) > 500
    assert statistics.median(hidden.value["times_us"]) > 450  # it counts
    assert statistics.median(honest.value["tail_us"]) < 100


@pytest.mark.parametrize(
    "patch",
    [
        "torch.cuda.Event.elapsed_time = lambda *a: 0.001",
        "torch.cuda.synchronize = lambda *a: None",
    ],
)
def test_patched_cuda_functions_are_found_out(
    workshop: ModuleType, gpu_problem: Problem, patch: str
) -> None:
    with Worker("cuda") as worker:
        answer = worker.load(on_gpu(workshop, gpu_problem, top=f"\n{patch}\n"))
        assert isinstance(answer, CandidateFailed), answer
        assert answer.kind is FailureKind.TAMPERED


def test_a_graph_replays_and_torch_compile_works(
    workshop: ModuleType, gpu_problem: Problem
) -> None:
    with Worker("cuda") as worker:
        assert isinstance(worker.load(on_gpu(workshop, gpu_problem)), Done)
        assert isinstance(worker.time(1, seed=1), Done)  # tuned before it is captured
        graph = worker.graph(seed=1)
        assert isinstance(graph, Done), graph
        assert graph.value["works"], graph
        assert graph.value["bit_equal"]
        compiled = worker.torch_compile(seed=1)
        assert isinstance(compiled, Done), compiled
        assert compiled.value["works"], compiled


def test_compiling_ahead_fills_the_cache(
    shared: Worker, workshop: ModuleType, gpu_problem: Problem, tmp_path
) -> None:  # type: ignore[no-untyped-def]
    fresh = on_gpu(workshop, gpu_problem, top="\n# another program\n")
    cached = on_gpu(
        workshop,
        gpu_problem,
        top="\n# another program\n",
        cache_dir=cache_directory(tmp_path, fresh.source),
    )
    compiled = shared.compile(cached)
    assert isinstance(compiled, Done), compiled
    assert len(list(cached.cache_dir.rglob("*.cubin"))) == 2
    first = shared.first_call(fresh)
    assert isinstance(first, Done), first
    assert workshop.KERNEL in first.value["chosen"]


def test_eager_variants_run(workshop: ModuleType, gpu_problem: Problem) -> None:
    with Worker("cuda") as worker:
        for variant in (EagerVariant(), EagerVariant(cudnn_benchmark=True)):
            loaded = worker.load_eager(on_gpu(workshop, gpu_problem), variant)
            assert isinstance(loaded, Done), loaded
            assert isinstance(worker.time(3, seed=1), Done)
