"""Answers to several requests, measured on this machine's GPU: gains, moves, first calls.

    python benchmarks/measured_answers.py JOBS.json --out ROWS.jsonl [--at-once 4] [--budget quick]
        [--seconds 600] [--each 300]

`JOBS.json` is a list of `{"name", "request", "problem"}`, or, in the place of `problem`, `inputs`
and `init` as `warpwright answer --input … --init …` takes them; paths are relative to the file.
Each job is one `warpwright answer --gpu here` in a process of its own, so what is measured is what
a user gets. Several run at once: they take turns on the card (`warpwright.bench.device.card`). At
the end the first call of parent and answer is timed in fresh processes with an empty Triton cache,
compiling and tuning included; these run several at once, under equal conditions for both.

A row a job goes to the output file as it ends: decision, gain with interval, times, moves, checks,
and the whole trial with its raw samples. No job starts after `--seconds`; one that takes over
`--each` is stopped, and its row says so. The table of all rows comes last on stdout.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

FIRST_CALL = """
import json, sys, time
import torch
scope = {"__name__": "program"}
path, problem = sys.argv[1:]
import importlib.util
def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
program, task = load("program", path), load("task", problem)
torch.manual_seed(0)
model = program.ModelNew(*task.get_init_inputs()).cuda().eval()
inputs = [x.cuda() if isinstance(x, torch.Tensor) else x for x in task.get_inputs()]
torch.cuda.synchronize()
begun = time.monotonic()
with torch.no_grad():
    model(*inputs)
torch.cuda.synchronize()
print(json.dumps({"first_call_s": time.monotonic() - begun}))
"""


def answer(job: dict[str, Any], folder: Path, budget: str, each_s: float) -> dict[str, Any]:
    """Run one answer; its row."""
    out = folder / f"{job['name']}.py"
    command = [sys.executable, "-m", "warpwright", "answer", job["request"], "--gpu", "here"]
    # Several at once: each gets its checks without the card done in a share of the cores.
    command += ["--effort", budget, "--out", str(out), "--time-limit", "300"]
    if "problem" in job:
        command += ["--problem", job["problem"]]
    for shape in job.get("inputs", ()):
        command += ["--input", shape]
    if "init" in job:
        command += ["--init", json.dumps(job["init"])]
    begun = time.monotonic()
    row: dict[str, Any] = {"name": job["name"], "at_s": begun}
    with (folder / f"{job['name']}.log").open("w") as log:
        try:
            done = subprocess.run(command, stdout=log, stderr=log, timeout=each_s, check=False)
            row["exit"] = done.returncode
        except subprocess.TimeoutExpired:
            row["failed"] = f"stopped after {each_s:g} s"
    row["wall_s"] = time.monotonic() - begun
    record = folder / f"{job['name']}.record.json"
    if not record.exists():
        row.setdefault("failed", "no record was written")
        return row
    return row | of_record(json.loads(record.read_text()))


def of_record(record: dict[str, Any]) -> dict[str, Any]:
    """What a row keeps of an answer's record."""
    trial = record["trial"] or {}
    comparison = trial.get("comparison") or {}
    return {
        "decision": record["decision"],
        "reason": record["reason"],
        "moves": record.get("moves", []),
        "gain_pct": comparison.get("gain_pct"),
        "interval_pct": comparison.get("interval_pct"),
        "parent_us": comparison.get("parent_us"),
        "answer_us": comparison.get("candidate_us"),
        "checks": {check["check"]: check["status"] for check in record["gate"]["results"]},
        "trial": trial,
    }


def first_calls(job: dict[str, Any], folder: Path) -> dict[str, float]:
    """Seconds of the first call, compiling and tuning included, of the parent and of the answer."""
    from warpwright.formats.request_text import parse_request

    parent = folder / f"{job['name']}.parent.py"
    parent.write_text(parse_request(Path(job["request"]).read_text()).program)
    found = {}
    for side, path in (("parent", parent), ("answer", folder / f"{job['name']}.py")):
        with tempfile.TemporaryDirectory() as caches:
            done = subprocess.run(
                [sys.executable, "-c", FIRST_CALL, str(path), job["problem"]],
                env=os.environ | {"TRITON_CACHE_DIR": caches},
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
        if done.returncode == 0:
            found[side] = json.loads(done.stdout.splitlines()[-1])["first_call_s"]
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """A line a row, and the geometric mean of all speed-ups; a kept parent counts 1."""
    lines = []
    logs = []
    for row in rows:
        changed = row.get("decision") == "changed" and row.get("gain_pct") is not None
        speedup = 1 + row["gain_pct"] / 100 if changed else 1.0
        logs.append(math.log(speedup))
        moves = "+".join(dict.fromkeys(move["name"] for move in row.get("moves", []))) or "-"
        calls = row.get("first_calls", {})
        first = "/".join(f"{calls[side]:.1f}" for side in ("parent", "answer") if side in calls)
        times = [row.get("parent_us"), row.get("answer_us")]
        shown = " → ".join("-" if value is None else f"{value:,.0f}" for value in times)
        interval = row.get("interval_pct") or ("-", "-")
        told = row.get("failed") or row.get("decision")
        lines.append(
            f"{row['name']:10} {speedup:5.2f}x {shown:>18} µs [{interval[0]}, {interval[1]}] "
            f"{moves:36} first call {first or '-':>11} s {row['wall_s']:4.0f} s {told}"
        )
    mean = math.exp(sum(logs) / len(logs)) if logs else 1.0
    return "\n".join([*lines, f"geometric mean of {len(rows)}: {mean:.3f}x"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("jobs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--budget", default="quick")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--each", type=float, default=300)
    arguments = parser.parse_args()
    jobs = json.loads(arguments.jobs.read_text())
    for job in jobs:
        for key in ("request", "problem"):
            if key in job:
                job[key] = str(arguments.jobs.parent / job[key])
    folder = arguments.out.parent / "answers"
    folder.mkdir(parents=True, exist_ok=True)
    begun, lock = time.monotonic(), threading.Lock()
    rows: list[dict[str, Any]] = []

    def work(job: dict[str, Any]) -> None:
        if time.monotonic() - begun > arguments.seconds:
            return
        row = answer(job, folder, arguments.budget, arguments.each)
        with lock, arguments.out.open("a") as stream:
            rows.append(row)
            stream.write(json.dumps(row) + "\n")
            stream.flush()
            print(table([row]).splitlines()[0], flush=True)

    with ThreadPoolExecutor(max_workers=arguments.at_once) as pool:
        list(pool.map(work, jobs))
    changed = {row["name"]: row for row in rows if row.get("decision") == "changed"}
    cold = [job for job in jobs if job["name"] in changed and "problem" in job]
    with ThreadPoolExecutor(max_workers=2 * arguments.at_once) as pool:
        for job, found in zip(cold, pool.map(lambda j: first_calls(j, folder), cold), strict=True):
            changed[job["name"]]["first_calls"] = found
    with arguments.out.with_suffix(".first-calls.json").open("w") as stream:
        json.dump({name: row.get("first_calls") for name, row in changed.items()}, stream)
    print(table(sorted(rows, key=lambda row: row["name"])))


if __name__ == "__main__":
    main()
