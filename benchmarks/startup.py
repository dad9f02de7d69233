"""Time the commands that only read and write text: processor time from start to end.

    PYTHONPATH=src python benchmarks/startup.py [--times 5] [--limit 0.5]

Each command runs in new processes, once unmeasured and then `--times`; printed is the least user
and system time, in seconds, of the process and of the children that it waited for. `check` runs
without a problem, on an example; what its first run found about the program is kept in a cache.
Exit code 1 where a command takes more than `--limit`.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent / "examples" / "01-conv2d-stride4"
COMMANDS = (
    ("--help",),
    ("gpus",),
    ("gpus", "4090"),
    ("stages",),
    ("stages", "single"),
    ("runs",),
    ("check", "--help"),
    ("answer", "--help"),
    ("optimize", "--help"),
    ("inspect", "--help"),
    ("bench", "--help"),
    ("profile", "--help"),
    ("doctor", "--help"),
    ("check", str(EXAMPLE / "request.txt"), str(EXAMPLE / "answer.py")),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--limit", type=float, default=0.5, help="seconds, for the exit code")
    options = parser.parse_args()
    slow = []
    with tempfile.TemporaryDirectory(prefix="warpwright-startup-") as name:
        for arguments in COMMANDS:
            seconds(arguments, Path(name))  # writes byte code, fills the cache
            least = min(seconds(arguments, Path(name)) for _ in range(options.times))
            shown = " ".join(Path(word).name for word in arguments)
            print(f"{least:6.2f} s  {shown}", flush=True)
            if least > options.limit:
                slow.append(shown)
    if slow:
        print(f"over {options.limit:g} s: {'; '.join(slow)}")
    return 1 if slow else 0


def seconds(arguments: tuple[str, ...], folder: Path) -> float:
    """User and system time of one run. Raises CalledProcessError where it fails."""
    environment = os.environ | {
        "WARPWRIGHT_CACHE_DIR": str(folder / "cache"),
        "WARPWRIGHT_STATE_DIR": str(folder / "state"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installation has its byte code
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "warpwright", *arguments],
        env=environment,
        capture_output=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    raise SystemExit(main())
