"""Parent and answer on the GPU that is here: the same outputs, first call, steady time.

    python benchmarks/parent_and_answer.py FOLDER... [--out FILE]

A folder holds `program.py` (the parent), `answer.py` and `problem.py`, as the examples do. Needs
torch and Triton only. Each program's first call (compiling and tuning) is timed in a process of
its own with an empty Triton cache; steady times are taken in one process, in alternating rounds,
with `triton.testing.do_bench` (which clears L2). This is a plain look, not a decision: no interval,
no noise floor.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

ROUNDS = 7


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def build(folder: Path, name: str) -> tuple[Any, list[Any], ModuleType]:
    """The model of one program with the reference's parameters, and inputs on the GPU."""
    import torch

    problem, program = load(folder / "problem.py"), load(folder / f"{name}.py")
    torch.manual_seed(0)
    reference = problem.Model(*problem.get_init_inputs()).cuda()
    torch.manual_seed(0)
    model = program.ModelNew(*problem.get_init_inputs()).cuda()
    theirs = list(reference.state_dict().values())
    for mine, other in zip(model.state_dict().values(), theirs, strict=True):
        mine.copy_(other)
    torch.manual_seed(1)
    inputs = [value.cuda() for value in problem.get_inputs()]
    return model, inputs, reference


def first_call(folder: Path, name: str) -> None:
    import torch

    model, inputs, _ = build(folder, name)
    torch.cuda.synchronize()
    started = time.perf_counter()
    with torch.no_grad():
        model(*inputs)
    torch.cuda.synchronize()
    print(json.dumps(time.perf_counter() - started))


def measured_first_call(folder: Path, name: str) -> float:
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [sys.executable, __file__, str(folder), "--first-call", name],
            env=os.environ | {"TRITON_CACHE_DIR": cache},
            capture_output=True,
            text=True,
            check=True,
        )
    return float(json.loads(done.stdout.splitlines()[-1]))


def measure(folder: Path) -> dict[str, Any]:
    import torch
    from triton.testing import do_bench

    row: dict[str, Any] = {"folder": folder.name}
    models = {}
    for name in ("program", "answer"):
        row[f"{name}_first_call_s"] = measured_first_call(folder, name)
        models[name], inputs, reference = build(folder, name)
    with torch.no_grad():
        outputs = {name: model(*inputs) for name, model in models.items()}
        row["bit_equal"] = bool(torch.equal(outputs["program"], outputs["answer"]))
        difference = (outputs["program"] - outputs["answer"]).double().norm()
        row["relative_difference"] = float(difference / outputs["program"].double().norm())
        del outputs
        calls = {**models, "eager": reference}
        samples: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(ROUNDS):
            for name, model in calls.items():
                samples[name].append(do_bench(lambda m=model: m(*inputs), rep=150))
    row["samples_ms"] = samples
    for name, values in samples.items():
        row[f"{name}_ms"] = statistics.median(values)
    row["configs"] = {name: best_configs(sys.modules[name]) for name in models}
    return row


def best_configs(module: ModuleType) -> list[str]:
    """What each tuner of the program chose."""
    tuners = [value for value in vars(module).values() if hasattr(value, "best_config")]
    return [str(tuner.best_config) for tuner in tuners]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--first-call")
    options = parser.parse_args()
    if options.first_call:
        first_call(options.folders[0], options.first_call)
        return
    import torch
    import triton

    rows = [measure(folder) for folder in options.folders]
    facts = {
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "triton": triton.__version__,
        "cuda": torch.version.cuda,
        "rounds": ROUNDS,
    }
    if options.out:
        options.out.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")
    print(facts)
    for row in rows:
        print({key: value for key, value in row.items() if key != "samples_ms"})


if __name__ == "__main__":
    main()
