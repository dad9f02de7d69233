"""Worker: parent and mutants in Triton's interpreter, a fork for each run."""

from __future__ import annotations

import ast
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from warpwright.interpreter import child_interpret
from warpwright.interpreter.child_executor import session
from warpwright.interpreter.reference import child_distributions, child_reference
from warpwright.sandbox import child_guard, child_tensors
from warpwright.sandbox.arrays import Array, read_array
from warpwright.sandbox.child_program import load_module
from warpwright.tracing.child_trace_driver import use_stand_in_driver
from warpwright.tracing.child_trace_torch import hardware, stand_in_cuda
from warpwright.verifier.outputs import precision
from warpwright.verifier.outputs.comparison import form_differs

SEVERITY = ("unknown", "same bits", "differs", "form", "hangs", "raises")


def main() -> None:
    root = Path(sys.argv[1])
    payload = json.loads((root / "payload.json").read_text())
    torch.set_num_threads(1)
    child_guard.install(root)
    worker = Worker(payload, root)
    rows = [worker.compare(source) for source in payload["sources"]]
    (root / "answer.json").write_text(json.dumps({"changes": rows}))


class Worker:
    """Holds the parent's outputs on each set of inputs."""

    def __init__(self, payload: Mapping[str, Any], root: Path) -> None:
        self.payload = payload
        self.root = root
        self.runs = 0
        self.sets = []
        for index, inputs in enumerate(payload["sets"]):
            prepared = self._prepared(index, inputs)
            if prepared is not None:
                self.sets.append((prepared, payload["pins"][index]))
        self.parents = [
            self._run(payload["parent"], *one, payload["parent_s"]) for one in self.sets
        ]

    def compare(self, source: str) -> dict[str, Any]:
        """The worst change over all sets on which the parent runs."""
        worst: dict[str, Any] = {"outcome": "unknown", "l2": None, "max": None, "runs": 0}
        for one, parent in zip(self.sets, self.parents, strict=True):
            if not isinstance(parent, list):
                continue
            found = _difference(self._run(source, *one, self.payload["run_s"]), parent)
            worst = {**max(worst, found, key=_severity), "runs": worst["runs"] + 1}
        return worst

    def _prepared(self, index: int, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
        """Files of one set of inputs and of the parent's parameters, none of them constant."""
        directory = self.root / f"set{index}"
        (directory / "out").mkdir(parents=True)
        seed = self.payload["seed"] + index
        request = {
            "problem": None, "inputs": inputs["inputs"], "init": None,
            "distributions": ["normal"], "seed": seed,
        }  # fmt: skip
        case = child_reference.perform(request, directory)["cases"][0]
        job = {"init": inputs["init"], "seed": seed, "case": case, "directory": directory}
        states = self._fork(lambda place: self._state(job, place), directory / "state")
        if not isinstance(states, list):
            return None
        return {**job, "case": {**case, "state": "perturbed"}, "states": {"perturbed": states}}

    def _state(self, job: Mapping[str, Any], place: Path) -> Any:
        facts = hardware(self.payload["facts"])
        use_stand_in_driver(facts)
        args, kwargs = ast.literal_eval(job["init"])
        with stand_in_cuda(session.device, facts):
            module = load_module(self.payload["parent"], "program", place)
            torch.manual_seed(job["seed"])
            model = module.ModelNew(*args, **kwargs)
        state = model.state_dict() if isinstance(model, torch.nn.Module) else {}
        perturbed = child_distributions.perturb_constants(dict(state), job["seed"]) or state
        out = job["directory"] / "out"
        return [
            child_tensors.save(value, out, f"state{i}.npy", name)
            for i, (name, value) in enumerate(perturbed.items())
        ]

    def _run(
        self, source: str, prepared: Mapping[str, Any], pins: Mapping[str, Any], run_s: float
    ) -> list[Array] | str:
        """The outputs, or "raises" or "hangs"."""
        self.runs += 1
        directory = self.root / f"run{self.runs}"
        (directory / "out").mkdir(parents=True)
        (directory / "in").symlink_to(prepared["directory"] / "out")
        payload = {
            "source": source,
            "init": prepared["init"],
            "seed": prepared["seed"],
            "cases": {"normal": prepared["case"]},
            "states": prepared["states"],
            "runs": [{"case": "normal", "pins": pins}],
            "deadline_s": run_s,
            "budget_s": run_s,
            "facts": self.payload["facts"],
            "compute_capability": self.payload["compute_capability"],
            "evaluation_mode": self.payload["evaluation_mode"],
            "spoil_undefined": False,
        }
        result = self._fork(lambda place: child_interpret.perform(payload, place), directory)
        if not isinstance(result, dict):
            return "hangs" if result == "hangs" else "raises"
        run = result["runs"][0]
        if run["outcome"] == "timeout":
            return "hangs"
        if run["outcome"] != "ok":
            return "raises"
        if any(event["access"] == "write" for event in run["memory_events"]):
            return "raises"  # a fault on a GPU, or somebody else's memory
        return [read_array(directory / "out", entry) for entry in run["outputs"]]

    def _fork(self, work: Callable[[Path], Any], directory: Path) -> Any:
        """What `work` returns in a forked process; "hangs" or None where it does not."""
        directory.mkdir(exist_ok=True)
        answer = directory / "fork.json"
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.chdir(directory)
                answer.write_text(json.dumps(work(directory)))
                code = 0
            except BaseException as error:
                answer.with_suffix(".error").write_text(repr(error))
            finally:
                os._exit(code)
        deadline = time.monotonic() + self.payload["run_s"] + 10
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return "hangs"
            time.sleep(0.01)
        return json.loads(answer.read_text()) if answer.exists() else None


def _difference(got: list[Array] | str, parent: Sequence[Array]) -> dict[str, Any]:
    if isinstance(got, str):
        return {"outcome": got, "l2": None, "max": None}
    if form_differs(got, parent) is not None:
        return {"outcome": "form", "l2": None, "max": None}
    if all(precision.bits_equal(a, b) for a, b in zip(got, parent, strict=True)):
        return {"outcome": "same bits", "l2": 0.0, "max": 0.0}
    l2, largest = 0.0, 0.0
    for a, b in zip(got, parent, strict=True):
        if (precision.kinds(a.data) != precision.kinds(b.data)).any():
            l2 = largest = math.inf
            continue
        measured = precision.measure(a.data, b.data, precision.kinds(b.data) == 0)
        l2, largest = max(l2, measured.relative_l2), max(largest, measured.relative_max)
    return {
        "outcome": "differs",
        "l2": l2 if math.isfinite(l2) else "inf",
        "max": largest if math.isfinite(largest) else "inf",
    }


def _severity(row: Mapping[str, Any]) -> tuple[int, float]:
    largest = row["max"]
    number = math.inf if largest == "inf" else largest or 0.0
    return SEVERITY.index(row["outcome"]), number


if __name__ == "__main__":
    main()
