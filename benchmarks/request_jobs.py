"""Jobs for `measured_answers.py`, chosen before anything was measured.

    WARPWRIGHT_CASES=DIR python benchmarks/request_jobs.py seeds|convolutions|stages OUT

`DIR` holds `seeds/` and `cases/recorded.jsonl.gz`. Writes requests, problem files and `WHAT.json`
into the folder `OUT`. Recorded requests are taken in the order of the SHA-256 of the task's name.

    seeds          the two seeds and the examples
    convolutions   the first ten convolutions among the tuning requests
    stages         the first 24 of levels 1 and 2, six a stage, one a task: `stage_requests.txt`

A task whose model is not in `task_models.py` is answered by its shapes alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from recorded import cases
from task_models import SEED_1, SEED_2, problem, problem_of

TUNING = "advanced_memory"
STAGES = ("grid_and_parallel", "block_tiling", "memory_access", TUNING)
CONVOLUTIONS = 10
A_STAGE = 6

Numbered = tuple[int, Mapping[str, Any]]


def in_order(found: Iterable[Numbered]) -> list[Numbered]:
    """Cases by the SHA-256 of their task's name."""
    return sorted(found, key=lambda e: (hashlib.sha256(e[1]["task"].encode()).hexdigest(), e[0]))


def convolutions() -> list[Numbered]:
    """The first ten tuning requests about convolutions."""
    return in_order(e for e in cases(TUNING) if "conv" in e[1]["task"].lower())[:CONVOLUTIONS]


def by_stage() -> list[Numbered]:
    """The first six requests of each stage, each of another task; levels 1 and 2."""
    places = dict.fromkeys(STAGES, A_STAGE)
    tasks: dict[str, Numbered] = {}
    for number, case in in_order(cases(None)):
        if case["level"] == "level3" or case["task"] in tasks or not places[case["stage"]]:
            continue
        places[case["stage"]] -= 1
        tasks[case["task"]] = (number, case)
    return sorted(tasks.values(), key=lambda entry: STAGES.index(entry[1]["stage"]))


def recorded_job(number: int, case: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """A recorded request as a job."""
    name = f"r{number}"
    (out / f"{name}.txt").write_text(case["request"])
    job: dict[str, Any] = {"name": name, "task": case["task"], "request": f"{name}.txt"}
    inputs = case.get("inputs") or ()
    shapes = [entry["shape"] if isinstance(entry, dict) else entry for entry in inputs]
    text = problem_of(case["task"], shapes, case.get("init") or ())
    if text is None:
        return job | {"inputs": ["x".join(map(str, s)) for s in shapes], "init": case["init"]}
    (out / f"{name}.problem.py").write_text(text)
    return job | {"problem": f"{name}.problem.py"}


def seeds_and_examples(out: Path) -> list[dict[str, Any]]:
    """The two seeds and the examples, each with its problem."""
    seeds = sorted((Path(os.environ["WARPWRIGHT_CASES"]) / "seeds").glob("*.txt"))
    problems = (
        problem(SEED_1, [[256, 3, 224, 224]], [1000]),
        problem(SEED_2, [[8, 32, 512, 512]], [32, 64, (5, 9), 1, (2, 4), (2, 3)]),
    )
    pairs = [
        (f"seed{number}", seed.read_text(), text)
        for number, (seed, text) in enumerate(zip(seeds, problems, strict=True), 1)
    ]
    folders = sorted(f for f in (Path(__file__).parent.parent / "examples").iterdir() if f.is_dir())
    for number, folder in enumerate(folders, 1):
        request, text = (folder / "request.txt").read_text(), (folder / "problem.py").read_text()
        pairs.append((f"ex{number}", request, text))
    jobs = []
    for name, request, text in pairs:
        (out / f"{name}.txt").write_text(request)
        (out / f"{name}.problem.py").write_text(text)
        jobs.append({"name": name, "request": f"{name}.txt", "problem": f"{name}.problem.py"})
    return jobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("seeds", "convolutions", "stages"))
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    if options.what == "seeds":
        jobs = seeds_and_examples(out)
    else:
        chosen = convolutions() if options.what == "convolutions" else by_stage()
        jobs = [recorded_job(number, case, out) for number, case in chosen]
    (out / f"{options.what}.json").write_text(json.dumps(jobs, indent=1))
    print(f"{len(jobs)} jobs in {out / options.what}.json")


if __name__ == "__main__":
    main()
