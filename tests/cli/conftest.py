"""Run the real command, with the cache and the journal of the tests' session.

`warpwright` runs it in the tests' own process, which has loaded it; `as_a_process` as users do.
Both take the same and give the same.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from warpwright.cli import main

Command = Callable[..., "subprocess.CompletedProcess[str]"]

REQUEST = Path(__file__).parents[2] / "examples" / "02-conv2d-dilated" / "request.txt"


@pytest.fixture
def warpwright(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`warpwright("check", ...)` in an empty directory; standard input may be given as bytes."""

    def run(
        *arguments: str | Path, stdin: bytes = b"", timeout_s: float = 300
    ) -> subprocess.CompletedProcess[str]:
        command = ["warpwright", *map(str, arguments)]
        out, err = io.BytesIO(), io.BytesIO()
        started = time.monotonic()
        with (
            monkeypatch.context() as patch,
            io.TextIOWrapper(out, "utf-8") as stdout,
            io.TextIOWrapper(err, "utf-8") as stderr,
        ):
            patch.chdir(tmp_path)
            patch.setattr(sys, "argv", command)
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
            patch.setenv("COLUMNS", "80")
            with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
                code = exit_code_of_the_command()
            stdout.flush()
            stderr.flush()
            said, told = out.getvalue().decode(), err.getvalue().decode()
        assert time.monotonic() - started < timeout_s
        return subprocess.CompletedProcess(command, code, said, told)

    return run


def exit_code_of_the_command() -> int:
    try:
        main.run()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


@pytest.fixture
def as_a_process(tmp_path: Path) -> Command:
    """The same in a process of its own."""

    def run(
        *arguments: str | Path, stdin: bytes = b"", timeout_s: float = 300
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "warpwright", *map(str, arguments)],
            cwd=tmp_path,
            input=stdin,
            capture_output=True,
            timeout=timeout_s,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return run


@pytest.fixture(scope="session")
def request_text() -> str:
    return REQUEST.read_text()
