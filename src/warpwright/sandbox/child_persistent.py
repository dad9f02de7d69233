"""Entry point of every persistent child: start, then answer requests until the pipe closes.

The module of a kind (`kinds.PROCESSES`) has `start(settings, job_dir)`, which gives an object with
`facts() -> dict`, `handle(command, payload) -> dict` and `explain(error) -> dict`: what an
exception means, as the `failed` or `died` part of an answer.
"""

from __future__ import annotations

import faulthandler
import fcntl
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from warpwright.sandbox import child_guard
from warpwright.sandbox.kinds import PROCESSES

FILE_BYTES = 16 * 1024**3


def main(kind: str, requests: int, answers: int, lifeline: int) -> None:
    """Serve until the parent closes the pipe or dies."""
    for descriptor in (requests, answers, lifeline):
        os.set_inheritable(descriptor, False)  # tools that foreign code starts see none of them
    _die_with_the_parent(lifeline)
    faulthandler.enable()  # a crash prints the line where it happened
    job_dir = Path.cwd()
    settings = json.loads((job_dir / "settings.json").read_text())
    if settings["cores"]:
        os.sched_setaffinity(0, settings["cores"])
    sys.dont_write_bytecode = True
    child_guard.set_limits(settings.get("file_bytes", FILE_BYTES))
    child_guard.cut_network()
    child_guard.install(job_dir)
    module = importlib.import_module(PROCESSES[kind])
    _serve(module.start(settings, job_dir), requests, answers)
    os._exit(0)


def _die_with_the_parent(lifeline: int) -> None:
    """SIGKILL for this process group as soon as the parent's end of the pipe closes.

    The kernel sends it, so it comes even where a candidate hangs in native code.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgid(0))
    fcntl.fcntl(lifeline, 10, signal.SIGKILL)  # F_SETSIG, which `fcntl` does not name
    flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)


def _explained(error_of: Callable[[BaseException], dict[str, Any]], error: BaseException) -> Any:
    """What an exception means; where even that cannot be found out, our own code has failed."""
    try:
        return error_of(error)
    except BaseException as second:
        reason = f"{type(second).__name__} while explaining {type(error).__name__}"
        own = "the worker's own code failed"
        return {"died": {"how": own, "reason": reason, "blames_program": False}}


def _serve(server: Any, requests: int, answers: int) -> None:
    pid = os.getpid()
    # Bound now: what is imported later may exchange them.
    loads, dumps, write, getpid = json.loads, json.dumps, os.write, os.getpid
    error_of = server.explain

    def answer(number: int, content: dict[str, Any]) -> None:
        data = dumps({"id": number, **content}).encode() + b"\n"
        if getpid() != pid:  # a forked copy of this process must not speak for it
            os._exit(1)
        while data:
            data = data[write(answers, data) :]

    answer(0, {"done": server.facts()})
    with os.fdopen(requests, "rb") as stream:
        for line in stream:
            request = loads(line)
            try:
                content = {"done": server.handle(request["command"], request["payload"])}
            except BaseException as error:
                content = _explained(error_of, error)
            answer(request["id"], content)
            if "died" in content:
                os._exit(1)  # not through exit handlers, which a broken CUDA context can block
