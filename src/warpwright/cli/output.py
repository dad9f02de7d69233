"""What the command line writes and reads: results to stdout, everything else to stderr."""

from __future__ import annotations

import errno
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.status import Status

from warpwright.errors import InputError, Place
from warpwright.formats.documents import MAX_DOCUMENT_BYTES, decode_document

STDIN = "-"
PIPED_WIDTH = 150


def stdout() -> Console:
    """For tables that people read. Where stdout is no terminal, plain text with room for them."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=PIPED_WIDTH, highlight=False)


def stderr() -> Console:
    """For everything else, as wide as stdout where it is no terminal."""
    console = Console(stderr=True, highlight=False)
    return (
        console if console.is_terminal else Console(stderr=True, width=PIPED_WIDTH, highlight=False)
    )


def write_json(value: BaseModel | dict[str, Any] | list[Any]) -> None:
    """One JSON document on stdout, and nothing else."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def warn(text: str) -> None:
    """One warning on stderr, as it is."""
    sys.stderr.write(f"warning: {text}\n")


def write_text(text: str) -> None:
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def read_document(path: str) -> str:
    """The text of a file, or of stdin for `-`. Raises InputError, also for what is no text."""
    if path == STDIN:
        return decode_document(sys.stdin.buffer.read(MAX_DOCUMENT_BYTES + 1), "standard input")
    file = Path(path)
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}",
            place=Place(document=path),
            hint="give the path of a file, or - for standard input",
        ) from error
    return decode_document(data, path)


def write_file(path: Path, text: str) -> None:
    """Write a whole file or nothing: through a temporary file beside it, then one rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(
            f"cannot be written: {error.strerror}", place=Place(document=str(path))
        ) from error


def expect_writable(path: Path | None) -> None:
    """Raise InputError now where `write_file` would after all the work. Leaves nothing behind."""
    if path is None:
        return
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        folder = next(folder for folder in path.absolute().parents if folder.exists())
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}",
            place=Place(document=str(path), section="--out"),
            expected="a file in a folder that can be written to, or that can be made",
        ) from error


class Progress:
    """A listener that tells each step on stderr: a spinner in a terminal, else plain lines."""

    def __init__(self, quiet: bool = False) -> None:
        self._console = stderr()
        self._quiet = quiet
        self._started = time.monotonic()
        self._status: Status | None = None
        self._lock = threading.Lock()  # steps are told from several threads

    def __call__(self, name: str, text: str, **detail: Any) -> None:  # noqa: ARG002
        if self._quiet:
            return
        line = f"[{time.monotonic() - self._started:5.1f} s] {text}"
        with self._lock:
            if not self._console.is_terminal:
                self._console.print(line, markup=False, soft_wrap=True)
                return
            self._console.print(line, markup=False, soft_wrap=True, style="dim")
            if self._status is None:
                self._status = self._console.status("working", spinner="dots")
                self._status.start()

    def close(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
