"""Kill measured answers with SIGKILL at random moments; is anything that was finished lost?

    PYTHONPATH=src python benchmarks/killed_runs.py [--kills 50] [--longest 9] [--seed 1]
                                                     [--out FILE]

Rounds of a few kills: each round is one question that is killed again and again and then comes to
its end. Real runs of `answer` in Triton's interpreter, so no GPU is needed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from killing import kill_runs

KILLS_A_ROUND = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--longest", type=float, default=9.0, help="seconds before a kill, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    for number in range(-(-options.kills // KILLS_A_ROUND)):
        with tempfile.TemporaryDirectory(prefix="warpwright-kills-") as name:
            found = kill_runs(
                Path(name), KILLS_A_ROUND, longest_s=options.longest, seed=options.seed + number
            )
            row = {
                "round": number,
                "killed": found.kills,
                "finished_after_each": found.finished,
                "lost_or_changed": found.changed,
                "came_to_its_end": found.ended,
            }
        rows.append(row)
        print(json.dumps(row), flush=True)
        if options.out is not None:
            options.out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    lost = sum(len(row["lost_or_changed"]) for row in rows)  # type: ignore[arg-type]
    killed = sum(int(row["killed"]) for row in rows)  # type: ignore[call-overload]
    ended = sum(bool(row["came_to_its_end"]) for row in rows)
    answered = f"{ended} of {len(rows)} questions answered"
    print(f"{killed} runs killed, {lost} finished results lost, {answered}")
    return 0 if not lost and ended == len(rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
