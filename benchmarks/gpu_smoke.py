"""Every command of the workers on both examples, on the GPU that is here. Prints a short table.

    PYTHONPATH=src python benchmarks/gpu_smoke.py [--device cuda] [--out FILE] [--budget 140]

A look at whether the machinery works, not a decision. A step that fails is reported and the rest
goes on; steps that no longer fit in the budget (seconds) are skipped and said so.
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from warpwright.bench.device.conditions import ConditionsReader
from warpwright.bench.device.reference_process import ReferenceProcess, failed_check
from warpwright.bench.device.worker import EagerVariant, Program, Worker
from warpwright.store.binaries import cache_directory
from warpwright.types.accuracy_numbers import CaseSpec, CheckNumbers, ReferenceNumbers
from warpwright.types.shapes import Problem
from warpwright.types.worker_reply import Done
from warpwright.verifier.outputs.interpreted import conclude
from warpwright.verifier.outputs.measured import judge_measured

EXAMPLES = Path(__file__).parent.parent / "examples"
FOLDERS = {
    "01": ("01-conv2d-stride4", "strided_conv_kernel"),
    "02": ("02-conv2d-dilated", "dilated_conv_kernel"),
}
CASES = ("problem", "normal", "wide", "outliers", "nonfinite", "perturbed state")
VARIANTS = (
    EagerVariant(),
    EagerVariant(cudnn_benchmark=True),
    EagerVariant(channels_last=True, cudnn_benchmark=True),
    EagerVariant(compile="max-autotune-no-cudagraphs"),
)
ROUNDS, CALLS = 6, 10


class Smoke:
    """Steps with their wall times and what came of them."""

    def __init__(self, device: str, budget_s: float) -> None:
        self.device = device
        self.started = time.monotonic()
        self.budget_s = budget_s
        self.rows: list[dict[str, Any]] = []

    def step(self, name: str, action: Callable[[], Any]) -> Any:
        """Run one step. Its result, or None where it failed or was skipped."""
        begun = time.monotonic()
        if begun - self.started > self.budget_s:
            self._row(name, begun, "SKIPPED, no time left")
            return None
        try:
            result = action()
        except Exception:  # one failure must not cost the rest of the look
            self._row(name, begun, "RAISED " + traceback.format_exc(limit=-3))
            return None
        text = result if isinstance(result, str) else _text(result)
        self._row(name, begun, text)
        return result

    def _row(self, name: str, begun: float, text: str) -> None:
        row = {"step": name, "wall_s": round(time.monotonic() - begun, 2), "result": text}
        self.rows.append(row)
        print(f"[{time.monotonic() - self.started:6.1f} s] {name}: {text}", flush=True)


def _text(answer: Any) -> str:
    if isinstance(answer, Done):
        kept = {k: v for k, v in answer.value.items() if not isinstance(v, list)}
        return "done " + json.dumps(kept, default=str)[:600]
    return repr(answer)[:1500]


def look_at(
    smoke: Smoke, key: str, judge: ReferenceProcess, workers: list[Worker], caches: Path
) -> None:
    folder, kernel = FOLDERS[key]
    source = (EXAMPLES / folder / "program.py").read_text()
    answer = (EXAMPLES / folder / "answer.py").read_text()
    problem = Problem(source=(EXAMPLES / folder / "problem.py").read_text())
    seed = secrets.randbelow(2**31)
    if not isinstance(
        smoke.step(f"{key} judge load", lambda: judge.load(problem, seed=seed)), Done
    ):
        return
    programs = [
        Program(text, problem, seed, states=judge.states, cache_dir=cache_directory(caches, text))
        for text in (source, answer)
    ]
    first, second = workers
    smoke.step(f"{key} compile", lambda: first.compile(programs[0]))
    for worker, program, name in zip(workers, programs, ("parent", "answer"), strict=True):
        smoke.step(f"{key} load {name}", lambda w=worker, p=program: w.load(p))
    smoke.step(f"{key} accuracy", lambda: accuracy(smoke, key, judge, workers, kernel))
    smoke.step(f"{key} pairs", lambda: alternate(first, second))
    smoke.step(f"{key} kept output", lambda: kept_output(judge, second))
    smoke.step(f"{key} host overhead", lambda: second.host_overhead(seed=1))
    smoke.step(f"{key} do_bench", lambda: second.do_bench(seed=1))
    smoke.step(f"{key} graph", lambda: second.graph(seed=1))
    smoke.step(f"{key} A/A", lambda: same(second, programs[0], first))
    smoke.step(f"{key} first call", lambda: second.first_call(programs[1]))


def accuracy(
    smoke: Smoke, key: str, judge: ReferenceProcess, workers: list[Worker], kernel: str
) -> str:
    references: list[ReferenceNumbers] = []
    runs: list[list[CheckNumbers]] = [[], []]
    for name in CASES:
        state = "perturbed" if name == "perturbed state" else "own"
        spec = CaseSpec(name, secrets.randbelow(2**31), state=state)
        reference = smoke.step(f"{key} prepare {name}", lambda s=spec: judge.prepare(s))
        if not isinstance(reference, ReferenceNumbers):
            continue
        references.append(reference)
        if reference.skipped is not None:
            continue
        for index, worker in enumerate(workers):
            numbers = smoke.step(
                f"{key} check {name} {index}",
                lambda w=worker, i=index, r=reference: measured(judge, w, r, is_parent=i == 0),
            )
            if isinstance(numbers, CheckNumbers):
                runs[index].append(numbers)
    cases = judge_measured(runs[1], runs[0], references, required_kernels=[kernel])
    for case in cases:
        print("   ", case.distribution, case.status, case.reason, case.error, case.bound)
    return f"{conclude(cases).status}; bit equal {[c.bit_equal_to_parent for c in cases]}"


def measured(
    judge: ReferenceProcess, worker: Worker, reference: ReferenceNumbers, *, is_parent: bool
) -> Any:
    sizes = [4 * _elements(output.shape) for output in reference.outputs]
    ran = worker.check(reference.spec, poison_bytes=sizes)
    if not isinstance(ran, Done):
        return failed_check(reference.spec, "as launched", ran)
    numbers = judge.measure(
        reference.spec, ran.value, worker.out_dir, label="as launched", is_parent=is_parent
    )
    worker.forget(ran.value.get("outputs", ()))
    return numbers


def _elements(shape: tuple[int, ...]) -> int:
    total = 1
    for extent in shape:
        total *= extent
    return total


def alternate(first: Worker, second: Worker) -> str:
    """Bursts side by side: medians, median of paired ratios, what the wall clock says."""
    ratios, medians, walls, tails, hosts = [], ([], []), [], [], []
    for number in range(ROUNDS):
        times = []
        for index, worker in enumerate((first, second)):
            warm_up_s = 0.2 if number == 0 else 0.0
            burst = worker.time(CALLS, seed=secrets.randbelow(2**31), warm_up_s=warm_up_s)
            if not isinstance(burst, Done):
                return repr(burst)[:800]
            times.append(statistics.median(burst.value["times_us"]))
            medians[index].append(times[-1])
            walls.append(burst.wall_s / CALLS * 1e6)
            tails.append(statistics.median(burst.value["tail_us"]))
            hosts.append(statistics.median(burst.value["host_us"]))
        ratios.append(times[0] / times[1])
    return (
        f"{statistics.median(medians[0]):.1f} µs and {statistics.median(medians[1]):.1f} µs, "
        f"ratio {statistics.median(ratios):.4f} ({min(ratios):.4f} to {max(ratios):.4f}); "
        f"wall {statistics.median(walls):.0f} µs a call, tail {statistics.median(tails):.1f} µs, "
        f"host {statistics.median(hosts):.1f} µs"
    )


def kept_output(judge: ReferenceProcess, worker: Worker) -> str:
    keep = secrets.randbelow(5)
    burst = worker.time(5, seed=secrets.randbelow(2**31), keep=keep)
    if not isinstance(burst, Done):
        return repr(burst)[:800]
    kept = worker.kept_output()
    if not isinstance(kept, Done):
        return repr(kept)[:800]
    reference = judge.prepare(CaseSpec(**burst.value["kept"]))
    if not isinstance(reference, ReferenceNumbers):
        return repr(reference)[:800]
    ran = {"outputs": kept.value["outputs"], "launches": {}, "changed_inputs": []}
    numbers = judge.measure(reference.spec, ran, worker.out_dir, label="timed call")
    worker.forget(kept.value["outputs"])
    return f"error {numbers.outputs[0].error}, eager {reference.outputs[0].policy_error}"


def same(worker: Worker, program: Program, other: Worker) -> str:
    """The parent against itself in two processes."""
    loaded = worker.load(program)
    return alternate(other, worker) if isinstance(loaded, Done) else repr(loaded)[:800]


def opponents(smoke: Smoke, worker: Worker, caches: Path, key: str) -> None:
    folder, _ = FOLDERS[key]
    problem = Problem(source=(EXAMPLES / folder / "problem.py").read_text())
    program = Program("", problem, 1, cache_dir=cache_directory(caches, folder))
    for variant in VARIANTS:

        def run(chosen: EagerVariant = variant) -> str:
            loaded = worker.load_eager(program, chosen)
            if not isinstance(loaded, Done):
                return repr(loaded)[:1500]
            burst = worker.time(CALLS, seed=3, warm_up_s=0.2, deadline_s=90)
            if not isinstance(burst, Done):
                return repr(burst)[:1500]
            return f"{statistics.median(burst.value['times_us']):.1f} µs"

        smoke.step(f"{key} {variant}", run)


def compiled(worker: Worker, caches: Path, key: str) -> Any:
    folder, _ = FOLDERS[key]
    source = (EXAMPLES / folder / "answer.py").read_text()
    problem = Problem(source=(EXAMPLES / folder / "problem.py").read_text())
    program = Program(source, problem, 1, cache_dir=cache_directory(caches, source))
    loaded = worker.load(program)
    return worker.torch_compile(seed=1) if isinstance(loaded, Done) else loaded


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--budget", type=float, default=140.0)
    options = parser.parse_args()
    smoke = Smoke(options.device, options.budget)
    workers = [Worker(options.device) for _ in range(3)]
    judge = ReferenceProcess(options.device)
    try:
        with tempfile.TemporaryDirectory() as name:
            caches = Path(name).resolve()
            for index, worker in enumerate(workers):
                smoke.step(f"start worker {index}", worker.ready)
            smoke.step("start judge", judge.ready)
            gpu = workers[0].gpu() if options.device == "cuda" else None
            with ConditionsReader(gpu.uuid if gpu else None) as reader:
                smoke.step("conditions", reader.read)
                print(reader.complete(gpu) if gpu else "no GPU", reader.max_sm_clock_mhz())
                for key in FOLDERS:
                    look_at(smoke, key, judge, workers[:2], caches)
                    smoke.step(f"{key} conditions", reader.read)
            for key in FOLDERS:
                opponents(smoke, workers[2], caches, key)
            smoke.step("01 torch.compile", lambda: compiled(workers[1], caches, "01"))
    finally:
        for child in (*workers, judge):
            child.close()
    print("\n== table ==")
    for row in smoke.rows:
        print(f"{row['wall_s']:7.2f} s  {row['step']:32} {row['result'][:150]}")
    print(f"total {time.monotonic() - smoke.started:.1f} s")
    if options.out:
        facts = {"gpu": asdict(gpu) if gpu else None, "rows": smoke.rows}
        options.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
