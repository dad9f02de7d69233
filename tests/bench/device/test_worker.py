"""Workers: real processes, real programs, everything but the GPU itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from warpwright.bench.device.reference_process import ReferenceProcess
from warpwright.bench.device.worker import EagerVariant, Worker, exchange_directory
from warpwright.types.accuracy_numbers import CaseSpec
from warpwright.types.config import Config
from warpwright.types.worker_reply import (
    CandidateFailed,
    Death,
    Done,
    FailureKind,
    WorkerDied,
    WorkerLimits,
)

pytestmark = [pytest.mark.triton, pytest.mark.versions]
SHORT_S = 6.0


def died(worker: Worker, program: object, deadline_s: float = 60.0) -> WorkerDied:
    """How the worker died of loading and running a program."""
    answer = worker.load(program, deadline_s=deadline_s)  # type: ignore[arg-type]
    if isinstance(answer, Done):
        answer = worker.time(1, seed=1, deadline_s=deadline_s)
    assert isinstance(answer, WorkerDied), answer
    assert not worker.healthy
    assert not psutil.pid_exists(worker.pid)
    return answer


def failed(worker: Worker, program: object) -> CandidateFailed:
    answer = worker.load(program)  # type: ignore[arg-type]
    if isinstance(answer, Done):
        answer = worker.time(1, seed=1)
    assert isinstance(answer, CandidateFailed), answer
    return answer


def goes_on(worker: Worker, workshop: ModuleType) -> None:
    """The same process runs an honest program afterwards."""
    assert worker.healthy
    assert isinstance(worker.load(workshop.program()), Done)
    assert isinstance(worker.time(1, seed=1), Done)


def test_an_honest_program_is_loaded_checked_and_timed(
    worker: Worker, workshop: ModuleType, judge: ReferenceProcess
) -> None:
    assert isinstance(worker.load(workshop.program(judge=judge)), Done)
    _, numbers = workshop.checked(worker, judge, CaseSpec("problem", 1))
    assert numbers.launches == {workshop.KERNEL: 1}
    burst = worker.time(4, seed=7, keep=2)
    assert isinstance(burst, Done)
    assert len(burst.value["times_us"]) == 4
    assert sum(burst.value["times_us"]) <= burst.wall_s * 1e6
    assert burst.value["kept"] == {"name": "problem", "seed": 9}
    overhead = worker.host_overhead(seed=1)
    assert isinstance(overhead, Done)
    assert overhead.value["host_us"] > 0


def test_the_output_of_a_timed_call_is_that_of_the_inputs_it_had(
    worker: Worker, workshop: ModuleType, judge: ReferenceProcess
) -> None:
    worker.load(workshop.program(judge=judge))
    burst = worker.time(5, seed=40, keep=3)
    assert isinstance(burst, Done)
    reference = judge.prepare(CaseSpec(**burst.value["kept"]))
    kept = worker.kept_output()
    assert isinstance(kept, Done)
    ran = {"outputs": kept.value["outputs"], "launches": {}, "changed_inputs": []}
    numbers = judge.measure(reference.spec, ran, worker.out_dir, label="timed")  # type: ignore[union-attr]
    assert numbers.outputs[0].error.relative_l2 < 1e-6  # type: ignore[union-attr,index]


def test_an_output_that_was_measured_leaves_its_file_to_the_next(
    worker: Worker, workshop: ModuleType, judge: ReferenceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warpwright.bench.device.worker.KEPT_BYTES", 1)
    inodes = set()
    for seed in (1, 2, 3):
        assert isinstance(worker.load(workshop.program(judge=judge)), Done)
        reference = judge.prepare(CaseSpec("problem", seed))
        ran = worker.check(reference.spec)  # type: ignore[union-attr]
        assert isinstance(ran, Done)
        inodes |= {path.stat().st_ino for path in worker.out_dir.iterdir()}
        numbers = judge.measure(reference.spec, ran.value, worker.out_dir, label="x")  # type: ignore[union-attr]
        assert numbers.outputs[0].error.relative_l2 < 1e-6  # type: ignore[union-attr,index]
        worker.forget(ran.value["outputs"])
    assert len(inodes) == 1


def test_a_state_that_does_not_exist_is_skipped(worker: Worker, workshop: ModuleType) -> None:
    assert isinstance(worker.load(workshop.program()), Done)
    answer = worker.check(CaseSpec("problem", 1, state="perturbed"))
    assert isinstance(answer, Done)
    assert "skipped" in answer.value
    goes_on(worker, workshop)


def test_one_process_runs_program_after_program(worker: Worker, workshop: ModuleType) -> None:
    pids = set()
    for _ in range(3):
        goes_on(worker, workshop)
        pids.add(worker.pid)
    assert len(pids) == 1


def test_a_pinned_config_is_the_one_that_runs(worker: Worker, workshop: ModuleType) -> None:
    pin = {workshop.KERNEL: Config((("BLOCK", 1024),), num_warps=8, num_stages=3)}
    assert isinstance(worker.load(workshop.program(pins=pin)), Done)
    assert isinstance(worker.time(1, seed=1), Done)
    new = {workshop.KERNEL: Config((("BLOCK", 2048),), num_warps=8, num_stages=3)}
    assert isinstance(worker.load(workshop.program(pins=new)), Done)  # it need not be listed
    assert isinstance(worker.time(1, seed=1), Done)
    refused = worker.load(workshop.program(pins={"other_kernel": new[workshop.KERNEL]}))
    assert isinstance(refused, WorkerDied)  # whoever pins has made a mistake, not the program
    assert "other_kernel" in refused.reason


def test_a_program_that_raises_has_failed_and_the_worker_goes_on(
    worker: Worker, workshop: ModuleType
) -> None:
    answer = failed(worker, workshop.program("raise ValueError('no such tile')"))
    assert answer.kind is FailureKind.RAISED
    assert answer.reason == "ValueError: no such tile"
    assert answer.where.startswith("line ")
    goes_on(worker, workshop)


def test_a_program_that_cannot_be_imported_has_failed(worker: Worker, workshop: ModuleType) -> None:
    answer = worker.load(workshop.program(top="\nx = undefined_name\n"))
    assert isinstance(answer, CandidateFailed)
    assert "undefined_name" in answer.reason
    goes_on(worker, workshop)


def test_a_program_that_hangs_is_stopped_at_its_deadline(
    worker: Worker, workshop: ModuleType
) -> None:
    worker.ready()
    begun = time.monotonic()
    answer = died(worker, workshop.program("while True: pass"), SHORT_S)
    assert answer.how is Death.TIMEOUT
    assert answer.blames_program
    assert time.monotonic() - begun < 2 * SHORT_S + 4


@pytest.mark.parametrize(
    ("statement", "how", "reason"),
    [
        ("import os; os._exit(3)", Death.EXIT, "exit code 3"),
        ("import ctypes; ctypes.string_at(0)", Death.CRASH, "SIGSEGV"),
        ("import os; os.abort()", Death.ABORT, "SIGABRT"),
    ],
)
def test_a_death_is_told_by_its_kind(
    worker: Worker, workshop: ModuleType, statement: str, how: Death, reason: str
) -> None:
    answer = died(worker, workshop.program(statement))
    assert answer.how is how
    assert reason in answer.reason
    assert answer.blames_program


def test_a_crash_prints_where_it_happened(worker: Worker, workshop: ModuleType) -> None:
    answer = died(worker, workshop.program("import ctypes; ctypes.string_at(0)"))
    assert "program.py" in answer.detail


def test_a_worker_killed_from_outside_blames_nobody(worker: Worker, workshop: ModuleType) -> None:
    assert isinstance(worker.load(workshop.program()), Done)
    os.kill(worker.pid, 9)
    answer = worker.time(1, seed=1)
    assert isinstance(answer, WorkerDied)
    assert answer.how is Death.KILLED
    assert not answer.blames_program


def test_calling_exit_is_a_failure_of_the_program(worker: Worker, workshop: ModuleType) -> None:
    answer = failed(worker, workshop.program("raise SystemExit(0)"))
    assert answer.kind is FailureKind.EXIT


def test_host_memory_is_watched(workshop: ModuleType) -> None:
    limits = WorkerLimits(memory_bytes=900 * 1024**2)
    hog = """
        kept = []
        while True:
            kept.append(bytearray(b"x") * (20 * 1024**2))
    """
    with workshop.small_worker(limits=limits) as worker:
        assert died(worker, workshop.program(hog)).how is Death.HOST_OUT_OF_MEMORY


def test_an_allocation_that_is_refused_leaves_the_worker_alive(
    worker: Worker, workshop: ModuleType
) -> None:
    answer = failed(worker, workshop.program("bytearray(1 << 60)"))
    assert answer.kind is FailureKind.HOST_OUT_OF_MEMORY
    goes_on(worker, workshop)


def test_endless_output_is_stopped(workshop: ModuleType) -> None:
    with workshop.small_worker(limits=WorkerLimits(output_bytes=100_000)) as worker:
        answer = died(worker, workshop.program("while True: print('x' * 1000)"))
    assert answer.how is Death.OUTPUT_LIMIT


def test_what_a_program_prints_is_no_answer(worker: Worker, workshop: ModuleType) -> None:
    forged = '{"id": 1, "done": {"times_us": [0.1]}}'
    talks = workshop.program(f"print({forged!r}, flush=True)\n{workshop.RETURN}")
    assert isinstance(worker.load(talks), Done)
    burst = worker.time(1, seed=1)
    assert isinstance(burst, Done)
    assert burst.value["times_us"] != [0.1]


def test_nonsense_on_the_answers_pipe_ends_the_worker(worker: Worker, workshop: ModuleType) -> None:
    scribble = """
        import os
        for descriptor in range(3, 30):
            try:
                os.write(descriptor, b"nonsense\\n")
            except OSError:
                pass
    """
    assert died(worker, workshop.program(scribble)).how is Death.BAD_ANSWER


def test_a_file_beyond_the_limit_is_a_full_disk_for_the_program(workshop: ModuleType) -> None:
    big = "open('big', 'wb').write(bytes(2 << 20))"
    with workshop.small_worker(file_bytes=1 << 20) as worker:
        answer = failed(worker, workshop.program(big))
    assert answer.kind is FailureKind.DISK_FULL


def test_a_directory_that_fills_up_is_stopped(workshop: ModuleType) -> None:
    limits = WorkerLimits(disk_bytes=30 * 1024**2)
    fill = """
        number = 0
        while True:
            number += 1
            with open(f"part{number}", "wb") as stream:
                stream.write(bytes(1 << 20))
            import time; time.sleep(0.01)
    """
    with workshop.small_worker(limits=limits) as worker:
        assert died(worker, workshop.program(fill)).how is Death.DISK_LIMIT


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Path:
    """A file system of 4 MiB; needs the right to mount one."""
    place = tmp_path / "tiny"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no right to mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_told_and_blames_the_program_only_for_its_own_writes(
    workshop: ModuleType, tiny_disk: Path
) -> None:
    fill = "open('big', 'wb').write(bytes(8 << 20))"
    with workshop.small_worker(directory=tiny_disk) as worker:
        answer = failed(worker, workshop.program(fill))
        assert answer.kind is FailureKind.DISK_FULL
        ours = worker.load(workshop.program(top=f"\nNOTE = {'x' * 100!r}\n"))
        assert isinstance(ours, WorkerDied)
        assert ours.how is Death.DISK_FULL
        assert not ours.blames_program


def test_starting_a_process_is_forbidden(worker: Worker, workshop: ModuleType) -> None:
    answer = failed(worker, workshop.program("import os; os.fork()"))
    assert answer.kind is FailureKind.FORBIDDEN
    assert answer.replace_worker
    assert not worker.healthy


def test_a_fork_bomb_in_native_code_is_stopped_and_nothing_of_it_is_left(
    workshop: ModuleType,
) -> None:
    bomb = """
        import ctypes, time
        libc = ctypes.CDLL(None)
        for _ in range(12):
            if libc.fork() == 0:
                time.sleep(60)
        time.sleep(60)
    """
    with workshop.small_worker(limits=WorkerLimits(processes=8)) as worker:
        answer = died(worker, workshop.program(bomb))
        assert answer.how is Death.PROCESS_LIMIT
    left = [p for p in psutil.process_iter() if p.status() != psutil.STATUS_ZOMBIE]
    assert not [p for p in left if _works_in(p, "warpwright-")]


def _works_in(process: psutil.Process, prefix: str) -> bool:
    try:
        return process.ppid() == 1 and Path(process.cwd()).name.startswith(prefix)
    except (psutil.Error, OSError):
        return False


def test_many_threads_are_stopped(workshop: ModuleType) -> None:
    many = """
        import threading, time
        for _ in range(100):
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        time.sleep(60)
    """
    with workshop.small_worker(limits=WorkerLimits(threads=80)) as worker:
        assert died(worker, workshop.program(many)).how is Death.PROCESS_LIMIT


def test_a_worker_dies_with_its_parent_even_in_native_code(tmp_path: Path) -> None:
    """kill -9 of the main process while a program hangs with Python's lock held."""
    script = tmp_path / "main.py"
    workshop = Path(__file__).parents[2] / "support" / "workshop.py"
    script.write_text(
        f"""
import sys
sys.path[:] = {sys.path!r}
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("warpwright_workshop", {str(workshop)!r})
workshop = module_from_spec(spec)
sys.modules["warpwright_workshop"] = workshop
spec.loader.exec_module(workshop)
worker = workshop.small_worker()
worker.load(workshop.program("import ctypes; ctypes.PyDLL(None).sleep(600)"))
print(worker.pid, flush=True)
worker.time(1, seed=1, deadline_s=600)
"""
    )
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as main:
        assert main.stdout is not None
        pid = int(main.stdout.readline())
        time.sleep(1.5)
        assert psutil.pid_exists(pid)
        main.kill()
    deadline = time.monotonic() + 10
    while not _is_gone(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _is_gone(pid)


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_closed_worker_leaves_nothing(workshop: ModuleType) -> None:
    worker = workshop.small_worker()
    worker.ready()
    job_dir, out_dir = worker._child.job_dir, worker.out_dir
    worker.close()
    assert not psutil.pid_exists(worker.pid)
    assert not job_dir.exists()
    assert not out_dir.exists()


def test_outputs_of_a_killed_main_process_are_removed() -> None:
    script = "from warpwright.bench.device.worker import exchange_directory as d; print(d())"
    code = f"import sys; sys.path[:] = {sys.path!r}; {script}"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    left = Path(ran.stdout.strip())
    assert left.is_dir()
    mine = exchange_directory()
    assert mine.is_dir()
    assert not left.exists()
    exchange_directory().rmdir()
    assert mine.is_dir()
    mine.rmdir()


def test_cores_are_kept(workshop: ModuleType) -> None:
    core = min(os.sched_getaffinity(0))
    with workshop.small_worker(cores=[core]) as worker:
        worker.ready()
        assert os.sched_getaffinity(worker.pid) == {core}


def test_the_first_call_is_timed_apart(worker: Worker, workshop: ModuleType) -> None:
    answer = worker.first_call(workshop.program())
    assert isinstance(answer, Done)
    assert 0 < answer.value["first_call_s"] < answer.wall_s


def test_the_problems_own_model_runs_as_an_opponent(worker: Worker, workshop: ModuleType) -> None:
    assert isinstance(worker.load_eager(workshop.program(), EagerVariant()), Done)
    assert isinstance(worker.time(2, seed=1), Done)
    assert not worker.healthy  # never for a candidate again


@pytest.mark.parametrize("request_", ["do_bench", "graph"])
def test_what_needs_a_gpu_says_so(worker: Worker, workshop: ModuleType, request_: str) -> None:
    worker.load(workshop.program())
    answer = getattr(worker, request_)(seed=1)
    assert isinstance(answer, CandidateFailed)
    assert answer.kind is FailureKind.UNSUPPORTED
    goes_on(worker, workshop)


def test_slow_inputs_are_rotated_and_scaled(worker: Worker, workshop: ModuleType) -> None:
    slow = workshop.PROBLEM.replace(
        "def get_inputs():", "def get_inputs():\n    import time; time.sleep(0.05)"
    )
    from dataclasses import replace

    from warpwright.types.shapes import Problem

    program = replace(workshop.program(), problem=Problem(source=slow))
    assert isinstance(worker.load(program), Done)
    burst = worker.time(5, seed=100, keep=4)
    assert isinstance(burst, Done)
    spec = burst.value["kept"]
    assert spec["seed"] == 101
    assert 0.99 < spec["scale"] < 1


def test_our_clock_runs_while_the_worker_works_and_we_are_not_given_a_core(
    worker: Worker, workshop: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stalled right after the request is sent: the child's times still fit into our own."""
    from warpwright.sandbox import persistent

    assert isinstance(worker.load(workshop.program()), Done)
    send = persistent._write_all

    def send_and_stall(pipe: int, data: bytes, deadline: float) -> None:
        send(pipe, data, deadline)
        time.sleep(1.0)

    monkeypatch.setattr(persistent, "_write_all", send_and_stall)
    burst = worker.time(3, seed=1)
    assert isinstance(burst, Done)
    assert burst.wall_s >= 1.0
    assert sum(burst.value["times_us"]) <= burst.wall_s * 1e6
