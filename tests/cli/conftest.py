"""Run the real command in a process of its own, with a cache and a journal of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., "subprocess.CompletedProcess[str]"]

REQUEST = Path(__file__).parents[2] / "examples" / "02-conv2d-dilated" / "request.txt"


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cache and journal, shared by the session's tests: what one compiled another need not."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def warpwright(tmp_path: Path, state: Path) -> Command:
    """`warpwright("check", ...)` in an empty directory; standard input may be given as bytes."""

    def run(
        *arguments: str | Path, stdin: bytes | None = None, timeout_s: float = 300
    ) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "WARPWRIGHT_CACHE_DIR": str(state / "cache"),
            "WARPWRIGHT_STATE_DIR": str(state / "state"),
        }
        done = subprocess.run(
            [sys.executable, "-m", "warpwright", *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            input=stdin if stdin is not None else b"",
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
