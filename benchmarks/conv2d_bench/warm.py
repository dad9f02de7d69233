"""Compile programs by running each once, in several processes, so that timing waits for none.

    python -m conv2d_bench.warm JOBS.json DONE.jsonl

A job is a layer's name, a label and the file of a program. Triton's cache on disk
(`TRITON_CACHE_DIR`) is what remains. A program that kills its process is told, and a new process
goes on after it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

JOB_S = 120.0


@dataclass(frozen=True, slots=True)
class WarmJob:
    """`key` names the program in the results; `program` is the path of its file."""

    layer: str
    key: str
    program: str


def warm_all(
    jobs: Sequence[WarmJob], folder: Path, *, processes: int, deadline_s: float
) -> dict[str, str | None]:
    """Run each job once; key → why it failed, or None. Jobs past the deadline are left out."""
    folder.mkdir(parents=True, exist_ok=True)
    ends = time.monotonic() + deadline_s
    done: dict[str, str | None] = {}

    def share(number: int) -> dict[str, str | None]:
        return _drain(list(jobs[number::processes]), folder / f"warm-{number}", ends)

    with ThreadPoolExecutor(max_workers=processes) as pool:
        for results in pool.map(share, range(processes)):
            done |= results
    return done


def _drain(jobs: list[WarmJob], stem: Path, ends: float) -> dict[str, str | None]:
    """All jobs of a share, in as many processes one after another as it takes."""
    results: dict[str, str | None] = {}
    while jobs and time.monotonic() < ends:
        todo, log = stem.with_suffix(".json"), stem.with_suffix(".jsonl")
        todo.write_text(json.dumps([asdict(job) for job in jobs]))
        log.unlink(missing_ok=True)
        reason = _process(todo, log, ends, len(jobs))
        finished = (
            [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        )
        results |= {row["key"]: row["error"] for row in finished}
        jobs = jobs[len(finished) :]
        if jobs and time.monotonic() < ends:  # the process died in this one
            results[jobs[0].key] = reason
            jobs = jobs[1:]
    return results


def _process(todo: Path, log: Path, ends: float, jobs: int) -> str:
    path = os.pathsep.join([str(Path(__file__).parent.parent), *sys.path])
    limit_s = max(1.0, min(ends - time.monotonic(), JOB_S * jobs))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "conv2d_bench.warm", str(todo), str(log)],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=limit_s,
        )
    except subprocess.TimeoutExpired:
        return "its process was stopped: out of time"
    last = (done.stderr.strip().splitlines() or [""])[-1]
    return f"its process ended with {done.returncode}: {last[:300]}"


def main() -> None:
    """The process that runs the jobs of one share."""
    import torch

    from conv2d_bench.contenders import LayerBench
    from conv2d_bench.layers import read_layers

    layers = {named.name: named.layer for named in read_layers()}
    benches: dict[str, LayerBench] = {}
    with Path(sys.argv[2]).open("a", encoding="utf-8") as log:
        for job in json.loads(Path(sys.argv[1]).read_text()):
            error = None
            if job["layer"] not in benches:
                benches.clear()  # one layer's tensors at a time
                benches[job["layer"]] = LayerBench(job["layer"], layers[job["layer"]])
            bench = benches[job["layer"]]
            try:
                ours = bench.program(job["key"], Path(job["program"]).read_text())
                ours.call(bench.x)
                torch.cuda.synchronize()
            except Exception as failure:
                error = f"{type(failure).__name__}: {str(failure)[:300]}"
            log.write(json.dumps({"key": job["key"], "error": error}) + "\n")
            log.flush()
            if error is not None and "CUDA error" in error:
                sys.exit("the CUDA context is lost")


if __name__ == "__main__":
    main()
