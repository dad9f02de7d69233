"""Programs through all stages, measured on this machine's GPU: what each stage and the whole gains.

    python benchmarks/measured_walks.py JOBS.json --out ROWS.jsonl [--budget quick] [--seconds 600]
        [--each 330] [--of-records RECORD.json …]

`JOBS.json` is a list of `{"name", "program", "problem", "kind"}`; paths are relative to the file.
Each job is one `warpwright optimize --gpu here --from grid` (no other algorithm) in a process of
its own, one after another. A row a job goes to the output file as it ends: each stage's outcome,
moves and gain, and the fresh timings of the last program beside the first, with raw samples. No
job starts after `--seconds`; one that takes over `--each` is stopped, and its row says so.
`--of-records` makes rows of records that walks left before. The table comes last on stdout.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def walk(job: dict[str, Any], folder: Path, budget: str, each_s: float) -> dict[str, Any]:
    """Run one walk; its row."""
    out = folder / f"{job['name']}.py"
    command = [sys.executable, "-m", "warpwright", "optimize", job["program"], "--gpu", "here"]
    command += ["--problem", job["problem"], "--kind", job.get("kind", "single")]
    command += ["--from", "grid", "--effort", budget, "--out", str(out)]
    begun = time.monotonic()
    row: dict[str, Any] = {"name": job["name"]}
    with (folder / f"{job['name']}.log").open("w") as log:
        try:
            done = subprocess.run(command, stdout=log, stderr=log, timeout=each_s, check=False)
            row["exit"] = done.returncode
        except subprocess.TimeoutExpired:
            row["failed"] = f"stopped after {each_s:g} s"
    row["wall_s"] = round(time.monotonic() - begun, 1)
    record = folder / f"{job['name']}.record.json"
    return row | of_record(json.loads(record.read_text())) if record.exists() else row


def of_record(record: dict[str, Any]) -> dict[str, Any]:
    """What a row keeps of a walk's record."""
    stages = []
    for stage in record["stages"]:
        compared = (stage.get("gain") or {}).get("comparison") or {}
        stages.append(
            {
                "stage": stage["stage"],
                "outcome": stage["outcome"],
                "reason": stage["reason"],
                "moves": stage.get("moves", []),
                "gain_pct": compared.get("gain_pct"),
                "seconds": stage.get("seconds"),
            }
        )
    trial = record.get("trial") or {}
    compared = trial.get("comparison") or {}
    return {
        "version": record["warpwright"],
        "changed": record["changed"],
        "reason": record["reason"],
        "gain_pct": compared.get("gain_pct"),
        "interval_pct": compared.get("interval_pct"),
        "first_us": compared.get("parent_us"),
        "last_us": compared.get("candidate_us"),
        "stages": stages,
        "trial": trial,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """A line a row, and the geometric mean of all speed-ups; a program that stayed counts 1."""
    lines, logs = [], []
    for row in rows:
        gain = row.get("gain_pct") if row.get("changed") else None
        speedup = 1.0 if gain is None else 1 + gain / 100
        logs.append(math.log(speedup))
        stages = " ".join(
            f"{s['stage']}:{'-' if s['gain_pct'] is None else format(s['gain_pct'], '+.1f')}"
            for s in row.get("stages", [])
        )
        times = f"{row.get('first_us') or 0:,.0f} → {row.get('last_us') or 0:,.0f} µs"
        told = row.get("failed") or stages
        lines.append(f"{row['name']:28s} {speedup:6.2f}×  {times:24s} {told}")
    if logs:
        mean = math.exp(sum(logs) / len(logs))
        lines.append(f"geometric mean of {len(logs)}: {mean:.3f}×")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("jobs", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget", default="quick")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--each", type=float, default=330)
    parser.add_argument("--of-records", type=Path, nargs="*", default=[])
    chosen = parser.parse_args()
    rows = [
        {"name": path.name.removesuffix(".record.json"), **of_record(json.loads(path.read_text()))}
        for path in chosen.of_records
    ]
    begun = time.monotonic()
    jobs = [] if chosen.jobs is None else json.loads(chosen.jobs.read_text())
    with tempfile.TemporaryDirectory() as folder, chosen.out.open("a") as stream:
        for row in rows:
            stream.write(json.dumps(row) + "\n")
        for job in jobs:
            if time.monotonic() - begun > chosen.seconds:
                break
            for name in ("program", "problem"):
                job[name] = str(chosen.jobs.parent / job[name])
            rows.append(walk(job, Path(folder), chosen.budget, chosen.each))
            stream.write(json.dumps(rows[-1]) + "\n")
            stream.flush()
    print(table(rows))


if __name__ == "__main__":
    main()
