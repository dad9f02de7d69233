"""Whether mutants compute something else than their parent: asked apart from the verifier.

Parent and mutants run in Triton's interpreter on inputs that the verifier does not use: sizes that
a search over other numbers chose, other seeds, and parameters of which none is constant. The
verifier's own sizes come second, with another seed. One process imports Triton once and forks for
each run, which costs a twentieth of a process a run.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warpwright.interpreter.sizes.shrink import decode_plain

SEED = 77_003  # the verifier has another
RUN_S = 40.0
PARENT_S = 10.0  # inputs on which the parent takes longer are left out, so no slow mutant "hangs"


@dataclass(frozen=True, slots=True)
class Change:
    """How far a mutant is from its parent, at the worst of all runs.

    `outcome`: "same bits", "differs" (then both measures are given, infinite where NaN or Inf
    stand elsewhere), "raises", "hangs", "form" (another shape or type), or "unknown" where the
    parent does not run.
    """

    outcome: str
    relative_l2: float | None = None
    relative_max: float | None = None
    runs: int = 0


@dataclass(frozen=True, slots=True)
class Subject:
    """What `changes` needs of a program: source, shapes as traced, arguments, configs.

    `init`: text of (args, kwargs). `small`: the shapes and the `init` that the verifier uses.
    `pins`: sets of pinned configs, of which each mutant runs the first on other sizes
    and the last on the verifier's.
    """

    source: str
    problem: Mapping[str, Any]
    init: str
    small: Mapping[str, Any]
    facts: Mapping[str, Any]
    compute_capability: int
    evaluation_mode: bool
    pins: Sequence[Mapping[str, Any]]


def other_sizes(subject: Subject, search_s: float) -> dict[str, Any] | None:
    """Inputs of other sizes, larger than the verifier's where that stays affordable."""
    payload = {
        "source": subject.source,
        "problem": subject.problem,
        "facts": subject.facts,
        "evaluation_mode": subject.evaluation_mode,
        "limits": {"blocks": 100, "steps": 1500, "elements": 20_000_000, "stretch": 2},
        "search_s": search_s,
    }
    found = _ask("mutation.truth_sizes", payload, 60 + 2 * search_s)
    if found is None or "failed" in found:
        return None
    init = subject.init if found["init"] is None else _init_text(found["init"])
    return {"inputs": found["inputs"], "init": init}


def _init_text(encoded: Any) -> str:
    args, kwargs = decode_plain(encoded)
    return repr((list(args), dict(kwargs)))


def changes(
    subject: Subject, other: Mapping[str, Any] | None, sources: Sequence[str]
) -> list[Change]:
    """One change a source, in order."""
    sets = [item for item in (other, subject.small) if item is not None]
    payload = {
        "parent": subject.source,
        "sources": list(sources),
        "sets": [{"inputs": item["inputs"], "init": item["init"]} for item in sets],
        "pins": [subject.pins[0], subject.pins[-1]][-len(sets) :],
        "facts": subject.facts,
        "compute_capability": subject.compute_capability,
        "evaluation_mode": subject.evaluation_mode,
        "seed": SEED,
        "run_s": RUN_S,
        "parent_s": PARENT_S,
    }
    answer = _ask(
        "mutation.truth_worker", payload, 60 + RUN_S * len(sets) * (len(sources) + 1), True
    )
    if answer is None:
        return [Change("unknown")] * len(sources)
    return [
        Change(row["outcome"], _number(row["l2"]), _number(row["max"]), row["runs"])
        for row in answer["changes"]
    ]


def _number(value: float | str | None) -> float | None:
    return math.inf if isinstance(value, str) else value


def _ask(
    module: str, payload: Mapping[str, Any], timeout_s: float, interpreted: bool = False
) -> dict[str, Any] | None:
    """Run a worker module on a payload in a directory of its own; None where it fails."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as name:
        directory = Path(name)
        (directory / "payload.json").write_text(json.dumps(payload))
        path = [str(Path(__file__).parents[1]), *filter(None, sys.path)]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path),
            "TRITON_CACHE_DIR": str(directory / "triton"),
            "CUDA_VISIBLE_DEVICES": "",
            "OMP_NUM_THREADS": "1",
            **({"TRITON_INTERPRET": "1"} if interpreted else {}),
        }
        try:
            subprocess.run(
                [sys.executable, "-m", module, name],
                env=environment,
                cwd=name,
                timeout=timeout_s,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None
        answer = directory / "answer.json"
        if not answer.exists():
            return None
        found: dict[str, Any] = json.loads(answer.read_text())
        return found
