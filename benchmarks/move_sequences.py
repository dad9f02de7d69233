"""Random sequences of moves on the programs of the tests: is any not what its moves claim?

    PYTHONPATH=src python benchmarks/move_sequences.py [--programs REGEX] [--seeds 5 20]
                                                        [--shortest 2]

As `tests/proposers/rewrites/test_sequences.py`, on more seeds than that has time for. Needs Triton
and torch, no GPU. A line a sequence; the moves, the faults and the text where there are any.
Leaves with 1 where a sequence has faults.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from corpus import Example, programs
from sequences import draw, faults_of, first_at_fault


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", default="", help="of which names, as a regular expression")
    parser.add_argument("--seeds", type=int, nargs=2, default=(5, 20), metavar=("FROM", "BEFORE"))
    parser.add_argument("--shortest", type=int, default=2, help="shorter ones are passed over")
    options = parser.parse_args()
    found = 0
    for seed in range(*options.seeds):
        for name, program in programs().items():
            if re.search(options.programs, name):
                found += tell(program, f"{name}, seed {seed}", options.shortest)
    return 1 if found else 0


def tell(program: Example, drawn_as: str, shortest: int) -> bool:
    """Print what one sequence comes to; whether it is at fault."""
    start = time.monotonic()
    try:
        drawn = draw(program, drawn_as)
        if len(drawn.moves) < shortest:
            return False
        faults = list(faults_of(drawn))
        told = first_at_fault(drawn, faults) if faults else "as claimed"
    except AssertionError as error:
        faults, told = [str(error)], str(error)
        names = "not all drawn"
    else:
        names = ", ".join(move.name for move in drawn.moves)
    print(f"{drawn_as}: {names}: {time.monotonic() - start:.0f} s: {told}", flush=True)
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
