"""Entry point of every child process: read the job, perform it, write the result.

The job directory holds `job.json` (kind and payload), `in/` (files given by the parent) and
`out/` (files for the parent). `result.json` is written last, in one rename; a child that ends
without it has failed, whatever its exit code says.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from warpwright.sandbox import child_guard
from warpwright.sandbox.kinds import JOBS

FILE_BYTES = 4 * 1024**3
TRACEBACK_CHARACTERS = 4000


def main() -> None:
    job_dir = Path.cwd()
    pid = os.getpid()
    job = json.loads((job_dir / "job.json").read_text())
    # a module compiled during a guarded import would be a write outside the directory
    sys.dont_write_bytecode = True
    child_guard.set_limits(FILE_BYTES)
    if not job["launched"]:  # the tool that started this process may talk to it over a socket
        child_guard.cut_network()
    child_guard.install(job_dir)
    module = importlib.import_module(JOBS[job["kind"]])
    try:
        result = {"value": module.perform(job["payload"], job_dir)}
        text = json.dumps(result)
    except child_guard.ForbiddenActionError as error:
        text = failure("forbidden", f"the code tried to {error}")
    except MemoryError as error:
        text = failure("MemoryError", str(error) or "out of memory")
    except (SystemExit, KeyboardInterrupt) as error:
        text = failure("exit", f"the code called exit ({error!r})")
    except BaseException as error:
        text = json.dumps({"error": describe(error, job_dir)})
    if os.getpid() == pid:  # a forked copy of this process must not speak for it
        write_result(job_dir, text)
    sys.stdout.flush()
    sys.stderr.flush()
    if job["launched"]:  # the tool waits for an orderly end
        child_guard.forbid_to_the_end()
        return
    # Threads that foreign code left behind must not keep the child alive.
    os._exit(0)


def describe(error: BaseException, job_dir: Path) -> dict[str, Any]:
    """The error, with the line of the foreign file where it was raised."""
    place: dict[str, Any] = {}
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if path.parent == job_dir and path.suffix == ".py":
            place = {"file": path.name, "line": frame.lineno, "function": frame.name}
    text = "".join(traceback.format_exception(error))
    return {
        "type": type(error).__name__,
        "message": str(error),
        "place": place,
        "traceback": text[-TRACEBACK_CHARACTERS:].replace(str(job_dir) + os.sep, ""),
    }


def failure(kind: str, message: str) -> str:
    return json.dumps({"error": {"type": kind, "message": message}})


def write_result(job_dir: Path, text: str) -> None:
    temporary = job_dir / "result.json.tmp"
    temporary.write_text(text)
    temporary.rename(job_dir / "result.json")
