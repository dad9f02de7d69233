"""The programs: the examples, and recorded requests with inputs that a run can hold."""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
from collections.abc import Collection
from pathlib import Path

from recorded import problem_of

from criterion.pairs import Case
from warpwright.types.shapes import Problem, TensorSpec

MOST_BYTES = 2**30  # of a problem's inputs: larger ones take the time of several others


def cases_of(options: argparse.Namespace, names: Collection[str] | None = None) -> list[Case]:
    """The examples first, then the others in an order that the seed draws; `names`: only these."""
    examples = Path(__file__).parents[2] / "examples"
    found = [
        Case(
            folder.name,
            (folder / "request.txt").read_text(),
            Problem(source=(folder / "problem.py").read_text(), origin="example"),
        )
        for folder in sorted(examples.iterdir())
        if (folder / "request.txt").is_file()
    ]
    if options.cases is None:
        return found
    opened = gzip.open if options.cases.suffix == ".gz" else open
    chosen = None if options.only is None else set(map(int, options.only.split(",")))
    others = []
    with opened(options.cases, "rt", encoding="utf-8") as stream:
        for number, line in enumerate(stream):
            case = json.loads(line)
            problem = problem_of(case)
            wanted = chosen is None or number in chosen
            if wanted and problem is not None and _input_bytes(problem) <= MOST_BYTES:
                others.append(Case(f"r{number}", case["request"], problem))
    random.Random(options.seed).shuffle(others)
    if names is not None:
        return [case for case in (*found, *others) if case.name in names]
    return [*found, *others][: options.programs]


def _input_bytes(problem: Problem) -> int:
    tensors = [spec for spec in problem.inputs if isinstance(spec, TensorSpec)]
    return sum(4 * math.prod(spec.shape) for spec in tensors)
